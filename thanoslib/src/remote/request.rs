//! The request of a remote read.

use super::wire::{put_bytes, put_number};
use crate::{
    encoding::put_snappy_block,
    model::{Interval, MatchOp, Matcher},
};

/// The two forms of an answer, the one that is wanted more first: streamed chunks, samples.
const ACCEPTED: &[u8] = &[1, 0];

/// The body of a remote read of one selection: a `ReadRequest` as a snappy block.
///
/// It accepts streamed chunks and, as second choice, samples.
///
/// Source: Prometheus `prompb/remote.proto`.
///
/// ```
/// use thanoslib::{Interval, Matcher, remote::encode_read_request};
/// let body = encode_read_request(Interval::new(0, 60_000), &[Matcher::equal("__name__", "up")]);
/// assert!(!body.is_empty());
/// ```
pub fn encode_read_request(interval: Interval, matchers: &[Matcher]) -> Vec<u8> {
    let mut query = Vec::new();
    put_number(&mut query, 1, interval.mint as u64);
    put_number(&mut query, 2, interval.maxt as u64);
    let mut message = Vec::new();
    for matcher in matchers {
        message.clear();
        let op = match matcher.op() {
            MatchOp::Equal => 0,
            MatchOp::NotEqual => 1,
            MatchOp::Regex => 2,
            MatchOp::NotRegex => 3,
        };
        put_number(&mut message, 1, op);
        put_text(&mut message, 2, matcher.name().as_bytes());
        put_text(&mut message, 3, matcher.value());
        put_bytes(&mut query, 3, &message);
    }
    message.clear();
    put_bytes(&mut message, 1, &query);
    put_bytes(&mut message, 2, ACCEPTED);
    let mut body = Vec::new();
    put_snappy_block(&mut body, &message);
    body
}

/// An empty string is left out.
fn put_text(out: &mut Vec<u8>, field: u64, text: &[u8]) {
    if !text.is_empty() {
        put_bytes(out, field, text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoding::take_snappy_block;

    #[test]
    fn a_request_has_the_bytes_that_thanos_sends() {
        let matchers = [Matcher::equal("__name__", "node_memory_free_bytes")];
        let body = encode_read_request(Interval::new(1700013600000, 1700030400000), &matchers);
        let mut plain = Vec::new();
        take_snappy_block(&body, 1 << 10, &mut plain).expect("a block");
        let hex: String = plain.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(
            hex,
            "0a320880dad385bd3110808cd58dbd311a2212085f5f6e616d655f5f1a166e6f64655f6d656d6f72795f667265655f627974657312020100"
        );
        let matcher = Matcher::new(MatchOp::NotRegex, "a", "").expect("valid");
        let mut plain = Vec::new();
        take_snappy_block(&encode_read_request(Interval::new(0, 1), &[matcher]), 1 << 10, &mut plain)
            .expect("a block");
        assert_eq!(plain, b"\x0a\x09\x10\x01\x1a\x05\x08\x03\x12\x01a\x12\x02\x01\0");
    }
}
