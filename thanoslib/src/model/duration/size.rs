//! Byte sizes with units of powers of two.

use crate::{
    error::{Error, Result},
    model::float::Quoted,
};

const PREFIXES: &[u8; 6] = b"KMGTPE";

/// Reads a size in bytes: `512`, `64KB`, `1.5GiB`, `1GB512MB`. All units are powers of two.
///
/// # Errors
/// `Invalid` when the text is no size or does not fit 63 bits.
pub fn parse_size(s: &str) -> Result<u64> {
    let malformed = || Error::invalid(format!("units: invalid {}", Quoted::text(s)));
    if let Ok(bytes) = s.parse::<u64>() {
        return if bytes <= i64::MAX as u64 { Ok(bytes) } else { Err(malformed()) };
    }
    if s.is_empty() {
        return Err(malformed());
    }
    let mut total = 0f64;
    let mut exact = 0u128;
    let mut rest = s;
    while !rest.is_empty() {
        let number_len = rest.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
        let (number, after) = rest.split_at(number_len);
        let unit_len = after.bytes().take_while(|b| !b.is_ascii_digit() && *b != b'.').count();
        let (unit, after) = after.split_at(unit_len);
        rest = after;
        if unit.is_empty() {
            return Err(Error::invalid(format!("units: missing unit in {}", Quoted::text(s))));
        }
        let size = unit_size(unit).ok_or_else(|| {
            Error::invalid(format!("units: unknown unit {} in {}", Quoted::text(unit), Quoted::text(s)))
        })?;
        match number.parse::<u64>() {
            Ok(whole) => exact += u128::from(whole) * u128::from(size),
            Err(_) => total += number.parse::<f64>().map_err(|_| malformed())? * size as f64,
        }
        if total >= i64::MAX as f64 || exact + total as u128 > i64::MAX as u128 {
            return Err(malformed());
        }
    }
    u64::try_from(exact + total as u128).map_err(|_| malformed())
}

/// Bytes of a unit: `B`, `KB`, `KiB`, `K` and so on.
fn unit_size(unit: &str) -> Option<u64> {
    if unit == "B" {
        return Some(1);
    }
    let (prefix, suffix) = unit.split_at_checked(1)?;
    let power = PREFIXES.iter().position(|p| *p == prefix.as_bytes()[0])? + 1;
    matches!(suffix, "" | "B" | "iB").then(|| 1 << (10 * power))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let check = |s: &str, want: Option<u64>| assert_eq!(parse_size(s).ok(), want, "{s}");
        check("512", Some(512));
        check("64KB", Some(65_536));
        check("1.5GiB", Some(3 << 29));
        check("1GB512MB", Some(3 << 29));
        check("8EB", None);
        check("7EiB", Some(7 << 60));
        check("99999999999999999999B", None);
        check("1XB", None);
        check("KB", None);
        check("1KB2", None);
        check("", None);
        check("1é", None);
    }
}
