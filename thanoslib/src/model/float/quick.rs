//! The texts of most floats, quickly: whole numbers two digits at a time, others by a table-driven
//! search for the fewest digits. What neither takes is for the slow and complete way.

use std::{
    fmt::{self, Write},
    ops::Range,
};

/// Whole floats below this are as many as whole numbers, so that their digits are all that identify
/// them.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;
/// Other magnitudes that are written without exponent. Of two shortest texts the even one is taken, as
/// Go does.
const PLAIN: Range<f64> = 1e-4..1e14;
/// Most digits of a whole number below [`WHOLE_MAX`], with a sign.
const DIGITS_MAX: usize = 17;

/// The numbers from 0 to 99 with two digits each.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[b'0'; 2]; 100];
    let mut i = 0;
    while i < 100 {
        pairs[i] = [b'0' + (i / 10) as u8, b'0' + (i % 10) as u8];
        i += 1;
    }
    pairs
};

/// Writes `v` with the fewest digits that identify it and no exponent; `None` for a float that
/// this does not know, of which nothing is written.
#[inline]
pub(super) fn write(out: &mut impl Write, v: f64) -> Option<fmt::Result> {
    let magnitude = v.abs();
    let whole = magnitude as u64;
    if magnitude < WHOLE_MAX && whole as f64 == magnitude {
        return Some(write_whole(out, v.is_sign_negative(), whole));
    }
    if !PLAIN.contains(&magnitude) {
        return None;
    }
    let mut buffer = zmij::Buffer::new();
    let text = buffer.format_finite(v);
    (!text.as_bytes().contains(&b'e')).then(|| out.write_str(text))
}

fn write_whole(out: &mut impl Write, negative: bool, mut n: u64) -> fmt::Result {
    let mut text = [b'-'; DIGITS_MAX];
    let mut at = DIGITS_MAX;
    while n >= 100 {
        at -= 2;
        text[at..at + 2].copy_from_slice(&PAIRS[(n % 100) as usize]);
        n /= 100;
    }
    if n >= 10 {
        at -= 2;
        text[at..at + 2].copy_from_slice(&PAIRS[n as usize]);
    } else {
        at -= 1;
        text[at] = b'0' + n as u8;
    }
    let text = &text[at - usize::from(negative)..];
    out.write_str(std::str::from_utf8(text).map_err(|_| fmt::Error)?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// True when `v` is written at all, and then as the standard library does, but for floats in the
    /// middle between two texts, where the last digit is even.
    fn check(v: f64) -> bool {
        let mut text = String::new();
        let Some(done) = write(&mut text, v) else {
            assert_eq!(text, "");
            return false;
        };
        done.expect("writing to a string");
        let shortest = v.to_string();
        let decimals = shortest.split_once('.').map_or(0, |(_, decimals)| decimals.len());
        let even = format!("{v:.decimals$}");
        assert_eq!(text, if even.parse() == Ok(v) { even } else { shortest });
        true
    }

    #[test]
    fn edges_are_written_or_left() {
        for v in
            [0.0, 1.0, 9.0, 10.0, 99.0, 100.0, 12_345.0, WHOLE_MAX - 1.0, 1e15, 0.1, 0.3, 1e-4, 99e12 + 0.5]
        {
            assert!(check(v) && check(-v), "{v}");
        }
        for v in [WHOLE_MAX, 1e14 + 0.5, 9e-5, f64::MAX, f64::MIN_POSITIVE, f64::INFINITY, f64::NAN] {
            assert!(!check(v) && !check(-v), "{v}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn texts_are_those_of_the_standard_library(
            bits in any::<u64>(),
            exponent in 1000u64..1080,
            n in any::<i64>(),
            decimals in 0u32..12,
        ) {
            check(f64::from_bits(bits));
            check(f64::from_bits(bits << 12 >> 12 | exponent << 52));
            check((n >> (n & 63)) as f64);
            check((n >> (n & 31)) as f64 / 10f64.powi(decimals as i32));
        }
    }
}
