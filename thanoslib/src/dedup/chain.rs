//! The chain merge: every distinct time once, staying on a replica while it is the earliest.
//!
//! Source: Prometheus `storage/merge.go`.

use super::heap;

/// Samples of one source, read forward by their times.
pub(super) trait Walk {
    /// Time of the current sample.
    fn t(&self) -> i64;
    /// Moves to the next sample; false at the end.
    fn next(&mut self) -> bool;
    /// Moves to the first sample at or after `t`; false at the end.
    fn seek(&mut self, t: i64) -> bool;
}

/// A merge over sources; which one wins a tie follows from the order of the heap.
#[derive(Debug)]
pub(super) struct Chain<C> {
    cursors: Vec<C>,
    heap: Vec<usize>,
    current: Option<usize>,
    started: bool,
    last_t: Option<i64>,
    consecutive: bool,
}

impl<C: Walk> Chain<C> {
    /// A merge before its first sample.
    pub(super) fn new(cursors: Vec<C>) -> Self {
        Self { cursors, heap: Vec::new(), current: Some(0), started: false, last_t: None, consecutive: false }
    }

    /// Source of the current sample.
    pub(super) fn leaf(&self) -> usize {
        self.current.unwrap_or(0)
    }

    pub(super) fn cursor(&self, leaf: usize) -> &C {
        &self.cursors[leaf]
    }

    /// True when the source gave the sample before too, and there is none in between.
    pub(super) fn consecutive(&self) -> bool {
        self.consecutive
    }

    /// Moves to the next sample.
    pub(super) fn next(&mut self) -> bool {
        let mut changed = false;
        if !self.started {
            self.started = true;
            changed = true;
            for i in 1..self.cursors.len() {
                if self.cursors[i].next() {
                    self.push(i);
                }
            }
        }
        let Some(mut current) = self.current else { return false };
        loop {
            if self.cursors[current].next() {
                let t = self.cursors[current].t();
                if self.last_t == Some(t) {
                    continue;
                }
                match self.heap.first() {
                    Some(&top) if self.cursors[top].t() <= t => {}
                    _ => break,
                }
                if let [top] = &mut self.heap[..] {
                    // The same as below, for the usual two sources.
                    (current, changed) = (std::mem::replace(top, current), true);
                    if self.last_t != Some(self.cursors[current].t()) {
                        break;
                    }
                    continue;
                }
                self.push(current);
            }
            let Some(top) = self.pop() else {
                self.current = None;
                return false;
            };
            (current, changed) = (top, true);
            if self.last_t != Some(self.cursors[top].t()) {
                break;
            }
        }
        self.current = Some(current);
        self.last_t = Some(self.cursors[current].t());
        self.consecutive = !changed;
        true
    }

    /// Moves on until a sample is at or after `t`.
    pub(super) fn seek(&mut self, t: i64) -> bool {
        if self.current.is_some() && self.last_t.is_some_and(|last| last >= t) {
            return true;
        }
        self.started = true;
        self.consecutive = false;
        self.heap.clear();
        for i in 0..self.cursors.len() {
            if self.cursors[i].seek(t) {
                self.push(i);
            }
        }
        self.current = self.pop();
        match self.current {
            Some(current) => {
                self.last_t = Some(self.cursors[current].t());
                true
            }
            None => false,
        }
    }

    fn push(&mut self, cursor: usize) {
        let cursors = &self.cursors;
        heap::push(&mut self.heap, cursor, |a, b| cursors[*a].t() < cursors[*b].t());
    }

    fn pop(&mut self) -> Option<usize> {
        let cursors = &self.cursors;
        heap::pop(&mut self.heap, |a, b| cursors[*a].t() < cursors[*b].t())
    }
}
