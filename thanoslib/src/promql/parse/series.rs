//! Series descriptions: the language that test files write samples in.

use std::sync::Arc;

use crate::{
    error::{Error, Result as AnyResult},
    model::{
        CounterReset, FloatHistogram, LABEL_NAME, Labels, LabelsBuilder, Span, Value,
        histogram::CUSTOM_BUCKETS_SCHEMA, stale_nan,
    },
};

use super::literal;

/// Most values that one line may stand for.
const VALUES_MAX: usize = 1_000_000;

/// Reads a series description: a series and its values at even steps.
///
/// Values are `1`, `1x3` (four times), `1+2x3` (1, 3, 5, 7), `_` (none), `_x3`, `stale`, and
/// histograms such as `{{schema:0 sum:5 count:4 buckets:[1 2 1]}}`, which repeat and add up, too.
///
/// ```
/// use thanoslib::promql::{SequenceValue, parse_series};
/// let (labels, values) = parse_series("up{job=\"a\"} 1+2x2 _")?;
/// assert_eq!(labels.to_string(), "{__name__=\"up\", job=\"a\"}");
/// assert!(matches!(values.as_slice(), [_, _, SequenceValue::Float(5.0), SequenceValue::Omitted]));
/// # Ok::<(), thanoslib::Error>(())
/// ```
///
/// # Errors
/// `Invalid` for what is none, or for more than a million values.
///
/// Source: Prometheus `docs/configuration/unit_testing_rules.md`.
pub fn parse_series(text: &str) -> AnyResult<(Labels, Vec<SequenceValue>)> {
    let mut reader = Reader::new(text.trim());
    let labels = reader.series().map_err(Error::invalid)?;
    let values = reader.sequence().map_err(Error::invalid)?;
    Ok((labels, values))
}

/// One value of a series description.
///
/// See [`parse_series`].
#[derive(Clone, Debug)]
pub enum SequenceValue {
    /// A step without value.
    Omitted,
    /// A float.
    Float(f64),
    /// A histogram.
    Histogram {
        /// The histogram.
        histogram: Arc<FloatHistogram>,
        /// True when its counter reset hint was written.
        is_hinted: bool,
    },
}

impl SequenceValue {
    /// The sample value, if there is one.
    pub fn value(&self) -> Option<Value> {
        match self {
            Self::Omitted => None,
            Self::Float(v) => Some(Value::Float(*v)),
            Self::Histogram { histogram, .. } => Some(Value::Histogram(Arc::clone(histogram))),
        }
    }
}

/// Reads text from the front.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { rest: text }
    }

    /// What was not read.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn rest(&self) -> &'a str {
        self.rest
    }

    fn blanks(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t']);
    }

    pub(crate) fn take(&mut self, text: &str) -> bool {
        match self.rest.strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn need(&mut self, text: &str) -> Result<(), String> {
        if self.take(text) { Ok(()) } else { Err(format!("want {text:?} at {:?}", self.rest)) }
    }

    fn run(&mut self, accept: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !accept(c)).unwrap_or(self.rest.len());
        let (run, rest) = self.rest.split_at(end);
        self.rest = rest;
        run
    }

    fn string(&mut self) -> Result<Option<Vec<u8>>, String> {
        let Some(quote) = self.rest.chars().next().filter(|c| matches!(c, '"' | '\'' | '`')) else {
            return Ok(None);
        };
        let bytes = self.rest.as_bytes();
        let mut at = 1;
        while at < bytes.len() && bytes[at] != quote as u8 {
            at += if bytes[at] == b'\\' && quote != '`' { 2 } else { 1 };
        }
        let quoted = self.rest.get(..=at).ok_or_else(|| format!("unterminated string {:?}", self.rest))?;
        self.rest = &self.rest[at + 1..];
        literal::unquote(quoted.as_bytes()).map(|bytes| Some(bytes.into_owned()))
    }

    /// `name{labels}`, each part optional.
    pub(crate) fn series(&mut self) -> Result<Labels, String> {
        let mut labels = LabelsBuilder::default();
        let name = self.run(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':');
        if !name.is_empty() {
            labels.set(LABEL_NAME, name);
        }
        self.blanks();
        // Two braces begin a histogram.
        if self.rest.starts_with('{') && !self.rest.starts_with("{{") {
            self.take("{");
            loop {
                self.blanks();
                if self.take("}") {
                    break;
                }
                let (name, quoted) = match self.string()? {
                    Some(name) => (name, true),
                    None => {
                        let name = self.run(|c| c.is_ascii_alphanumeric() || c == '_');
                        (name.as_bytes().to_vec(), false)
                    }
                };
                self.blanks();
                if self.take("=") {
                    self.blanks();
                    let value = self.string()?.ok_or_else(|| format!("want a string at {:?}", self.rest))?;
                    labels.set(name, value);
                } else if quoted {
                    labels.set(LABEL_NAME, name);
                } else {
                    return Err(format!("want \"=\" at {:?}", self.rest));
                }
                self.blanks();
                if !self.take(",") && !self.rest.starts_with('}') {
                    return Err(format!("want \",\" or \"}}\" at {:?}", self.rest));
                }
            }
        } else if name.is_empty() {
            return Err(format!("want a series at {:?}", self.rest));
        }
        Ok(labels.labels())
    }

    /// All values up to the end.
    pub(crate) fn sequence(&mut self) -> Result<Vec<SequenceValue>, String> {
        let mut items = Vec::new();
        loop {
            self.blanks();
            if self.rest.is_empty() {
                return Ok(items);
            }
            self.item(&mut items)?;
            if items.len() > VALUES_MAX {
                return Err(format!("more than {VALUES_MAX} values"));
            }
            if !self.rest.is_empty() && !self.rest.starts_with([' ', '\t']) {
                return Err(format!("want a blank at {:?}", self.rest));
            }
        }
    }

    fn item(&mut self, items: &mut Vec<SequenceValue>) -> Result<(), String> {
        if self.take("_") {
            let count = if self.take("x") { self.count()? } else { 1 };
            items.extend(std::iter::repeat_n(SequenceValue::Omitted, count));
        } else if self.take("stale") {
            items.push(SequenceValue::Float(stale_nan()));
        } else if self.rest.starts_with("{{") {
            self.histograms(items)?;
        } else {
            let v = self.number()?;
            let step = if self.rest.starts_with(['+', '-']) { Some(self.number()?) } else { None };
            let times = if self.take("x") {
                self.count()?
            } else if step.is_some() {
                return Err(format!("want \"x\" at {:?}", self.rest));
            } else {
                0
            };
            let mut v = v;
            for _ in 0..=times {
                items.push(SequenceValue::Float(v));
                if let Some(step) = step {
                    v += step;
                }
            }
        }
        Ok(())
    }

    fn histograms(&mut self, items: &mut Vec<SequenceValue>) -> Result<(), String> {
        let (base, mut hinted) = self.histogram()?;
        let mut step = None;
        if self.rest.starts_with("+{{") || self.rest.starts_with("-{{") {
            let negative = self.rest.starts_with('-');
            self.rest = &self.rest[1..];
            let (h, h_hinted) = self.histogram()?;
            if h.schema < base.schema {
                return Err("the schema of an increment is lower than that of its base".to_owned());
            }
            hinted = h_hinted;
            step = Some((h, negative));
        }
        let times = if self.take("x") {
            self.count()?
        } else if step.is_some() {
            return Err(format!("want \"x\" at {:?}", self.rest));
        } else {
            0
        };
        let mut h = base;
        for i in 0..=times {
            items.push(SequenceValue::Histogram { histogram: Arc::new(h.clone()), is_hinted: hinted });
            if i == times {
                break;
            }
            if let Some((step, negative)) = &step {
                let outcome = if *negative { h.sub(step) } else { h.add(step) };
                outcome.map_err(|e| format!("histograms cannot be added: {e:?}"))?;
            }
        }
        Ok(())
    }

    /// A number of repetitions.
    fn count(&mut self) -> Result<usize, String> {
        let digits = self.run(|c| c.is_ascii_digit());
        match digits.parse::<usize>() {
            Ok(n) if n <= VALUES_MAX => Ok(n),
            _ => Err(format!("{digits:?} is no number of repetitions up to {VALUES_MAX}")),
        }
    }

    /// A signed decimal number; `x` ends it.
    pub(crate) fn number(&mut self) -> Result<f64, String> {
        let start = self.rest;
        let negative = self.take("-");
        if !negative {
            self.take("+");
        }
        let word = self.rest.get(..3).unwrap_or_default();
        let v = if word.eq_ignore_ascii_case("inf") {
            self.rest = &self.rest[3..];
            f64::INFINITY
        } else if word.eq_ignore_ascii_case("nan") {
            self.rest = &self.rest[3..];
            f64::NAN
        } else {
            self.run(|c| c.is_ascii_digit() || c == '_');
            if self.take(".") {
                self.run(|c| c.is_ascii_digit() || c == '_');
            }
            let exponent = self.rest.bytes().next().is_some_and(|b| b.eq_ignore_ascii_case(&b'e'));
            if exponent {
                self.rest = &self.rest[1..];
                let _ = self.take("+") || self.take("-");
                self.run(|c| c.is_ascii_digit());
            }
            let text = start[..start.len() - self.rest.len()].trim_start_matches(['+', '-']).replace('_', "");
            text.parse().map_err(|_| format!("want a value at {start:?}"))?
        };
        Ok(if negative { -v } else { v })
    }

    fn integer(&mut self) -> Result<i32, String> {
        let text = self.run(|c| c.is_ascii_digit() || c == '-' || c == '+');
        text.parse().map_err(|_| format!("{text:?} is no whole number"))
    }

    fn list(&mut self) -> Result<Vec<f64>, String> {
        self.need("[")?;
        let mut out = Vec::new();
        loop {
            self.blanks();
            if self.take("]") {
                return Ok(out);
            }
            out.push(self.number()?);
        }
    }

    /// `{{key:value …}}` and whether the hint was written.
    fn histogram(&mut self) -> Result<(FloatHistogram, bool), String> {
        self.need("{{")?;
        let mut h = FloatHistogram::default();
        let (mut offset, mut n_offset, mut hinted) = (0, 0, false);
        let mut seen: Vec<&str> = Vec::new();
        loop {
            self.blanks();
            if self.take("}}") {
                break;
            }
            let key = self.run(|c| c.is_ascii_alphabetic() || c == '_');
            if seen.contains(&key) {
                return Err(format!("{key:?} stands twice in a histogram"));
            }
            seen.push(key);
            self.need(":")?;
            self.blanks();
            match key {
                "schema" => h.schema = self.integer()?,
                "count" => h.count = self.number()?,
                "sum" => h.sum = self.number()?,
                "z_bucket" => h.zero_count = self.number()?,
                "z_bucket_w" => h.zero_threshold = self.number()?,
                "buckets" => h.positive_buckets = self.list()?,
                "n_buckets" => h.negative_buckets = self.list()?,
                "offset" => offset = self.integer()?,
                "n_offset" => n_offset = self.integer()?,
                "custom_values" => h.custom_values = self.list()?,
                "counter_reset_hint" => {
                    hinted = true;
                    let hint = self.run(|c| c.is_ascii_alphabetic() || c == '_');
                    h.hint = match hint {
                        "unknown" => CounterReset::Unknown,
                        "reset" => CounterReset::Reset,
                        "not_reset" => CounterReset::NotReset,
                        "gauge" => CounterReset::Gauge,
                        _ => return Err(format!("{hint:?} is no counter reset hint")),
                    };
                }
                _ => return Err(format!("{key:?} is no part of a histogram")),
            }
        }
        if h.schema != CUSTOM_BUCKETS_SCHEMA && !(-4..=8).contains(&h.schema) {
            return Err(format!("{} is no schema", h.schema));
        }
        if !h.positive_buckets.is_empty() {
            h.positive_spans = vec![Span { offset, length: h.positive_buckets.len() as u32 }];
        }
        if !h.negative_buckets.is_empty() {
            h.negative_spans = vec![Span { offset: n_offset, length: h.negative_buckets.len() as u32 }];
        }
        Ok((h, hinted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_expand() {
        let check = |text: &str, want: &str| {
            let items = Reader::new(text).sequence().expect("valid");
            let got: Vec<String> = items
                .iter()
                .map(|i| match i {
                    SequenceValue::Omitted => "_".to_owned(),
                    SequenceValue::Float(v) => v.to_string(),
                    SequenceValue::Histogram { histogram: h, is_hinted } => {
                        format!("h{}{}", h.count, if *is_hinted { "!" } else { "" })
                    }
                })
                .collect();
            assert_eq!(got.join(" "), want, "{text}");
        };
        check("1 _ 2x1", "1 _ 2 2");
        check("_x2 0+10x3", "_ _ 0 10 20 30");
        check("1-0.5x2 Inf -nan", "1 0.5 0 inf NaN");
        check("1e+2 1_000", "100 1000");
        check("{{}} {{count:2 counter_reset_hint:gauge}}x1", "h0 h2! h2!");
        check("{{count:1 buckets:[1]}}+{{count:2 buckets:[2]}}x2", "h1 h3 h5");
        for bad in ["1+2", "x", "1x", "{{count:1", "{{what:1}}", "1x99999999999", "1,2"] {
            assert!(Reader::new(bad).sequence().is_err(), "{bad}");
        }
    }

    #[test]
    fn series_are_names_and_labels() {
        let check = |text: &str, want: &str, rest: &str| {
            let mut reader = Reader::new(text);
            assert_eq!(reader.series().map(|l| l.to_string()), Ok(want.to_owned()), "{text}");
            assert_eq!(reader.rest(), rest, "{text}");
        };
        check("sum 1", "{__name__=\"sum\"}", "1");
        check("a{b=\"1\", \"c d\"='2',} 1", "{__name__=\"a\", b=\"1\", \"c d\"=\"2\"}", " 1");
        check("{\"x y\"}@st 1", "{__name__=\"x y\"}", "@st 1");
        check("{} 1", "{}", " 1");
        assert!(Reader::new("{a}").series().is_err());
        assert!(Reader::new("{a=\"").series().is_err());
    }
}
