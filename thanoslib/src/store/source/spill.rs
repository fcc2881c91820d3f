//! Sorted runs of rows in temporary files.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufRead, BufReader, BufWriter, Read, Seek, Write},
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU64, Ordering},
};

use crate::{
    encoding::crc32c,
    error::{Error, Result},
    model::{Labels, LabelsRef},
};

/// Time and value.
pub(super) type Sample = (i64, f64);

/// Samples in a block at most.
pub(super) const BLOCK_SAMPLES: usize = 64;
/// Bytes of labels in a block at most.
const LABELS_MAX: usize = 1 << 28;
/// Bytes that are read or written at a time.
const BUFFER: usize = 1 << 12;

/// A file that is gone when it is dropped, or as soon as it is open where systems allow it.
#[derive(Debug)]
struct Temporary {
    file: File,
    path: Option<PathBuf>,
}

impl Temporary {
    fn create(dir: &Path) -> Result<Self> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = dir.join(format!("thanoslib-rows-{}-{number}", process::id()));
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path);
        let file = file.map_err(|e| failed("create", &e).context(path.display()))?;
        let path = fs::remove_file(&path).is_err().then_some(path);
        Ok(Self { file, path })
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // Nobody is left to tell; a later run of the program has other names.
            let _ = fs::remove_file(path);
        }
    }
}

impl Read for Temporary {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.file.read(buf)
    }
}

impl Write for Temporary {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.file.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn failed(what: &str, e: &io::Error) -> Error {
    Error::unavailable(format!("cannot {what} a temporary file of rows: {e}"))
}

/// A run that is written: blocks in the order of labels and times.
///
/// **Layout** of a block, little-endian: `len u32 | samples u32 | CRC-32C of the rest u32 |
/// labels[len] | samples × (time i64, bits of the value u64)`. A file of this process only.
#[derive(Debug)]
pub(super) struct Run {
    out: BufWriter<Temporary>,
    block: Vec<u8>,
}

impl Run {
    pub(super) fn create(dir: &Path) -> Result<Self> {
        Ok(Self { out: BufWriter::with_capacity(BUFFER, Temporary::create(dir)?), block: Vec::new() })
    }

    /// Appends samples of a series.
    pub(super) fn write(&mut self, labels: LabelsRef<'_>, samples: &[Sample]) -> Result<()> {
        self.block.clear();
        self.block.extend_from_slice(labels.as_bytes());
        for (t, v) in samples {
            self.block.extend_from_slice(&t.to_le_bytes());
            self.block.extend_from_slice(&v.to_bits().to_le_bytes());
        }
        let head = [labels.as_bytes().len() as u32, samples.len() as u32, crc32c(&self.block)];
        let mut write = |bytes: &[u8]| self.out.write_all(bytes).map_err(|e| failed("write", &e));
        head.iter().try_for_each(|n| write(&n.to_le_bytes()))?;
        write(&self.block)
    }

    /// Ends the run and begins to read it.
    pub(super) fn into_reader(self) -> Result<RunReader> {
        let file = self.out.into_inner().map_err(|e| failed("write", e.error()))?;
        let mut file = file;
        file.file.rewind().map_err(|e| failed("read", &e))?;
        Ok(RunReader { file: BufReader::with_capacity(BUFFER, file), block: Vec::new() })
    }
}

/// Reads a run block by block.
#[derive(Debug)]
pub(super) struct RunReader {
    file: BufReader<Temporary>,
    block: Vec<u8>,
}

impl RunReader {
    /// Bytes that reading a run holds, but for long labels.
    pub(super) const BYTES: u64 = (BUFFER + 2 * BLOCK_SAMPLES * size_of::<Sample>()) as u64;

    /// Reads the next block; `None` at the end. `before` is the series of the last block.
    pub(super) fn read(
        &mut self,
        before: Option<Labels>,
        samples: &mut Vec<Sample>,
    ) -> Result<Option<Labels>> {
        samples.clear();
        if self.file.fill_buf().map_err(|e| failed("read", &e))?.is_empty() {
            return Ok(None);
        }
        let mut head = [[0; 4]; 3];
        self.file.read_exact(head.as_flattened_mut()).map_err(|e| failed("read", &e))?;
        let [len, count, crc] = head.map(u32::from_le_bytes);
        let (len, count) = (len as usize, count as usize);
        if len > LABELS_MAX || count > BLOCK_SAMPLES {
            return Err(Error::corrupt(format!(
                "temporary file of rows: block of {len} bytes of labels and {count} samples"
            )));
        }
        self.block.resize(len + count * 16, 0);
        self.file.read_exact(&mut self.block).map_err(|e| failed("read", &e))?;
        let got = crc32c(&self.block);
        if got != crc {
            return Err(Error::corrupt(format!(
                "temporary file of rows: block checksum mismatch: want {crc:08x}, got {got:08x}"
            )));
        }
        let (labels, rest) = self.block.split_at(len);
        let (words, _) = rest.as_chunks::<8>();
        samples.extend(
            words
                .as_chunks::<2>()
                .0
                .iter()
                .map(|[t, v]| (i64::from_le_bytes(*t), f64::from_bits(u64::from_le_bytes(*v)))),
        );
        let same = before.filter(|b| b.as_bytes() == labels);
        Ok(Some(same.unwrap_or_else(|| LabelsRef::from_flat(labels).to_labels())))
    }
}
