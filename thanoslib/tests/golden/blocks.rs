//! What the modules on recorded blocks share.

use std::path::{Path, PathBuf};

use thanoslib::index::IndexFile;

/// Bytes that the recordings hold as text.
pub(crate) fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("recorded names and values are UTF-8")
}

/// Name and folder of the block that `<name>.expected.jsonl` is about.
pub(crate) fn block_dirs(expected: &Path) -> Result<(String, PathBuf), String> {
    let file = expected.file_name().and_then(|f| f.to_str()).ok_or("no file name")?;
    let name = file.split('.').next().unwrap_or(file);
    Ok((name.to_owned(), expected.with_file_name(name)))
}

/// The index of a block folder.
pub(crate) fn open_index(dir: &Path) -> Result<IndexFile, String> {
    crate::tsdb_index::open(std::fs::read(dir.join("index")).map_err(|e| e.to_string())?)
}
