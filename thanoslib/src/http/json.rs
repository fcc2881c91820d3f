//! JSON of answers, written straight into the response body.

use std::fmt::Write;

use axum::{
    body::Body,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};

use crate::{
    model::{
        FloatHistogram, Labels, Value, Warnings,
        duration::{UnixTime, format_rfc3339},
        float,
    },
    promql::{MatrixSeries, QueryValue, VectorSample},
};

/// Appends a JSON string; bytes that are not UTF-8 become U+FFFD.
pub(super) fn text(out: &mut String, s: &str) {
    quote(out, s, false);
}

/// Appends a JSON string with `<`, `>` and `&` escaped, as Go does for messages.
pub(super) fn html_safe_text(out: &mut String, s: &str) {
    quote(out, s, true);
}

fn quote(out: &mut String, s: &str, html: bool) {
    out.push('"');
    if is_plain(s, html) {
        out.push_str(s);
        out.push('"');
        return;
    }
    let mut plain = 0;
    for (i, c) in s.char_indices() {
        let escape = match c {
            '"' => Some("\\\""),
            '\\' => Some("\\\\"),
            '\n' => Some("\\n"),
            '\r' => Some("\\r"),
            '\t' => Some("\\t"),
            '\u{8}' if html => Some("\\b"),
            '\u{c}' if html => Some("\\f"),
            '\u{2028}' if html => Some("\\u2028"),
            '\u{2029}' if html => Some("\\u2029"),
            '<' if html => Some("\\u003c"),
            '>' if html => Some("\\u003e"),
            '&' if html => Some("\\u0026"),
            c if (c as u32) < 0x20 => None,
            _ => continue,
        };
        out.push_str(&s[plain..i]);
        plain = i + c.len_utf8();
        match escape {
            Some(escape) => out.push_str(escape),
            // Writing to a String cannot fail.
            None => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
        }
    }
    out.push_str(&s[plain..]);
    out.push('"');
}

/// True when no byte may need an escape; without an early end many bytes are looked at together.
fn is_plain(s: &str, html: bool) -> bool {
    let odd = |b: u8| (b < 0x20) | (b == b'"') | (b == b'\\');
    let odd_html = |b: u8| (b == b'<') | (b == b'>') | (b == b'&') | (b >= 0x80);
    match html {
        false => !s.bytes().fold(false, |any, b| any | odd(b)),
        true => !s.bytes().fold(false, |any, b| any | odd(b) | odd_html(b)),
    }
}

/// Appends a list of strings.
pub(super) fn strings<'a>(out: &mut String, list: impl Iterator<Item = &'a str>) {
    items(out, list, text);
}

/// Appends a list.
pub(super) fn items<T>(
    out: &mut String,
    list: impl Iterator<Item = T>,
    mut item: impl FnMut(&mut String, T),
) {
    out.push('[');
    for (i, x) in list.enumerate() {
        if i > 0 {
            out.push(',');
        }
        item(out, x);
    }
    out.push(']');
}

/// Appends a label set as an object.
pub(super) fn labels(out: &mut String, labels: &Labels) {
    out.push('{');
    for (i, label) in labels.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        text(out, &String::from_utf8_lossy(label.name));
        out.push(':');
        text(out, &String::from_utf8_lossy(label.value));
    }
    out.push('}');
}

/// Appends a label set as an object, escaped as Go does for what is not the result of a query.
pub(super) fn html_safe_labels(out: &mut String, labels: &Labels) {
    out.push('{');
    for (i, label) in labels.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        html_safe_text(out, &String::from_utf8_lossy(label.name));
        out.push(':');
        html_safe_text(out, &String::from_utf8_lossy(label.value));
    }
    out.push('}');
}

/// Appends a number as Go's `encoding/json` does; what JSON has no word for is 0.
pub(super) fn number(out: &mut String, v: f64) {
    // Writing to a String cannot fail, here and below.
    let _ = float::write_api_value(out, if v.is_finite() { v } else { 0.0 });
}

/// Appends a value in decimals, without quotes.
pub(super) fn plain_value(out: &mut String, v: f64) {
    let _ = float::write_plain(out, v);
}

/// Appends a time, that of the year 1 for never.
pub(super) fn time(out: &mut String, time: Option<UnixTime>) {
    out.push('"');
    match time {
        Some(time) => out.push_str(&format_rfc3339(time)),
        None => out.push_str("0001-01-01T00:00:00Z"),
    }
    out.push('"');
}

/// An answer of status 200.
pub(super) fn success(body: String, no_store: bool) -> Response {
    let mut response = ([(header::CONTENT_TYPE, "application/json")], Body::from(body)).into_response();
    if no_store {
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

/// Ends an answer whose data is complete, with its warnings.
pub(super) fn finish(mut out: String, warnings: &Warnings) -> Response {
    if !warnings.is_empty() {
        out.push_str(r#","warnings":"#);
        items(&mut out, warnings.iter(), |out, w| html_safe_text(out, &w.message));
    }
    out.push('}');
    success(out, !warnings.is_empty())
}

/// Appends a value as answers have it inside of `data`: `"resultType":…,"result":…`.
///
/// ```
/// use thanoslib::{QueryValue, http::write_value};
/// let mut out = String::new();
/// write_value(&mut out, &QueryValue::Scalar { t_ms: 1500, v: 2.0 });
/// assert_eq!(out, r#""resultType":"scalar","result":[1.5,"2"]"#);
/// ```
pub fn write_value(out: &mut String, value: &QueryValue) {
    match value {
        QueryValue::Scalar { t_ms, v } => {
            out.push_str(r#""resultType":"scalar","result":["#);
            plain_time(out, *t_ms);
            out.push_str(",\"");
            let _ = float::write_plain(out, *v);
            out.push_str("\"]");
        }
        QueryValue::String { t_ms, s } => {
            out.push_str(r#""resultType":"string","result":["#);
            plain_time(out, *t_ms);
            out.push(',');
            html_safe_text(out, &String::from_utf8_lossy(s));
            out.push(']');
        }
        QueryValue::Vector(samples) => {
            out.push_str(r#""resultType":"vector","result":"#);
            items(out, samples.iter(), sample);
        }
        QueryValue::Matrix(all) => {
            out.push_str(r#""resultType":"matrix","result":"#);
            let starts = Starts::of(all);
            let mut begin = Some(out.len());
            items(out, all.iter(), |out, s| {
                series(out, s, &starts);
                if let Some(begin) = begin.take() {
                    // The others are mostly as long as the first.
                    out.reserve((out.len() - begin).saturating_mul(all.len() - 1).min(ROOM_MAX));
                }
            });
        }
    }
}

/// Bytes that room is made for before they are written.
const ROOM_MAX: usize = 64 << 20;

/// Times of scalars and strings are plain floats: 1.5, not 1.500.
fn plain_time(out: &mut String, t_ms: i64) {
    let _ = float::write_plain(out, t_ms as f64 / 1000.0);
}

fn sample(out: &mut String, s: &VectorSample) {
    out.push_str(r#"{"metric":"#);
    labels(out, &s.labels);
    match &s.value {
        Value::Float(v) => {
            out.push_str(r#","value":"#);
            point(out, s.t_ms, *v);
        }
        Value::Histogram(h) => {
            out.push_str(r#","histogram":"#);
            histogram_point(out, s.t_ms, h);
        }
    }
    out.push('}');
}

fn series(out: &mut String, s: &MatrixSeries, starts: &Starts) {
    out.push_str(r#"{"metric":"#);
    labels(out, &s.labels);
    if !s.floats.is_empty() {
        out.push_str(r#","values":"#);
        starts.points(out, &s.floats);
    }
    if !s.histograms.is_empty() {
        out.push_str(r#","histograms":"#);
        items(out, s.histograms.iter(), |out, (t, h)| histogram_point(out, *t, h));
    }
    out.push('}');
}

/// How points begin: the steps of the series of a matrix are the same, so that their times are
/// written once.
struct Starts {
    /// The times of the longest series.
    times: Vec<i64>,
    /// `,[time,"` for each of them.
    text: String,
    /// Where those end.
    ends: Vec<usize>,
}

impl Starts {
    fn of(all: &[MatrixSeries]) -> Self {
        let longest = all.iter().max_by_key(|s| s.floats.len());
        let times: Vec<i64> = longest.iter().flat_map(|s| &s.floats).map(|(t, _)| *t).collect();
        let (mut text, mut ends) = (String::new(), Vec::with_capacity(times.len()));
        for t in &times {
            start(&mut text, *t);
            ends.push(text.len());
        }
        Self { times, text, ends }
    }

    /// Appends the points of a series.
    fn points(&self, out: &mut String, points: &[(i64, f64)]) {
        let opened = out.len();
        let mut at = 0;
        for (t, v) in points {
            while self.times.get(at).is_some_and(|time| time < t) {
                at += 1;
            }
            if self.times.get(at) == Some(t) {
                let from = at.checked_sub(1).map_or(0, |before| self.ends[before]);
                out.push_str(&self.text[from..self.ends[at]]);
            } else {
                start(out, *t);
            }
            let _ = float::write_api_value(out, *v);
            out.push_str("\"]");
        }
        // The comma of the first point becomes the bracket of the list.
        out.replace_range(opened..opened + 1, "[");
        out.push(']');
    }
}

/// Appends the start of a point behind another one.
fn start(out: &mut String, t_ms: i64) {
    out.push_str(",[");
    let _ = float::write_api_timestamp(out, t_ms);
    out.push_str(",\"");
}

fn point(out: &mut String, t_ms: i64, v: f64) {
    out.push('[');
    let _ = float::write_api_timestamp(out, t_ms);
    out.push(',');
    value(out, v);
    out.push(']');
}

/// A float in quotes.
fn value(out: &mut String, v: f64) {
    out.push('"');
    let _ = float::write_api_value(out, v);
    out.push('"');
}

fn histogram_point(out: &mut String, t_ms: i64, h: &FloatHistogram) {
    out.push('[');
    let _ = float::write_api_timestamp(out, t_ms);
    out.push_str(r#",{"count":"#);
    value(out, h.count);
    out.push_str(r#","sum":"#);
    value(out, h.sum);
    let mut buckets = h.all_buckets().filter(|b| b.count != 0.0).peekable();
    if buckets.peek().is_some() {
        out.push_str(r#","buckets":"#);
        items(out, buckets, |out, b| {
            let kind = match (b.lower_inclusive, b.upper_inclusive) {
                (false, true) => "0",
                (true, false) => "1",
                (false, false) => "2",
                (true, true) => "3",
            };
            out.push('[');
            out.push_str(kind);
            for bound in [b.lower, b.upper, b.count] {
                out.push(',');
                value(out, bound);
            }
            out.push(']');
        });
    }
    out.push_str("}]");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_of_all_series_are_written() {
        let series =
            |points: &[(i64, f64)]| MatrixSeries { floats: points.to_vec(), ..MatrixSeries::default() };
        let all = vec![
            series(&[(1000, 1.0)]),
            series(&[(0, 0.5), (1000, 1.0), (2500, -2.0)]),
            series(&[(500, 1.0), (2500, f64::NAN), (4000, 1e21)]),
            series(&[]),
        ];
        let mut out = String::new();
        write_value(&mut out, &QueryValue::Matrix(all));
        assert_eq!(
            out,
            r#""resultType":"matrix","result":[{"metric":{},"values":[[1,"1"]]},"#.to_owned()
                + r#"{"metric":{},"values":[[0,"0.5"],[1,"1"],[2.500,"-2"]]},"#
                + r#"{"metric":{},"values":[[0.500,"1"],[2.500,"NaN"],[4,"1e+21"]]},{"metric":{}}]"#
        );
    }

    #[test]
    fn strings_are_escaped_as_go_escapes_them() {
        let mut out = String::new();
        text(&mut out, "a\"\\\n\u{1}<é\u{8}");
        html_safe_text(&mut out, "<&>\u{8}");
        assert_eq!(out, "\"a\\\"\\\\\\n\\u0001<é\\u0008\"\"\\u003c\\u0026\\u003e\\b\"");
    }
}
