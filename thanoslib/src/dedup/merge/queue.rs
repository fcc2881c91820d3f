//! The chunks of several blocks in order of time.

use super::super::heap;
use crate::{chunk::Chunk, model::Interval};

type Item<'a> = (Interval, Chunk<'a>);

/// Chunks by first and last sample.
#[derive(Debug)]
pub(super) struct Queue<'s, 'a> {
    /// What is left of each input, its first chunk next.
    inputs: Vec<&'s [Item<'a>]>,
}

fn less(a: &&[Item<'_>], b: &&[Item<'_>]) -> bool {
    let key = |chunks: &[Item<'_>]| chunks.first().map(|(at, _)| (at.mint, at.maxt));
    key(a) < key(b)
}

impl<'s, 'a> Queue<'s, 'a> {
    pub(super) fn new(inputs: &[&'s [Item<'a>]]) -> Self {
        let mut queue = Self { inputs: Vec::with_capacity(inputs.len()) };
        for input in inputs.iter().filter(|i| !i.is_empty()) {
            heap::push(&mut queue.inputs, *input, less);
        }
        queue
    }

    /// Takes the next chunk out.
    pub(super) fn pop(&mut self) -> Option<Item<'a>> {
        let (first, rest) = heap::pop(&mut self.inputs, less)?.split_first()?;
        if !rest.is_empty() {
            heap::push(&mut self.inputs, rest, less);
        }
        Some(*first)
    }

    /// Takes the next chunk out if it begins at or before `end`.
    pub(super) fn pop_until(&mut self, end: i64) -> Option<Item<'a>> {
        let next = self.inputs.first()?.first()?;
        if next.0.mint > end {
            return None;
        }
        self.pop()
    }
}
