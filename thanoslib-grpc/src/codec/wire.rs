//! The protobuf wire form: varints, tags, lengths.
//!
//! Reading accepts and refuses what prost does.

use std::ops::Range;

use thanoslib::DecodeError;

/// Kind of a field's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Varint,
    Eight,
    Bytes,
    GroupStart,
    GroupEnd,
    Four,
}

/// Groups inside groups that are skipped at most.
const DEPTH_MAX: usize = 100;

/// A place in a message that lies in a frame; places count from the frame's first byte.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a> {
    /// The frame up to the end of the message.
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(frame: &'a [u8]) -> Self {
        Self { bytes: frame, at: 0 }
    }

    /// The message in a range of the frame that was read before.
    pub(super) fn of(frame: &'a [u8], range: Range<usize>) -> Self {
        Self { bytes: &frame[..range.end], at: range.start }
    }

    /// The next byte to be read.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    fn error(&self, what: &'static str) -> DecodeError {
        DecodeError::new(what, self.at)
    }

    /// The next varint.
    #[inline]
    pub(super) fn varint(&mut self) -> Result<u64, DecodeError> {
        match self.bytes.get(self.at) {
            Some(&b) if b < 0x80 => {
                self.at += 1;
                Ok(u64::from(b))
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0;
        for i in 0..10 {
            let Some(&b) = self.bytes.get(self.at + i) else { return Err(self.error("invalid varint")) };
            if i == 9 && b > 1 {
                break;
            }
            value |= u64::from(b & 0x7f) << (7 * i);
            if b < 0x80 {
                self.at += i + 1;
                return Ok(value);
            }
        }
        Err(self.error("invalid varint"))
    }

    /// The next field; `None` at the end of the message.
    #[inline]
    pub(super) fn field(&mut self) -> Result<Option<(u32, Kind)>, DecodeError> {
        if self.at >= self.bytes.len() {
            return Ok(None);
        }
        let key = self.varint()?;
        let kind = match key & 7 {
            0 => Kind::Varint,
            1 => Kind::Eight,
            2 => Kind::Bytes,
            3 => Kind::GroupStart,
            4 => Kind::GroupEnd,
            5 => Kind::Four,
            _ => return Err(self.error("invalid wire type")),
        };
        match u32::try_from(key) {
            Ok(key) if key >> 3 != 0 => Ok(Some((key >> 3, kind))),
            _ => Err(self.error("invalid field number")),
        }
    }

    /// The range of a value that has its length in front.
    #[inline]
    pub(super) fn range(&mut self, kind: Kind) -> Result<Range<usize>, DecodeError> {
        if kind != Kind::Bytes {
            return Err(self.error("invalid wire type"));
        }
        let len = self.varint()?;
        let left = self.bytes.len() - self.at;
        match usize::try_from(len) {
            Ok(len) if len <= left => {
                let start = self.at;
                self.at += len;
                Ok(start..self.at)
            }
            _ => Err(self.error("value is longer than its message")),
        }
    }

    /// The value of a field that is a number.
    #[inline]
    pub(super) fn number(&mut self, kind: Kind) -> Result<u64, DecodeError> {
        if kind != Kind::Varint {
            return Err(self.error("invalid wire type"));
        }
        self.varint()
    }

    /// Passes over the value of a field.
    pub(super) fn skip(&mut self, field: u32, kind: Kind) -> Result<(), DecodeError> {
        let mut groups = Vec::new();
        let (mut field, mut kind) = (field, kind);
        loop {
            match kind {
                Kind::Varint => {
                    self.varint()?;
                }
                Kind::Eight => self.advance(8)?,
                Kind::Four => self.advance(4)?,
                Kind::Bytes => {
                    self.range(kind)?;
                }
                // The field itself is the first level.
                Kind::GroupStart if groups.len() >= DEPTH_MAX => return Err(self.error("too many groups")),
                Kind::GroupStart => groups.push(field),
                Kind::GroupEnd => {
                    if groups.pop() != Some(field) {
                        return Err(self.error("unexpected end of a group"));
                    }
                }
            }
            if groups.is_empty() {
                return Ok(());
            }
            match self.field()? {
                Some(next) => (field, kind) = next,
                None => return Err(self.error("group without an end")),
            }
        }
    }

    fn advance(&mut self, n: usize) -> Result<(), DecodeError> {
        if self.bytes.len() - self.at < n {
            return Err(self.error("value is longer than its message"));
        }
        self.at += n;
        Ok(())
    }
}

/// Bytes of a varint.
#[inline]
pub(super) fn varint_len(v: u64) -> usize {
    (70 - (v | 1).leading_zeros() as usize) / 7
}

/// Bytes of a field of one tag byte that has its length in front.
#[inline]
pub(super) fn field_len(len: usize) -> usize {
    1 + varint_len(len as u64) + len
}

/// Bytes of a field of one tag byte that is a number; a default is left out.
#[inline]
pub(super) fn number_len(v: u64) -> usize {
    if v == 0 { 0 } else { 1 + varint_len(v) }
}

#[cfg(test)]
mod tests {
    use prost::encoding::{encode_varint, encoded_len_varint};

    use super::*;

    #[test]
    fn varints_are_those_of_prost() {
        let check = |v: u64| {
            let mut bytes = Vec::new();
            encode_varint(v, &mut bytes);
            assert_eq!(varint_len(v), encoded_len_varint(v), "{v}");
            let mut cursor = Cursor::new(&bytes);
            assert_eq!((cursor.varint(), cursor.at()), (Ok(v), bytes.len()));
            assert!(Cursor::new(&bytes[..bytes.len() - 1]).varint().is_err());
        };
        for shift in 0..64 {
            for near in [-1i64, 0, 1] {
                check((1u64 << shift).wrapping_add_signed(near));
            }
        }
        assert!(Cursor::new(&[0xff; 10]).varint().is_err());
        assert!(Cursor::new(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]).varint().is_err());
    }

    #[test]
    fn unknown_fields_are_passed_over() {
        let check = |bytes: &[u8], want: Option<usize>| {
            let mut cursor = Cursor::new(bytes);
            let end = cursor.field().and_then(|field| {
                let (number, kind) = field.expect("a field");
                cursor.skip(number, kind).map(|()| cursor.at())
            });
            assert_eq!(end.ok(), want, "{bytes:x?}");
        };
        check(&[0x28, 0x96, 0x01], Some(3));
        check(&[0x29, 1, 2, 3, 4, 5, 6, 7, 8], Some(9));
        check(&[0x2d, 1, 2, 3, 4], Some(5));
        check(&[0x2a, 2, 9, 9], Some(4));
        check(&[0x2a, 3, 9, 9], None);
        check(&[0x2b, 0x08, 1, 0x33, 0x34, 0x2c], Some(6));
        check(&[0x2b, 0x34], None);
        check(&[0x2b, 0x08, 1], None);
        check(&[0x2c], None);
        check(&[0x2e], None);
        check(&[0x00, 0], None);
        check(&[0x2b; 200], None);
    }
}
