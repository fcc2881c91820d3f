//! Mapping a file into memory: the only unsafe code of blocks.

use std::{fs::File, io};

use bytes::Bytes;
use memmap2::{Mmap, MmapOptions};

/// Maps a file for reading.
///
/// The bytes are valid as long as the file is not made shorter: touching a page behind
/// the new end kills the process (SIGBUS). Block files are written once, under another
/// name, and never changed; callers also compare the size before each round of reads.
pub(super) fn map(file: &File) -> io::Result<Bytes> {
    if file.metadata()?.len() == 0 {
        return Ok(Bytes::new());
    }
    // SAFETY: the mapping is private to this process and read only. Its bytes would change
    // under us only if somebody wrote to a block file, which neither Prometheus, Thanos nor
    // this library does after the folder has its final name; every structure is
    // checksummed and bounds-checked after it is read, so changed bytes give wrong data at
    // worst. A file that shrinks is detected before each round of reads; one that shrinks
    // within a round is not, and ends the process.
    let map = unsafe { Mmap::map(file)? };
    Ok(Bytes::from_owner(map))
}

/// Maps some bytes of a file; fewer come back when the file ends before.
///
/// The rules of [`map`] hold. The cache file, which is mapped so, grows and is replaced by
/// another under its name, and is never made shorter behind the first byte of a whole entry.
pub(super) fn map_range(file: &File, offset: u64, len: u64) -> io::Result<Bytes> {
    let left = file.metadata()?.len().saturating_sub(offset);
    let len = usize::try_from(len.min(left)).map_err(io::Error::other)?;
    if len == 0 {
        return Ok(Bytes::new());
    }
    // SAFETY: as in `map`: the mapping is private and read only, and lies inside of the file
    // as it is now; bytes of whole entries are never changed, and every entry is checksummed
    // after it is mapped.
    let map = unsafe { MmapOptions::new().offset(offset).len(len).map(file)? };
    Ok(Bytes::from_owner(map))
}
