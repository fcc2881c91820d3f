//! Snappy: single blocks, and the framed stream of blocks.
//!
//! **Layout** of the stream: pieces of a type byte, a length LE24 and a body.
//!
//! | type | body |
//! |---|---|
//! | `0xff` | `sNaPpY`, first in the stream; may come again |
//! | `0x00` | masked CRC-32C LE32 of the bytes, the bytes as a snappy block |
//! | `0x01` | masked CRC-32C LE32 of the bytes, the bytes as they are |
//! | `0x80` to `0xfd` | anything, to be skipped |
//!
//! A piece holds 65 536 bytes at most. Compat: padding (`0xfe`) is an error, as in the readers
//! that Thanos uses.
//!
//! Source: `framing_format.txt` of snappy.

use super::{Take, crc32c};
use crate::error::DecodeError;

/// Bytes that a piece of a stream holds at most.
pub(crate) const SNAPPY_PIECE_BYTES: usize = 65_536;
/// First piece of a stream.
const IDENTIFIER: &[u8; 10] = b"\xff\x06\x00\x00sNaPpY";
/// Most bytes that one byte of a block can stand for; three stand for 64.
const RATIO_MAX: usize = 22;

fn masked(bytes: &[u8]) -> u32 {
    crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// Appends a block.
pub(crate) fn put_snappy_block(out: &mut Vec<u8>, bytes: &[u8]) {
    let start = out.len();
    out.resize(start + snap::raw::max_compress_len(bytes.len()), 0);
    let room = out.get_mut(start..).unwrap_or_default();
    let len = snap::raw::Encoder::new()
        .compress(bytes, room)
        .expect("there is room for the longest result, and inputs here are shorter than 4 GiB");
    out.truncate(start + len);
}

/// Decodes a block of at most `max` bytes to the end of `out`.
///
/// # Errors
/// Bytes that are no block, or one that is longer than `max`.
pub(crate) fn take_snappy_block(bytes: &[u8], max: usize, out: &mut Vec<u8>) -> Result<(), DecodeError> {
    let corrupt = DecodeError::new("snappy: corrupt block", 0);
    let len = snap::raw::decompress_len(bytes).map_err(|_| corrupt)?;
    if len > max {
        return Err(DecodeError::new("snappy: block is too long", 0));
    }
    // The length is the block's word: memory is taken only for what it can hold.
    if len > bytes.len().saturating_mul(RATIO_MAX) {
        return Err(corrupt);
    }
    let start = out.len();
    out.resize(start + len, 0);
    let room = out.get_mut(start..).unwrap_or_default();
    match snap::raw::Decoder::new().decompress(bytes, room) {
        Ok(n) if n == len => Ok(()),
        _ => {
            out.truncate(start);
            Err(corrupt)
        }
    }
}

/// Writes a stream, piece by piece; what is put is cut at 65 536 bytes.
#[derive(Debug, Default)]
pub(crate) struct SnappyWriter {
    out: Vec<u8>,
    piece: Vec<u8>,
    begun: bool,
}

impl SnappyWriter {
    /// A writer that appends to `out`.
    pub(crate) fn new(out: Vec<u8>) -> Self {
        Self { out, ..Self::default() }
    }

    /// Adds bytes.
    pub(crate) fn put(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = SNAPPY_PIECE_BYTES - self.piece.len();
            let (now, rest) = bytes.split_at(room.min(bytes.len()));
            self.piece.extend_from_slice(now);
            if self.piece.len() == SNAPPY_PIECE_BYTES {
                self.end_piece();
            }
            bytes = rest;
        }
    }

    fn end_piece(&mut self) {
        if !self.begun {
            self.out.extend_from_slice(IDENTIFIER);
            self.begun = true;
        }
        let head = self.out.len();
        self.out.extend_from_slice(&[0; 4]);
        self.out.extend_from_slice(&masked(&self.piece).to_le_bytes());
        put_snappy_block(&mut self.out, &self.piece);
        // Not worth it when less than an eighth is saved.
        let compressed = self.out.len() - head - 8;
        let plain = compressed > self.piece.len() - self.piece.len() / 8;
        if plain {
            self.out.truncate(head + 8);
            self.out.extend_from_slice(&self.piece);
        }
        let len = (self.out.len() - head - 4) as u32;
        if let Some(field) = self.out.get_mut(head..head + 4) {
            field.copy_from_slice(&(len << 8 | u32::from(plain)).to_le_bytes());
        }
        self.piece.clear();
    }

    /// Ends the stream; one into which nothing was put is empty.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        if !self.piece.is_empty() {
            self.end_piece();
        }
        self.out
    }
}

/// Reads a stream, piece by piece.
///
/// ```
/// use thanoslib::{encoding::SnappyReader, index::encode_postings};
/// let bytes = encode_postings([16, 17])?;
/// let (mut stream, mut differences) = (SnappyReader::new(&bytes[3..]), Vec::new());
/// while stream.next_into(&mut differences)? {}
/// assert_eq!(differences, [16, 1]);
/// # Ok::<(), thanoslib::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct SnappyReader<'a> {
    take: Take<'a>,
    begun: bool,
}

impl<'a> SnappyReader<'a> {
    /// A reader of a whole stream.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { take: Take::new(bytes), begun: false }
    }

    /// Appends the bytes of the next piece, 65 536 at most; false at the end.
    ///
    /// # Errors
    /// A stream that is cut, does not begin with its identifier, has a piece of unknown type
    /// or with another checksum.
    pub fn next_into(&mut self, out: &mut Vec<u8>) -> Result<bool, DecodeError> {
        loop {
            if self.take.is_empty() {
                return Ok(false);
            }
            let at = self.take;
            let kind = self.take.u8()?;
            let [a, b, c] = self.take.array()?;
            if !self.begun && kind != 0xff {
                return Err(at.error("snappy: stream without identifier"));
            }
            let body = self.take.bytes(u32::from_le_bytes([a, b, c, 0]) as usize)?;
            match kind {
                0xff if body == b"sNaPpY" => self.begun = true,
                0xff => return Err(at.error("snappy: bad identifier")),
                0x80..=0xfd => {}
                0x00 | 0x01 => {
                    let Some((sum, data)) = body.split_first_chunk::<4>() else {
                        return Err(at.error("snappy: piece without checksum"));
                    };
                    let start = out.len();
                    if kind == 0 {
                        take_snappy_block(data, SNAPPY_PIECE_BYTES, out).map_err(|e| at.error(e.what))?;
                    } else if data.len() > SNAPPY_PIECE_BYTES {
                        return Err(at.error("snappy: piece is too long"));
                    } else {
                        out.extend_from_slice(data);
                    }
                    if masked(out.get(start..).unwrap_or_default()) != u32::from_le_bytes(*sum) {
                        out.truncate(start);
                        return Err(at.error("snappy: checksum mismatch"));
                    }
                    return Ok(true);
                }
                _ => return Err(at.error("snappy: piece of unknown type")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Vec<u8>, &'static str> {
        let (mut reader, mut out) = (SnappyReader::new(bytes), Vec::new());
        while reader.next_into(&mut out).map_err(|e| e.what)? {}
        Ok(out)
    }

    #[test]
    fn streams_round_trip() {
        let noise: Vec<u8> = (0..200_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        for data in [&[][..], b"a", &[7; 65_536], &[7; 65_537], &noise] {
            let mut writer = SnappyWriter::new(Vec::new());
            data.chunks(1000).for_each(|c| writer.put(c));
            let stream = writer.finish();
            assert!(stream.len() <= data.len() + 10 + 8 * data.len().div_ceil(65_536));
            assert_eq!(read(&stream).as_deref(), Ok(data));
        }
    }

    #[test]
    fn pieces_are_checked() {
        let mut writer = SnappyWriter::new(Vec::new());
        writer.put(b"abcabcabcabcabcabcabcabc");
        let stream = writer.finish();
        let with = |piece: &[u8]| [&stream[..10], piece, &stream].concat();
        assert_eq!(read(&with(b"\x80\x02\0\0xx")).map(|d| d.len()), Ok(24), "skipped");
        assert_eq!(read(&with(b"\xfd\0\0\0")).map(|d| d.len()), Ok(24), "skipped");
        assert_eq!(read(&with(b"\xfe\0\0\0")), Err("snappy: piece of unknown type"));
        assert_eq!(read(&with(b"\x02\0\0\0")), Err("snappy: piece of unknown type"));
        assert_eq!(read(&with(b"\0\x03\0\0abc")), Err("snappy: piece without checksum"));
        assert_eq!(read(&stream[10..]), Err("snappy: stream without identifier"));
        assert_eq!(read(&stream[..stream.len() - 1]), Err("unexpected end of data"));
        let mut bad = stream.clone();
        bad[15] ^= 1;
        assert_eq!(read(&bad), Err("snappy: checksum mismatch"));
        // A block that claims 4 GiB.
        let huge = [&[0xff, 0xff, 0xff, 0xff, 0x0f][..], b"abc"].concat();
        let mut out = Vec::new();
        assert!(take_snappy_block(&huge, usize::MAX, &mut out).is_err());
        assert!(take_snappy_block(&huge, 100, &mut out).is_err());
        assert_eq!(out.capacity(), 0);
    }
}
