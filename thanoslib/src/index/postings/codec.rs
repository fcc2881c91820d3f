//! The forms in which caches keep postings: differences of ascending ids, compressed.
//!
//! | bytes | field |
//! |---|---|
//! | 3 | `dvs` or `dss` |
//! | … | the differences, the first from 0, each as uvarint: as one snappy block (`dvs`), as a framed snappy stream (`dss`) |
//!
//! A difference may lie in two pieces of the stream; ids may repeat; their number is not kept.
//! Of an empty list, `dss` has nothing after the three letters. Both forms are read, `dss` is
//! written.
//!
//! Source: Thanos `pkg/store/postings_codec.go`.

use crate::{
    encoding::{SnappyReader, SnappyWriter, Take, put_uvarint, take_snappy_block},
    error::{DecodeError, Error, Result},
};

/// Longest form of a difference.
const DIFFERENCE_BYTES_MAX: usize = 10;
/// Bytes of differences in a `dvs` block that are believed: more than 2³² one-byte ones.
const BLOCK_BYTES_MAX: usize = (1 << 32) + (1 << 20);

/// Writes the `dss` form, id by id.
#[derive(Debug)]
struct PostingsEncoder {
    stream: SnappyWriter,
    last: u64,
    buf: Vec<u8>,
}

impl Default for PostingsEncoder {
    fn default() -> Self {
        Self { stream: SnappyWriter::new(b"dss".to_vec()), last: 0, buf: Vec::new() }
    }
}

impl PostingsEncoder {
    /// Adds an id, which is not less than the one before.
    ///
    /// # Errors
    /// `Invalid` for an id that is less.
    fn push(&mut self, id: u64) -> Result<()> {
        let Some(difference) = id.checked_sub(self.last) else {
            return Err(Error::invalid(format!("postings do not ascend: {id} comes after {}", self.last)));
        };
        put_uvarint(&mut self.buf, difference);
        self.last = id;
        if self.buf.len() >= 4096 {
            self.flush();
        }
        Ok(())
    }

    fn flush(&mut self) {
        self.stream.put(&self.buf);
        self.buf.clear();
    }

    /// The bytes of all ids.
    fn finish(mut self) -> Vec<u8> {
        self.flush();
        self.stream.finish()
    }
}

/// The `dss` form of some ids.
///
/// ```
/// use thanoslib::index::{PostingsDecoder, encode_postings};
///
/// let bytes = encode_postings([16, 17, 900])?;
/// assert!(bytes.starts_with(b"dss"));
/// let mut ids = Vec::new();
/// let mut decoder = PostingsDecoder::new(&bytes)?;
/// while decoder.next_into(&mut ids)? {}
/// assert_eq!(ids, [16, 17, 900]);
/// # Ok::<(), thanoslib::Error>(())
/// ```
///
/// # Errors
/// `Invalid` for ids that descend.
pub fn encode_postings(ids: impl IntoIterator<Item = u64>) -> Result<Vec<u8>> {
    let mut encoder = PostingsEncoder::default();
    ids.into_iter().try_for_each(|id| encoder.push(id))?;
    Ok(encoder.finish())
}

/// Reads either form, piece by piece.
///
/// See [`encode_postings`].
#[derive(Debug)]
pub struct PostingsDecoder<'a> {
    source: Source<'a>,
    /// Bytes decompressed; of those of a piece, what no difference ended in yet.
    plain: Vec<u8>,
    /// Place in `plain` of the next difference.
    at: usize,
    last: u64,
}

#[derive(Debug)]
enum Source<'a> {
    /// A stream, of which pieces may be left.
    Stream(SnappyReader<'a>),
    /// A block, whose bytes are in `plain`.
    Block,
}

/// Ids that one call gives at most.
const IDS_AT_ONCE: usize = 64 << 10;

impl<'a> PostingsDecoder<'a> {
    /// A decoder of a cached value.
    ///
    /// # Errors
    /// Another form, or a damaged block.
    pub fn new(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut plain = Vec::new();
        let source = match bytes.split_first_chunk::<3>() {
            Some((b"dss", stream)) => Source::Stream(SnappyReader::new(stream)),
            Some((b"dvs", block)) => {
                take_snappy_block(block, BLOCK_BYTES_MAX, &mut plain)
                    .map_err(|e| DecodeError::new(e.what, e.offset + 3))?;
                Source::Block
            }
            _ => return Err(DecodeError::new("postings of an unknown form", 0)),
        };
        Ok(Self { source, plain, at: 0, last: 0 })
    }

    /// Appends the next ids, 65 536 at most; false at the end. After an error `ids` ends with
    /// the last sound one.
    ///
    /// # Errors
    /// A damaged stream, a difference that is cut or leads beyond 64 bits.
    pub fn next_into(&mut self, ids: &mut Vec<u64>) -> Result<bool, DecodeError> {
        let before = ids.len();
        loop {
            self.decode(ids)?;
            if ids.len() > before {
                return Ok(true);
            }
            let Source::Stream(stream) = &mut self.source else { break };
            // What is left of the piece before is the start of a difference.
            self.plain.drain(..self.at);
            self.at = 0;
            if !stream.next_into(&mut self.plain).map_err(|e| DecodeError::new(e.what, e.offset + 3))? {
                break;
            }
        }
        match self.at == self.plain.len() {
            true => Ok(false),
            false => Err(DecodeError::new("postings: the last difference is cut", self.at)),
        }
    }

    /// Decodes the differences that are whole.
    fn decode(&mut self, ids: &mut Vec<u64>) -> Result<(), DecodeError> {
        let mut take = Take::at(self.plain.get(self.at..).unwrap_or_default(), self.at);
        let mut last = self.last;
        let mut failed = None;
        for _ in 0..IDS_AT_ONCE {
            if take.is_empty() {
                break;
            }
            let here = take;
            let Ok(difference) = take.uvarint() else {
                // Ten bytes always hold a difference: with fewer, the rest may be yet to come.
                if here.rest().len() >= DIFFERENCE_BYTES_MAX {
                    failed = Some(here.error("postings: bad difference"));
                }
                take = here;
                break;
            };
            let Some(id) = last.checked_add(difference) else {
                failed = Some(here.error("postings: id exceeds 64 bits"));
                take = here;
                break;
            };
            last = id;
            ids.push(id);
        }
        self.last = last;
        self.at += take.taken();
        failed.map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(bytes: &[u8]) -> (Vec<u64>, Option<&'static str>) {
        let mut ids = Vec::new();
        let mut decoder = match PostingsDecoder::new(bytes) {
            Ok(decoder) => decoder,
            Err(e) => return (ids, Some(e.what)),
        };
        loop {
            match decoder.next_into(&mut ids) {
                Ok(true) => {}
                Ok(false) => return (ids, None),
                Err(e) => return (ids, Some(e.what)),
            }
        }
    }

    #[test]
    fn ids_round_trip_over_pieces() {
        let check = |ids: Vec<u64>| {
            let bytes = encode_postings(ids.iter().copied()).expect("ascending");
            assert_eq!(decode(&bytes), (ids, None));
        };
        check(vec![]);
        check(vec![0, 0, 5, 5, u64::MAX]);
        // Differences of three and of nine bytes, so that some lie in two pieces.
        check((0..100_000).map(|i| i * 20_011).collect());
        check((0..50_000u64).map(|i| (i << 46) + i * i).take_while(|i| *i < u64::MAX / 2).collect());
        check(
            (0..100_000)
                .map(|i| i * 150 + (i % 7) * 20)
                .collect::<std::collections::BTreeSet<u64>>()
                .into_iter()
                .collect(),
        );
        assert!(encode_postings([5, 4]).is_err());
        assert_eq!(encode_postings([]).expect("empty"), b"dss");
    }

    #[test]
    fn damage_is_an_error_after_the_sound_ids() {
        let mut block = b"dvs".to_vec();
        crate::encoding::put_snappy_block(&mut block, &[1, 2, 0x80]);
        assert_eq!(decode(&block), (vec![1, 3], Some("postings: the last difference is cut")));
        let mut block = b"dvs".to_vec();
        crate::encoding::put_snappy_block(&mut block, &[&[1u8][..], &[0xff; 12]].concat());
        assert_eq!(decode(&block), (vec![1], Some("postings: bad difference")));
        let mut block = b"dvs".to_vec();
        crate::encoding::put_snappy_block(&mut block, b"\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01");
        assert_eq!(decode(&block), (vec![1], Some("postings: id exceeds 64 bits")));
        assert_eq!(decode(b"xyz123"), (vec![], Some("postings of an unknown form")));
        assert_eq!(decode(b"ds"), (vec![], Some("postings of an unknown form")));
        assert_eq!(decode(b"dss"), (vec![], None));
        assert_eq!(decode(b"dvs"), (vec![], Some("snappy: corrupt block")));
    }
}
