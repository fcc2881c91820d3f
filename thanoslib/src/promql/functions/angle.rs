//! Quarter turns of an angle and what remains, with the last digits of Go's `math`.
//!
//! Small angles lose a three-part π/4 as often as it fits. Large ones are multiplied by those
//! binary digits of 4/π that matter, in whole numbers.

use std::f64::consts::{FRAC_PI_4, PI};

/// π/4 in three parts, the first two short enough for exact products.
const PI4: [f64; 3] = [
    f64::from_bits(0x3fe9_21fb_4000_0000),
    f64::from_bits(0x3e64_442d_0000_0000),
    f64::from_bits(0x3ce8_4698_98cc_5170),
];

/// From here on an angle is reduced in whole numbers.
const LARGE: f64 = (1u64 << 29) as f64;

/// 4/π in binary: a whole word, then words of the fraction.
const FOUR_OVER_PI: [u64; 20] = [
    0x0000_0000_0000_0001,
    0x45f3_06dc_9c88_2a53,
    0xf84e_afa3_ea69_bb81,
    0xb6c5_2b32_7887_2083,
    0xfca2_c757_bd77_8ac3,
    0x6e48_dc74_849b_a5c0,
    0x0c92_5dd4_13a3_2439,
    0xfc3b_d639_6253_4e7d,
    0xd104_6bea_5d76_8909,
    0xd338_e04d_68be_fc82,
    0x7323_ac73_06a6_73e9,
    0x3908_bf17_7bf2_5076,
    0x3ff1_2fff_bc0b_301f,
    0xde5e_2316_b414_da3e,
    0xda6c_fd9e_4f96_136e,
    0x9e8c_7ecd_3cbf_d45a,
    0xea4f_758f_d7cb_e2f6,
    0x7a0e_73ef_14a5_25d4,
    0xd7f6_bf62_3f1a_ba10,
    0xac06_608d_f8f6_d757,
];

/// The quarter turns in `v`, modulo a full turn, and what remains of it, between -π/4 and π/4.
///
/// `v` is finite and not negative.
pub(super) fn quarter_turns(v: f64) -> (u64, f64) {
    if v >= LARGE {
        return large(v);
    }
    let eighths = (v * (4.0 / PI)) as u64;
    let even = eighths + eighths % 2;
    let turns = even as f64;
    (even / 2 % 4, ((v - turns * PI4[0]) - turns * PI4[1]) - turns * PI4[2])
}

/// [`quarter_turns`] of a large angle.
///
/// Compat: math/trig_reduce.go: the fraction of an eighth turn is cut to 53 bits, not rounded,
/// and only then turned around, so that angles just below an eighth turn keep fewer digits.
fn large(v: f64) -> (u64, f64) {
    let bits = v.to_bits();
    let mantissa = (bits & ((1 << 52) - 1)) | 1 << 52;
    // Digits before this place give whole turns, those after three words are lost in rounding.
    let place = (bits >> 52) - 1014;
    let (word, shift) = ((place / 64) as usize, place % 64);
    let digits = |i: usize| match shift {
        0 => FOUR_OVER_PI[word + i],
        _ => FOUR_OVER_PI[word + i] << shift | FOUR_OVER_PI[word + i + 1] >> (64 - shift),
    };
    let wide = |digits: u64| u128::from(digits) * u128::from(mantissa);
    // Eighth turns modulo 8, with 125 bits of fraction.
    let eighths = (wide(digits(0)) << 64).wrapping_add(wide(digits(1))).wrapping_add(wide(digits(2)) >> 64);
    let (whole, fraction) = ((eighths >> 125) as u64, eighths << 3);
    let rest = cut(fraction);
    if whole % 2 == 1 {
        return (whole.div_ceil(2) % 4, (rest - 1.0) * FRAC_PI_4);
    }
    (whole / 2, rest * FRAC_PI_4)
}

/// A fraction of 128 bits as a float, cut to 53 significant bits.
fn cut(fraction: u128) -> f64 {
    if fraction == 0 {
        return 0.0;
    }
    let zeros = fraction.leading_zeros();
    let mantissa = (fraction << zeros >> 75) as u64;
    let exponent = u64::from(1022 - zeros);
    f64::from_bits(exponent << 52 | mantissa & ((1 << 52) - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_agree_on_large_angles() {
        let check = |v: f64| {
            let (quarter, rest) = large(v);
            let sine = [rest.sin(), rest.cos(), -rest.sin(), -rest.cos()][quarter as usize];
            assert!((sine - v.sin()).abs() < 1e-15, "{v}: {sine}, want {}", v.sin());
        };
        for v in [LARGE, LARGE + 0.5, 1.7e9, 4_102_444_800.0, 1e15 + 0.2, 9e15, 1e22, 1e300, f64::MAX] {
            check(v);
        }
    }

    #[test]
    fn fractions_are_cut() {
        let check = |fraction: u128, want: f64| assert_eq!(cut(fraction), want, "{fraction:x}");
        check(1 << 127, 0.5);
        check(3 << 126, 0.75);
        check(u128::MAX, 1.0 - f64::EPSILON / 2.0);
        check(1, 2f64.powi(-128));
        check(0, 0.0);
    }
}
