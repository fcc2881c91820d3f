//! Floats and strings as text, as Go prints and reads them.

use std::fmt;

/// Writes `s` as Go's `%q` does.
///
/// # Errors
/// Those of the formatter.
pub fn write_quoted(f: &mut impl fmt::Write, s: &[u8]) -> fmt::Result {
    write!(f, "{:?}", String::from_utf8_lossy(s))
}
