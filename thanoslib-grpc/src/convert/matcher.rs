//! Matchers.

use bytes::Bytes;
use thanoslib::{
    Error, Result,
    model::{MatchOp, Matcher},
};

use crate::pb::thanos::{LabelMatcher, label_matcher::Type};

impl TryFrom<&LabelMatcher> for Matcher {
    type Error = Error;

    /// # Errors
    /// `Invalid` for an unknown type or a pattern that does not compile.
    fn try_from(m: &LabelMatcher) -> Result<Self> {
        let op = match Type::try_from(m.r#type) {
            Ok(Type::Eq) => MatchOp::Equal,
            Ok(Type::Neq) => MatchOp::NotEqual,
            Ok(Type::Re) => MatchOp::Regex,
            Ok(Type::Nre) => MatchOp::NotRegex,
            // Compat: the text of Thanos `pkg/store/storepb/custom.go`, which names no field.
            Err(_) => return Err(Error::invalid(format!("unrecognized label matcher type {}", m.r#type))),
        };
        Matcher::new(op, m.name.as_str(), &m.value[..])
    }
}

impl From<&Matcher> for LabelMatcher {
    fn from(m: &Matcher) -> Self {
        let op = match m.op() {
            MatchOp::Equal => Type::Eq,
            MatchOp::NotEqual => Type::Neq,
            MatchOp::Regex => Type::Re,
            MatchOp::NotRegex => Type::Nre,
        };
        Self { r#type: op.into(), name: m.name().to_owned(), value: Bytes::copy_from_slice(m.value()) }
    }
}

/// All matchers of a request.
///
/// # Errors
/// `Invalid` for the first that is none.
pub fn to_matchers(list: &[LabelMatcher]) -> Result<Vec<Matcher>> {
    list.iter().map(Matcher::try_from).collect()
}

pub(super) fn from_matchers(list: &[Matcher]) -> Vec<LabelMatcher> {
    list.iter().map(LabelMatcher::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matchers_survive_and_nonsense_is_refused() {
        let check = |r#type: i32, value: &[u8], want: Result<&str, &str>| {
            let message = LabelMatcher { r#type, name: "a".to_owned(), value: Bytes::copy_from_slice(value) };
            match (Matcher::try_from(&message), want) {
                (Ok(m), Ok(text)) => {
                    assert_eq!(m.to_string(), text);
                    assert_eq!(LabelMatcher::from(&m), message);
                }
                (Err(e), Err(text)) => {
                    assert_eq!(e.kind(), thanoslib::ErrorKind::Invalid);
                    assert!(e.to_string().contains(text), "{e}");
                }
                (got, want) => panic!("{got:?} instead of {want:?}"),
            }
        };
        check(0, b"x\xff", Ok(r#"a="x\xff""#));
        check(0, b"x", Ok(r#"a="x""#));
        check(1, b"x", Ok(r#"a!="x""#));
        check(2, b"x.*", Ok(r#"a=~"x.*""#));
        check(3, b"x|y", Ok(r#"a!~"x|y""#));
        check(9, b"x", Err("unrecognized label matcher type 9"));
        check(-1, b"x", Err("unrecognized label matcher type -1"));
        check(2, b"(", Err(""));
    }
}
