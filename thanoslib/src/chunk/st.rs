//! Start timestamps inside XOR2 chunks and the newer histogram chunks.
//!
//! A header byte says whether the first sample has one (bit 7) and at which sample they begin
//! to be written one by one (bits 6..0, 0 for never).
//!
//! Source: Prometheus `tsdb/chunkenc/xor2.go`.

use super::varbit::read_int;
use crate::{encoding::BitReader, error::DecodeError};

/// Reads the start timestamps that follow the samples of a chunk.
#[derive(Clone, Copy, Debug)]
pub(super) struct StartReader {
    first_known: bool,
    change_on: usize,
    /// Start timestamp of the sample read last, 0 when unknown.
    pub(super) st_ms: i64,
    /// Distance from the start timestamp to the time of the sample before.
    diff: i64,
}

impl StartReader {
    /// A reader before the first sample.
    pub(super) fn new(header: u8) -> Self {
        Self { first_known: header & 0x80 != 0, change_on: usize::from(header & 0x7f), st_ms: 0, diff: 0 }
    }

    /// Reads what follows sample `index` at `t_ms`; `before_ms` is the time of the sample before.
    #[inline]
    pub(super) fn read(
        &mut self,
        r: &mut BitReader<'_>,
        index: usize,
        t_ms: i64,
        before_ms: i64,
    ) -> Result<(), DecodeError> {
        if index == 0 {
            if self.first_known {
                self.st_ms = t_ms.wrapping_sub(r.varint()?);
            }
        } else if self.change_on != 0 && index >= self.change_on {
            self.diff = self.diff.wrapping_add(read_int(r)?);
            self.st_ms = before_ms.wrapping_sub(self.diff);
        }
        Ok(())
    }
}
