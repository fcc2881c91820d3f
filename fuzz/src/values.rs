//! Readers of texts: patterns, durations, numbers, queries; and histograms against their invariants.

use thanoslib::model::{
    FloatHistogram, Regex, Span, TemplateRegex,
    duration::{self, parse_api_duration, parse_api_time, parse_flag, parse_go, parse_size},
    float::{Quoted, parse_float},
};

/// A pattern, then a line feed, then a value that is matched and expanded.
pub fn regex(data: &[u8]) {
    let at = data.iter().position(|b| *b == b'\n').unwrap_or(data.len());
    let (pattern, value) = data.split_at(at);
    let value = value.get(1..).unwrap_or_default();
    let Ok(pattern) = std::str::from_utf8(pattern) else { return };
    let Ok(regex) = Regex::new(pattern) else { return };
    for known in regex.set_matches() {
        assert!(regex.is_match(known.as_bytes()), "{pattern} must match {known}");
        assert!(known.starts_with(regex.prefix()) && known.ends_with(regex.suffix()));
    }
    let matched = regex.is_match(value);
    if let Ok(groups) = TemplateRegex::new(pattern) {
        assert_eq!(groups.is_match(value), matched, "{pattern}");
        assert_eq!(groups.captures_expand(value, b"$0").as_deref(), matched.then_some(value));
        let _ = groups.captures_expand(value, pattern.as_bytes());
    }
}

/// Durations, times, sizes and floats; what is printed reads back as the same.
pub fn texts(data: &[u8]) {
    let _ = Quoted(data).to_string();
    let Ok(s) = std::str::from_utf8(data) else { return };
    if let Ok(ms) = duration::parse_allow_negative(s) {
        assert_eq!(duration::parse_allow_negative(&duration::format(ms)).ok(), Some(ms));
    }
    if let Ok(ns) = parse_go(s) {
        assert_eq!(parse_go(&duration::format_go(ns)).ok(), Some(ns));
    }
    if let Ok(time) = parse_api_time(s) {
        let _ = (time.ms(), duration::format_rfc3339(time));
    }
    let _ = (parse_api_duration(s), parse_flag(s), parse_size(s));
    if let Ok(v) = parse_float(s) {
        let mut text = String::new();
        if thanoslib::model::float::write_general(&mut text, v).is_ok() {
            assert_eq!(parse_float(&text).map(f64::to_bits).ok(), Some(v.to_bits()));
        }
    }
}

/// Two histograms of arbitrary layout, valid or not, through all their arithmetic.
pub fn histograms(data: &[u8]) {
    let mut bytes = data.iter().copied();
    let mut next = || i32::from(bytes.next().unwrap_or(0));
    let mut histogram = || {
        let schema = next() % 16 - 5;
        let mut h = FloatHistogram {
            schema: if schema == -5 { -53 } else { schema },
            zero_threshold: f64::from(next()) / 16.0,
            zero_count: f64::from(next()),
            count: f64::from(next()),
            sum: f64::from(next() - 128),
            ..FloatHistogram::default()
        };
        h.custom_values = (0..next() % 4).map(f64::from).collect();
        for _ in 0..next() % 4 {
            h.positive_spans.push(Span { offset: next() - 64, length: next() as u32 % 5 });
            h.negative_spans.push(Span { offset: next() - 64, length: next() as u32 % 5 });
        }
        h.positive_buckets = (0..next() % 12).map(|i| f64::from(i % 3)).collect();
        h.negative_buckets = (0..next() % 12).map(|i| f64::from(i % 2)).collect();
        h
    };
    let (a, b) = (histogram(), histogram());
    let _ = (a.validate(), a.to_string(), a.quantile(0.3), a.fraction(-1.0, 1.0), a.variance());
    let _ = (a.detect_reset(&b), a.equals(&b));
    let mut sum = a.clone();
    if sum.add(&b).is_ok() {
        sum.compact(0);
        assert_eq!(sum.count, a.count + b.count);
    }
    let mut compact = a.clone();
    compact.compact(2);
    compact.compact(0);
    let mut again = compact.clone();
    again.compact(0);
    assert_eq!(again, compact);
    for side in [thanoslib::model::histogram::Trim::KeepAbove, thanoslib::model::histogram::Trim::KeepBelow] {
        let mut trimmed = a.clone();
        trimmed.trim(1.5, side);
    }
}
