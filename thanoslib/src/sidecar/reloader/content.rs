//! What watched files look like, and what they hold.

use std::{
    collections::BTreeSet,
    fs::{self, Metadata},
    path::{Path, PathBuf},
    time::SystemTime,
};

use crate::error::{Error, ErrorKind, Result};

/// Folders inside of each other; links can make circles.
const DEPTH_MAX: usize = 32;
/// Most bytes of a watched file.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// SHA-256 over names and contents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Digest(Vec<u8>);

impl Digest {
    /// The digest of all files at and below some paths.
    pub(super) fn of<'a>(paths: impl Iterator<Item = &'a PathBuf>) -> Result<Self> {
        let mut digest = ring::digest::Context::new(&ring::digest::SHA256);
        for path in paths {
            each_file(path, &mut |file, _| {
                digest.update(&[0xff]);
                digest.update(file.as_os_str().as_encoded_bytes());
                digest.update(&[0xff]);
                digest.update(&read(file)?);
                Ok(())
            })?;
        }
        Ok(Self(digest.finish().as_ref().to_vec()))
    }
}

/// What can be seen of files without reading them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Signature(BTreeSet<(PathBuf, u64, Option<SystemTime>, u64)>);

impl Signature {
    /// The signature of all files at and below some paths.
    pub(super) fn of<'a>(paths: impl Iterator<Item = &'a PathBuf>) -> Result<Self> {
        let mut all = BTreeSet::new();
        for path in paths {
            each_file(path, &mut |file, metadata| {
                all.insert((file.to_owned(), metadata.len(), metadata.modified().ok(), number(metadata)));
                Ok(())
            })?;
        }
        Ok(Self(all))
    }

    /// Number of files.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// Tells a file from another that took its place.
#[cfg(unix)]
fn number(metadata: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn number(_: &Metadata) -> u64 {
    0
}

/// Reads a file, unless it is too long.
pub(super) fn read(path: &Path) -> Result<Vec<u8>> {
    let len = fs::metadata(path).map_err(|e| unreadable(path, e))?.len();
    if len > FILE_BYTES_MAX {
        return Err(Error::invalid(format!(
            "{} has {len} bytes, more than {FILE_BYTES_MAX}",
            path.display()
        )));
    }
    fs::read(path).map_err(|e| unreadable(path, e))
}

/// Hands on a file, or all files below a folder in the order of their names; links are followed.
fn each_file(path: &Path, each: &mut dyn FnMut(&Path, &Metadata) -> Result<()>) -> Result<()> {
    walk(path, 0, each)
}

fn walk(path: &Path, depth: usize, each: &mut dyn FnMut(&Path, &Metadata) -> Result<()>) -> Result<()> {
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        // Inside of a folder a link may lead nowhere; what is named must be there.
        Err(e) if depth > 0 && e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(unreadable(path, e)),
    };
    if !metadata.is_dir() {
        return each(path, &metadata);
    }
    if depth >= DEPTH_MAX {
        return Ok(());
    }
    let entries = fs::read_dir(path).map_err(|e| unreadable(path, e))?;
    let mut paths = Vec::new();
    for entry in entries {
        paths.push(entry.map_err(|e| unreadable(path, e))?.path());
    }
    paths.sort_unstable();
    paths.iter().try_for_each(|path| walk(path, depth + 1, each))
}

fn unreadable(path: &Path, e: std::io::Error) -> Error {
    let kind = match e.kind() {
        std::io::ErrorKind::NotFound => ErrorKind::NotFound,
        _ => ErrorKind::Unavailable,
    };
    Error::new(kind, format!("cannot read {}: {e}", path.display())).with_source(e)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_change_below_a_folder_is_seen() {
        let dir = tempfile::tempdir().expect("tempdir");
        let at = |name: &str| dir.path().join(name);
        let root = [at("rules")];
        let both = || {
            let digest = Digest::of(root.iter()).expect("readable");
            (digest, Signature::of(root.iter()).expect("readable"))
        };
        assert_eq!(Digest::of(root.iter()).expect_err("missing").kind(), ErrorKind::NotFound);
        fs::create_dir_all(at("rules/sub")).expect("a folder");
        let mut states = vec![both()];
        let mut changed = |what: &str| {
            let state = both();
            assert!(states.iter().all(|s| s.0 != state.0), "{what}");
            assert_ne!(states.last().map(|s| &s.1), Some(&state.1), "{what}");
            states.push(state);
        };
        fs::write(at("rules/a"), "1").expect("written");
        changed("a file more");
        fs::write(at("rules/sub/b"), "1").expect("written");
        changed("a file below");
        fs::write(at("rules/sub/b"), "22").expect("written");
        changed("another content");
        fs::rename(at("rules/a"), at("rules/c")).expect("renamed");
        changed("another name");
        fs::remove_file(at("rules/c")).expect("removed");
        changed("a file less");
    }

    #[cfg(unix)]
    #[test]
    fn swapped_links_are_seen_and_circles_end() {
        use std::os::unix::fs::symlink;
        let dir = tempfile::tempdir().expect("tempdir");
        let at = |name: &str| dir.path().join(name);
        for (version, text) in [("v1", "a"), ("v2", "b")] {
            fs::create_dir(at(version)).expect("a folder");
            fs::write(at(version).join("x.yml"), text).expect("written");
        }
        fs::create_dir(at("rules")).expect("a folder");
        symlink("../v1", at("rules/..data")).expect("a link");
        symlink("..data/x.yml", at("rules/x.yml")).expect("a link");
        symlink("nowhere", at("rules/lost")).expect("a link");
        let root = [at("rules")];
        let state =
            || (Digest::of(root.iter()).expect("readable"), Signature::of(root.iter()).expect("readable"));
        let before = state();
        symlink("../v2", at("rules/..next")).expect("a link");
        fs::rename(at("rules/..next"), at("rules/..data")).expect("swapped");
        let after = state();
        assert!(before.0 != after.0 && before.1 != after.1);
        symlink(".", at("rules/again")).expect("a link");
        assert!(Digest::of(root.iter()).is_ok());
    }
}
