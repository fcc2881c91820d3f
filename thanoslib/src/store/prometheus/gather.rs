//! Small pieces of a long answer are read many at a time.
//!
//! A Prometheus writes each frame of an answer by itself, mostly one for each series. Whoever waits
//! for each of them is woken for each of them, which costs both sides more than what the frame holds.
//! So once a reader has caught up with the server it pauses, and then finds many frames at once. The
//! server goes on meanwhile: what it writes lies in the buffers of the connection.
//!
//! Invariant: knows pieces by their length; reads nothing itself.

use std::{future::Future, time::Duration};

use bytes::Bytes;
use tokio::time::{Instant, sleep};

use crate::error::Result;

/// How long pieces gather.
const PAUSE: Duration = Duration::from_millis(1);

/// Pieces between pauses at least: an answer that is shorter never waits, and a pause costs a longer
/// one less than its pieces did.
const PIECES_MIN: u32 = 64;

/// Bytes between pauses at most: larger pieces are worth waking for, and what does not find room in the
/// buffers of a connection would stop the server.
const BYTES_MAX: usize = 128 << 10;

/// A piece that takes longer was not there yet.
const AWAITED: Duration = Duration::from_micros(5);

/// Awaited pieces after one another, after which the reader has caught up.
const CAUGHT_UP: u32 = 3;

/// When to pause.
#[derive(Debug, Default)]
pub(super) struct Gather {
    pieces: u32,
    bytes: usize,
    /// Pieces after one another that had to be waited for.
    awaited: u32,
}

impl Gather {
    /// Awaits the next piece, after a pause if it is time for one. Nothing is lost when it is dropped.
    pub(super) async fn next(
        &mut self,
        piece: impl Future<Output = Result<Option<Bytes>>>,
    ) -> Result<Option<Bytes>> {
        if self.due() {
            sleep(PAUSE).await;
            *self = Self::default();
        }
        // To ask for the time costs a good part of reading a small piece.
        let begun = (self.pieces >= PIECES_MIN).then(Instant::now);
        let piece = piece.await?;
        self.count(piece.as_ref().map_or(0, Bytes::len), begun.map(|t| t.elapsed()));
        Ok(piece)
    }

    /// Whether the reader has caught up with pieces that are small.
    fn due(&mut self) -> bool {
        let caught_up = self.awaited >= CAUGHT_UP;
        if caught_up && self.bytes > BYTES_MAX {
            *self = Self::default();
            return false;
        }
        caught_up
    }

    fn count(&mut self, len: usize, waited: Option<Duration>) {
        self.pieces = self.pieces.saturating_add(1);
        self.bytes = self.bytes.saturating_add(len);
        self.awaited = if waited.is_some_and(|t| t > AWAITED) { self.awaited + 1 } else { 0 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn all_pieces_come_in_their_order() {
        let mut gather = Gather::default();
        for n in 0..4 * PIECES_MIN {
            let want = Bytes::from(n.to_string());
            let piece = async {
                // Half of them have to be waited for, many after one another.
                if n / PIECES_MIN % 2 == 1 {
                    sleep(PAUSE).await;
                }
                Ok(Some(want.clone()))
            };
            assert_eq!(gather.next(piece).await.expect("a piece"), Some(want.clone()));
        }
        assert_eq!(gather.next(async { Ok(None) }).await.expect("the end"), None);
    }

    #[test]
    fn large_pieces_are_worth_waking_for() {
        let slow = Some(2 * AWAITED);
        let mut gather = Gather::default();
        (0..CAUGHT_UP).for_each(|_| gather.count(BYTES_MAX, slow));
        assert!(!gather.due());
        assert_eq!(gather.pieces, 0, "it begins anew");
        (0..CAUGHT_UP).for_each(|_| gather.count(100, slow));
        assert!(gather.due());
    }

    #[test]
    fn a_pause_needs_many_pieces_that_were_waited_for() {
        let mut gather = Gather::default();
        gather.count(1, None);
        gather.count(1, Some(AWAITED));
        assert_eq!(gather.awaited, 0);
        (0..CAUGHT_UP).for_each(|_| gather.count(1, Some(2 * AWAITED)));
        assert!(gather.due());
        gather.count(1, Some(Duration::ZERO));
        assert!(!gather.due(), "there is more");
    }
}
