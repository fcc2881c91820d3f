//! Counter resets told by start timestamps.

/// True when the start timestamp `start` of a sample at `t` tells of a reset since the
/// sample before, which was at `before_t` and started at `before_start`; 0 is unknown.
#[inline]
pub(super) fn is_reset(start: i64, t: i64, before_start: i64, before_t: i64) -> bool {
    if start == 0 || start >= t || start < before_t {
        return false;
    }
    if start > before_t {
        return true;
    }
    before_start <= before_t && before_start != 0 && before_start != before_t
}

/// True when a sample claims to have started before the sample before it, unlike that one.
#[inline]
pub(super) fn overlaps(start: i64, before_start: i64, before_t: i64) -> bool {
    start != 0 && start < before_t && start != before_start
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_after_the_last_sample_is_a_reset() {
        let check = |start, before_start, want| {
            assert_eq!(is_reset(start, 20, before_start, 10), want, "{start} after {before_start}");
        };
        check(0, 5, false);
        check(20, 5, false);
        check(5, 5, false);
        check(15, 5, true);
        check(10, 5, true);
        check(10, 12, false);
        check(10, 10, false);
        check(10, 0, false);
        assert!(overlaps(7, 5, 10) && !overlaps(5, 5, 10) && !overlaps(0, 5, 10));
    }
}
