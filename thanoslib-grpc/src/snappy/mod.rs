//! The compression `snappy` of Go peers: each message of a call is a framed snappy stream.
//!
//! tonic knows no such codec, so messages are rewritten below it: what comes in is inflated
//! before tonic sees it, and what goes out is deflated behind it.
//!
//! Invariant: knows how messages are framed, not what they say.

mod body;
mod layer;

use std::io::{self, Read, Write};

use snap::{read::FrameDecoder, write::FrameEncoder};

use body::{Direction, Recoded};
pub(crate) use layer::{SnappyLayer, accept_answers, deflate_request, inflate_response};

/// Name of the compression in `grpc-encoding`.
pub const NAME: &str = "snappy";

/// Appends the deflated message.
pub(crate) fn deflate(message: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    let mut encoder = FrameEncoder::new(out);
    encoder.write_all(message)?;
    encoder.into_inner().map(drop).map_err(|e| e.into_error())
}

/// The message that was deflated; at most `max` bytes, else an error.
pub(crate) fn inflate(deflated: &[u8], max: usize) -> io::Result<Vec<u8>> {
    let mut out = Vec::with_capacity(deflated.len().saturating_mul(2).min(max));
    let mut decoder = FrameDecoder::new(deflated).take(max as u64 + 1);
    decoder.read_to_end(&mut out)?;
    if out.len() > max {
        return Err(io::Error::other(format!("message is longer than {max} bytes")));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_survive_and_bombs_are_refused() {
        let check = |message: &[u8]| {
            let mut deflated = Vec::new();
            deflate(message, &mut deflated).expect("writes to memory");
            assert_eq!(inflate(&deflated, message.len()).expect("our own"), message);
            if let Some(short) = message.len().checked_sub(1) {
                assert!(inflate(&deflated, short).is_err());
                assert!(inflate(&deflated[..deflated.len() - 1], message.len()).is_err());
            }
        };
        check(b"");
        check(b"abc");
        check(&[7; 1 << 20]);
    }

    #[test]
    fn bytes_of_go_are_read_and_written() {
        // `snappy.NewBufferedWriter` of Go over "hello hello hello hello": stream identifier,
        // then one chunk with the masked CRC-32C of the text.
        let text = b"hello hello hello hello";
        let mut ours = Vec::new();
        deflate(text, &mut ours).expect("writes to memory");
        assert_eq!(&ours[..10], b"\xff\x06\x00\x00sNaPpY");
        let mut by_hand = b"\xff\x06\x00\x00sNaPpY\x01\x1b\x00\x00".to_vec();
        by_hand.extend_from_slice(&masked_crc(text).to_le_bytes());
        by_hand.extend_from_slice(text);
        assert_eq!(inflate(&by_hand, 100).expect("a stored chunk"), text);
        assert_eq!(inflate(&ours, 100).expect("our own"), text);
        by_hand[15] ^= 1;
        assert!(inflate(&by_hand, 100).is_err(), "the checksum is wrong");
    }

    /// As the framing format says it.
    fn masked_crc(data: &[u8]) -> u32 {
        let mut crc = !0u32;
        for byte in data {
            crc ^= u32::from(*byte);
            for _ in 0..8 {
                crc = if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
            }
        }
        (!crc).rotate_right(15).wrapping_add(0xa282_ead8)
    }
}
