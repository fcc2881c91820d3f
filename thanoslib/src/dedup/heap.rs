//! A binary heap in a vector.
//!
//! Compat: sources that are equal leave the heap in the order of Go's `container/heap`; which of
//! two samples or chunks wins a tie follows from it.

/// Adds an item.
pub(super) fn push<T>(heap: &mut Vec<T>, item: T, less: impl Fn(&T, &T) -> bool) {
    heap.push(item);
    let mut i = heap.len() - 1;
    while i > 0 && less(&heap[i], &heap[(i - 1) / 2]) {
        heap.swap(i, (i - 1) / 2);
        i = (i - 1) / 2;
    }
}

/// Takes the smallest item out.
pub(super) fn pop<T>(heap: &mut Vec<T>, less: impl Fn(&T, &T) -> bool) -> Option<T> {
    let last = heap.len().checked_sub(1)?;
    heap.swap(0, last);
    let top = heap.pop();
    let mut i = 0;
    loop {
        let mut child = 2 * i + 1;
        if child >= heap.len() {
            return top;
        }
        if child + 1 < heap.len() && less(&heap[child + 1], &heap[child]) {
            child += 1;
        }
        if !less(&heap[child], &heap[i]) {
            return top;
        }
        heap.swap(i, child);
        i = child;
    }
}
