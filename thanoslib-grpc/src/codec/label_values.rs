//! The answers to LabelValues, `thanos.LabelValuesResponse`.
//!
//! They may hold a million values, which as a message would each be an allocation or a share of one.

use bytes::{Buf, BufMut, Bytes};
use prost::{Message, encoding::encode_varint};
use thanoslib::{DecodeError, model::Strings, store::LabelValues};
use tonic::{
    Status,
    codec::{DecodeBuf, EncodeBuf},
};

use super::{
    Wire, malformed,
    wire::{Cursor, varint_len},
};
use crate::pb::thanos::LabelValuesResponse;

/// Field numbers of `thanos.LabelValuesResponse`.
mod field {
    pub(super) const VALUES: u32 = 1;
    pub(super) const WARNINGS: u32 = 2;
    pub(super) const HINTS: u32 = 3;
}

/// The byte in front of a value: its field number, and that a length follows.
const VALUES_KEY: u8 = (field::VALUES << 3) as u8 | 2;

/// Ends of values that room is made for before they come.
const ENDS_MAX: usize = 1 << 20;

/// One answer to LabelValues.
///
/// ```
/// use thanoslib::store::LabelValues;
/// use thanoslib_grpc::codec::LabelValuesFrame;
/// let values = ["api", "web"].into_iter().collect();
/// let frame = LabelValuesFrame::from(LabelValues { values, ..LabelValues::default() });
/// assert_eq!(frame.message().values.len(), 2);
/// ```
#[derive(Debug)]
pub struct LabelValuesFrame(Content);

#[derive(Debug)]
enum Content {
    Answer(LabelValues),
    Message(LabelValuesResponse),
}

impl LabelValuesFrame {
    /// The answer as a message.
    pub fn message(self) -> LabelValuesResponse {
        match self.0 {
            Content::Answer(answer) => answer.into(),
            Content::Message(message) => message,
        }
    }
}

impl From<LabelValues> for LabelValuesFrame {
    fn from(answer: LabelValues) -> Self {
        Self(Content::Answer(answer))
    }
}

impl From<LabelValuesResponse> for LabelValuesFrame {
    fn from(message: LabelValuesResponse) -> Self {
        Self(Content::Message(message))
    }
}

impl From<LabelValuesFrame> for LabelValues {
    fn from(frame: LabelValuesFrame) -> Self {
        match frame.0 {
            Content::Answer(answer) => answer,
            Content::Message(message) => message.into(),
        }
    }
}

impl Wire for LabelValuesFrame {
    const BUFFER_BYTES: usize = 64 << 10;

    fn write(self, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        match self.0 {
            Content::Message(message) => message.write(out),
            Content::Answer(mut answer) => {
                let values = std::mem::take(&mut answer.values);
                out.reserve(values_len(&values));
                put_values(&values, out);
                // The fields behind the values.
                LabelValuesResponse::from(answer).write(out)
            }
        }
    }

    fn read(buf: &mut DecodeBuf<'_>) -> Result<Self, Status> {
        let mut bytes = buf.copy_to_bytes(buf.remaining());
        if let Some(answer) = read(&bytes) {
            return Ok(answer.into());
        }
        let message = LabelValuesResponse::decode(&mut bytes);
        Ok(message.map_err(|e| malformed(&e.to_string(), !bytes.has_remaining()))?.into())
    }
}

fn values_len(values: &Strings) -> usize {
    values.iter().map(|v| 1 + varint_len(v.len() as u64) + v.len()).sum()
}

fn put_values(values: &Strings, out: &mut impl BufMut) {
    for value in values.iter() {
        out.put_u8(VALUES_KEY);
        encode_varint(value.len() as u64, out);
        out.put_slice(value.as_bytes());
    }
}

/// Reads an answer whose values are sorted text and whose other fields are there once; `None` for
/// any other, and for what is no message.
fn read(bytes: &Bytes) -> Option<LabelValues> {
    let (mut text, mut ends) = (Vec::new(), Vec::new());
    let mut rest = LabelValuesResponse::default();
    let mut fields = || -> Result<bool, DecodeError> {
        let mut cursor = Cursor::new(bytes);
        while let Some((number, kind)) = cursor.field()? {
            match number {
                field::VALUES => {
                    let range = cursor.range(kind)?;
                    if ends.is_empty() {
                        // Values are mostly of a length, and their bytes are nearly all of the answer.
                        text.reserve(bytes.len());
                        ends.reserve((bytes.len() / (range.len() + 2) + 1).min(ENDS_MAX));
                    }
                    text.extend_from_slice(&bytes[range]);
                    ends.push(text.len());
                }
                field::WARNINGS => rest.warnings.push(bytes.slice(cursor.range(kind)?)),
                field::HINTS => {
                    let range = cursor.range(kind)?;
                    match prost_types::Any::decode(&bytes[range]) {
                        Ok(hints) if rest.hints.is_none() => rest.hints = Some(hints),
                        _ => return Ok(false),
                    }
                }
                _ => cursor.skip(number, kind)?,
            }
        }
        Ok(true)
    };
    if !fields().ok()? {
        return None;
    }
    let values = Strings::from_parts(String::from_utf8(text).ok()?, ends).ok()?;
    Some(LabelValues { values: values.into_sorted(), ..LabelValues::from(rest) })
}

#[cfg(test)]
mod tests {
    use thanoslib::model::Warnings;

    use super::*;

    fn check(message: &LabelValuesResponse, by_hand: bool) {
        let bytes = Bytes::from(message.encode_to_vec());
        let want = LabelValues::from(message.clone());
        let Some(got) = read(&bytes) else {
            assert!(!by_hand, "{message:?}");
            return;
        };
        assert!(by_hand, "{message:?}");
        assert_eq!(got.values, want.values);
        let texts = |w: &Warnings| w.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(texts(&got.warnings), texts(&want.warnings));
        assert_eq!(got.queried_blocks, want.queried_blocks);
        // And back, as prost writes it.
        let mut out = Vec::new();
        assert_eq!(values_len(&got.values), {
            put_values(&got.values, &mut out);
            out.len()
        });
        let rest = LabelValues { values: Strings::new(), ..got.clone() };
        out.extend(LabelValuesResponse::from(rest).encode_to_vec());
        assert_eq!(out, LabelValuesResponse::from(got).encode_to_vec());
    }

    #[test]
    fn answers_are_read_and_written_as_by_prost() {
        let bytes = |list: &[&'static [u8]]| list.iter().map(|v| Bytes::from_static(v)).collect::<Vec<_>>();
        let of = |values: &[&'static [u8]], warnings: &[&'static [u8]], blocks: &[&str]| {
            let queried_blocks = blocks.iter().map(|b| (*b).to_owned()).collect();
            let answer = LabelValues { queried_blocks, ..LabelValues::default() };
            let hints = LabelValuesResponse::from(answer).hints;
            LabelValuesResponse { values: bytes(values), warnings: bytes(warnings), hints }
        };
        check(&of(&[], &[], &[]), true);
        check(&of(&[b"a", b"b", &[b'c'; 300]], &[b"w", b"\xff"], &["01ARZ3NDEKTSV4RRFFQ69G5FAV"]), true);
        check(&of(&[b"b", b"", b"a", b"b", "é".as_bytes()], &[], &[]), true);
        check(&of(&[b"a", b"\xff", b"b"], &[], &[]), false);
        // Together they would be a character.
        check(&of(&[b"\xc3", b"\xa9"], &[], &[]), false);
    }

    #[test]
    fn what_is_no_message_is_left_to_prost() {
        for bytes in [&[0x0a][..], &[0x0a, 5, b'a'], &[0x08, 1], &[0x1a, 1, 0xff], &[0x1a, 0, 0x1a, 0]] {
            assert!(read(&Bytes::from_static(bytes)).is_none(), "{bytes:x?}");
        }
        // A field that is newer than this crate.
        assert!(read(&Bytes::from_static(&[0x20, 1])).is_some());
    }
}
