//! CRC-32C of some hundred bytes, as chunks and series entries have, by the processor's instruction.
//!
//! Each step of the instruction waits for the one before, so that three run side by side over thirds
//! of the data. The sum of a third is then moved over what follows it: multiplied by a power of x.

#[cfg(target_arch = "x86_64")]
pub(super) use x86_64::crc32c;

/// CRC-32C of `bytes`; `None` where the processor has no instruction for it, or other ways are faster.
#[cfg(not(target_arch = "x86_64"))]
pub(super) fn crc32c(_: &[u8]) -> Option<u32> {
    None
}

#[cfg(target_arch = "x86_64")]
mod x86_64 {
    use std::arch::x86_64::{
        _mm_clmulepi64_si128, _mm_crc32_u8, _mm_crc32_u64, _mm_cvtsi64_si128, _mm_cvtsi128_si64,
    };

    /// Most words in a third; crc-fast folds longer data faster.
    const WORDS_MAX: usize = 85;
    /// Bytes up to which data is taken.
    const LEN_MAX: usize = 3 * 8 * WORDS_MAX;
    /// Fewer words in a third are not worth joining.
    const WORDS_MIN: usize = 4;

    /// For a number of words, what moves a sum over so many: `x` to the power of their bits less 33,
    /// modulo the polynomial, in the bit order of the sum.
    const MOVES: [u32; 2 * WORDS_MAX + 1] = {
        let mut moves = [0; 2 * WORDS_MAX + 1];
        // x to the power of 31.
        let (mut power, mut words) = (1u32, 1);
        while words < moves.len() {
            moves[words] = power;
            let mut bit = 0;
            while bit < 64 {
                power = power >> 1 ^ if power & 1 == 1 { 0x82f6_3b78 } else { 0 };
                bit += 1;
            }
            words += 1;
        }
        moves
    };

    /// CRC-32C of `bytes`; `None` where the processor has no instruction for it, or other ways are
    /// faster.
    #[inline]
    pub(in super::super) fn crc32c(bytes: &[u8]) -> Option<u32> {
        let known = bytes.len() <= LEN_MAX
            && is_x86_feature_detected!("sse4.2")
            && is_x86_feature_detected!("pclmulqdq");
        // SAFETY: the processor has the features that the function is compiled for, which was asked
        // just before; it has no other condition.
        known.then(|| unsafe { by_instruction(bytes) })
    }

    #[target_feature(enable = "sse4.2,pclmulqdq")]
    fn by_instruction(bytes: &[u8]) -> u32 {
        let (mut words, rest) = bytes.as_chunks::<8>();
        let mut sum = u64::from(u32::MAX);
        let third = words.len() / 3;
        if third >= WORDS_MIN
            && let (Some(over_two), Some(over_one)) = (MOVES.get(2 * third), MOVES.get(third))
        {
            let (first, behind) = words.split_at(third);
            let (second, behind) = behind.split_at(third);
            let (last, behind) = behind.split_at(third);
            words = behind;
            let mut sums = [sum, 0, 0];
            // All three have this length, which is plain to the compiler here.
            for i in 0..third {
                sums[0] = _mm_crc32_u64(sums[0], u64::from_le_bytes(first[i]));
                sums[1] = _mm_crc32_u64(sums[1], u64::from_le_bytes(second[i]));
                sums[2] = _mm_crc32_u64(sums[2], u64::from_le_bytes(last[i]));
            }
            sum = _mm_crc32_u64(0, product(sums[0], *over_two) ^ product(sums[1], *over_one)) ^ sums[2];
        }
        for word in words {
            sum = _mm_crc32_u64(sum, u64::from_le_bytes(*word));
        }
        let mut sum = sum as u32;
        for byte in rest {
            sum = _mm_crc32_u8(sum, *byte);
        }
        !sum
    }

    /// The product of two polynomials.
    #[target_feature(enable = "pclmulqdq")]
    fn product(a: u64, b: u32) -> u64 {
        let (a, b) = (_mm_cvtsi64_si128(a as i64), _mm_cvtsi64_si128(i64::from(b)));
        _mm_cvtsi128_si64(_mm_clmulepi64_si128::<0>(a, b)) as u64
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn sums_are_those_of_the_other_way() {
        let bytes: Vec<u8> = (0..2500u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        for len in (0..300).chain(2000..2100) {
            for from in [0, 1, 7] {
                let bytes = &bytes[from..from + len];
                let want = crc_fast::crc32_iscsi(bytes);
                assert_eq!(super::crc32c(bytes).unwrap_or(want), want, "{len} bytes");
            }
        }
    }
}
