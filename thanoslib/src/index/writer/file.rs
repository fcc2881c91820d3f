//! A file that is written from front to end, and read again while it is.

use std::io::{Read, Seek, SeekFrom, Write};

use crate::error::{Error, ErrorKind, Result};

/// Bytes gathered before they are written.
const WRITE_BYTES: usize = 256 << 10;

/// The file of an index, with what is gathered for its end.
#[derive(Debug)]
pub(super) struct Out<W> {
    file: W,
    /// Bytes in the file.
    written: u64,
    buf: Vec<u8>,
}

fn failed(e: std::io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, format!("cannot write index: {e}")).with_source(e)
}

/// Length of a section as its first four bytes hold it.
pub(super) fn section_len(len: u64, what: &str) -> Result<u32> {
    u32::try_from(len).map_err(|_| Error::limit(format!("{what} of {len} bytes exceeds 4 GiB")))
}

impl<W: Read + Write + Seek> Out<W> {
    /// Begins an empty file.
    pub(super) fn new(file: W) -> Self {
        Self { file, written: 0, buf: Vec::with_capacity(WRITE_BYTES) }
    }

    /// Offset of the next byte.
    pub(super) fn pos(&self) -> u64 {
        self.written + self.buf.len() as u64
    }

    /// Appends bytes.
    pub(super) fn put(&mut self, bytes: &[u8]) -> Result<()> {
        if self.buf.len() + bytes.len() > WRITE_BYTES {
            self.flush()?;
        }
        if bytes.len() >= WRITE_BYTES {
            self.file.write_all(bytes).map_err(failed)?;
            self.written += bytes.len() as u64;
        } else {
            self.buf.extend_from_slice(bytes);
        }
        Ok(())
    }

    /// Appends zeros up to a multiple of `to`.
    pub(super) fn pad(&mut self, to: u64) -> Result<()> {
        let zeros = [0; 16];
        let n = ((to - self.pos() % to) % to) as usize;
        self.put(zeros.get(..n).unwrap_or(&zeros))
    }

    fn flush(&mut self) -> Result<()> {
        self.file.write_all(&self.buf).map_err(failed)?;
        self.written += self.buf.len() as u64;
        self.buf.clear();
        Ok(())
    }

    /// Reads `into.len()` bytes at `offset`, which have been put before.
    pub(super) fn read_at(&mut self, offset: u64, into: &mut [u8]) -> Result<()> {
        self.flush()?;
        let failed = |e| Error::unavailable(format!("cannot read index back: {e}")).with_source(e);
        self.file.seek(SeekFrom::Start(offset)).map_err(failed)?;
        self.file.read_exact(into).map_err(failed)?;
        self.file.seek(SeekFrom::Start(self.written)).map_err(failed)?;
        Ok(())
    }

    /// Writes over bytes at `offset`, which have been put before.
    pub(super) fn patch(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.flush()?;
        self.file.seek(SeekFrom::Start(offset)).map_err(failed)?;
        self.file.write_all(bytes).map_err(failed)?;
        self.file.seek(SeekFrom::Start(self.written)).map_err(failed)?;
        Ok(())
    }

    /// Writes what is gathered and gives the file back.
    pub(super) fn finish(mut self) -> Result<W> {
        self.flush()?;
        self.file.flush().map_err(failed)?;
        Ok(self.file)
    }

    /// Lets the file seem longer than it is.
    #[cfg(test)]
    pub(super) fn pretend(&mut self, pos: u64) {
        self.written = pos - self.buf.len() as u64;
    }
}
