//! Header and table of contents of an index file.

use crate::{
    encoding::{Take, crc32c},
    error::DecodeError,
};

const MAGIC: u32 = 0xbaaa_d700;

/// Length of the file header.
pub(crate) const HEADER_LEN: usize = 5;

/// Format version of an index.
///
/// ```
/// use thanoslib::index::{Version, parse_header};
/// assert_eq!(parse_header(&[0xba, 0xaa, 0xd7, 0x00, 2])?, Version::V2);
/// # Ok::<(), thanoslib::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// References are file offsets; the postings table is in no order.
    V1,
    /// Series references count 16 bytes, symbols are numbered, the postings table is sorted.
    V2,
}

impl Version {
    /// Number in the file header.
    pub const fn number(self) -> u8 {
        match self {
            Version::V1 => 1,
            Version::V2 => 2,
        }
    }

    /// File offset of the series entry that a postings list calls `id`.
    pub const fn series_offset(self, id: u32) -> u64 {
        match self {
            Version::V1 => id as u64,
            Version::V2 => id as u64 * 16,
        }
    }
}

/// Reads the first bytes of an index file.
///
/// | offset | size | field | value |
/// |---|---|---|---|
/// | 0 | 4 | magic | `0xBAAAD700`, big-endian |
/// | 4 | 1 | version | 1 or 2; 3 is read as 2 |
///
/// Source: Prometheus `tsdb/docs/format/index.md`.
/// Compat: Prometheus' reader takes version 3 without treating it otherwise (`tsdb/index/index.go`).
///
/// # Errors
/// Too few bytes, another magic number, an unknown version.
pub fn parse_header(bytes: &[u8]) -> Result<Version, DecodeError> {
    let mut take = Take::new(bytes);
    if take.be32()? != MAGIC {
        return Err(DecodeError::new("index header: wrong magic number", 0));
    }
    match take.u8()? {
        1 => Ok(Version::V1),
        2 | 3 => Ok(Version::V2),
        _ => Err(DecodeError::new("index header: unknown version", 4)),
    }
}

/// Appends the header of a version 2 index.
pub(super) fn encode_header(out: &mut Vec<u8>) {
    out.extend_from_slice(&MAGIC.to_be_bytes());
    out.push(2);
}

/// The last 52 bytes of an index: where its sections begin.
///
/// | offset | size | field |
/// |---|---|---|
/// | 0 | 8 | symbols |
/// | 8 | 8 | series: the end of the symbols; the first entry is aligned to 16 |
/// | 16 | 8 | label indices; equal to `postings` in files of today |
/// | 24 | 8 | label offset table; equal to `postings_table` in files of today |
/// | 32 | 8 | postings: the end of the series; the first list is aligned to 4 |
/// | 40 | 8 | postings offset table |
/// | 48 | 4 | CRC-32C of the 48 bytes before |
///
/// All numbers are big-endian file offsets; the label sections are never read.
/// Source: Prometheus `tsdb/docs/format/index.md`.
///
/// ```
/// use thanoslib::index::Toc;
/// let toc = Toc { symbols: 5, series: 16, label_indices: 32, label_indices_table: 48, postings: 32, postings_table: 48 };
/// let mut bytes = vec![0; 64];
/// toc.encode(&mut bytes);
/// assert_eq!(Toc::parse(&bytes[64..], bytes.len() as u64)?, toc);
/// # Ok::<(), thanoslib::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Toc {
    /// Symbols.
    pub symbols: u64,
    /// End of the symbols, before the padding of the first series.
    pub series: u64,
    /// Label indices of old files.
    pub label_indices: u64,
    /// Label offset table of old files.
    pub label_indices_table: u64,
    /// End of the series, before the padding of the first postings list.
    pub postings: u64,
    /// Postings offset table.
    pub postings_table: u64,
}

impl Toc {
    /// Length in bytes.
    pub const LEN: usize = 52;

    /// Reads the table from the last 52 bytes of a file of `file_len` bytes.
    ///
    /// # Errors
    /// Wrong length or checksum; sections that are out of order or outside of the file.
    pub fn parse(bytes: &[u8], file_len: u64) -> Result<Self, DecodeError> {
        let base = (file_len as usize).saturating_sub(Self::LEN);
        let mut take = Take::at(bytes, base);
        let body = take.bytes(48)?;
        if take.be32()? != crc32c(body) {
            return Err(DecodeError::new("table of contents checksum mismatch", base + 48));
        }
        let mut take = Take::at(body, base);
        let toc = Self {
            symbols: take.be64()?,
            series: take.be64()?,
            label_indices: take.be64()?,
            label_indices_table: take.be64()?,
            postings: take.be64()?,
            postings_table: take.be64()?,
        };
        let order =
            [HEADER_LEN as u64, toc.symbols, toc.series, toc.postings, toc.postings_table, base as u64];
        if !order.is_sorted() || file_len < (HEADER_LEN + Self::LEN) as u64 {
            return Err(DecodeError::new("table of contents points outside of the file", base));
        }
        Ok(toc)
    }

    /// Appends the 52 bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        for v in [
            self.symbols,
            self.series,
            self.label_indices,
            self.label_indices_table,
            self.postings,
            self.postings_table,
        ] {
            out.extend_from_slice(&v.to_be_bytes());
        }
        let crc = crc32c(out.get(start..).unwrap_or_default());
        out.extend_from_slice(&crc.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_of_contents_round_trips_and_is_checked() {
        let toc = Toc {
            symbols: 5,
            series: 30,
            label_indices: 90,
            label_indices_table: 120,
            postings: 90,
            postings_table: 120,
        };
        let mut out = Vec::new();
        toc.encode(&mut out);
        assert_eq!(Toc::parse(&out, 200), Ok(toc));
        assert!(Toc::parse(&out, 100).is_err(), "table behind the end");
        out[3] ^= 1;
        assert!(Toc::parse(&out, 200).is_err(), "checksum");
    }

    #[test]
    fn headers_of_three_versions_are_known() {
        let check = |version: u8, want| {
            assert_eq!(parse_header(&[0xba, 0xaa, 0xd7, 0, version]).ok(), want, "version {version}");
        };
        check(1, Some(Version::V1));
        check(2, Some(Version::V2));
        check(3, Some(Version::V2));
        check(4, None);
        check(0, None);
        assert!(parse_header(b"\xba\xaa\xd7").is_err());
    }
}
