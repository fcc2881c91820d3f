//! Writing samples of an XOR chunk after the second.
//!
//! The code of a time goes out together with the code of its value. While many samples are
//! written, the state of the bit stream stays in registers.

use super::varbit::XorWriter;
use crate::encoding::{BIT_ROOM, BitRun, BitWriter, PutBits};

/// Bytes that a sample takes at most: 68 bits of the time, 77 of the value.
const SAMPLE_BYTES: usize = 19;
/// Samples that always have room.
const BLOCK: usize = BIT_ROOM.len() / SAMPLE_BYTES - 1;

/// What the code of the next sample refers to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Last {
    pub(super) t_ms: i64,
    pub(super) delta: i64,
    pub(super) v: XorWriter,
}

impl Default for Last {
    fn default() -> Self {
        Self { t_ms: 0, delta: 0, v: XorWriter::after(0.0) }
    }
}

/// Writes the samples of both slices, which have the same length, from `begin` on.
pub(super) fn run(w: &mut BitWriter, last: &mut Last, (ts, vs): (&[i64], &[f64]), begin: usize) {
    for (&t, &v) in ts.iter().zip(vs).take(2).skip(begin) {
        step(w, last, t, v);
    }
    let [_, .., before, t] = ts else { return };
    let [.., v] = vs else { return };
    let mut room = BIT_ROOM;
    // Each sample with the two before it, so that nothing but the window is carried along.
    for i in (2..ts.len()).step_by(BLOCK) {
        let end = ts.len().min(i + BLOCK);
        let (ts, vs) = (ts[i - 2..end].array_windows(), vs[i - 1..end].array_windows());
        let mut value = last.v;
        let mut lent = w.lend(&mut room);
        let dods = ts.map(|[t0, t1, t2]| t2.wrapping_sub(*t1).wrapping_sub(t1.wrapping_sub(*t0)));
        let changes = vs.map(|[v0, v1]| v0.to_bits() ^ v1.to_bits());
        let steady = dods.clone().fold(0, |all, dod| all | dod) == 0;
        if steady && changes.clone().next() == Some(0) && changes.clone().fold(0, |all, c| all | c) == 0 {
            // Two zero bits each.
            let mut bits = 2 * changes.len() as u32;
            while bits > 0 {
                let n = bits.min(BitRun::MOST);
                lent.put(0, n);
                bits -= n;
            }
        } else if steady {
            changes.for_each(|changed| write(&mut lent, &mut value, 0, changed));
        } else {
            dods.zip(changes).for_each(|(dod, changed)| write(&mut lent, &mut value, dod, changed));
        }
        let end = lent.end();
        w.take_back(end, &room);
        last.v = value;
    }
    (last.t_ms, last.delta) = (*t, t.wrapping_sub(*before));
    last.v.at(*v);
}

/// Writes one sample.
#[inline(always)]
pub(super) fn step(w: &mut BitWriter, last: &mut Last, t: i64, v: f64) {
    let delta = t.wrapping_sub(last.t_ms);
    let dod = delta.wrapping_sub(last.delta);
    (last.t_ms, last.delta) = (t, delta);
    let changed = last.v.delta(v.to_bits());
    write(w, &mut last.v, dod, changed);
    last.v.at(v);
}

/// Writes a change of the time delta, and the changed bits of a value.
#[inline(always)]
fn write(w: &mut impl PutBits, v: &mut XorWriter, dod: i64, changed: u64) {
    if dod == 0 {
        v.write_delta(w, changed, (0b0_0, 2), (0b0_10, 3), (0b0_11, 3));
    } else if fits(dod, 14) {
        let time = 0b10 << 14 | low(dod, 14);
        v.write_delta(w, changed, (time << 1, 17), (time << 2 | 0b10, 18), (time << 2 | 0b11, 18));
    } else {
        write_large(w, dod);
        v.write_delta(w, changed, (0b0, 1), (0b10, 2), (0b11, 2));
    }
}

/// Writes a change of the time delta that takes more than 14 bits.
#[inline(always)]
fn write_large(w: &mut impl PutBits, dod: i64) {
    let mut put = |bits: u64, n: u32| w.put(bits << (64 - n), n);
    if fits(dod, 17) {
        put(0b110 << 17 | low(dod, 17), 20);
    } else if fits(dod, 20) {
        put(0b1110 << 20 | low(dod, 20), 24);
    } else {
        put(0b1111 << 32 | dod as u64 >> 32, 36);
        put(dod as u64, 32);
    }
}

/// True for numbers of `n` bits, of which the middle one is positive.
#[inline(always)]
fn fits(dod: i64, n: u32) -> bool {
    -(1 << (n - 1)) < dod && dod <= 1 << (n - 1)
}

#[inline(always)]
fn low(dod: i64, n: u32) -> u64 {
    dod as u64 & ((1 << n) - 1)
}

#[cfg(test)]
mod tests {
    use crate::chunk::{XorAppender, XorDecoder};
    use crate::model::FloatColumn;

    /// Samples one by one and in pieces make the same chunk, and come back.
    fn check(ts: &[i64], vs: &[f64], piece: usize) {
        let [mut one, mut many] = [XorAppender::new(), XorAppender::new()];
        for (t, v) in ts.iter().zip(vs) {
            one.append(*t, *v).expect("room");
        }
        for (ts, vs) in ts.chunks(piece).zip(vs.chunks(piece)) {
            many.extend(ts, vs).expect("room");
        }
        assert_eq!(one.bytes(), many.bytes(), "{piece}");
        let mut out = FloatColumn::default();
        let left = XorDecoder::new(many.bytes()).and_then(|mut d| d.fill(&mut out, usize::MAX));
        assert_eq!((left, out.ts.as_slice()), (Ok(0), ts));
        assert!(out.vs.iter().zip(vs).all(|(a, b)| a.to_bits() == b.to_bits()));
    }

    #[test]
    fn samples_in_pieces_are_written_as_one_by_one() {
        let mut seed = 3u64;
        let mut random = |below: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) % below
        };
        for round in 0..200 {
            let (mut t, mut v) = (random(1 << 31) as i64 * 1000, 0.0);
            let n = 1 + random(400) as usize;
            let samples = (0..n).map(|_| {
                let rare = random(40) == 0;
                t += match round % 4 {
                    0 => 15_000,
                    1 => 15_000 + random(80) as i64,
                    _ if rare => random(1 << 31) as i64 * [1, 100, 100_000][random(3) as usize],
                    _ => 15_000,
                };
                v = match round % 5 {
                    0 => 20.0,
                    1 if rare => random(10) as f64,
                    1 => v,
                    2 => v + random(500) as f64,
                    3 => random(10_000) as f64 / 100.0,
                    _ => f64::from_bits(random(1 << 31) << 33 | random(1 << 31)),
                };
                (t, v)
            });
            let (ts, vs): (Vec<i64>, Vec<f64>) = samples.unzip();
            for piece in [1, 2, 3, 55, 1000] {
                check(&ts, &vs, piece);
            }
        }
    }
}
