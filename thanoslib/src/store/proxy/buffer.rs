//! Frames on their way from the one who reads a store to the one who joins stores.

use std::{
    collections::VecDeque,
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context as Task, Poll},
};

use futures::task::AtomicWaker;

use super::Retrieval;
use crate::{budget::Budget, error::Result, store::Frame};

/// Bytes of one member that are read ahead at most, however much memory there is: enough to keep a
/// connection busy while another member is waited for.
const AHEAD_BYTES: usize = 16 << 20;

/// Frames that wait to be joined, few or many.
#[derive(Debug)]
pub(super) struct Buffer {
    state: Mutex<State>,
    frames_max: usize,
    /// Of the request; where more than this may be read ahead.
    eager: Option<Arc<Budget>>,
    reader: AtomicWaker,
    writer: AtomicWaker,
}

#[derive(Debug, Default)]
struct State {
    frames: VecDeque<Result<Frame>>,
    bytes: usize,
    ended: bool,
}

impl Buffer {
    pub(super) fn new(retrieval: Retrieval, frames_max: usize, budget: &Arc<Budget>) -> Self {
        Self {
            state: Mutex::default(),
            frames_max: frames_max.max(1),
            eager: (retrieval == Retrieval::Eager).then(|| Arc::clone(budget)),
            reader: AtomicWaker::new(),
            writer: AtomicWaker::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_room(&self) -> bool {
        let State { frames, bytes, .. } = &*self.state();
        // An eager reader leaves the other half of the memory to those who use what it reads.
        let free = || self.eager.as_ref().is_some_and(|b| b.used() < b.limit() / 2);
        frames.len() < self.frames_max || (*bytes < AHEAD_BYTES && free())
    }

    /// Waits until the next frame may be read.
    pub(super) async fn room(&self) {
        poll_fn(|task| {
            if self.has_room() {
                return Poll::Ready(());
            }
            self.writer.register(task.waker());
            // A frame may have been taken meanwhile.
            if self.has_room() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    pub(super) fn push(&self, frame: Result<Frame>) {
        let mut state = self.state();
        state.bytes += bytes(&frame);
        state.frames.push_back(frame);
        drop(state);
        self.reader.wake();
    }

    /// Says that no more frames come.
    pub(super) fn end(&self) {
        self.state().ended = true;
        self.reader.wake();
    }

    /// The next frame, or the end.
    pub(super) fn poll_next(&self, task: &mut Task<'_>) -> Poll<Option<Result<Frame>>> {
        if let Some(ready) = self.take() {
            return Poll::Ready(ready);
        }
        self.reader.register(task.waker());
        match self.take() {
            Some(ready) => Poll::Ready(ready),
            None => Poll::Pending,
        }
    }

    /// The next frame or the end, if one of them is there.
    #[expect(clippy::option_option, reason = "the end of a stream is not the lack of a frame")]
    fn take(&self) -> Option<Option<Result<Frame>>> {
        let mut state = self.state();
        let frame = state.frames.pop_front();
        state.bytes -= frame.as_ref().map_or(0, bytes);
        let ended = state.ended;
        drop(state);
        if frame.is_some() {
            self.writer.wake();
        }
        (frame.is_some() || ended).then_some(frame)
    }
}

/// What a frame holds.
fn bytes(frame: &Result<Frame>) -> usize {
    match frame {
        Ok(Frame::Batch(batch)) => batch.size_bytes(),
        _ => 0,
    }
}
