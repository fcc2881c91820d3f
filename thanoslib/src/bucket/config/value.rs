//! How Go's YAML decoder reads values, where serde would not.
//!
//! Invariant: reads values only; knows no keys.

use std::time::Duration;

use serde::{Deserialize, Deserializer, de::Error as _};

/// A null is the type's default.
pub(super) fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    d: D,
) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(d)?.unwrap_or_default())
}

/// A Prometheus duration such as `1m30s`; a null or an empty text is none.
#[cfg_attr(not(feature = "s3"), expect(dead_code, reason = "only HTTP providers have durations"))]
pub(super) fn duration<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Duration>, D::Error> {
    let Some(text) = Option::<String>::deserialize(d)?.filter(|t| !t.is_empty()) else {
        return Ok(None);
    };
    parse_duration(&text).map(Some).ok_or_else(|| D::Error::custom(format!("not a valid duration: {text:?}")))
}

/// Units from large to small, each at most once; a bare `0` has none.
fn parse_duration(text: &str) -> Option<Duration> {
    const UNITS: [(&str, u64); 7] = [
        ("y", 365 * 86_400_000),
        ("w", 7 * 86_400_000),
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1000),
        ("ms", 1),
    ];
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let (mut rest, mut next_unit, mut total_ms) = (text, 0, 0_u64);
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = rest.get(..digits)?.parse().ok()?;
        rest = rest.get(digits..)?;
        let letters = rest.bytes().take_while(u8::is_ascii_lowercase).count();
        let unit = rest.get(..letters)?;
        rest = rest.get(letters..)?;
        let at = UNITS.iter().position(|(name, _)| *name == unit).filter(|at| *at >= next_unit)?;
        next_unit = at + 1;
        total_ms = total_ms.checked_add(number.checked_mul(UNITS[at].1)?)?;
    }
    (!text.is_empty()).then(|| Duration::from_millis(total_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_prometheus_durations() {
        let check = |text: &str, want_ms: Option<u64>| {
            assert_eq!(parse_duration(text), want_ms.map(Duration::from_millis), "{text:?}");
        };
        check("90s", Some(90_000));
        check("1m30s", Some(90_000));
        check("2h0m5ms", Some(7_200_005));
        check("0", Some(0));
        for bad in ["", "1", "1.5s", "s", "30s1m", "1s1s", "-1s", "1 s", "1µs", "99999999999999999999s"] {
            check(bad, None);
        }
    }
}
