//! Fields of protobuf messages, read and written one by one.

use crate::{
    encoding::{Take, put_uvarint},
    error::DecodeError,
};

/// The value of a field as it stands on the wire.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Field<'a> {
    /// A number of variable length.
    Varint(u64),
    /// Eight bytes, little-endian.
    Fixed64(u64),
    /// Four bytes, little-endian.
    Fixed32(u32),
    /// A string, bytes, a message or packed numbers.
    Bytes(&'a [u8]),
}

impl<'a> Field<'a> {
    /// The bytes of a string or message.
    pub(super) fn bytes(self, what: &'static str) -> Result<&'a [u8], DecodeError> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => Err(DecodeError::new(what, 0)),
        }
    }

    /// A 64-bit number; signed ones are cast.
    pub(super) fn number(self, what: &'static str) -> Result<u64, DecodeError> {
        match self {
            Self::Varint(n) => Ok(n),
            _ => Err(DecodeError::new(what, 0)),
        }
    }

    /// A zig-zag number.
    pub(super) fn zigzag(self, what: &'static str) -> Result<i64, DecodeError> {
        self.number(what).map(zigzag)
    }

    /// A double.
    pub(super) fn double(self, what: &'static str) -> Result<f64, DecodeError> {
        match self {
            Self::Fixed64(bits) => Ok(f64::from_bits(bits)),
            _ => Err(DecodeError::new(what, 0)),
        }
    }

    /// Numbers of a repeated field, packed or not.
    pub(super) fn numbers(self, mut each: impl FnMut(u64)) -> Result<(), DecodeError> {
        match self {
            Self::Varint(n) => each(n),
            Self::Bytes(bytes) => {
                let mut take = Take::new(bytes);
                while !take.is_empty() {
                    each(take.uvarint()?);
                }
            }
            _ => return Err(DecodeError::new("repeated number of another type", 0)),
        }
        Ok(())
    }

    /// Doubles of a repeated field, packed or not.
    pub(super) fn doubles(self, out: &mut Vec<f64>) -> Result<(), DecodeError> {
        match self {
            Self::Fixed64(bits) => out.push(f64::from_bits(bits)),
            Self::Bytes(bytes) if bytes.len().is_multiple_of(8) => {
                let (words, _) = bytes.as_chunks::<8>();
                out.extend(words.iter().map(|w| f64::from_le_bytes(*w)));
            }
            _ => return Err(DecodeError::new("repeated double of another type", 0)),
        }
        Ok(())
    }
}

/// A number from its zig-zag form.
pub(super) fn zigzag(n: u64) -> i64 {
    (n >> 1) as i64 ^ -((n & 1) as i64)
}

/// The fields of a message in their order; ends after the first error.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'a>(Take<'a>);

impl<'a> Fields<'a> {
    /// The fields of a whole message.
    pub(super) fn new(message: &'a [u8]) -> Self {
        Self(Take::new(message))
    }

    fn field(&mut self) -> Result<(u64, Field<'a>), DecodeError> {
        let at = self.0;
        let key = self.0.uvarint()?;
        let field = match key & 7 {
            0 => Field::Varint(self.0.uvarint()?),
            1 => Field::Fixed64(u64::from_le_bytes(self.0.array()?)),
            2 => Field::Bytes(self.0.str()?),
            5 => Field::Fixed32(u32::from_le_bytes(self.0.array()?)),
            _ => return Err(at.error("protobuf field of unknown type")),
        };
        if key >> 3 == 0 {
            return Err(at.error("protobuf field with number 0"));
        }
        Ok((key >> 3, field))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Field<'a>), DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.0 = Take::new(&[]);
        }
        Some(field)
    }
}

/// Appends a number; zero is left out.
pub(super) fn put_number(out: &mut Vec<u8>, field: u64, n: u64) {
    if n != 0 {
        put_uvarint(out, field << 3);
        put_uvarint(out, n);
    }
}

/// Appends a string, bytes, a message or packed numbers.
pub(super) fn put_bytes(out: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    put_uvarint(out, field << 3 | 2);
    put_uvarint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(message: &[u8], want: Result<Vec<(u64, Field<'_>)>, &str>) {
        let got: Result<Vec<_>, _> = Fields::new(message).collect();
        assert_eq!(got.map_err(|e| e.what), want, "{message:?}");
    }

    #[test]
    fn fields_are_read_and_bad_ones_end_the_message() {
        let mut message = Vec::new();
        put_number(&mut message, 1, 300);
        put_number(&mut message, 2, 0);
        put_bytes(&mut message, 3, b"ab");
        message.extend_from_slice(&[0x21, 1, 0, 0, 0, 0, 0, 0, 0, 0x2d, 2, 0, 0, 0]);
        let fields = vec![
            (1, Field::Varint(300)),
            (3, Field::Bytes(b"ab")),
            (4, Field::Fixed64(1)),
            (5, Field::Fixed32(2)),
        ];
        check(&message, Ok(fields));
        check(b"", Ok(Vec::new()));
        check(&[0x0b], Err("protobuf field of unknown type"));
        check(&[0x00, 0x01], Err("protobuf field with number 0"));
        check(&[0x1a, 0x05, 0x61], Err("length exceeds the remaining data"));
        check(&[0x08], Err("unexpected end of varint"));
    }

    #[test]
    fn repeated_numbers_may_be_packed() {
        let read = |field: Field<'_>| {
            let mut out = Vec::new();
            field.numbers(|n| out.push(zigzag(n))).map(|()| out)
        };
        assert_eq!(read(Field::Bytes(&[0, 1, 2, 3])), Ok(vec![0, -1, 1, -2]));
        assert_eq!(read(Field::Varint(4)), Ok(vec![2]));
        assert!(read(Field::Fixed32(4)).is_err());
        let mut out = Vec::new();
        Field::Bytes(&1.5f64.to_le_bytes()).doubles(&mut out).expect("one");
        Field::Fixed64(2.5f64.to_bits()).doubles(&mut out).expect("one");
        assert!(Field::Bytes(&[0; 7]).doubles(&mut out).is_err());
        assert_eq!(out, [1.5, 2.5]);
    }
}
