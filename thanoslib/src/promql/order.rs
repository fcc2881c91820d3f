//! The order in which Go's `sort.Sort` leaves short slices.

use std::cmp::Ordering;

/// Longest slice that Go sorts by insertion.
pub(crate) const INSERTION_MAX: usize = 12;

/// Sorts as Go's `sort.Sort` does for up to 12 items; longer slices are sorted stably.
///
/// `less` may be true both ways for two items, such as two NaN; insertion then swaps them.
/// Compat: Go's `sort/zsortinterface.go`, `insertionSort`.
pub(crate) fn sort_like_go<T>(items: &mut [T], less: impl Fn(&T, &T) -> bool) {
    if items.len() > INSERTION_MAX {
        items.sort_by(|a, b| match (less(a, b), less(b, a)) {
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            _ => Ordering::Equal,
        });
        return;
    }
    for i in 1..items.len() {
        let mut j = i;
        while j > 0 && less(&items[j], &items[j - 1]) {
            items.swap(j, j - 1);
            j -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_stay_and_items_below_each_other_swap() {
        let check = |n: usize, both: bool, want: &[usize]| {
            let mut items: Vec<(u8, usize)> = (0..n).map(|i| (u8::from(i % 2 == 0), i)).collect();
            sort_like_go(&mut items, |a, b| a.0 < b.0 || both && a.0 == 1 && b.0 == 1);
            assert_eq!(items.iter().map(|i| i.1).collect::<Vec<_>>(), want);
        };
        check(5, false, &[1, 3, 0, 2, 4]);
        check(5, true, &[1, 3, 4, 2, 0]);
        check(13, true, &[1, 3, 5, 7, 9, 11, 0, 2, 4, 6, 8, 10, 12]);
    }
}
