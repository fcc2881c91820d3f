//! Checks of histograms that come from outside.

use super::{
    CUSTOM_BUCKETS_SCHEMA, FloatHistogram, Histogram, Span,
    bounds::{SCHEMA_MAX, SCHEMA_MIN},
};
use crate::{
    error::{Error, Result},
    model::float::{General, write_fixed},
};

impl Histogram {
    /// Checks that spans, buckets, bounds and counts fit together.
    ///
    /// # Errors
    /// `Invalid` with what is wrong, in upstream's words.
    pub fn validate(&self) -> Result<()> {
        check_layout(&Layout {
            schema: self.schema,
            zero_is_unused: self.zero_count == 0,
            zero_threshold: self.zero_threshold,
            positive: (&self.positive_spans, self.positive_deltas.len()),
            negative: (&self.negative_spans, self.negative_deltas.len()),
            custom_values: &self.custom_values,
        })?;
        let seen = u128::from(self.zero_count)
            + sum_of_deltas(&self.negative_deltas)?
            + sum_of_deltas(&self.positive_deltas)?;
        let count = u128::from(self.count);
        if self.sum.is_nan() {
            if seen > count {
                return Err(Error::invalid(format!(
                    "{seen} observations found in buckets, but the Count field is {count}: histogram's \
                     observation count should be at least the number of observations found in the buckets"
                )));
            }
        } else if seen != count {
            return Err(Error::invalid(format!(
                "{seen} observations found in buckets, but the Count field is {count}: histogram's \
                 observation count should equal the number of observations found in the buckets (in \
                 absence of NaN)"
            )));
        }
        Ok(())
    }
}

impl FloatHistogram {
    /// Checks that spans, buckets, bounds and counts fit together.
    ///
    /// # Errors
    /// `Invalid` with what is wrong, in upstream's words.
    pub fn validate(&self) -> Result<()> {
        check_layout(&Layout {
            schema: self.schema,
            zero_is_unused: self.zero_count == 0.0,
            zero_threshold: self.zero_threshold,
            positive: (&self.positive_spans, self.positive_buckets.len()),
            negative: (&self.negative_spans, self.negative_buckets.len()),
            custom_values: &self.custom_values,
        })?;
        if self.zero_count < 0.0 {
            return Err(Error::invalid(format!(
                "zero bucket has observation count of {}: histogram has a bucket whose observation count \
                 is negative",
                General(self.zero_count)
            )));
        }
        for buckets in [&self.negative_buckets, &self.positive_buckets] {
            if let Some(i) = buckets.iter().position(|v| *v < 0.0) {
                return Err(negative_bucket(i, General(buckets[i])));
            }
        }
        if self.count < 0.0 {
            return Err(Error::invalid("histogram's observation count is negative"));
        }
        Ok(())
    }
}

struct Layout<'a> {
    schema: i32,
    zero_is_unused: bool,
    zero_threshold: f64,
    positive: (&'a [Span], usize),
    negative: (&'a [Span], usize),
    custom_values: &'a [f64],
}

fn check_layout(h: &Layout<'_>) -> Result<()> {
    if h.schema == CUSTOM_BUCKETS_SCHEMA {
        return check_custom(h);
    }
    if !(SCHEMA_MIN..=SCHEMA_MAX).contains(&h.schema) {
        return Err(Error::invalid(format!(
            "histogram has an invalid schema, which must be between -4 and 8 for exponential buckets, or \
             -53 for custom buckets, got schema {}",
            h.schema
        )));
    }
    check_spans(h.positive).map_err(|e| Error::invalid(format!("positive side: {e}")))?;
    check_spans(h.negative).map_err(|e| Error::invalid(format!("negative side: {e}")))?;
    if !h.custom_values.is_empty() {
        return Err(Error::invalid("histogram with exponential schema must not have custom bounds"));
    }
    Ok(())
}

fn check_custom(h: &Layout<'_>) -> Result<()> {
    check_bounds(h.custom_values).map_err(|e| Error::invalid(format!("custom buckets: {e}")))?;
    check_spans(h.positive).map_err(|e| Error::invalid(format!("custom buckets: {e}")))?;
    let covered: i64 = h.positive.0.iter().map(|s| i64::from(s.offset) + i64::from(s.length)).sum();
    let what = if h.positive.0.first().is_some_and(|s| s.offset < 0) {
        "span number 1 has a negative offset: histogram has a span whose offset is negative".to_owned()
    } else if covered > h.custom_values.len() as i64 + 1 {
        format!(
            "only {} custom bounds defined which is insufficient to cover total span length of {covered}: \
             histogram custom bounds are too few",
            h.custom_values.len()
        )
    } else if !h.zero_is_unused {
        "must have zero count of 0".to_owned()
    } else if h.zero_threshold != 0.0 {
        "must have zero threshold of 0".to_owned()
    } else if !h.negative.0.is_empty() {
        "must not have negative spans".to_owned()
    } else if h.negative.1 != 0 {
        "must not have negative buckets".to_owned()
    } else {
        return Ok(());
    };
    Err(Error::invalid(format!("custom buckets: {what}")))
}

fn check_bounds(bounds: &[f64]) -> std::result::Result<(), String> {
    if bounds.iter().any(|b| b.is_nan()) {
        return Err("histogram custom bounds must not be NaN".to_owned());
    }
    if let Some(pair) = bounds.windows(2).find(|pair| pair[1] <= pair[0]) {
        let fixed = |v: f64| {
            let mut text = String::new();
            write_fixed(&mut text, v, 6).map(|()| text).unwrap_or_default()
        };
        return Err(format!(
            "previous bound is {} and current is {}: histogram custom bounds must be in strictly \
             increasing order",
            fixed(pair[0]),
            fixed(pair[1])
        ));
    }
    if bounds.last().is_some_and(|b| *b == f64::INFINITY) {
        return Err("last +Inf bound must not be explicitly defined: histogram custom bounds must be finite"
            .to_owned());
    }
    Ok(())
}

fn check_spans((spans, buckets): (&[Span], usize)) -> std::result::Result<(), String> {
    let mut covered = 0u64;
    // Index after the last bucket; must stay an i32.
    let mut end = 0i64;
    for (i, span) in spans.iter().enumerate() {
        if i > 0 && span.offset < 0 {
            return Err(format!(
                "span number {} with offset {}: histogram has a span whose offset is negative",
                i + 1,
                span.offset
            ));
        }
        covered += u64::from(span.length);
        end += i64::from(span.offset) + i64::from(span.length);
    }
    if covered != buckets as u64 {
        return Err(format!(
            "spans need {covered} buckets, have {buckets} buckets: histogram spans specify different \
             number of buckets than provided"
        ));
    }
    if end > i64::from(i32::MAX) {
        return Err(format!("spans end at bucket index {end}, which is beyond {}", i32::MAX));
    }
    Ok(())
}

fn negative_bucket(i: usize, count: impl std::fmt::Display) -> Error {
    Error::invalid(format!(
        "bucket number {} has observation count of {count}: histogram has a bucket whose observation count \
         is negative",
        i + 1
    ))
}

fn sum_of_deltas(deltas: &[i64]) -> Result<u128> {
    let mut count = 0i128;
    let mut sum = 0u128;
    for (i, delta) in deltas.iter().enumerate() {
        count += i128::from(*delta);
        sum += u128::try_from(count).map_err(|_| negative_bucket(i, count))?;
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::super::tests::histogram;
    use super::*;

    fn check(h: &FloatHistogram, want: Option<&str>) {
        let got = h.validate().err().map(|e| e.to_string());
        match (&got, want) {
            (Some(got), Some(want)) => assert!(got.contains(want), "{got}"),
            _ => assert_eq!(got.as_deref(), want),
        }
    }

    #[test]
    fn float_histograms() {
        let ok = histogram(1, 0.5, 1.0, &[(1, 2.0), (4, 3.0)]);
        check(&ok, None);
        check(&FloatHistogram { schema: 9, ..ok.clone() }, Some("invalid schema"));
        check(&FloatHistogram { positive_buckets: vec![1.0], ..ok.clone() }, Some("spans need 2 buckets"));
        check(&FloatHistogram { positive_buckets: vec![1.0, -1.0], ..ok.clone() }, Some("bucket number 2"));
        check(
            &FloatHistogram { custom_values: vec![1.0], ..ok.clone() },
            Some("must not have custom bounds"),
        );
        check(&FloatHistogram { count: -1.0, ..ok.clone() }, Some("observation count is negative"));
        let custom = FloatHistogram {
            schema: CUSTOM_BUCKETS_SCHEMA,
            custom_values: vec![1.0, 2.0],
            ..histogram(0, 0.0, 0.0, &[(0, 1.0), (2, 1.0)])
        };
        check(&custom, None);
        check(&FloatHistogram { custom_values: vec![1.0], ..custom.clone() }, Some("too few"));
        check(
            &FloatHistogram { custom_values: vec![2.0, 2.0], ..custom.clone() },
            Some("strictly increasing"),
        );
        check(&FloatHistogram { zero_threshold: 1.0, ..custom }, Some("zero threshold of 0"));
    }

    #[test]
    fn integer_histograms_count_their_buckets() {
        let check = |deltas: &[i64], count, sum: f64, want: Option<&str>| {
            let h = Histogram {
                count,
                sum,
                positive_spans: vec![Span { offset: 0, length: deltas.len() as u32 }],
                positive_deltas: deltas.to_vec(),
                ..Histogram::default()
            };
            let got = h.validate().err().map(|e| e.to_string());
            assert_eq!(got.is_some(), want.is_some(), "{got:?}");
            assert!(got.unwrap_or_default().contains(want.unwrap_or_default()));
        };
        check(&[2, -1, 1], 5, 1.0, None);
        check(&[2, -1, 1], 6, 1.0, Some("should equal"));
        check(&[2, -1, 1], 6, f64::NAN, None);
        check(&[2, -1, 1], 4, f64::NAN, Some("at least"));
        check(&[2, -3], 0, 1.0, Some("bucket number 2 has observation count of -1"));
        check(&[i64::MAX, i64::MAX, i64::MAX], 0, 1.0, Some("should equal"));
    }
}
