//! CRC-32C (Castagnoli), the checksum of every shared format.

use super::crc_lanes;

/// CRC-32C of `bytes`; the check value of `123456789` is `0xe3069283`.
#[inline]
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc_lanes::crc32c(bytes).unwrap_or_else(|| crc_fast::crc32_iscsi(bytes))
}

/// CRC-32C of bytes that come in pieces.
///
/// ```
/// use thanoslib::encoding::{Crc32c, crc32c};
/// let mut crc = Crc32c::default();
/// crc.update(b"12345");
/// crc.update(b"6789");
/// assert_eq!((crc.sum(), crc32c(b"123456789")), (0xe306_9283, 0xe306_9283));
/// ```
#[derive(Clone, Debug)]
pub struct Crc32c(crc_fast::Digest);

impl Default for Crc32c {
    fn default() -> Self {
        Self(crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi))
    }
}

impl Crc32c {
    /// Takes the next piece.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Takes the pieces that another sum took, behind its own.
    pub fn append(&mut self, next: &Self) {
        self.0.combine(&next.0);
    }

    /// The sum of all pieces so far.
    pub fn sum(&self) -> u32 {
        self.0.finalize() as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc32c_has_the_castagnoli_check_value() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(b""), 0);
        let mut pieces = Crc32c::default();
        assert_eq!(pieces.sum(), 0);
        ["12", "", "3456789"].iter().for_each(|p| pieces.update(p.as_bytes()));
        assert_eq!(pieces.sum(), 0xe306_9283);
        let (mut head, mut tail) = (Crc32c::default(), Crc32c::default());
        head.update(b"1234");
        tail.update(b"56789");
        head.append(&tail);
        assert_eq!(head.sum(), 0xe306_9283);
    }
}
