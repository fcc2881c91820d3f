//! Floats and strings as text, as Go prints and reads them.
//!
//! Prometheus' answers, labels and messages hold numbers in the spellings of Go's `strconv`; this
//! module writes the same bytes and reads the same texts.
//!
//! Invariant: pure functions from values to text and back; knows no JSON document, no query.

mod format;
mod parse;
mod quote;

pub use format::{
    General, Plain, write_api_timestamp, write_api_value, write_exponent, write_fixed, write_general,
    write_general_precision, write_openmetrics, write_plain,
};
pub use parse::{ParseFloatError, ParseFloatErrorKind, parse_float};
pub use quote::{Quoted, is_print, write_quoted};
