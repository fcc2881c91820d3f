//! Runs of signed varbit numbers, which are most of an integer histogram chunk.
//!
//! The length of a code is known only after its first bits, so that reading is one chain of
//! dependent steps: position, load, look up, next position. Three things shorten it.
//!
//! - One load of 57 bits serves several codes; between them the word is shifted in its register.
//! - Where buckets change little, codes take 1, 5 or 9 bits. A step then looks up the next 11 bits
//!   and gets *all* codes that lie wholly in them: two on average, five at most. It writes five
//!   numbers whatever it found and moves on by as many as there are, so that nothing is left to a
//!   guess but the end and codes that are longer than 11 bits.
//! - Numbers land in a byte each, and a second pass, which has no chain, widens and adds them up.
//!
//! Where most codes are longer, the table of 11 bits seldom helps and its branch is guessed wrong
//! often: [`read_wide_ints`] takes the codes one by one, three from a word.

use super::{
    codes::{CodeReader, word, word57},
    varbit::{WIDTHS, signed_asymmetric},
};
use crate::error::DecodeError;

/// Bits of a word that are there at any position.
const WORD_BITS: u32 = 57;
/// Bits that one step looks at.
const PEEK: u32 = 11;
/// Numbers that one step gives at most.
const LANES: usize = 5;
/// Steps that a word has bits for.
const STEPS: usize = 5;

/// Bytes that a step writes.
pub(super) const STEP_BYTES: usize = 8;

/// For the next bits all the numbers that lie wholly in them.
///
/// | bits | field |
/// |---|---|
/// | 0–5 | width of all their codes |
/// | 6–8 | how many they are |
/// | 9–24 | width of the first one, two, three, four of them, four bits each |
/// | 25–63 | the numbers, a byte each; the fifth lacks its upper bit, which is its sign |
static SHORT: [u64; 1 << PEEK] = short_table();

const COUNT_AT: u32 = 6;
const WIDTHS_AT: u32 = 9;
const NUMBERS_AT: u32 = 25;

const fn short_table() -> [u64; 1 << PEEK] {
    let mut table = [0; 1 << PEEK];
    let mut top = 0;
    while top < table.len() {
        table[top] = short_entry((top as u32) << (32 - PEEK));
        top += 1;
    }
    table
}

/// The entry for bits that begin at the top of a word.
const fn short_entry(mut bits: u32) -> u64 {
    let (mut count, mut total, mut entry) = (0, 0, 0);
    while count < LANES {
        let ones = bits.leading_ones();
        // Wider ones fill more than a byte.
        if ones > 2 {
            break;
        }
        let width = WIDTHS[ones as usize];
        if total + ones + 1 + width > PEEK {
            break;
        }
        let raw = (bits << (ones + 1)) as u64 >> (32 - width);
        let number = signed_asymmetric(raw, width) as u8;
        entry |= (number as u64) << (NUMBERS_AT + 8 * count as u32);
        bits <<= ones + 1 + width;
        total += ones + 1 + width;
        count += 1;
        if count < LANES {
            entry |= (total as u64) << (WIDTHS_AT + 4 * (count as u32 - 1));
        }
    }
    entry | (count as u64) << COUNT_AT | total as u64
}

/// For the first eight bits of a number: the width of its prefix, of its payload, of both.
static LONG: [[u8; 4]; 256] = long_table();

const fn long_table() -> [[u8; 4]; 256] {
    let mut table = [[0; 4]; 256];
    let mut top = 0;
    while top < 256 {
        let ones = (top as u8).leading_ones() as usize;
        let prefix = if ones == 8 { 8 } else { ones as u8 + 1 };
        let width = WIDTHS[ones] as u8;
        table[top] = [prefix, width, prefix + width, 0];
        top += 1;
    }
    table
}

/// The number at a position, and the width of its code.
#[inline(always)]
fn int_at(bytes: &[u8], bit: usize) -> (i64, u32) {
    let w = word57(bytes, bit);
    let [prefix, width, total, _] = LONG[(w >> 56) as usize];
    if width > 25 {
        let raw = word(bytes, bit + usize::from(prefix)) >> (64 - width);
        return (signed_asymmetric(raw, u32::from(width)), u32::from(total));
    }
    (payload(w, prefix, width), u32::from(total))
}

/// The number that is coded at the top of a word.
#[inline(always)]
fn payload(w: u64, prefix: u8, width: u8) -> i64 {
    // In two shifts, since a payload may be empty.
    let raw = w.wrapping_shl(prefix.into()) >> 1 >> (63 - width);
    let half = 1u64 << width >> 1;
    let above = if raw > half { half << 1 } else { 0 };
    raw.wrapping_sub(above) as i64
}

/// Takes codes one after the other from words, also from behind the end; see
/// [`CodeReader::check`].
struct Codes {
    word: u64,
    /// Bits of the word that are real; what is shifted in behind them is 0 and never taken, since
    /// it can only make a code look as long as it is or longer than what is left.
    left: u32,
}

impl Codes {
    #[inline(always)]
    fn at(r: &CodeReader<'_>) -> Self {
        Self { word: word57(r.bytes, r.bit), left: WORD_BITS }
    }

    #[inline(always)]
    fn take(&mut self, r: &mut CodeReader<'_>) -> i64 {
        let [prefix, width, total, _] = LONG[(self.word >> 56) as usize];
        if u32::from(total) > self.left {
            let (x, total) = int_at(r.bytes, r.bit);
            r.bit += total as usize;
            *self = Self::at(r);
            return x;
        }
        let x = payload(self.word, prefix, width);
        r.bit += usize::from(total);
        self.word = self.word.wrapping_shl(total.into());
        self.left -= u32::from(total);
        x
    }
}

/// Reads a signed varbit number, also from behind the end; see [`CodeReader::check`].
#[inline(always)]
pub(super) fn read_one(r: &mut CodeReader<'_>) -> i64 {
    Codes::at(r).take(r)
}

/// Reads three signed varbit numbers, also from behind the end; see [`CodeReader::check`].
#[inline(always)]
pub(super) fn read_three(r: &mut CodeReader<'_>) -> [i64; 3] {
    let mut codes = Codes::at(r);
    [codes.take(r), codes.take(r), codes.take(r)]
}

/// Reads a signed varbit number for each of `n` places, one code after the other: best where most
/// codes are wide.
///
/// # Errors
/// The data ends before.
#[inline]
pub(super) fn read_wide_ints(
    r: &mut CodeReader<'_>,
    n: usize,
    mut each: impl FnMut(usize, i64),
) -> Result<(), DecodeError> {
    let mut i = 0;
    while i + 3 <= n {
        let [a, b, c] = read_three(r);
        each(i, a);
        each(i + 1, b);
        each(i + 2, c);
        i += 3;
    }
    while i < n {
        each(i, read_one(r));
        i += 1;
    }
    r.check()
}

/// Reads `n` signed varbit numbers. Those that fit go to `small`, which has room for
/// [`STEP_BYTES`] more; for others it holds 0, and `large` gets index and number.
///
/// # Errors
/// The data ends before.
#[inline]
pub(super) fn read_ints(
    r: &mut CodeReader<'_>,
    n: usize,
    small: &mut [u8],
    mut large: impl FnMut(usize, i64),
) -> Result<(), DecodeError> {
    let bytes = r.bytes;
    let mut bit = r.bit;
    let mut i = 0;
    'words: while i < n {
        let mut w = word57(bytes, bit);
        for _ in 0..STEPS {
            let entry = SHORT[(w >> (64 - PEEK)) as usize];
            small[i..i + STEP_BYTES].copy_from_slice(&(entry as i64 >> NUMBERS_AT).to_le_bytes());
            if entry == 0 {
                let (x, total) = int_at(bytes, bit);
                large(i, x);
                i += 1;
                bit += total as usize;
                continue 'words;
            }
            let next = i + (entry >> COUNT_AT & 7) as usize;
            if next >= n {
                let some = entry >> (WIDTHS_AT - 4 + 4 * (n - i) as u32) & 15;
                let all = entry & 63;
                bit += (if next == n { all } else { some }) as usize;
                break 'words;
            }
            i = next;
            bit += (entry & 63) as usize;
            w = w.wrapping_shl(entry as u32);
        }
    }
    r.bit = bit;
    r.check()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        chunk::varbit::{read_int as read_bitwise, write_int},
        encoding::{BitReader, BitWriter},
    };

    type Read = Result<(Vec<i64>, usize), DecodeError>;

    fn with_table(mut r: CodeReader<'_>, n: usize) -> Read {
        // What was there before must not show.
        let (mut small, mut out) = (vec![0x55; n + STEP_BYTES], vec![0; n]);
        read_ints(&mut r, n, &mut small, |i, x| out[i] = x)?;
        out.iter_mut().zip(small).for_each(|(x, small)| *x += i64::from(small as i8));
        Ok((out, r.bit))
    }

    fn one_by_one(mut r: CodeReader<'_>, n: usize) -> Read {
        let mut out = vec![0; n];
        read_wide_ints(&mut r, n, |i, x| out[i] = x)?;
        Ok((out, r.bit))
    }

    fn bit_by_bit(r: CodeReader<'_>, n: usize) -> Read {
        let mut r = r.bits();
        let out = (0..n).map(|_| read_bitwise(&mut r)).collect::<Result<_, _>>()?;
        Ok((out, r.position()))
    }

    /// Reads `xs` behind `before` bits, wherever the data is cut.
    fn check(before: u32, xs: &[i64]) {
        let mut w = BitWriter::default();
        w.bits(u64::MAX, before);
        xs.iter().for_each(|x| write_int(&mut w, *x));
        let end = w.len();
        (0..8).for_each(|_| w.bits(0x5a5a_a5a5_ffff_0f01, 64));
        for len in (0..w.len()).filter(|len| *len < 48 || len + 3 > end) {
            let r = CodeReader { bytes: &w.bytes()[..len], bit: (before as usize).min(len * 8) };
            // Where data ends too early the error is one, but tells another place.
            let want = bit_by_bit(r, xs.len());
            for got in [with_table(r, xs.len()), one_by_one(r, xs.len())] {
                assert_eq!(got.as_ref().ok(), want.as_ref().ok(), "{xs:?} cut at {len}");
            }
        }
    }

    #[test]
    fn numbers_of_every_width_are_read_as_bit_by_bit() {
        let edges = (0..64).flat_map(|n| (-2..=2).map(move |near| (1i64 << n).wrapping_add(near)));
        let edges: Vec<i64> = edges.flat_map(|x| [x, x.wrapping_neg()]).collect();
        for before in 0..9 {
            check(before, &[]);
            check(before, &[0; 70]);
            check(before, &[4, -3, 0, 1, -1, 2, 0, 0, 3]);
            edges.chunks(37).for_each(|xs| check(before, xs));
        }
    }

    #[test]
    fn any_mix_of_widths_ends_where_its_last_code_does() {
        let mut seed = 7u64;
        let mut random = move || {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed
        };
        for round in 0..300 {
            let bits_max = [3, 7, 10, 64][round % 4];
            let xs: Vec<i64> =
                (0..round % 41).map(|_| random() as i64 >> (64 - random() % bits_max).min(63)).collect();
            check((random() % 64) as u32, &xs);
        }
    }

    #[test]
    fn every_entry_holds_the_codes_that_lie_wholly_in_it() {
        for (top, entry) in SHORT.iter().enumerate() {
            let mut w = BitWriter::default();
            w.bits(top as u64, PEEK);
            let mut r = BitReader::new(w.bytes());
            let mut total = 0;
            for lane in 0..(entry >> COUNT_AT & 7) as u32 {
                let number = (*entry as i64 >> NUMBERS_AT >> (8 * lane)) as i8;
                assert_eq!(read_bitwise(&mut r), Ok(i64::from(number)), "{top:011b}");
                total = r.position() as u64;
                if lane < 4 {
                    assert_eq!(entry >> (WIDTHS_AT + 4 * lane) & 15, total);
                }
            }
            assert_eq!(entry & 63, total);
        }
    }
}
