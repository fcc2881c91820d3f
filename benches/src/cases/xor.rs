//! XOR chunks: decoded into columns, and written from them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Result;
use thanoslib::{
    chunk::{Encoding, XorAppender, XorDecoder},
    encoding::crc32c,
    model::FloatColumn,
};

use super::Make;
use crate::{
    Case, files,
    generate::{CHUNK, SHAPES, Shape, floats, xor_chunks},
};

/// Chunks in one round, so that branches cannot be learnt from one of them.
const CHUNKS: usize = 256;

pub(super) fn cases() -> Vec<(&'static str, Make)> {
    let decode = SHAPES.map(|shape| (name("xor_decode", shape), boxed(shape, false)));
    let encode = SHAPES.map(|shape| (name("xor_encode", shape), boxed(shape, true)));
    decode.into_iter().chain(encode).collect()
}

fn name(group: &str, shape: Shape) -> &'static str {
    format!("{group}/{}", shape.name).leak()
}

fn boxed(shape: Shape, encode: bool) -> Make {
    Box::new(move |_| {
        let chunks: Vec<_> = (0..CHUNKS).flat_map(|i| xor_chunks(&floats(shape, i as u64, CHUNK))).collect();
        let mut whole = FloatColumn::default();
        decode(&chunks, &mut whole);
        Ok(if encode {
            Box::new(Encode { chunks, whole, out: Vec::new() })
        } else {
            Box::new(Decode { chunks, out: FloatColumn::default(), whole })
        })
    })
}

fn decode(chunks: &[Vec<u8>], out: &mut FloatColumn) {
    out.clear();
    for data in chunks {
        let left = XorDecoder::new(data).and_then(|mut d| d.fill(out, usize::MAX));
        assert_eq!(left, Ok(0));
    }
}

fn write(chunks: &[Vec<u8>], dir: &Path) -> Result<PathBuf> {
    let mut out = Vec::new();
    chunks.iter().for_each(|data| files::put_chunk(&mut out, Encoding::Xor, data));
    let path = dir.join("chunks");
    fs::write(&path, out)?;
    Ok(path)
}

fn copy(whole: &FloatColumn, out: &mut FloatColumn) {
    out.clear();
    for (ts, vs) in whole.ts.chunks(CHUNK).zip(whole.vs.chunks(CHUNK)) {
        out.ts.extend_from_slice(ts);
        out.vs.extend_from_slice(vs);
    }
}

struct Decode {
    chunks: Vec<Vec<u8>>,
    out: FloatColumn,
    whole: FloatColumn,
}

impl Case for Decode {
    fn write(&self, dir: &Path) -> Result<PathBuf> {
        write(&self.chunks, dir)
    }

    fn items(&self) -> u64 {
        self.whole.len() as u64
    }

    fn checksum(&mut self) -> u64 {
        self.run();
        sum(&self.out)
    }

    fn run(&mut self) {
        decode(&self.chunks, &mut self.out);
    }

    fn bare(&mut self) {
        copy(&self.whole, &mut self.out);
    }
}

/// The sum that a peer takes over samples.
pub(super) fn sum(column: &FloatColumn) -> u64 {
    column
        .ts
        .iter()
        .zip(&column.vs)
        .fold(0u64, |sum, (t, v)| sum.wrapping_add((*t as u64).wrapping_mul(31)).wrapping_add(v.to_bits()))
}

struct Encode {
    chunks: Vec<Vec<u8>>,
    whole: FloatColumn,
    out: Vec<Vec<u8>>,
}

impl Case for Encode {
    fn write(&self, dir: &Path) -> Result<PathBuf> {
        write(&self.chunks, dir)
    }

    fn items(&self) -> u64 {
        self.whole.len() as u64
    }

    fn checksum(&mut self) -> u64 {
        self.run();
        self.out.iter().map(|data| u64::from(crc32c(data))).sum()
    }

    fn run(&mut self) {
        self.out.clear();
        for (ts, vs) in self.whole.ts.chunks(CHUNK).zip(self.whole.vs.chunks(CHUNK)) {
            let mut appender = XorAppender::new();
            appender.extend(ts, vs).expect("a chunk holds more");
            self.out.push(appender.into_bytes());
        }
    }

    fn bare(&mut self) {
        self.out.clear();
        self.out.extend(self.chunks.iter().cloned());
    }
}
