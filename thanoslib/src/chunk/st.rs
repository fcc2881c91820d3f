//! Start timestamps inside XOR2 chunks and the newer histogram chunks.
//!
//! A header byte says whether the first sample has one (bit 7) and at which sample they begin
//! to be written one by one (bits 6..0, 0 for never).
//!
//! Source: Prometheus `tsdb/chunkenc/xor2.go`.

use super::varbit::{read_int, write_int};
use crate::{
    encoding::{BitReader, BitWriter},
    error::DecodeError,
};

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
        } else if self.follows(index) {
            self.step(read_int(r)?, before_ms);
        }
        Ok(())
    }

    /// Whether sample `index`, which is not the first, is followed by a number.
    #[inline]
    pub(super) fn follows(&self, index: usize) -> bool {
        self.change_on != 0 && index >= self.change_on
    }

    /// Moves on by the number that follows a sample; `before_ms` is the time of the one before.
    #[inline]
    pub(super) fn step(&mut self, x: i64, before_ms: i64) {
        self.diff = self.diff.wrapping_add(x);
        self.st_ms = before_ms.wrapping_sub(self.diff);
    }
}

/// The last sample that can be the first to have its start timestamp written.
const CHANGE_ON_MAX: usize = 0x7f;

/// Writes the start timestamps that follow the samples of a chunk.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct StartWriter {
    first_known: bool,
    change_on: u8,
    /// Start timestamp of the sample written last, 0 when unknown.
    st_ms: i64,
    diff: i64,
}

impl StartWriter {
    /// A writer that goes on where a reader stopped.
    pub(super) fn resume(reader: StartReader) -> Self {
        Self {
            first_known: reader.first_known,
            change_on: reader.change_on as u8,
            st_ms: reader.st_ms,
            diff: reader.diff,
        }
    }

    /// The header byte of the chunk so far.
    pub(super) fn header(&self) -> u8 {
        u8::from(self.first_known) << 7 | self.change_on
    }

    /// Writes what follows sample `index` at `t_ms`; `before_ms` is the time of the sample before.
    ///
    /// Compat: `tsdb/chunkenc/xor2.go`: sample 127 begins to have one even when none is known.
    #[inline]
    pub(super) fn write(
        &mut self,
        w: &mut BitWriter,
        index: usize,
        (st_ms, t_ms, before_ms): (i64, i64, i64),
    ) {
        if index == 0 {
            if st_ms != 0 {
                self.first_known = true;
                w.varint(t_ms.wrapping_sub(st_ms));
            }
        } else if self.change_on != 0 || st_ms != self.st_ms || index == CHANGE_ON_MAX {
            let diff = before_ms.wrapping_sub(st_ms);
            if self.change_on == 0 {
                self.change_on = index.min(CHANGE_ON_MAX) as u8;
            }
            write_int(w, diff.wrapping_sub(self.diff));
            self.diff = diff;
        }
        self.st_ms = st_ms;
    }
}
