//! Values of flags.
//!
//! Invariant: texts in, values out; knows no flag by name.

use std::{fmt, str::FromStr, time::Duration};

use clap::builder::{TypedValueParser, ValueParser};
use thanoslib::{
    EngineOptions,
    model::{Labels, duration},
    promql::{self, ast::Node},
};

/// A duration that is shown as Go shows it: `2m0s`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GoDuration(pub Duration);

/// A duration that is shown as Prometheus shows it: `2m`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PromDuration(pub Duration);

fn parse(text: &str) -> Result<Duration, String> {
    let invalid = || format!("not a valid duration string: {text:?}");
    let ns = duration::parse_flag(text).map_err(|_| invalid())?;
    u64::try_from(ns).map(Duration::from_nanos).map_err(|_| invalid())
}

impl FromStr for GoDuration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parse(text).map(Self)
    }
}

impl FromStr for PromDuration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parse(text).map(Self)
    }
}

impl fmt::Display for GoDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&duration::format_go(i64::try_from(self.0.as_nanos()).unwrap_or(i64::MAX)))
    }
}

impl fmt::Display for PromDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&duration::format(i64::try_from(self.0.as_millis()).unwrap_or(i64::MAX)))
    }
}

/// Takes one of a few words.
pub fn one_of(words: &'static [&'static str]) -> ValueParser {
    let check = move |text: String| match words.contains(&text.as_str()) {
        true => Ok(text),
        false => Err(format!("enum value must be one of {}, got '{text}'", words.join(","))),
    };
    ValueParser::new(clap::builder::StringValueParser::new().try_map(check))
}

/// Labels given as `name="value"`, the value a Go string; sorted by name.
///
/// # Errors
/// Which label is not understood.
pub fn labels(flags: &[String]) -> Result<Labels, String> {
    let mut pairs = Vec::new();
    for text in flags {
        let (name, value) = text.split_once('=').ok_or_else(|| format!("unrecognized label {text:?}"))?;
        if name.is_empty() {
            return Err(format!("unsupported format for label {name:?}"));
        }
        let value =
            unquote(value).ok_or_else(|| format!("parse label value of {text:?}: not a quoted string"))?;
        pairs.push((name.to_owned(), value));
    }
    Ok(Labels::from_pairs(pairs))
}

/// A Go string literal: in double quotes with escapes, or in backquotes without.
fn unquote(text: &str) -> Option<String> {
    // Go has no strings in single quotes; otherwise PromQL writes them alike.
    if !text.starts_with(['"', '`']) {
        return None;
    }
    match promql::parse(text, &EngineOptions::default()).ok()?.node {
        Node::String(bytes) => String::from_utf8(bytes).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_quoted() {
        let check = |flags: &[&str], want: Result<&[(&str, &str)], &str>| {
            let flags: Vec<String> = flags.iter().map(ToString::to_string).collect();
            let want = want.map(|pairs| Labels::from_pairs(pairs.iter().copied())).map_err(str::to_owned);
            assert_eq!(labels(&flags), want);
        };
        check(&[], Ok(&[]));
        check(&["b=\"x=y\"", "a=`\\n`"], Ok(&[("a", "\\n"), ("b", "x=y")]));
        check(&["a=\"\\\"\\u00e4\""], Ok(&[("a", "\"ä")]));
        check(&["a"], Err("unrecognized label \"a\""));
        for bad in ["a=b", "a='b'", "a=\"b", "a=\"b\" + 1"] {
            assert!(labels(&[bad.to_owned()]).is_err(), "{bad}");
        }
    }

    #[test]
    fn durations_are_shown_in_their_own_spelling() {
        let go = |text: &str| text.parse::<GoDuration>().map(|d| d.to_string());
        let prometheus = |text: &str| text.parse::<PromDuration>().map(|d| d.to_string());
        assert_eq!((go("60m").as_deref(), prometheus("60m").as_deref()), (Ok("1h0m0s"), Ok("1h")));
        assert_eq!((go("0s").as_deref(), prometheus("0ms").as_deref()), (Ok("0s"), Ok("0s")));
        assert_eq!(go("abc"), Err("not a valid duration string: \"abc\"".to_owned()));
        assert!(prometheus("-1s").is_err());
    }
}
