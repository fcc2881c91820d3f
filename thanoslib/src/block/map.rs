//! Mapping a file into memory: the only unsafe code of blocks.

use std::{fs::File, io};

use bytes::Bytes;
use memmap2::Mmap;

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
