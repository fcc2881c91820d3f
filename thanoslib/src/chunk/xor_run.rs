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
/// Bytes that one step may read before its first: a window's zeros stand for bits before its own.
const BACK: usize = 8;

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
    let skipped = (place.bit / 8).saturating_sub(BACK).min(bytes.len());
    let mut tail = [0; BACK + 2 * REACH];
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
    let mut window = Window::of(v);
    let mut v = v.bits;
    let n = ts.len().min(vs.len());
    let (ts, vs) = (&mut ts[..n], &mut vs[..n]);
    let mut i = 0;
    let mut bad = None;
    while i < n && (ENDS || bit < end) {
        let w = word57(bytes, bit);
        if w >> 62 == 0 {
            // Samples like the one before are two zero bits each.
            let mut same = ((w.leading_zeros() / 2) as usize).min(SAME).min(n - i);
            if ENDS {
                same = same.min((end - bit) / 2);
                if same == 0 {
                    bad = Some(CUT);
                    break;
                }
            }
            t = repeat(&mut ts[i..i + same], &mut vs[i..i + same], t, delta, v);
            i += same;
            bit += 2 * same;
            continue;
        }
        // One copy of the value's code for each usual width of the time's: the shifts are constants.
        let value = if w >> 63 == 0 {
            window.read::<1>(bytes, &mut bit, w, &mut v)
        } else if w >> 62 == 0b10 {
            // The most usual change: times that jitter by less than eight seconds.
            delta = delta.wrapping_add(signed_asymmetric(w << 2 >> 50, 14));
            window.read::<16>(bytes, &mut bit, w, &mut v)
        } else {
            let ones = (!w).leading_zeros().min(4);
            if ones == 4 {
                delta = delta.wrapping_add(word(bytes, bit + 4) as i64);
                bit += 68;
            } else {
                let n = DOD_WIDTHS[ones as usize];
                delta = delta.wrapping_add(signed_asymmetric(w << (ones + 1) >> (64 - n), n));
                bit += (ones + 1 + n) as usize;
            }
            let w = word57(bytes, bit);
            window.read::<0>(bytes, &mut bit, w, &mut v)
        };
        t = t.wrapping_add(delta);
        if !value {
            bad = Some("window of a value exceeds 64 bits");
            break;
        }
        if ENDS && bit > end {
            bad = Some(CUT);
            break;
        }
        (ts[i], vs[i]) = (t, f64::from_bits(v));
        i += 1;
    }
    *place = Place { bit, t_ms: t, delta, v: window.state(v) };
    match bad {
        Some(what) => Err((i, what)),
        None => Ok(i),
    }
}

/// Fills both slices with one value, `delta` apart in time; gives the last time.
///
/// In a function of its own, since what a compiler prepares for this loop would else be prepared
/// again for each sample of the other.
#[inline(never)]
fn repeat(ts: &mut [i64], vs: &mut [f64], mut t: i64, delta: i64, v: u64) -> i64 {
    for (ts, vs) in ts.iter_mut().zip(vs) {
        t = t.wrapping_add(delta);
        (*ts, *vs) = (t, f64::from_bits(v));
    }
    t
}

/// The window of a value's bits, ready to be cut out where it will stand.
struct Window {
    leading: usize,
    significant: usize,
    /// The bits of the window.
    mask: u64,
}

impl Window {
    fn of(v: XorState) -> Self {
        let (leading, trailing) = (v.leading as usize, v.trailing as usize);
        Self::new(leading, 64 - leading - trailing)
    }

    /// `significant` is 1 to 64, both together at most 64.
    #[inline(always)]
    fn new(leading: usize, significant: usize) -> Self {
        Self { leading, significant, mask: u64::MAX << (64 - significant) >> leading }
    }

    fn state(&self, bits: u64) -> XorState {
        let trailing = 64 - self.leading - self.significant;
        XorState { bits, leading: self.leading as u32, trailing: trailing as u32 }
    }

    /// Reads the code of a value that begins `SKIP` bits behind `bit`, where `w` was read; moves to its end.
    ///
    /// False if the code names a window of more than 64 bits.
    #[inline(always)]
    fn read<const SKIP: usize>(&mut self, bytes: &[u8], bit: &mut usize, w: u64, v: &mut u64) -> bool {
        let code = w << SKIP;
        if code >> 63 == 0 {
            *bit += SKIP + 1;
            return true;
        }
        *bit += SKIP + 2;
        if code >> 62 == 0b11 {
            let leading = (code << 2 >> 59) as usize;
            let significant = (code << 7 >> 58) as usize;
            let significant = if significant == 0 { 64 } else { significant };
            if leading + significant > 64 {
                return false;
            }
            *self = Self::new(leading, significant);
            *bit += 11;
        }
        // Read so that the window's first bit is where it belongs; what is before it is masked.
        *v ^= word(bytes, bit.wrapping_sub(self.leading)) & self.mask;
        *bit += self.significant;
        true
    }
}
