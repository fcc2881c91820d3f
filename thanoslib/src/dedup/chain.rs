//! The chain merge: every distinct time once, staying on a replica while it is the earliest.
//!
//! Source: Prometheus `storage/merge.go`.

use super::replica::{Cursor, Replica};
use crate::model::Interval;

/// A merge over replicas; which one wins a tie follows from the order of the heap.
#[derive(Debug)]
pub(super) struct Chain<'a> {
    cursors: Vec<Cursor<'a>>,
    heap: Vec<usize>,
    current: Option<usize>,
    started: bool,
    last_t: Option<i64>,
    consecutive: bool,
}

impl<'a> Chain<'a> {
    /// A merge before its first sample.
    pub(super) fn new(replicas: &'a [Replica], bounds: Interval) -> Self {
        let cursors: Vec<_> = replicas.iter().map(|r| Cursor::new(r, bounds)).collect();
        Self { cursors, heap: Vec::new(), current: Some(0), started: false, last_t: None, consecutive: false }
    }

    /// Replica of the current sample.
    pub(super) fn leaf(&self) -> usize {
        self.current.unwrap_or(0)
    }

    pub(super) fn cursor(&self, leaf: usize) -> &Cursor<'a> {
        &self.cursors[leaf]
    }

    /// True when the replica gave the sample before too, and there is none in between.
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
                    Some(&top) if self.cursors[top].t() <= t => self.push(current),
                    _ => break,
                }
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

    fn less(&self, a: usize, b: usize) -> bool {
        self.cursors[self.heap[a]].t() < self.cursors[self.heap[b]].t()
    }

    fn push(&mut self, cursor: usize) {
        self.heap.push(cursor);
        let mut i = self.heap.len() - 1;
        while i > 0 && self.less(i, (i - 1) / 2) {
            self.heap.swap(i, (i - 1) / 2);
            i = (i - 1) / 2;
        }
    }

    fn pop(&mut self) -> Option<usize> {
        let last = self.heap.len().checked_sub(1)?;
        self.heap.swap(0, last);
        let top = self.heap.pop();
        let mut i = 0;
        loop {
            let mut child = 2 * i + 1;
            if child >= self.heap.len() {
                return top;
            }
            if child + 1 < self.heap.len() && self.less(child + 1, child) {
                child += 1;
            }
            if !self.less(child, i) {
                return top;
            }
            self.heap.swap(i, child);
            i = child;
        }
    }
}
