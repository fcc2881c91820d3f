//! The cache file: descriptions and index-headers of the blocks of one bucket.
//!
//! Invariant: knows bytes of blocks and their names; knows no requests and no bucket.

use std::{
    collections::HashMap,
    fs::{self, File, TryLockError},
    io::{Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;

use super::{
    BlockId, BlockMeta,
    map::{map, map_range},
    write::sync_dir,
};
use crate::{
    encoding::Take,
    error::{DecodeError, Error, ErrorKind, Result, cannot_write},
};

const MAGIC: &[u8; 8] = b"ThnsBlks";
const VERSION: u32 = 1;
const HEADER_BYTES: u64 = 16;
const ENTRY_MAGIC: u32 = 0x426c_6b45;
const ENTRY_BYTES: usize = 48;
/// Entries begin at multiples of this.
const ALIGN: u64 = 8;
/// Bytes of entries without use that are left in the file in any case.
const UNUSED_BYTES_MIN: u64 = 1 << 20;

/// What an entry holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    /// The bytes of `meta.json`.
    Meta = 1,
    /// The bytes of the index-header.
    IndexHeader = 2,
}

/// Place of an entry's payload.
#[derive(Clone, Copy, Debug)]
struct Slot {
    offset: u64,
    len: u64,
    crc: u32,
    stamp_ms: i64,
}

impl Slot {
    /// Bytes that the entry takes in the file.
    fn entry_bytes(&self) -> u64 {
        ENTRY_BYTES as u64 + self.len.next_multiple_of(ALIGN)
    }
}

/// A local file with what must be known of the blocks of a bucket before they answer: their
/// descriptions and index-headers. With it, a restart reads no object of blocks that it knows.
///
/// Everything in it can be had from the bucket again: an entry that is damaged is dropped,
/// counted, told in the log, and read from the bucket as if it had never been. Only one
/// process may use a file at a time.
///
/// Calls read and write the file and block the calling thread while they do.
///
/// ```
/// use thanoslib::block::{BlockCache, BlockId, BlockMeta};
/// let folder = tempfile::tempdir()?;
/// let meta = BlockMeta { ulid: BlockId::from_parts(1, 2), version: 1, ..BlockMeta::default() };
/// let cache = BlockCache::open(folder.path().join("cache"))?;
/// cache.put_meta(meta.ulid, 7, &meta.encode()?)?;
/// drop(cache);
/// let cache = BlockCache::open(folder.path().join("cache"))?;
/// assert_eq!(cache.meta(meta.ulid, Some(7)), Some(meta));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[doc = ""]
#[doc = include_str!("../../docs/format/cache-file.md")]
#[derive(Debug)]
pub struct BlockCache {
    path: PathBuf,
    state: Mutex<State>,
    damaged: AtomicU64,
    /// Held as long as the file is in use.
    _lock: File,
}

#[derive(Debug)]
struct State {
    file: File,
    len: u64,
    slots: HashMap<(BlockId, Kind), Slot>,
}

impl State {
    fn used_bytes(&self) -> u64 {
        HEADER_BYTES + self.slots.values().map(Slot::entry_bytes).sum::<u64>()
    }
}

fn unreadable(path: &Path) -> impl Fn(std::io::Error) -> Error {
    let path = path.display().to_string();
    move |e| Error::new(ErrorKind::Unavailable, format!("cannot read {path}: {e}")).with_source(e)
}

impl BlockCache {
    /// Opens the file at `path`, or begins it. What is damaged is left out.
    ///
    /// # Errors
    /// `Conflict` when another process, or another part of this one, uses the file;
    /// `Unavailable` when it cannot be read or written.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(cannot_write(parent))?;
        }
        let lock_path = path.with_extension("lock");
        let lock = File::options().write(true).create(true).truncate(false).open(&lock_path);
        let lock = lock.map_err(cannot_write(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let text = format!("{} is in use: choose another data folder", path.display());
                return Err(Error::new(ErrorKind::Conflict, text));
            }
            Err(TryLockError::Error(e)) => return Err(cannot_write(&lock_path)(e)),
        }
        let (state, damaged) = match load(&path)? {
            Some((state, damaged)) => (state, damaged),
            None => (create(&path, &[])?, Vec::new()),
        };
        let cache = Self { path, state: Mutex::new(state), damaged: AtomicU64::new(0), _lock: lock };
        for what in damaged {
            cache.note_damage(&what);
        }
        Ok(cache)
    }

    /// Entries found damaged since the file was opened.
    pub fn damaged(&self) -> u64 {
        self.damaged.load(Ordering::Relaxed)
    }

    /// Where the file lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.lock().slots.len()
    }

    /// True without entries.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The description of a block. `stamp_ms` is when the object was last written, if that
    /// is known; a description of another time is not given.
    pub fn meta(&self, id: BlockId, stamp_ms: Option<i64>) -> Option<BlockMeta> {
        let (bytes, stamp) = self.get(id, Kind::Meta)?;
        if stamp_ms.is_some_and(|s| s != stamp) {
            return None;
        }
        match BlockMeta::parse(&bytes) {
            Ok(meta) if meta.ulid == id => Some(meta),
            _ => {
                self.drop_damaged(id, Kind::Meta, "is no description of the block");
                None
            }
        }
    }

    /// Keeps the bytes of a description; `stamp_ms` is when the object was last written, 0
    /// when that is not known.
    ///
    /// # Errors
    /// `Unavailable` when the file cannot be written; what was in it stays.
    pub fn put_meta(&self, id: BlockId, stamp_ms: i64, bytes: &[u8]) -> Result<()> {
        self.put(id, Kind::Meta, stamp_ms, bytes)
    }

    /// The bytes of a block's index-header, mapped.
    pub fn index_header(&self, id: BlockId) -> Option<Bytes> {
        self.get(id, Kind::IndexHeader).map(|(bytes, _)| bytes)
    }

    /// Keeps the bytes of an index-header, and gives them mapped.
    ///
    /// # Errors
    /// As [`BlockCache::put_meta`].
    pub fn put_index_header(&self, id: BlockId, bytes: &[u8]) -> Result<Bytes> {
        self.put(id, Kind::IndexHeader, 0, bytes)?;
        self.index_header(id).ok_or_else(|| {
            Error::unavailable(format!("{} gives other bytes than were written", self.path.display()))
        })
    }

    /// Drops an index-header that its reader found wrong.
    pub fn drop_index_header(&self, id: BlockId, why: &str) {
        self.drop_damaged(id, Kind::IndexHeader, why);
    }

    /// Forgets the blocks for which `keep` is false, and writes the file anew when more than
    /// half of it is of no use.
    ///
    /// # Errors
    /// As [`BlockCache::put_meta`].
    pub fn retain(&self, keep: impl Fn(BlockId) -> bool) -> Result<()> {
        let mut state = self.lock();
        state.slots.retain(|(id, _), _| keep(*id));
        let used = state.used_bytes();
        if state.len - used.min(state.len) <= used.max(UNUSED_BYTES_MIN) {
            return Ok(());
        }
        let mut entries: Vec<_> = state.slots.iter().map(|(key, slot)| (*key, *slot)).collect();
        entries.sort_unstable_by_key(|(_, slot)| slot.offset);
        let mut sound = Vec::new();
        for ((id, kind), slot) in entries {
            let bytes = map_range(&state.file, slot.offset, slot.len).map_err(unreadable(&self.path))?;
            if crc32fast::hash(&bytes) == slot.crc {
                sound.push((id, kind, slot.stamp_ms, bytes));
            } else {
                self.note_damage(&format!("entry of block {id} at {}: wrong checksum", slot.offset));
            }
        }
        *state = create(&self.path, &sound)?;
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, id: BlockId, kind: Kind) -> Option<(Bytes, i64)> {
        let state = self.lock();
        let slot = *state.slots.get(&(id, kind))?;
        let bytes = map_range(&state.file, slot.offset, slot.len);
        drop(state);
        match bytes {
            Ok(bytes) if bytes.len() as u64 == slot.len && crc32fast::hash(&bytes) == slot.crc => {
                Some((bytes, slot.stamp_ms))
            }
            Ok(_) => {
                self.drop_damaged(id, kind, "has a wrong checksum");
                None
            }
            Err(e) => {
                self.drop_damaged(id, kind, &format!("cannot be read: {e}"));
                None
            }
        }
    }

    fn drop_damaged(&self, id: BlockId, kind: Kind, why: &str) {
        if let Some(slot) = self.lock().slots.remove(&(id, kind)) {
            self.note_damage(&format!("entry of block {id} at {} {why}", slot.offset));
        }
    }

    fn note_damage(&self, what: &str) {
        self.damaged.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(file = %self.path.display(), "cache file is damaged, the bucket is read instead: {what}");
    }

    fn put(&self, id: BlockId, kind: Kind, stamp_ms: i64, payload: &[u8]) -> Result<()> {
        let mut state = self.lock();
        let at = state.len;
        match write_entry(&mut state.file, at, id, kind, stamp_ms, payload) {
            Ok(slot) => {
                state.len = at + slot.entry_bytes();
                state.slots.insert((id, kind), slot);
                Ok(())
            }
            Err(e) => {
                // Half an entry would be told as damage when the file is opened next.
                if let Err(e) = state.file.set_len(at) {
                    tracing::debug!(file = %self.path.display(), error = %e, "half an entry stays");
                }
                Err(cannot_write(&self.path)(e))
            }
        }
    }
}

/// Appends an entry at `at`.
fn write_entry(
    file: &mut File,
    at: u64,
    id: BlockId,
    kind: Kind,
    stamp_ms: i64,
    payload: &[u8],
) -> std::io::Result<Slot> {
    let slot = Slot {
        offset: at + ENTRY_BYTES as u64,
        len: payload.len() as u64,
        crc: crc32fast::hash(payload),
        stamp_ms,
    };
    let mut head = Vec::with_capacity(ENTRY_BYTES);
    head.extend_from_slice(&ENTRY_MAGIC.to_be_bytes());
    head.extend_from_slice(&[kind as u8, 0, 0, 0]);
    head.extend_from_slice(&id.to_bytes());
    head.extend_from_slice(&stamp_ms.to_be_bytes());
    head.extend_from_slice(&slot.len.to_be_bytes());
    head.extend_from_slice(&slot.crc.to_be_bytes());
    head.extend_from_slice(&crc32fast::hash(&head).to_be_bytes());
    file.seek(SeekFrom::Start(at))?;
    file.write_all(&head)?;
    file.write_all(payload)?;
    let padding = slot.len.next_multiple_of(ALIGN) - slot.len;
    file.write_all([0; ALIGN as usize].get(..padding as usize).unwrap_or_default())?;
    Ok(slot)
}

/// Writes a file of these entries beside and gives it the name.
fn create(path: &Path, entries: &[(BlockId, Kind, i64, Bytes)]) -> Result<State> {
    let tmp = path.with_extension("tmp");
    let write = || -> std::io::Result<State> {
        let mut file = File::options().read(true).write(true).create(true).truncate(true).open(&tmp)?;
        let mut head = MAGIC.to_vec();
        head.extend_from_slice(&VERSION.to_be_bytes());
        head.extend_from_slice(&crc32fast::hash(&head).to_be_bytes());
        file.write_all(&head)?;
        let (mut len, mut slots) = (HEADER_BYTES, HashMap::new());
        for (id, kind, stamp_ms, bytes) in entries {
            let slot = write_entry(&mut file, len, *id, *kind, *stamp_ms, bytes)?;
            len += slot.entry_bytes();
            slots.insert((*id, *kind), slot);
        }
        file.sync_all()?;
        fs::rename(&tmp, path)?;
        Ok(State { file, len, slots })
    };
    let state = write().map_err(cannot_write(path))?;
    if let Some(parent) = path.parent() {
        sync_dir(parent)?;
    }
    Ok(state)
}

/// Reads the places of all entries; `None` without a usable file. Damage comes as texts.
fn load(path: &Path) -> Result<Option<(State, Vec<String>)>> {
    let open = File::options().read(true).write(true).open(path);
    let mut file = match open {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(unreadable(path)(e)),
    };
    let mut head = Vec::new();
    Read::take(&mut file, HEADER_BYTES).read_to_end(&mut head).map_err(unreadable(path))?;
    let mut damaged = Vec::new();
    if let Err(e) = check_head(&head) {
        damaged.push(e.to_string());
        return Ok(Some((create(path, &[])?, damaged)));
    }
    let bytes = map(&file).map_err(unreadable(path))?;
    let (slots, end) = scan(&bytes, &mut damaged);
    drop(bytes);
    // A part of an entry must not seem whole because of what is appended.
    file.set_len(end).map_err(cannot_write(path))?;
    Ok(Some((State { file, len: end, slots }, damaged)))
}

fn check_head(head: &[u8]) -> Result<(), DecodeError> {
    let mut take = Take::new(head);
    let sound = take.bytes(8)? == MAGIC;
    let version = take.be32()?;
    let crc = take.be32()?;
    if !sound || head.get(..12).is_none_or(|h| crc32fast::hash(h) != crc) {
        return Err(DecodeError::new("file header is damaged", 0));
    }
    if version != VERSION {
        return Err(DecodeError::new("file is of another version", 8));
    }
    Ok(())
}

type Slots = HashMap<(BlockId, Kind), Slot>;

/// Finds the entries of a file, and where the last one ends. Of one block and kind the last
/// counts.
fn scan(bytes: &[u8], damaged: &mut Vec<String>) -> (Slots, u64) {
    let mut slots = Slots::new();
    let mut at = HEADER_BYTES as usize;
    let (mut lost, mut end) = (false, at);
    while at < bytes.len() {
        match entry(bytes, at) {
            Ok((id, kind, slot)) => {
                lost = false;
                at += slot.entry_bytes() as usize;
                end = at;
                slots.insert((id, kind), slot);
            }
            Err(e) => {
                // One text for each stretch of damage; the next whole entry ends it.
                if !lost {
                    damaged.push(e.to_string());
                }
                lost = true;
                at += ALIGN as usize;
            }
        }
    }
    (slots, end as u64)
}

/// Reads the entry at `at`; its payload is not looked at.
fn entry(bytes: &[u8], at: usize) -> Result<(BlockId, Kind, Slot), DecodeError> {
    let head = bytes.get(at..).unwrap_or_default();
    let mut take = Take::at(head, at);
    if take.be32()? != ENTRY_MAGIC {
        return Err(DecodeError::new("no entry", at));
    }
    let kind = take.u8()?;
    take.bytes(3)?;
    let id = BlockId::from_bytes(take.array()?);
    let stamp_ms = take.be64()? as i64;
    let len = take.be64()?;
    let crc = take.be32()?;
    let sum = take.be32()?;
    if head.get(..ENTRY_BYTES - 4).is_none_or(|h| crc32fast::hash(h) != sum) {
        return Err(DecodeError::new("entry with a wrong checksum", at));
    }
    let kind = match kind {
        1 => Kind::Meta,
        2 => Kind::IndexHeader,
        _ => return Err(DecodeError::new("entry of unknown kind", at)),
    };
    let cut = DecodeError::new("entry is cut", at);
    let padded = len.checked_next_multiple_of(ALIGN).and_then(|n| usize::try_from(n).ok()).ok_or(cut)?;
    let payload = take.bytes(padded)?;
    if payload.get(len as usize..).is_none_or(|p| p.iter().any(|b| *b != 0)) {
        return Err(DecodeError::new("padding is not zero", at));
    }
    Ok((id, kind, Slot { offset: (at + ENTRY_BYTES) as u64, len, crc, stamp_ms }))
}

/// What a file holds, read from its bytes; for tests of any bytes.
#[doc(hidden)]
pub fn scan_cache_file(bytes: &[u8]) -> Result<usize, DecodeError> {
    check_head(bytes.get(..HEADER_BYTES as usize).unwrap_or(bytes))?;
    let mut damaged = Vec::new();
    let (slots, _) = scan(bytes, &mut damaged);
    for slot in slots.values() {
        let payload = bytes.get(slot.offset as usize..(slot.offset + slot.len) as usize);
        if payload.is_none() {
            return Err(DecodeError::new("entry outside of the file", slot.offset as usize));
        }
    }
    Ok(slots.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u128) -> BlockId {
        BlockId::from_parts(1, n)
    }

    fn meta(n: u128) -> Vec<u8> {
        BlockMeta { ulid: id(n), version: 1, ..BlockMeta::default() }.encode().expect("meta")
    }

    #[test]
    fn entries_come_back_after_a_restart() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("cache/blocks");
        let cache = BlockCache::open(&path).expect("new");
        assert_eq!(BlockCache::open(&path).expect_err("in use").kind(), ErrorKind::Conflict);
        cache.put_meta(id(1), 7, &meta(1)).expect("put");
        cache.put_meta(id(2), 0, &meta(2)).expect("put");
        assert_eq!(cache.put_index_header(id(1), b"header").expect("put"), "header");
        cache.put_meta(id(1), 8, &meta(1)).expect("put again");
        drop(cache);
        let cache = BlockCache::open(&path).expect("again");
        assert_eq!((cache.len(), cache.damaged()), (3, 0));
        assert_eq!(cache.meta(id(1), Some(8)).map(|m| m.ulid), Some(id(1)));
        assert_eq!(cache.meta(id(1), Some(7)), None, "written since");
        assert_eq!(cache.meta(id(2), None).map(|m| m.ulid), Some(id(2)));
        assert_eq!(cache.meta(id(3), None), None);
        assert_eq!(cache.index_header(id(1)).expect("kept"), "header");
        assert_eq!(cache.index_header(id(2)), None);
        assert_eq!(cache.damaged(), 0);
    }

    #[test]
    fn what_is_of_no_use_is_left_out_at_last() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("blocks");
        let cache = BlockCache::open(&path).expect("new");
        let header = vec![7; 400_000];
        for n in 1..=8 {
            cache.put_meta(id(n), 0, &meta(n)).expect("put");
            cache.put_index_header(id(n), &header).expect("put");
        }
        let mapped = cache.index_header(id(8)).expect("kept");
        let before = fs::metadata(&path).expect("a file").len();
        cache.retain(|i| i != id(1)).expect("little is unused");
        assert_eq!((fs::metadata(&path).expect("a file").len(), cache.len()), (before, 14));
        cache.retain(|i| i == id(7)).expect("written anew");
        assert!(fs::metadata(&path).expect("a file").len() < 500_000);
        cache.put_meta(id(9), 0, &meta(9)).expect("put");
        drop(cache);
        let cache = BlockCache::open(&path).expect("again");
        assert_eq!((cache.len(), cache.damaged()), (3, 0));
        assert_eq!(cache.index_header(id(7)).expect("kept"), header);
        assert_eq!(mapped, header, "what was mapped before stays");
    }

    #[test]
    fn damage_of_any_byte_is_noticed() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("blocks");
        let cache = BlockCache::open(&path).expect("new");
        for n in 1..=2 {
            cache.put_meta(id(n), 5, &meta(n)).expect("put");
            cache.put_index_header(id(n), b"a header").expect("put");
        }
        drop(cache);
        let whole = fs::read(&path).expect("a file");
        let check = |bytes: &[u8], what: &str, damaged: u64| {
            fs::write(&path, bytes).expect("written");
            let cache = BlockCache::open(&path).expect("opens");
            let mut found = 0;
            for n in 1..=2 {
                if let Some(meta) = cache.meta(id(n), Some(5)) {
                    assert_eq!(meta.ulid, id(n), "{what}");
                    found += 1;
                }
                if let Some(header) = cache.index_header(id(n)) {
                    assert_eq!(header, "a header", "{what}");
                    found += 1;
                }
            }
            assert!(cache.damaged() >= damaged, "{what}: {} damaged", cache.damaged());
            assert!(found < 4 || damaged == 0, "{what}: everything is there");
            cache.put_meta(id(3), 5, &meta(3)).expect("goes on");
            drop(cache);
            let cache = BlockCache::open(&path).expect("opens");
            assert!(cache.meta(id(3), Some(5)).is_some(), "{what}: what was written after is kept");
        };
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x10;
            check(&bytes, &format!("byte {at}"), 1);
        }
        for len in (0..whole.len()).step_by(5) {
            let at_end = entry_ends(&whole).contains(&len);
            check(&whole[..len], &format!("{len} bytes"), u64::from(!at_end));
        }
        check(&whole, "nothing", 0);
    }

    /// Lengths at which a cut file is whole; what is cut off cannot be missed then.
    fn entry_ends(bytes: &[u8]) -> Vec<usize> {
        let mut ends = vec![HEADER_BYTES as usize];
        let mut at = HEADER_BYTES as usize;
        while let Ok((_, _, slot)) = entry(bytes, at) {
            at += slot.entry_bytes() as usize;
            ends.push(at);
        }
        ends
    }
}
