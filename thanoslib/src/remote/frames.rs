//! The frames of a streamed answer.

use bytes::{Buf, Bytes, BytesMut};

use crate::{
    encoding::{Take, crc32c},
    error::DecodeError,
};

/// Longest message of a frame: what Prometheus' own client takes.
pub const FRAME_BYTES_MAX: usize = 50_000_000;
/// Bytes of the checksum.
const SUM_BYTES: usize = 4;
/// Most bytes of a length.
const LENGTH_BYTES_MAX: usize = 10;

/// Cuts a stream of bytes that come in pieces into the messages of its frames.
///
/// **Layout** of a frame: length of the message as uvarint, CRC-32C of the message big-endian,
/// the message. A message that lies whole in a piece is a slice of it; others are copied once.
///
/// Source: Prometheus `storage/remote/chunked.go`.
///
/// ```
/// use bytes::Bytes;
/// use thanoslib::{encoding::crc32c, remote::FrameReader};
/// let mut frames = FrameReader::default();
/// frames.push(Bytes::from([&[2][..], &crc32c(b"ab").to_be_bytes(), b"a"].concat()));
/// assert_eq!(frames.next_frame()?, None);
/// frames.push(Bytes::from_static(b"b"));
/// assert_eq!(frames.next_frame()?, Some(Bytes::from_static(b"ab")));
/// assert!(frames.finish().is_ok());
/// # Ok::<(), thanoslib::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct FrameReader {
    /// The beginning of a frame whose rest has not come.
    begun: BytesMut,
    /// What has come and is not looked at.
    piece: Bytes,
    /// Bytes of all frames before.
    offset: usize,
    /// Message length and length of the head of the begun frame, once known.
    head: Option<(usize, usize)>,
}

impl FrameReader {
    /// Takes the next piece; frames of the one before must have been read.
    pub fn push(&mut self, piece: Bytes) {
        if self.piece.is_empty() {
            self.piece = piece;
        } else {
            self.begun.extend_from_slice(&std::mem::take(&mut self.piece));
            self.piece = piece;
        }
    }

    /// Length of the frame that is being read, once its head has come: so much is held until it is whole.
    pub fn frame_len(&self) -> Option<usize> {
        self.head.map(|(message, head)| head + message)
    }

    /// The message of the next frame; `None` until more pieces come.
    ///
    /// # Errors
    /// A frame that is too long, or whose checksum differs. The reader must not be used after.
    pub fn next_frame(&mut self) -> Result<Option<Bytes>, DecodeError> {
        if self.head.is_none() {
            self.head = self.read_head()?;
        }
        let Some((message_len, head_len)) = self.head else {
            self.keep_rest();
            return Ok(None);
        };
        let whole = head_len + message_len;
        let frame = if self.begun.is_empty() {
            if self.piece.len() < whole {
                self.begun.reserve(whole.min(FRAME_BYTES_MAX + LENGTH_BYTES_MAX + SUM_BYTES));
                self.keep_rest();
                return Ok(None);
            }
            self.piece.split_to(whole)
        } else {
            let missing = whole.saturating_sub(self.begun.len()).min(self.piece.len());
            self.begun.extend_from_slice(&self.piece.split_to(missing));
            if self.begun.len() < whole {
                return Ok(None);
            }
            self.begun.split_to(whole).freeze()
        };
        self.head = None;
        let message = frame.slice(head_len..);
        let sum = Take::new(frame.get(head_len - SUM_BYTES..).unwrap_or_default()).be32()?;
        if crc32c(&message) != sum {
            return Err(DecodeError::new("remote read: frame checksum mismatch", self.offset));
        }
        self.offset += whole;
        Ok(Some(message))
    }

    /// Says whether the stream ended behind a frame.
    ///
    /// # Errors
    /// A stream that ends inside of a frame.
    pub fn finish(&self) -> Result<(), DecodeError> {
        match self.begun.is_empty() && self.piece.is_empty() {
            true => Ok(()),
            false => Err(DecodeError::new("remote read: stream ends inside of a frame", self.offset)),
        }
    }

    fn keep_rest(&mut self) {
        self.begun.extend_from_slice(&std::mem::take(&mut self.piece));
    }

    /// Length of the message and of what stands before it, if enough has come.
    fn read_head(&self) -> Result<Option<(usize, usize)>, DecodeError> {
        let mut first = [0; LENGTH_BYTES_MAX];
        let mut both = (&self.begun[..]).chain(&self.piece[..]);
        let n = both.remaining().min(LENGTH_BYTES_MAX);
        both.copy_to_slice(first.get_mut(..n).unwrap_or_default());
        let known = first.get(..n).unwrap_or_default();
        let mut take = Take::at(known, self.offset);
        if !known.iter().any(|b| *b < 0x80) && n < LENGTH_BYTES_MAX {
            return Ok(None);
        }
        let length = take.uvarint()?;
        match usize::try_from(length) {
            Ok(length) if length <= FRAME_BYTES_MAX => Ok(Some((length, take.taken() + SUM_BYTES))),
            _ => Err(DecodeError::new("remote read: frame is too long", self.offset)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoding::put_uvarint;

    fn frame(message: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        put_uvarint(&mut out, message.len() as u64);
        out.extend_from_slice(&crc32c(message).to_be_bytes());
        out.extend_from_slice(message);
        out
    }

    fn read(stream: &[u8], piece: usize) -> Result<Vec<Bytes>, &'static str> {
        let (mut reader, mut out) = (FrameReader::default(), Vec::new());
        for piece in stream.chunks(piece) {
            reader.push(Bytes::copy_from_slice(piece));
            while let Some(frame) = reader.next_frame().map_err(|e| e.what)? {
                out.push(frame);
            }
        }
        reader.finish().map_err(|e| e.what)?;
        Ok(out)
    }

    #[test]
    fn frames_come_back_whatever_the_pieces() {
        let messages = [&b"abc"[..], b"", &[7; 300], b"x"];
        let stream: Vec<u8> = messages.iter().flat_map(|m| frame(m)).collect();
        for piece in 1..=stream.len() {
            assert_eq!(read(&stream, piece), Ok(messages.map(Bytes::copy_from_slice).to_vec()), "{piece}");
        }
        assert_eq!(read(b"", 1), Ok(Vec::new()));
    }

    #[test]
    fn broken_streams_are_refused() {
        let whole = frame(b"abcdef");
        let check = |stream: &[u8], want: &str| {
            for piece in [1, 3, 100] {
                assert_eq!(read(stream, piece), Err(want), "{stream:?}");
            }
        };
        check(&whole[..8], "remote read: stream ends inside of a frame");
        check(&whole[..1], "remote read: stream ends inside of a frame");
        let mut bad = whole.clone();
        bad[7] ^= 1;
        check(&bad, "remote read: frame checksum mismatch");
        check(&[0xff, 0xff, 0xff, 0xff, 0x0f, 0], "remote read: frame is too long");
        check(&[0x80; 12], "varint overflows 64 bits");
    }
}
