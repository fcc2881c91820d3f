//! Hints: messages inside `google.protobuf.Any`.

use prost::{Message, Name};
use prost_types::Any;
use thanoslib::{Error, Result, model::Matcher, store::Hints};

use super::matcher::{from_matchers, to_matchers};
use crate::pb::{
    hintspb::{
        Block, LabelNamesRequestHints, LabelNamesResponseHints, LabelValuesRequestHints,
        LabelValuesResponseHints, SeriesRequestHints, SeriesResponseHints,
    },
    thanos::LabelMatcher,
};

/// Wraps a message as Go peers do.
pub fn any<M: Name>(message: &M) -> Any {
    Any { type_url: format!("type.googleapis.com/{}", M::full_name()), value: message.encode_to_vec() }
}

/// A request's hints: which blocks to read.
pub trait RequestHints: Name + Default {
    /// What the message is called in an error.
    const WHAT: &'static str;
    /// The matchers of the message.
    fn block_matchers(self) -> Vec<LabelMatcher>;
    /// A message with only these matchers.
    fn with_block_matchers(block_matchers: Vec<LabelMatcher>) -> Self;
}

macro_rules! request_hints {
    ($($message:ident $what:literal $($rest:ident)*),*) => {$(
        impl RequestHints for $message {
            const WHAT: &'static str = $what;
            fn block_matchers(self) -> Vec<LabelMatcher> {
                self.block_matchers
            }
            fn with_block_matchers(block_matchers: Vec<LabelMatcher>) -> Self {
                Self { block_matchers, $($rest: Default::default())* }
            }
        }
    )*};
}

request_hints!(
    SeriesRequestHints "series request" enable_query_stats,
    LabelNamesRequestHints "label names request",
    LabelValuesRequestHints "label values request"
);

/// The block matchers of a request's hints; none when there are no hints.
///
/// # Errors
/// `Invalid` for hints of another type, bytes that are no such message, and bad matchers.
pub fn request_matchers<M: RequestHints>(hints: Option<&Any>) -> Result<Vec<Matcher>> {
    let Some(hints) = hints else { return Ok(Vec::new()) };
    let (got, want) = (type_name(hints), M::full_name());
    // Compat: the texts of Thanos `pkg/store/bucket.go` and of gogo's `UnmarshalAny`.
    if got != want {
        return Err(Error::invalid(format!(
            "unmarshal {} hints: mismatched message type: got {got:?} want {want:?}",
            M::WHAT
        )));
    }
    let message = M::decode(hints.value.as_slice())
        .map_err(|e| Error::invalid(format!("unmarshal {} hints: {e}", M::WHAT)))?;
    to_matchers(&message.block_matchers()).map_err(|e| e.context("translate request hints labels matchers"))
}

/// Hints for a request to a peer; `None` without matchers.
pub(super) fn from_request_matchers<M: RequestHints>(matchers: &[Matcher]) -> Option<Any> {
    (!matchers.is_empty()).then(|| any(&M::with_block_matchers(from_matchers(matchers))))
}

/// Name of the message inside: what follows the last slash.
fn type_name(any: &Any) -> &str {
    any.type_url.rsplit('/').next().unwrap_or_default()
}

/// The blocks that a peer says it read; none for hints of unknown type.
pub fn queried_blocks(hints: &Any) -> Vec<String> {
    let value = hints.value.as_slice();
    let blocks = match type_name(hints) {
        "hintspb.SeriesResponseHints" => SeriesResponseHints::decode(value).map(|h| h.queried_blocks),
        "hintspb.LabelNamesResponseHints" => LabelNamesResponseHints::decode(value).map(|h| h.queried_blocks),
        "hintspb.LabelValuesResponseHints" => {
            LabelValuesResponseHints::decode(value).map(|h| h.queried_blocks)
        }
        _ => return Vec::new(),
    };
    // Hints only inform, so bytes that cannot be read count as no hints.
    blocks.unwrap_or_default().into_iter().map(|b| b.id).collect()
}

pub(super) fn blocks(ids: Vec<String>) -> Vec<Block> {
    ids.into_iter().map(|id| Block { id }).collect()
}

impl From<Hints> for SeriesResponseHints {
    fn from(hints: Hints) -> Self {
        Self { queried_blocks: blocks(hints.queried_blocks), query_stats: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_type_is_told_by_what_follows_the_last_slash() {
        let matchers = vec![Matcher::equal("__block_id", "x")];
        let hints = from_request_matchers::<SeriesRequestHints>(&matchers).expect("matchers give hints");
        assert_eq!(hints.type_url, "type.googleapis.com/hintspb.SeriesRequestHints");
        let check = |type_url: &str, want: Result<usize, &str>| {
            let hints = Any { type_url: type_url.to_owned(), ..hints.clone() };
            let got = request_matchers::<SeriesRequestHints>(Some(&hints));
            assert_eq!(got.map(|m| m.len()).map_err(|e| e.to_string()), want.map_err(str::to_owned));
        };
        check("type.googleapis.com/hintspb.SeriesRequestHints", Ok(1));
        check("a/b/hintspb.SeriesRequestHints", Ok(1));
        check("hintspb.SeriesRequestHints", Ok(1));
        check(
            "type.googleapis.com/hintspb.LabelNamesRequestHints",
            Err("unmarshal series request hints: mismatched message type: \
                 got \"hintspb.LabelNamesRequestHints\" want \"hintspb.SeriesRequestHints\""),
        );
        assert!(request_matchers::<SeriesRequestHints>(None).expect("no hints").is_empty());
    }

    #[test]
    fn blocks_are_read_from_every_kind_of_answer() {
        let queried_blocks = vec![Block { id: "01X".to_owned() }];
        let check = |hints: Any, want: &[&str]| assert_eq!(super::queried_blocks(&hints), want);
        check(any(&LabelNamesResponseHints { queried_blocks: queried_blocks.clone() }), &["01X"]);
        check(any(&LabelValuesResponseHints { queried_blocks: queried_blocks.clone() }), &["01X"]);
        check(any(&SeriesResponseHints { queried_blocks, query_stats: None }), &["01X"]);
        check(Any { type_url: "x/y.Z".to_owned(), value: vec![1, 2, 3] }, &[]);
    }
}
