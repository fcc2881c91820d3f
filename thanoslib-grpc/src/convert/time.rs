//! Times as `google.protobuf.Timestamp`.

use prost_types::Timestamp;
use thanoslib::model::duration::UnixTime;

/// Go's zero time, the first second of year 1: nothing has happened yet.
const ZERO: Timestamp = Timestamp { seconds: -62_135_596_800, nanos: 0 };

/// Nanoseconds of a second.
const NANOS: i32 = 1_000_000_000;

/// A time of a peer; absent and zero times are none.
pub(super) fn to_time(time: Option<&Timestamp>) -> Option<UnixTime> {
    let time = time.filter(|t| **t != ZERO)?;
    Some(UnixTime {
        secs: time.seconds.saturating_add(time.nanos.div_euclid(NANOS).into()),
        nanos: time.nanos.rem_euclid(NANOS).unsigned_abs(),
    })
}

/// A time for a field that Go peers always write.
pub(super) fn from_time(time: Option<UnixTime>) -> Option<Timestamp> {
    Some(time.map_or(ZERO, |t| Timestamp { seconds: t.secs, nanos: t.nanos as i32 }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_zero_time_of_go_is_no_time() {
        let check = |wire: Option<Timestamp>, want: Option<UnixTime>, again: Timestamp| {
            assert_eq!(to_time(wire.as_ref()), want);
            assert_eq!(from_time(want), Some(again));
        };
        let at = |seconds, nanos| Timestamp { seconds, nanos };
        check(None, None, ZERO);
        check(Some(ZERO), None, ZERO);
        check(Some(at(0, 0)), Some(UnixTime { secs: 0, nanos: 0 }), at(0, 0));
        check(Some(at(-5, 7)), Some(UnixTime { secs: -5, nanos: 7 }), at(-5, 7));
        check(Some(at(5, -1)), Some(UnixTime { secs: 4, nanos: 999_999_999 }), at(4, 999_999_999));
        check(
            Some(at(i64::MAX, i32::MAX)),
            Some(UnixTime { secs: i64::MAX, nanos: 147_483_647 }),
            at(i64::MAX, 147_483_647),
        );
    }
}
