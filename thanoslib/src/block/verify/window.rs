//! A window that slides over an object, so that it is read in few large pieces.

use bytes::Bytes;

use crate::{
    block::RangeReader,
    error::{Error, Result},
};

/// Bytes that are read at a time.
pub(super) const WINDOW_BYTES: u64 = 4 << 20;

/// The part of an object that was read last.
#[derive(Debug)]
pub(super) struct Window<'a> {
    reader: &'a dyn RangeReader,
    pub(super) object: String,
    /// What lies from here on is not read.
    pub(super) end: u64,
    base: u64,
    bytes: Bytes,
}

impl<'a> Window<'a> {
    pub(super) fn new(reader: &'a dyn RangeReader, object: String, end: u64) -> Self {
        Self { reader, object, end, base: 0, bytes: Bytes::new() }
    }

    /// The bytes from `offset` on: at least `want`, fewer only at the end.
    pub(super) async fn at(&mut self, offset: u64, want: u64) -> Result<&[u8]> {
        let want_end = offset.saturating_add(want).min(self.end).max(offset);
        if offset < self.base || want_end > self.base + self.bytes.len() as u64 {
            let end = offset.saturating_add(want.max(WINDOW_BYTES)).min(self.end).max(offset);
            // Given back before more is held.
            self.bytes = Bytes::new();
            let read = self.reader.read_ranges(&self.object, std::slice::from_ref(&(offset..end))).await;
            let read = read.map_err(|e| e.context(&self.object))?;
            let [bytes] = read.as_slice() else {
                return Err(Error::internal("a reader gave another number of ranges than asked"));
            };
            (self.base, self.bytes) = (offset, bytes.clone());
        }
        Ok(self.bytes.get((offset - self.base) as usize..).unwrap_or_default())
    }
}
