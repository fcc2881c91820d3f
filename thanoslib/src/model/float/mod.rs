//! Floats and strings as text, as Go prints and reads them.
//!
//! Prometheus' answers, labels and messages hold numbers in the spellings of Go's `strconv`; this
//! module writes the same bytes and reads the same texts.
//!
//! Invariant: pure functions from values to text and back; knows no JSON document, no query.

mod format;
mod parse;
mod quick;
mod quote;

pub(crate) use format::{General, write_fixed};
pub use format::{
    Plain, write_api_timestamp, write_api_value, write_exponent, write_general, write_general_precision,
    write_openmetrics, write_plain,
};
pub use parse::{ParseFloatError, parse_float};
pub use quote::Quoted;
pub(crate) use quote::write_quoted;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_form_reads_back(bits in any::<u64>(), small in any::<i16>()) {
            for v in [f64::from_bits(bits), f64::from(small) / 64.0] {
                let forms: [fn(&mut String, f64) -> std::fmt::Result; 5] =
                    [write_plain, write_exponent, write_general, write_api_value, write_openmetrics];
                for write in forms {
                    let mut text = String::new();
                    write(&mut text, v).expect("writing to a string");
                    let back = parse_float(&text).expect("a float");
                    prop_assert!(back == v || (back.is_nan() && v.is_nan()), "{} of {:e}", text, v);
                }
            }
        }

        #[test]
        fn any_text_is_read_or_refused(s in "[0-9a-fxXpPeE_.+-]{0,12}") {
            let ours = parse_float(&s);
            let plain = !s.contains('_') && !s.contains(['x', 'X', 'p', 'P']);
            if let (true, Ok(rust)) = (plain && s.starts_with(|c: char| c.is_ascii_digit()), s.parse::<f64>()) {
                prop_assert_eq!(ours.ok(), rust.is_finite().then_some(rust));
            }
        }
    }
}
