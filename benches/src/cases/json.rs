//! Answers of the HTTP API: the points of many series.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Result;
use thanoslib::{
    QueryValue, encoding::crc32c, http::write_value, model::float::write_api_value, promql::MatrixSeries,
};

use super::Make;
use crate::{
    Case,
    generate::{SHAPES, Shape, floats, labels},
};

/// Series of an answer.
const SERIES: usize = 300;
/// Points of a series.
const POINTS: usize = 1000;

pub(super) fn cases() -> Vec<(&'static str, Make)> {
    let case = |shape: Shape| -> (&'static str, Make) {
        let make = move |_: &Path| Ok(Box::new(Matrix::new(shape)) as Box<dyn Case>);
        (format!("json/{}", shape.name).leak(), Box::new(make))
    };
    SHAPES.into_iter().filter(|s| s.name != "jittered_counter").map(case).collect()
}

struct Matrix {
    value: QueryValue,
    out: String,
}

impl Matrix {
    fn new(shape: Shape) -> Self {
        let series = |i: usize| {
            let column = floats(shape, i as u64, POINTS);
            let floats = column.ts.into_iter().zip(column.vs).collect();
            MatrixSeries { labels: labels(i), floats, ..MatrixSeries::default() }
        };
        Self { value: QueryValue::Matrix((0..SERIES).map(series).collect()), out: String::new() }
    }

    fn series(&self) -> &[MatrixSeries] {
        let QueryValue::Matrix(series) = &self.value else { panic!("a matrix") };
        series
    }
}

impl Case for Matrix {
    fn write(&self, dir: &Path) -> Result<PathBuf> {
        let mut bytes = Vec::new();
        for (t, v) in self.series().iter().flat_map(|s| &s.floats) {
            bytes.extend_from_slice(&t.to_le_bytes());
            bytes.extend_from_slice(&v.to_le_bytes());
        }
        let path = dir.join("points");
        fs::write(&path, bytes)?;
        Ok(path)
    }

    fn items(&self) -> u64 {
        (SERIES * POINTS) as u64
    }

    fn checksum(&mut self) -> u64 {
        self.out.clear();
        write_value(&mut self.out, &self.value);
        u64::from(crc32c(self.out.as_bytes()))
    }

    fn run(&mut self) {
        self.out.clear();
        write_value(&mut self.out, &self.value);
    }

    /// Formats the values alone.
    fn bare(&mut self) {
        let mut out = std::mem::take(&mut self.out);
        out.clear();
        for (_, v) in self.series().iter().flat_map(|s| &s.floats) {
            write_api_value(&mut out, *v).expect("a string takes all");
        }
        self.out = out;
    }
}
