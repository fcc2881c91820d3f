//! Loops compiled twice: for any processor, and for one with wide registers and bit instructions.
//!
//! What is shipped runs on every processor of its architecture, so that the compiler may use only
//! what all of them have. [`run`] asks the processor at hand and takes the better copy of a loop.
//! Both copies do the same operations in the same order; products and sums are not fused, so that
//! floats are equal to the bit.

/// A loop that is worth two copies. `run` and all that it calls is inlined, or it stays what it was.
pub(crate) trait Work {
    /// What comes of it.
    type Done;

    /// Does the work; to be marked as always inlined.
    fn run(self) -> Self::Done;
}

/// Does some work, by the copy that suits the processor.
#[inline]
pub(crate) fn run<W: Work>(work: W) -> W::Done {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("bmi2")
    {
        // SAFETY: the processor has the features that the function is compiled for, which was asked
        // just before; it has no other condition.
        return unsafe { by_avx2(work) };
    }
    work.run()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi1,bmi2")]
fn by_avx2<W: Work>(work: W) -> W::Done {
    work.run()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sums, products, quotients and shifts of floats of every kind.
    struct Mixed<'a>(&'a [f64]);

    impl Work for Mixed<'_> {
        type Done = Vec<u64>;

        #[inline(always)]
        fn run(self) -> Vec<u64> {
            let pairs = self.0.iter().zip(self.0.iter().skip(1));
            pairs.map(|(a, b)| (a * b + a / b).to_bits() ^ a.to_bits() << (b.to_bits() % 64)).collect()
        }
    }

    #[test]
    fn both_copies_agree() {
        let mut bits = 0x9e37_79b9_7f4a_7c15u64;
        let values: Vec<f64> = (0..10_000)
            .map(|_| {
                bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                f64::from_bits(bits)
            })
            .collect();
        assert_eq!(run(Mixed(&values)), Mixed(&values).run());
    }
}
