//! The file that tells which queries ran when a process ended.

use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io::Read,
    os::unix::fs::FileExt,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use crate::error::{Error, Result};

/// Bytes of a query in the file.
const ENTRY_BYTES: usize = 1000;
/// Bytes of a query's text; the rest is for what surrounds it.
const TEXT_BYTES: usize = ENTRY_BYTES - 40;
/// Name of the file.
const NAME: &str = "queries.active";

/// Keeps the queries that run in a file, so that those which a process did not end are known after.
///
/// **Layout**: a `[`, then as many entries of 1000 bytes as queries may run at a time. An entry is
/// a JSON object with `query` and `timestamp_sec`, filled up with zeros, its last byte a comma; or
/// zeros alone. A query that does not fit is cut. Queries beyond the number are not told.
///
/// Source: Prometheus `promql/query_logger.go`.
///
/// ```
/// use std::sync::Arc;
/// use thanoslib::{Engine, EngineOptions, promql::ActiveQueryFile, runtime::Inline};
/// # let dir = tempfile::tempdir()?;
/// let (file, left) = ActiveQueryFile::open(dir.path(), 20)?;
/// assert_eq!(left, None);
/// let engine = Engine::new(EngineOptions::default(), Arc::new(Inline)).tracked(Arc::new(file));
/// # drop(engine);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct ActiveQueryFile {
    file: File,
    free: Mutex<Vec<u64>>,
}

impl fmt::Debug for ActiveQueryFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ActiveQueryFile").field("file", &self.file).finish_non_exhaustive()
    }
}

impl ActiveQueryFile {
    /// Makes the file in a folder, which is made, too; also gives the queries that the file before
    /// named, as a JSON array.
    ///
    /// # Errors
    /// `Unavailable` when folder or file cannot be written.
    pub fn open(dir: &Path, queries_max: usize) -> Result<(Self, Option<String>)> {
        let path = dir.join(NAME);
        let failed = |e: std::io::Error| {
            Error::unavailable(format!("file of active queries {}: {e}", path.display())).with_source(e)
        };
        fs::create_dir_all(dir).map_err(failed)?;
        let size = 1 + (queries_max * ENTRY_BYTES) as u64;
        let left = unfinished(&path, size).map_err(failed)?;
        let file = OpenOptions::new().create(true).truncate(true).write(true).open(&path).map_err(failed)?;
        file.set_len(size).map_err(failed)?;
        file.write_all_at(b"[", 0).map_err(failed)?;
        let place = |i: usize| 1 + (i * ENTRY_BYTES) as u64;
        Ok((Self { file, free: Mutex::new((0..queries_max).rev().map(place).collect()) }, left))
    }

    /// Writes a query that begins; it is there until the guard is dropped.
    pub(super) fn begin(self: &Arc<Self>, text: &str) -> Option<Tracked> {
        let at = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
        let tracked = Tracked { file: Arc::clone(self), at };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        self.write(at, &entry(text, now));
        Some(tracked)
    }

    fn write(&self, at: u64, entry: &[u8]) {
        if let Err(e) = self.file.write_all_at(entry, at) {
            tracing::warn!("file of active queries: {e}");
        }
    }
}

/// The queries that a file names, if there is one and it names some.
fn unfinished(path: &Path, bytes_max: u64) -> std::io::Result<Option<String>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    let mut bytes = Vec::new();
    file.take(bytes_max).read_to_end(&mut bytes)?;
    bytes.retain(|b| *b != 0);
    let text = String::from_utf8_lossy(&bytes);
    let Some(entries) = text.strip_prefix('[').map(|t| t.trim_end_matches(',')) else { return Ok(None) };
    Ok((!entries.is_empty()).then(|| format!("[{entries}]")))
}

/// The bytes of a query.
fn entry(text: &str, seconds: u64) -> Vec<u8> {
    let mut end = text.len().min(TEXT_BYTES);
    let json = loop {
        end = text.floor_char_boundary(end);
        let json =
            serde_json::json!({"query": text.get(..end).unwrap_or_default(), "timestamp_sec": seconds});
        let json = json.to_string();
        // Characters that are escaped take more room.
        match json.len().checked_sub(ENTRY_BYTES - 1) {
            Some(over) if over > 0 => end = end.saturating_sub(over.div_ceil(6).max(1)),
            _ => break json,
        }
    };
    let mut entry = json.into_bytes();
    entry.resize(ENTRY_BYTES - 1, 0);
    entry.push(b',');
    entry
}

/// A query in the file.
#[derive(Debug)]
pub(super) struct Tracked {
    file: Arc<ActiveQueryFile>,
    at: u64,
}

impl Drop for Tracked {
    fn drop(&mut self) {
        self.file.write(self.at, &[0; ENTRY_BYTES]);
        self.file.free.lock().unwrap_or_else(PoisonError::into_inner).push(self.at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_that_did_not_end_are_told_by_the_next_process() {
        let dir = tempfile::tempdir().expect("a folder");
        let open = || ActiveQueryFile::open(dir.path(), 3).expect("writable");
        let file = Arc::new(open().0);
        let (one, two) = (file.begin("up"), file.begin("a\"b"));
        drop(one);
        let three = file.begin("sum(up)");
        let bytes = fs::read(dir.path().join(NAME)).expect("there");
        assert_eq!(
            (bytes.len(), bytes[0], bytes[1000], bytes[1001], bytes[2001]),
            (3001, b'[', b',', b'{', 0)
        );
        let left = open().1.expect("two");
        let all: serde_json::Value = serde_json::from_str(&left).expect("JSON");
        let queries: Vec<_> = all.as_array().expect("a list").iter().map(|q| q["query"].as_str()).collect();
        assert_eq!(queries, [Some("sum(up)"), Some("a\"b")]);
        assert_eq!(open().1, None);
        let four = file.begin("x");
        assert!(file.begin("y").is_none(), "no more than may run");
        drop((two, three, four));
        assert!(file.begin("y").is_some());
    }

    #[test]
    fn long_queries_are_cut_where_characters_end() {
        for text in ["ä".repeat(2000), "\u{1}".repeat(900), "x".repeat(5000), "\"".repeat(960), String::new()]
        {
            let bytes = entry(&text, 1_700_000_000);
            assert_eq!((bytes.len(), bytes[ENTRY_BYTES - 1]), (ENTRY_BYTES, b','));
            let json: Vec<u8> = bytes[..ENTRY_BYTES - 1].iter().copied().filter(|b| *b != 0).collect();
            let value: serde_json::Value = serde_json::from_slice(&json).expect("whole JSON");
            assert!(text.starts_with(value["query"].as_str().expect("a text")));
        }
    }
}
