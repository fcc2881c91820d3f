//! Decoding many samples of an XOR chunk at once.
//!
//! A position in bits is all that is carried from sample to sample: every code is looked up in
//! the 64 bits that are read afresh at its place, so that nothing waits for the shifts of the
//! code before. Near the end of the data the last bytes are copied in front of zeros, so that the
//! same loop may read beyond them; what it then took for a sample is refused.

use super::{
    codes::{word, word57},
    varbit::{XorState, signed_asymmetric},
};
use crate::error::DecodeError;

/// Widths of the prefixes `0`, `10`, `110`, `1110`, `1111` of a change of the time delta.
const DOD_WIDTHS: [u32; 5] = [0, 14, 17, 20, 64];
/// Bytes that one step may read behind its first: 145 bits of a sample and a word more.
const REACH: usize = 32;

/// Most samples without any change that 57 bits hold.
const SAME: usize = 28;

/// Where a decoder stands between two samples.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// Position in bits.
    pub(super) bit: usize,
    pub(super) t_ms: i64,
    pub(super) delta: i64,
    pub(super) v: XorState,
}

/// Decodes samples after the second into both slices, which have the same length.
///
/// # Errors
/// The number of sound samples, and what is wrong with the next.
pub(super) fn run(
    bytes: &[u8],
    place: &mut Place,
    ts: &mut [i64],
    vs: &mut [f64],
) -> Result<(), (usize, DecodeError)> {
    let safe = bytes.len().saturating_sub(REACH) * 8;
    let done = steps::<false>(bytes, safe, place, ts, vs).map_err(|(n, what)| (n, error(what, place)))?;
    if done == ts.len() {
        return Ok(());
    }
    let skipped = (place.bit / 8).min(bytes.len());
    let mut tail = [0; 2 * REACH];
    let left = bytes.len() - skipped;
    tail[..left].copy_from_slice(&bytes[skipped..]);
    place.bit -= skipped * 8;
    let step = steps::<true>(&tail, left * 8, place, &mut ts[done..], &mut vs[done..]);
    place.bit += skipped * 8;
    step.map(|_| ()).map_err(|(n, what)| (done + n, error(what, place)))
}

/// The data is shorter than its samples.
const CUT: &str = "unexpected end of bit stream";

#[cold]
fn error(what: &'static str, place: &Place) -> DecodeError {
    DecodeError::new(what, place.bit / 8)
}

/// Decodes until the slices are full or the position reaches `end`; gives how many samples.
///
/// With `ENDS` the data ends there, and a sample that would reach beyond is an error.
#[inline(always)]
fn steps<const ENDS: bool>(
    bytes: &[u8],
    end: usize,
    place: &mut Place,
    ts: &mut [i64],
    vs: &mut [f64],
) -> Result<usize, (usize, &'static str)> {
    let Place { mut bit, t_ms: mut t, mut delta, v } = *place;
    let XorState { bits: mut v, leading, mut trailing } = v;
    let mut significant = 64 - leading - trailing;
    let n = ts.len().min(vs.len());
    let (ts, vs) = (&mut ts[..n], &mut vs[..n]);
    let mut i = 0;
    let mut bad = None;
    while i < n && (ENDS || bit < end) {
        let w = word57(bytes, bit);
        let rest = if w >> 62 == 0 {
            // Samples like the one before are two zero bits each.
            let mut same = ((w.leading_zeros() / 2) as usize).min(SAME).min(n - i);
            if ENDS {
                same = same.min((end - bit) / 2);
                if same == 0 {
                    bad = Some(CUT);
                    break;
                }
            }
            for (ts, vs) in ts[i..i + same].iter_mut().zip(&mut vs[i..i + same]) {
                t = t.wrapping_add(delta);
                (*ts, *vs) = (t, f64::from_bits(v));
            }
            i += same;
            bit += 2 * same;
            continue;
        } else if w >> 63 == 0 {
            bit += 1;
            w << 1
        } else if w >> 62 == 0b10 {
            // The most usual change: times that jitter by less than eight seconds.
            delta = delta.wrapping_add(signed_asymmetric(w << 2 >> 50, 14));
            bit += 16;
            w << 16
        } else {
            let ones = (!w).leading_zeros().min(4);
            if ones == 4 {
                delta = delta.wrapping_add(word(bytes, bit + 4) as i64);
                bit += 68;
                word57(bytes, bit)
            } else {
                let n = DOD_WIDTHS[ones as usize];
                delta = delta.wrapping_add(signed_asymmetric(w << (ones + 1) >> (64 - n), n));
                bit += (ones + 1 + n) as usize;
                w << (ones + 1 + n)
            }
        };
        t = t.wrapping_add(delta);
        // 33 bits of `rest` are read at least, 56 when the delta is the same.
        if rest >> 63 == 0 {
            bit += 1;
        } else if rest >> 62 == 0b10 {
            v ^= word(bytes, bit + 2) >> (64 - significant) << trailing;
            bit += 2 + significant as usize;
        } else {
            let leading = (rest << 2 >> 59) as u32;
            let window = (rest << 7 >> 58) as u32;
            let window = if window == 0 { 64 } else { window };
            if leading + window > 64 {
                bad = Some("window of a value exceeds 64 bits");
                break;
            }
            significant = window;
            trailing = 64 - leading - significant;
            v ^= word(bytes, bit + 13) >> (64 - significant) << trailing;
            bit += 13 + significant as usize;
        }
        if ENDS && bit > end {
            bad = Some(CUT);
            break;
        }
        (ts[i], vs[i]) = (t, f64::from_bits(v));
        i += 1;
    }
    *place = Place {
        bit,
        t_ms: t,
        delta,
        v: XorState { bits: v, leading: 64 - significant - trailing, trailing },
    };
    match bad {
        Some(what) => Err((i, what)),
        None => Ok(i),
    }
}
