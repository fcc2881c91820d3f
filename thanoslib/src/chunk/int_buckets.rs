//! The buckets of an integer histogram chunk from sample to sample.
//!
//! They are kept as two lists, deltas to the bucket before and how those changed. The codes of a
//! sample change the changes, and are read first ([`int_codes`](super::int_codes) has two ways; the
//! width of the codes of a sample says which one the next sample takes); then one pass without
//! dependent steps adds them up and puts the new deltas where they are wanted. Wide codes, which
//! come one by one, are added up as they come.

use super::{
    codes::CodeReader,
    int_codes::{STEP_BYTES, read_ints, read_wide_ints},
    varbit::read_int,
};
use crate::error::DecodeError;

/// Bits per code from which on codes are read one by one.
const WIDE_BITS: usize = 7;

/// Deltas of buckets, and their codes.
#[derive(Clone, Debug, Default)]
pub(super) struct IntBuckets {
    /// Buckets of the sample read last, deltas to the bucket before.
    deltas: Vec<i64>,
    /// How they change from sample to sample, as far as it is not in `small`.
    changes: Vec<i64>,
    /// What the codes read last add to the changes, where it fits into a byte.
    small: Vec<u8>,
    /// Whether most codes read last were wide.
    wide: bool,
    /// Whether the deltas are already those of the codes read last.
    moved: bool,
}

impl IntBuckets {
    /// Reads the first sample.
    ///
    /// # Errors
    /// The data ends before.
    pub(super) fn read_first(&mut self, r: &mut CodeReader<'_>, buckets: usize) -> Result<(), DecodeError> {
        self.deltas.reserve_exact(buckets);
        self.changes.resize(buckets, 0);
        self.small.resize(buckets + STEP_BYTES, 0);
        r.bitwise(|r| (0..buckets).try_for_each(|_| read_int(r).map(|delta| self.deltas.push(delta))))
    }

    /// Reads the codes of the next sample, which [`advance`](Self::advance) then moves to.
    ///
    /// # Errors
    /// The data ends before.
    #[inline(always)]
    pub(super) fn read(&mut self, r: &mut CodeReader<'_>) -> Result<(), DecodeError> {
        let (begin, n) = (r.bit, self.deltas.len());
        let (deltas, changes) = (&mut self.deltas[..n], &mut self.changes[..n]);
        self.moved = self.wide;
        if self.wide {
            read_wide_ints(r, n, |i, x| {
                changes[i] = changes[i].wrapping_add(x);
                deltas[i] = deltas[i].wrapping_add(changes[i]);
            })?;
        } else {
            read_ints(r, n, &mut self.small, |i, x| changes[i] = changes[i].wrapping_add(x))?;
        }
        self.wide = r.bit - begin > WIDE_BITS * n;
        Ok(())
    }

    /// Moves to the sample whose codes were read, and appends its deltas.
    #[inline(always)]
    pub(super) fn advance(&mut self, out: &mut Vec<i64>) {
        if self.moved {
            out.extend_from_slice(&self.deltas);
        } else {
            out.extend(self.step());
        }
    }

    /// Moves to the sample whose codes were read, and gives its deltas.
    #[inline(always)]
    pub(super) fn advanced(&mut self) -> &[i64] {
        if !self.moved {
            self.step().for_each(drop);
        }
        &self.deltas
    }

    #[inline(always)]
    fn step(&mut self) -> impl Iterator<Item = i64> + '_ {
        let places = self.deltas.iter_mut().zip(&mut self.changes).zip(&self.small);
        places.map(|((delta, change), small)| {
            *change = change.wrapping_add(i64::from(*small as i8));
            *delta = delta.wrapping_add(*change);
            *delta
        })
    }
}
