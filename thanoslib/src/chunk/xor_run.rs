//! Decoding many samples of an XOR chunk at once.
//!
//! A position in bits is all that is carried from sample to sample: every code is looked up in
//! words that are read afresh at its place, so that nothing waits for the shifts of the code
//! before. Two words hold the time and the value of nearly every sample, and are read under one
//! check of bounds.
//!
//! Most samples are like the one before: times that are steady, or times that jitter. Each of the
//! two has a loop of its own ([`alike`]), which is small enough to stay in registers; where the
//! window is narrow, the first word has the value too. [`steps`] reads one sample of any kind
//! between such loops. Near the end of the data the last bytes are copied in front of zeros, so
//! that words may be read beyond them; what was then taken for a sample is refused.

use super::varbit::{XorState, signed_asymmetric};
use crate::error::DecodeError;

/// Widths of the prefixes `0`, `10`, `110`, `1110`, `1111` of a change of the time delta.
const DOD_WIDTHS: [u32; 5] = [0, 14, 17, 20, 64];
/// Bytes of two words.
pub(super) const NEAR: usize = 16;
/// Bytes that a sample and the words read for it take at most: 7 bits before it, 68 of its time,
/// and the two words behind them.
const FAR: usize = 32;
/// Bits of the first word that are there at any position.
const WORD_BITS: u32 = 57;
/// Most samples without any change that 57 bits hold.
const SAME: usize = 28;

/// Bits of the code of a time that is steady: `0`.
const STEADY: u32 = 1;
/// Bits of the code of a time that jitters by less than eight seconds: `10` and the change.
const JITTER: u32 = 16;
/// The control bits of such a time and of a value, 14 bits apart.
const JITTERS_ANY: u64 = 0b11 << 16 | 0b11;
/// Those of such a time alone.
const JITTERS: u64 = 0b10 << 16;
/// Bits of the code of a value in the known window before its bits: `10`.
const INSIDE: u32 = 2;
/// Bits of the code of a value with a window of its own before its bits: `11` and the window.
const OUTSIDE: u32 = 13;

/// The data is shorter than its samples.
const CUT: &str = "unexpected end of bit stream";
const TOO_WIDE: &str = "window of a value exceeds 64 bits";

/// Where a decoder stands between two samples.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// Position in bits.
    pub(super) bit: usize,
    pub(super) t_ms: i64,
    pub(super) delta: i64,
    /// The bits that are set in some delta so far.
    pub(super) deltas: u64,
    pub(super) v: XorState,
}

impl Place {
    /// The place before the first sample.
    pub(super) const START: Self =
        Self { bit: 0, t_ms: 0, delta: 0, deltas: 0, v: XorState { bits: 0, leading: 0, trailing: 0 } };
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
    let done =
        steps::<false>(bytes, bytes.len() * 8, place, ts, vs).map_err(|(n, what)| (n, error(what, place)))?;
    let (ts, vs) = (&mut ts[done..], &mut vs[done..]);
    if ts.is_empty() {
        return Ok(());
    }
    let mut tail = [0; 2 * FAR];
    let left = match bytes.last_chunk::<FAR>() {
        Some(last) => {
            tail[..FAR].copy_from_slice(last);
            FAR
        }
        None => {
            tail[..bytes.len()].copy_from_slice(bytes);
            bytes.len()
        }
    };
    let skipped = (bytes.len() - left) * 8;
    place.bit -= skipped;
    let step = steps::<true>(&tail, left * 8, place, ts, vs);
    place.bit += skipped;
    match step {
        Ok(n) if n < ts.len() => Err((done + n, error(CUT, place))),
        Ok(_) => Ok(()),
        Err((n, what)) => Err((done + n, error(what, place))),
    }
}

#[cold]
fn error(what: &'static str, place: &Place) -> DecodeError {
    DecodeError::new(what, place.bit / 8)
}

/// What goes on from sample to sample.
#[derive(Clone, Copy)]
struct State {
    bit: usize,
    t: i64,
    delta: i64,
    deltas: u64,
    v: u64,
    window: Window,
    /// Number of samples so far.
    done: usize,
}

/// Decodes until the slices are full or fewer than [`FAR`] bytes are left; gives how many samples.
///
/// With `ENDS` the data ends at the bit `end`, there are zeros behind it, and a sample that would
/// reach beyond is an error.
#[inline(always)]
fn steps<const ENDS: bool>(
    bytes: &[u8],
    end: usize,
    place: &mut Place,
    ts: &mut [i64],
    vs: &mut [f64],
) -> Result<usize, (usize, &'static str)> {
    let n = ts.len().min(vs.len());
    let (ts, vs) = (&mut ts[..n], &mut vs[..n]);
    let Place { bit, t_ms, delta, deltas, v } = *place;
    let mut st = State { bit, t: t_ms, delta, deltas, v: v.bits, window: Window::of(v), done: 0 };
    let mut bad = None;
    while st.done < n {
        let at = st.bit / 8;
        let Some(far) = bytes.get(at..at + FAR).and_then(|b| b.first_chunk::<FAR>()) else { break };
        let pair = Pair::new(far, at, st.bit);
        let time = if pair.top >> 62 == 0 {
            // Samples like the one before are two zero bits each.
            let mut same = ((pair.top.leading_zeros() / 2) as usize).min(SAME).min(n - st.done);
            if ENDS {
                same = same.min((end - st.bit) / 2);
                if same == 0 {
                    bad = Some(CUT);
                    break;
                }
            }
            let slots = st.done..st.done + same;
            st.t = repeat(&mut ts[slots.clone()], &mut vs[slots], st.t, st.delta, st.v);
            st.done += same;
            st.bit += 2 * same;
            STEADY
        } else {
            let (change, time) = pair.time();
            let value = Pair::new(far, at, st.bit + time as usize);
            let Some((v, width)) = value.value(st.v, &mut st.window) else {
                bad = Some(TOO_WIDE);
                break;
            };
            st.bit += time as usize + width as usize;
            if ENDS && st.bit > end {
                bad = Some(CUT);
                break;
            }
            st.delta = st.delta.wrapping_add(change);
            st.deltas |= st.delta as u64;
            st.t = st.t.wrapping_add(st.delta);
            st.v = v;
            (ts[st.done], vs[st.done]) = (st.t, f64::from_bits(v));
            st.done += 1;
            time
        };
        if ENDS {
            continue;
        }
        st = match time {
            STEADY if st.window.is_narrow(STEADY) => alike::<STEADY, false>(bytes, st, ts, vs),
            STEADY => alike::<STEADY, true>(bytes, st, ts, vs),
            JITTER if st.window.is_narrow(JITTER) => alike::<JITTER, false>(bytes, st, ts, vs),
            JITTER => alike::<JITTER, true>(bytes, st, ts, vs),
            _ => st,
        };
    }
    *place = Place { bit: st.bit, t_ms: st.t, delta: st.delta, deltas: st.deltas, v: st.window.state(st.v) };
    match bad {
        Some(what) => Err((st.done, what)),
        None => Ok(st.done),
    }
}

/// Decodes samples whose times take `TIME` bits, until another one comes, or a wrong one, or too
/// few bytes are left.
///
/// Without `WIDE` windows are narrow, and a sample with a wide one is not taken either.
#[inline(always)]
fn alike<const TIME: u32, const WIDE: bool>(
    bytes: &[u8],
    st: State,
    ts: &mut [i64],
    vs: &mut [f64],
) -> State {
    let n = ts.len().min(vs.len());
    let (ts, vs) = (&mut ts[..n], &mut vs[..n]);
    let State { mut bit, mut t, mut delta, mut deltas, mut v, mut window, done: mut i } = st;
    let (mut mask, mut step) = (window.mask(), window.significant + TIME + INSIDE);
    while i < n {
        let at = bit / 8;
        let Some(near) = bytes.get(at..at + NEAR).and_then(|b| b.first_chunk::<NEAR>()) else { break };
        let pair = Pair::new(near, at, bit);
        let top = pair.top;
        let bits = |from: u32| if WIDE { pair.behind(from) } else { top << from };
        let control = if TIME == STEADY { top >> 61 } else { top >> 46 & JITTERS_ANY };
        if control == if TIME == STEADY { 0b0_10 } else { JITTERS | 0b10 } {
            v ^= bits(TIME + INSIDE).rotate_right(window.leading) & mask;
            bit += step as usize;
        } else if control == if TIME == STEADY { 0b0_11 } else { JITTERS | 0b11 } {
            let Some(new) = Window::read(top << TIME).filter(|w| WIDE || w.is_narrow(TIME)) else { break };
            (window, mask, step) = (new, new.mask(), new.significant + TIME + INSIDE);
            v ^= bits(TIME + OUTSIDE).rotate_right(window.leading) & mask;
            bit += (step + OUTSIDE - INSIDE) as usize;
        } else if TIME == JITTER && control & !1 == JITTERS {
            bit += TIME as usize + 1;
        } else {
            // A run of equal samples is taken at once elsewhere.
            break;
        }
        if TIME == JITTER {
            delta = delta.wrapping_add(jitter(top));
            deltas |= delta as u64;
        }
        t = t.wrapping_add(delta);
        (ts[i], vs[i]) = (t, f64::from_bits(v));
        i += 1;
    }
    State { bit, t, delta, deltas, v, window, done: i }
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

/// The change of a time delta that stands behind two bits, in 14.
#[inline(always)]
fn jitter(top: u64) -> i64 {
    // -8191 becomes 0.
    ((top >> 48).wrapping_add(8191) % (1 << 14)) as i64 - 8191
}

/// Two words at the byte in which a position lies.
#[derive(Clone, Copy)]
pub(super) struct Pair {
    /// The bits at the position, at least 57.
    top: u64,
    /// The second word as it is.
    second: u64,
    /// Bits of the first word that are before the position.
    before: u32,
}

impl Pair {
    /// The words at the bit `bit` of data of which `bytes` are those from `at` on.
    #[inline(always)]
    pub(super) fn new<const N: usize>(bytes: &[u8; N], at: usize, bit: usize) -> Self {
        // No position is farther than this, which is said to the compiler thus.
        let from = (bit / 8 - at).min(N - NEAR);
        let word = |at: usize| bytes[at..].first_chunk().map_or(0, |b| u64::from_be_bytes(*b));
        let before = (bit % 8) as u32;
        Self { top: word(from) << before, second: word(from + 8), before }
    }

    /// The 64 bits that are `from` bits, 1 to 56, behind the position.
    #[inline(always)]
    fn behind(&self, from: u32) -> u64 {
        // Not one shift of both words, which would be slow on some processors.
        self.top << from | self.second >> (64 - from - self.before)
    }

    /// The change of the time delta, and how many bits its code takes.
    #[inline(always)]
    fn time(&self) -> (i64, u32) {
        let w = self.top;
        if w >> 63 == 0 {
            return (0, STEADY);
        }
        if w >> 62 == 0b10 {
            return (jitter(w), JITTER);
        }
        let ones = (!w).leading_zeros().min(4);
        if ones == 4 {
            return (self.behind(4) as i64, 68);
        }
        let n = DOD_WIDTHS[ones as usize];
        (signed_asymmetric(w << (ones + 1) >> (64 - n), n), ones + 1 + n)
    }

    /// The value behind `v`, and how many bits its code takes; none if its window exceeds 64 bits.
    #[inline(always)]
    pub(super) fn value(&self, v: u64, window: &mut Window) -> Option<(u64, u32)> {
        if self.top >> 63 == 0 {
            return Some((v, 1));
        }
        let (bits, width) = if self.top >> 62 == 0b10 {
            (self.behind(INSIDE), INSIDE)
        } else {
            *window = Window::read(self.top)?;
            (self.behind(OUTSIDE), OUTSIDE)
        };
        Some((v ^ bits.rotate_right(window.leading) & window.mask(), width + window.significant))
    }
}

/// The window of a value's bits.
#[derive(Clone, Copy)]
pub(super) struct Window {
    /// Bits before it.
    leading: u32,
    /// Its own bits, 1 to 64.
    significant: u32,
}

impl Window {
    /// That of a value that was written whole.
    pub(super) const WHOLE: Self = Self { leading: 0, significant: 64 };

    fn of(v: XorState) -> Self {
        Self { leading: v.leading, significant: 64 - v.leading - v.trailing }
    }

    pub(super) fn state(self, bits: u64) -> XorState {
        XorState { bits, leading: self.leading, trailing: 64 - self.leading - self.significant }
    }

    /// The window in the code of a value; none if it exceeds 64 bits.
    #[inline(always)]
    fn read(code: u64) -> Option<Self> {
        let leading = (code >> 57) as u32 % 32;
        let significant = ((code >> 51) as u32).wrapping_sub(1) % 64 + 1;
        (leading + significant <= 64).then_some(Self { leading, significant })
    }

    #[inline(always)]
    fn mask(self) -> u64 {
        u64::MAX << (64 - self.significant) >> self.leading
    }

    /// True when a word has all of a sample whose time takes `time` bits, its window included.
    #[inline(always)]
    fn is_narrow(self, time: u32) -> bool {
        self.significant <= WORD_BITS - OUTSIDE - time
    }
}

#[cfg(test)]
mod tests {
    use super::{CUT, DOD_WIDTHS, signed_asymmetric};
    use crate::{
        chunk::{XorAppender, XorDecoder, varbit::XorState},
        encoding::BitReader,
        error::DecodeError,
        model::FloatColumn,
    };

    type Samples = Vec<(i64, u64)>;

    /// The samples of a chunk, read bit by bit, and whether an error comes behind them.
    fn bit_by_bit(data: &[u8]) -> (Samples, Option<&'static str>) {
        let (mut out, mut r) = (Vec::new(), BitReader::new(&data[2..]));
        let (mut t, mut delta, mut v) = (0i64, 0i64, XorState::default());
        for i in 0..u16::from_be_bytes([data[0], data[1]]) {
            let mut read = || -> Result<(), DecodeError> {
                match i {
                    0 => (t, v) = (r.varint()?, XorState::at(r.bits(64)?)),
                    1 => delta = r.uvarint()? as i64,
                    _ => {
                        let n = DOD_WIDTHS[r.ones(4)? as usize];
                        delta = delta.wrapping_add(signed_asymmetric(r.bits(n)?, n));
                    }
                }
                if i > 0 {
                    t = t.wrapping_add(delta);
                    v.read(&mut r)?;
                }
                Ok(())
            };
            if let Err(e) = read() {
                return (out, Some(e.what));
            }
            out.push((t, v.bits));
        }
        (out, None)
    }

    fn check(data: &[u8]) -> bool {
        let (want, error) = bit_by_bit(data);
        for piece in [1, 2, 3, 50, usize::MAX] {
            let Ok(mut decoder) = XorDecoder::new(data) else { continue };
            let mut out = FloatColumn::default();
            let got = loop {
                match decoder.fill(&mut out, piece) {
                    Ok(0) => break None,
                    Ok(_) => {}
                    Err(e) => break Some(e.what),
                }
            };
            assert_eq!(out.ts.len(), out.vs.len());
            let read: Samples = out.ts.iter().zip(&out.vs).map(|(t, v)| (*t, v.to_bits())).collect();
            assert_eq!(read, want, "{data:?} in pieces of {piece}");
            // Of a sample that is both wrong and cut, either may be said.
            assert_eq!(got.is_some(), error.is_some());
            assert!(got == error || error == Some(CUT), "{got:?} {error:?}");
        }
        error.is_none()
    }

    fn random(mut seed: u64) -> impl FnMut(u64) -> u64 {
        move |below| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) % below
        }
    }

    #[test]
    fn chunks_of_every_shape_are_read_as_bit_by_bit_sound_or_not() {
        let mut random = random(11);
        let mut sound = 0;
        for round in 0..400 {
            let (mut t, mut v) = (1_700_000_000_000 + random(1 << 30) as i64, random(1 << 20) as f64);
            let mut chunk = XorAppender::new();
            for _ in 0..random(150) {
                let rare = random(20) == 0;
                t += match round % 4 {
                    0 => 15_000,
                    1 => 15_000 + random(80) as i64,
                    2 if rare => random(1 << 31) as i64 * [1, 100, 100_000][random(3) as usize],
                    _ => 15_000 + i64::from(random(3) == 0),
                };
                v = match round % 7 {
                    0 => v,
                    1 | 2 => v + random(300) as f64,
                    3 if !rare => v,
                    4 => v + random(100_000) as f64 / 1000.0,
                    5 => random(10_000) as f64 / 100.0,
                    _ => f64::from_bits(random(1 << 31) << 33 | random(1 << 31)),
                };
                chunk.append(t, v).expect("room");
            }
            let data = chunk.into_bytes();
            assert!(check(&data));
            sound += usize::from(check(&data[..2 + random(data.len() as u64 - 1) as usize]));
            for _ in 0..10 {
                let mut data = data.clone();
                let at = random(data.len() as u64) as usize;
                data[at] ^= 1 << random(8);
                sound += usize::from(check(&data));
            }
        }
        assert!((500..4000).contains(&sound), "{sound}");
    }

    #[test]
    fn any_bits_are_read_alike() {
        let mut random = random(12);
        for _ in 0..4000 {
            let len = random(120);
            let data: Vec<u8> = (0..len).map(|_| (random(256) & random(256)) as u8).collect();
            check(&[&[0, 1 + random(60) as u8], &data[..]].concat());
        }
    }
}
