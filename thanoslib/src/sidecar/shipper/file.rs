//! The file that lists uploaded blocks, which a Prometheus reads to delay its compaction.

use std::{
    fs::{self, File},
    io::Write,
    path::Path,
};

use serde::Deserialize;

use crate::{
    block::BlockId,
    error::{Error, ErrorKind, Result, cannot_write},
    store::prometheus::or_default,
};

/// The blocks that were uploaded, as `thanos.shipper.json` lists them.
///
/// Source: Thanos `pkg/shipper/shipper.go`.
///
/// ```
/// use thanoslib::sidecar::ShipperFile;
/// let file = ShipperFile::parse(br#"{"version": 1, "uploaded": ["01BX5ZZKBKACTAV9WEVGEMMVS0"]}"#)?;
/// assert_eq!(ShipperFile::parse(file.encode().as_bytes())?, file);
/// # Ok::<(), thanoslib::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShipperFile {
    /// The blocks, in the order of the file.
    pub uploaded: Vec<BlockId>,
}

#[derive(Deserialize)]
struct Json {
    #[serde(default)]
    version: i64,
    #[serde(default, deserialize_with = "or_default")]
    uploaded: Vec<BlockId>,
}

impl ShipperFile {
    /// Reads the bytes of a file.
    ///
    /// # Errors
    /// `Corrupt` for anything but version 1.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let json: Json = serde_json::from_slice(bytes)
            .map_err(|e| Error::corrupt(format!("shipper file: {e}")).with_source(e))?;
        if json.version != 1 {
            return Err(Error::corrupt(format!("shipper file: unexpected version {}", json.version)));
        }
        Ok(Self { uploaded: json.uploaded })
    }

    /// The text that Thanos writes; without blocks the list is null.
    pub fn encode(&self) -> String {
        let ids: Vec<String> = self.uploaded.iter().map(|id| format!("\n\t\t\"{id}\"")).collect();
        let list = if ids.is_empty() { "null".to_owned() } else { format!("[{}\n\t]", ids.join(",")) };
        format!("{{\n\t\"version\": 1,\n\t\"uploaded\": {list}\n}}\n")
    }

    /// Reads a file.
    ///
    /// # Errors
    /// `NotFound`, and those of [`parse`](Self::parse).
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = fs::read(path).map_err(|e| {
            let kind = match e.kind() {
                std::io::ErrorKind::NotFound => ErrorKind::NotFound,
                _ => ErrorKind::Unavailable,
            };
            Error::new(kind, format!("cannot read {}: {e}", path.display()))
        })?;
        Self::parse(&bytes)
    }

    /// Writes the file beside, syncs it and puts it in place.
    ///
    /// # Errors
    /// `Unavailable` when the folder cannot be written to.
    pub fn write(&self, path: &Path) -> Result<()> {
        let mut beside = path.as_os_str().to_owned();
        beside.push(".tmp");
        let write = || -> std::io::Result<()> {
            let mut file = File::create(&beside)?;
            file.write_all(self.encode().as_bytes())?;
            file.sync_all()?;
            fs::rename(&beside, path)?;
            match path.parent() {
                Some(dir) if !dir.as_os_str().is_empty() => File::open(dir)?.sync_all(),
                _ => Ok(()),
            }
        };
        write().map_err(cannot_write(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_have_the_bytes_of_thanos() {
        let id: BlockId = "01BX5ZZKBKACTAV9WEVGEMMVS0".parse().expect("an id");
        let check = |uploaded: Vec<BlockId>, want: &str| {
            let file = ShipperFile { uploaded };
            assert_eq!(file.encode(), want);
            assert_eq!(ShipperFile::parse(want.as_bytes()).expect("sound"), file);
        };
        check(Vec::new(), "{\n\t\"version\": 1,\n\t\"uploaded\": null\n}\n");
        check(
            vec![id, id],
            "{\n\t\"version\": 1,\n\t\"uploaded\": [\n\t\t\"01BX5ZZKBKACTAV9WEVGEMMVS0\",\n\t\t\"01BX5ZZKBKACTAV9WEVGEMMVS0\"\n\t]\n}\n",
        );
        for bad in [
            "",
            "{}",
            r#"{"version":2}"#,
            r#"{"version":1,"uploaded":["x"]}"#,
            r#"{"version":1,"uploaded":{}}"#,
        ] {
            assert!(ShipperFile::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn files_are_replaced_whole() {
        let dir = tempfile::tempdir().expect("tempdir");
        let path = dir.path().join("thanos.shipper.json");
        assert_eq!(ShipperFile::read(&path).expect_err("none").kind(), ErrorKind::NotFound);
        let file = ShipperFile { uploaded: vec![BlockId::from_parts(1, 2)] };
        for file in [&file, &ShipperFile::default(), &file] {
            file.write(&path).expect("written");
            assert_eq!(&ShipperFile::read(&path).expect("there"), file);
        }
        assert_eq!(fs::read_dir(dir.path()).expect("a folder").count(), 1);
    }
}
