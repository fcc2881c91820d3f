//! Target files in the form of Prometheus' file discovery.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{PoisonError, RwLock},
};

use serde::Deserialize;
use xxhash_rust::xxh64::xxh64;

use super::glob;
use crate::error::{Error, Result};

/// Largest target file.
const FILE_BYTES_MAX: usize = 64 << 20;

/// A group of targets; its labels are not looked at.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    #[serde(default)]
    targets: Vec<String>,
    #[serde(default)]
    #[expect(dead_code, reason = "allowed to be there")]
    labels: Option<BTreeMap<String, serde_json::Value>>,
}

/// Reads the addresses of a target file.
///
/// ```
/// use thanoslib::discovery::parse_targets;
/// let text = r#"[{"targets": ["10.0.0.1:10901"], "labels": {"env": "prod"}}]"#;
/// assert_eq!(parse_targets("stores.json", text)?, ["10.0.0.1:10901"]);
/// # Ok::<(), thanoslib::Error>(())
/// ```
///
/// # Errors
/// `Invalid` for another ending than json, yml and yaml, or when the text is no list of groups.
pub fn parse_targets(file: &str, text: &str) -> Result<Vec<String>> {
    let ending = Path::new(file).extension().and_then(|e| e.to_str()).unwrap_or_default().to_lowercase();
    let wrong = |e: String| Error::invalid(format!("target file {file}: {e}"));
    let groups: Vec<Group> = match ending.as_str() {
        "json" => serde_json::from_str(text).map_err(|e| wrong(e.to_string()))?,
        "yml" | "yaml" => {
            let groups: Option<Vec<Group>> =
                serde_saphyr::from_str(text).map_err(|e| wrong(e.to_string()))?;
            groups.unwrap_or_default()
        }
        _ => return Err(wrong(format!("ending {ending:?}, want json, yml or yaml"))),
    };
    Ok(groups.into_iter().flat_map(|g| g.targets).collect())
}

/// The addresses of target files, read anew when they change.
///
/// See [`Discovery`](super::Discovery), which keeps one.
#[derive(Debug, Default)]
pub struct FileTargets {
    patterns: Vec<String>,
    known: RwLock<BTreeMap<PathBuf, (u64, Vec<String>)>>,
}

impl FileTargets {
    /// The files that `patterns` name; `*` and `?` may stand in the last part of a path.
    pub fn new(patterns: Vec<String>) -> Self {
        Self { patterns, known: RwLock::default() }
    }

    /// Reads the files that have changed; true when any has, or is gone.
    ///
    /// A file that cannot be read or parsed keeps its addresses.
    pub async fn refresh(&self) -> bool {
        let before = self.known.read().unwrap_or_else(PoisonError::into_inner).clone();
        let mut next = BTreeMap::new();
        for pattern in &self.patterns {
            let files = match glob::files(pattern).await {
                Ok(files) => files,
                Err(error) => {
                    tracing::warn!(%pattern, %error, "target files cannot be listed");
                    // What these files said is kept.
                    next.extend(before.clone());
                    continue;
                }
            };
            for file in files {
                let old = before.get(&file);
                match read(&file, old.map(|(hash, _)| *hash)).await {
                    Ok(Some(new)) => {
                        next.insert(file, new);
                    }
                    Ok(None) => next.extend(old.map(|old| (file, old.clone()))),
                    Err(error) => {
                        tracing::warn!(%error, "target file cannot be used");
                        next.extend(old.map(|old| (file, old.clone())));
                    }
                }
            }
        }
        let changed = before != next;
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = next;
        changed
    }

    /// The addresses of all files, each once.
    pub fn addresses(&self) -> Vec<String> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<String> = known.values().flat_map(|(_, addresses)| addresses.clone()).collect();
        all.sort();
        all.dedup();
        all
    }
}

/// Hash and addresses of a file; `None` when the hash is still `known`.
async fn read(file: &Path, known: Option<u64>) -> Result<Option<(u64, Vec<String>)>> {
    let name = file.display().to_string();
    let text = read_text(file).await?;
    let hash = xxh64(text.as_bytes(), 0);
    if known == Some(hash) {
        return Ok(None);
    }
    Ok(Some((hash, parse_targets(&name, &text)?)))
}

/// The text of a file of bounded size.
pub(super) async fn read_text(file: &Path) -> Result<String> {
    let name = file.display();
    let wrong = |e: std::io::Error| Error::invalid(format!("file {name}: {e}")).with_source(e);
    let size = tokio::fs::metadata(file).await.map_err(wrong)?.len();
    if size > FILE_BYTES_MAX as u64 {
        return Err(Error::invalid(format!("file {name} has {size} bytes, limit {FILE_BYTES_MAX}")));
    }
    tokio::fs::read_to_string(file).await.map_err(wrong)
}
