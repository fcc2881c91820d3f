//! Queries over a block: parse, select, decode, evaluate.

mod data;

use std::{
    fs,
    hash::Hasher,
    path::{Path, PathBuf},
    rc::Rc,
    sync::Arc,
};

use anyhow::{Context as _, Result};
use thanoslib::{
    Conform, Context, Engine, EngineOptions, Labels, QueryValue, RangeQuery, SelectOptions, StoreQueryable,
    block::{Block, LocalReader},
    chunk::{Chunk, ChunkRecord},
    index::{IndexFile, SeriesEntry},
    model::SampleColumns,
    promql::{self, MatrixSeries},
    runtime::Inline,
    store::BlockStore,
};
use tokio::runtime::{Builder, Runtime};

use super::Make;
use crate::{
    Case,
    generate::{START_MS, STEP_MS as SCRAPE_MS},
};
use data::{Data, SCRAPES};

/// The last step of two hours; the first is at 0.
const END_MS: i64 = 7_200_000;
/// Distance of steps unless a query says otherwise.
const STEP_MS: i64 = 30_000;
/// Distance of steps of queries with long windows.
const LONG_STEP_MS: i64 = 300_000;

/// Name and text; those of `promql-engine`'s `BenchmarkRangeQuery`.
#[rustfmt::skip]
const QUERIES: &[(&str, &str)] = &[
    ("vector_selector", "http_requests_total"),
    ("sum", "sum(http_requests_total)"),
    ("sum_by_pod", "sum by (pod) (http_requests_total)"),
    ("topk", "topk(2, http_requests_total)"),
    ("bottomk", "bottomk(2, http_requests_total)"),
    ("limitk", "limitk(2, http_requests_total)"),
    ("limit_ratio", "limit_ratio(0.2, http_requests_total)"),
    ("rate", "rate(http_requests_total[1m])"),
    ("rate_with_longer_window", "rate(http_requests_total[10m])"),
    ("subquery", "sum_over_time(rate(http_requests_total[1m])[10m:1m])"),
    ("sum_rate", "sum(rate(http_requests_total[1m]))"),
    ("sum_by_rate", "sum by (pod) (rate(http_requests_total[1m]))"),
    ("quantile_with_variable_parameter", "quantile by (pod) (scalar(min(http_requests_total)), http_requests_total)"),
    ("one_to_one", "http_requests_total{container=\"c1\"} / ignoring (container) http_responses_total"),
    ("many_to_one", "http_requests_total / on (pod) group_left () http_responses_total"),
    ("vector_and_scalar", "http_requests_total * 10"),
    ("unary_negation", "-http_requests_total"),
    ("vector_and_scalar_comparison", "http_requests_total > 10"),
    ("offset", "http_requests_total offset 5m"),
    ("at", "http_requests_total @ 600.000"),
    ("at_with_offset", "http_requests_total @ 600.000 offset 5m"),
    ("clamp", "clamp(http_requests_total, 5, 10)"),
    ("clamp_min", "clamp_min(http_requests_total, 10)"),
    ("complex_functions", "clamp(1 - http_requests_total, 10 - 5, 10)"),
    ("function_in_function", "clamp(irate(http_requests_total[30s]), 10 - 5, 10)"),
    ("rate_in_function", "clamp(rate(http_requests_total[30s]), 10 - 5, 10)"),
    ("histogram_quantile", "histogram_quantile(0.9, http_response_seconds_bucket)"),
    ("sort", "sort(http_requests_total)"),
    ("sort_desc", "sort_desc(http_requests_total)"),
    ("absent_and_exists", "absent(http_requests_total)"),
    ("absent_and_does_not_exist", "absent(nonexistent)"),
    ("double_exponential_smoothing", "double_exponential_smoothing(http_requests_total[1m], 0.1, 0.1)"),
    ("count_over_time_5m", "count_over_time(http_requests_total[5m])"),
    ("count_over_time_1h", "count_over_time(http_requests_total[1h])"),
    ("count_over_time_6h", "count_over_time(http_requests_total[6h])"),
    ("sum_over_time_5m", "sum_over_time(http_requests_total[5m])"),
    ("sum_over_time_1h", "sum_over_time(http_requests_total[1h])"),
    ("sum_over_time_6h", "sum_over_time(http_requests_total[6h])"),
    ("avg_over_time_5m", "avg_over_time(http_requests_total[5m])"),
    ("avg_over_time_1h", "avg_over_time(http_requests_total[1h])"),
    ("avg_over_time_6h", "avg_over_time(http_requests_total[6h])"),
    ("min_over_time_5m", "min_over_time(http_requests_total[5m])"),
    ("min_over_time_1h", "min_over_time(http_requests_total[1h])"),
    ("min_over_time_6h", "min_over_time(http_requests_total[6h])"),
    ("max_over_time_5m", "max_over_time(http_requests_total[5m])"),
    ("max_over_time_1h", "max_over_time(http_requests_total[1h])"),
    ("max_over_time_6h", "max_over_time(http_requests_total[6h])"),
    ("stddev_over_time_5m", "stddev_over_time(http_requests_total[5m])"),
    ("stddev_over_time_1h", "stddev_over_time(http_requests_total[1h])"),
    ("stddev_over_time_6h", "stddev_over_time(http_requests_total[6h])"),
    ("stdvar_over_time", "stdvar_over_time(http_requests_total[5m])"),
    ("last_over_time", "last_over_time(http_requests_total[5m])"),
    ("present_over_time", "present_over_time(http_requests_total[5m])"),
];

/// Name and text; those of `promql-engine`'s `BenchmarkNativeHistograms`.
#[rustfmt::skip]
const HISTOGRAM_QUERIES: &[(&str, &str)] = &[
    ("selector", "native_histogram_series"),
    ("sum", "sum(native_histogram_series)"),
    ("rate", "rate(native_histogram_series[1m])"),
    ("rate_with_longer_window", "rate(native_histogram_series[10m])"),
    ("sum_rate", "sum(rate(native_histogram_series[1m]))"),
    ("histogram_sum", "histogram_sum(native_histogram_series)"),
    ("histogram_count_with_rate", "histogram_count(rate(native_histogram_series[1m]))"),
    ("histogram_count", "histogram_count(native_histogram_series)"),
    ("histogram_count_with_sum_and_rate", "histogram_count(sum(rate(native_histogram_series[1m])))"),
    ("histogram_avg", "histogram_avg(native_histogram_series)"),
    ("histogram_avg_with_sum_and_rate", "histogram_avg(sum(rate(native_histogram_series[1m])))"),
    ("histogram_quantile", "histogram_quantile(0.9, sum(native_histogram_series))"),
    ("histogram_scalar_binop", "sum(native_histogram_series * 60)"),
    ("histogram_stdvar", "histogram_stdvar(native_histogram_series)"),
    ("histogram_stddev", "histogram_stddev(native_histogram_series)"),
];

/// Name, text and scrapes in a step: queries over all samples of their block.
#[rustfmt::skip]
const BARE_QUERIES: &[(&str, &str, i64)] = &[
    ("sum_by_rate_at_1", "sum by (namespace) (rate(http_requests_total[1m]))", 1),
    ("sum_by_rate_5m_at_1", "sum by (namespace) (rate(http_requests_total[5m]))", 1),
    ("sum_by_rate_at_4", "sum by (namespace) (rate(http_requests_total[1m]))", 4),
    ("sum_by_rate_5m_at_4", "sum by (namespace) (rate(http_requests_total[5m]))", 4),
];

pub(super) fn cases() -> Vec<(&'static str, Make)> {
    let make = |group: &str, data: &Rc<Data>, name: &str, text: &'static str, times: Times| {
        let data = Rc::clone(data);
        let make: Make = Box::new(move |_| Ok(Box::new(Query::new(&data, text, times)?)));
        (&*format!("{group}/{name}").leak(), make)
    };
    let two_hours = |name: &str| {
        let step_ms = if name == "rate_with_longer_window" { LONG_STEP_MS } else { STEP_MS };
        Times { start_ms: 0, end_ms: END_MS, step_ms }
    };
    let (floats, histograms, scraped) = (Data::floats(), Data::histograms(), Data::scraped());
    let of_floats = QUERIES.iter().map(|(name, text)| make("promql", &floats, name, text, two_hours(name)));
    let of_histograms = HISTOGRAM_QUERIES
        .iter()
        .map(|(name, text)| make("promql_histograms", &histograms, name, text, two_hours(name)));
    let bare = BARE_QUERIES.iter().map(|(name, text, scrapes)| {
        let end_ms = START_MS + SCRAPES as i64 * SCRAPE_MS;
        let times = Times { start_ms: START_MS, end_ms, step_ms: scrapes * SCRAPE_MS };
        make("promql_bare", &scraped, name, text, times)
    });
    of_floats.chain(of_histograms).chain(bare).collect()
}

/// The steps of a query.
#[derive(Clone, Copy)]
struct Times {
    start_ms: i64,
    end_ms: i64,
    step_ms: i64,
}

/// A range query over a block.
struct Query {
    data: Rc<Data>,
    text: &'static str,
    times: Times,
    runtime: Runtime,
    engine: Engine,
    queryable: Arc<StoreQueryable>,
    files: Files,
    columns: SampleColumns,
}

impl Query {
    fn new(data: &Rc<Data>, text: &'static str, times: Times) -> Result<Self> {
        let runtime = Builder::new_current_thread().enable_time().build()?;
        let dir = data.block()?;
        let reader = Arc::new(LocalReader::new(&dir));
        let block = runtime.block_on(Block::open(&Context::default(), reader))?;
        let store = Conform::new(Arc::new(BlockStore::new(block, Labels::empty())), Labels::empty());
        let queryable = Arc::new(StoreQueryable::new(Arc::new(store), SelectOptions::default()));
        let options = EngineOptions { experimental_functions: true, ..EngineOptions::default() };
        let engine = Engine::new(options, Arc::new(Inline));
        let files = Files::open(&dir, times.end_ms)?;
        Ok(Self {
            data: Rc::clone(data),
            text,
            times,
            runtime,
            engine,
            queryable,
            files,
            columns: SampleColumns::default(),
        })
    }

    fn answer(&self) -> Vec<MatrixSeries> {
        let expr = promql::parse(self.text, self.engine.options()).expect("parses");
        let Times { start_ms, end_ms, step_ms } = self.times;
        let query = RangeQuery { expr, text: self.text.into(), start_ms, end_ms, step_ms, lookback_ms: None };
        let queryable = Arc::clone(&self.queryable);
        let ctx = Context::default();
        let answer = self.runtime.block_on(self.engine.range(&ctx, queryable, query));
        let QueryValue::Matrix(series) = answer.expect("an answer").value else { panic!("a matrix") };
        series
    }
}

impl Case for Query {
    fn write(&self, dir: &Path) -> Result<PathBuf> {
        let (items, folder) = (self.items(), self.data.folder()?);
        let Times { start_ms, end_ms, step_ms } = self.times;
        let text = format!("{}\n{start_ms}\n{end_ms}\n{step_ms}\n{items}\n", self.text);
        fs::write(dir.join("query"), text + folder.to_str().context("a name of text")? + "\n")?;
        Ok(dir.to_owned())
    }

    /// Steps of the series with the metric's name.
    fn items(&self) -> u64 {
        let Times { start_ms, end_ms, step_ms } = self.times;
        self.files.entries.len() as u64 * ((end_ms - start_ms) / step_ms + 1) as u64
    }

    fn checksum(&mut self) -> u64 {
        self.answer().iter().fold(0, |sum, series| sum.wrapping_add(sum_of(series)))
    }

    fn run(&mut self) {
        assert!(self.answer().len() < usize::MAX);
    }

    /// Decodes the chunks of the range.
    fn bare(&mut self) {
        for chunks in &self.files.entries {
            self.columns.clear();
            for (segment, offset) in chunks {
                let bytes = &self.files.segments[*segment][*offset..];
                let Ok(ChunkRecord::Whole { encoding, data, .. }) = ChunkRecord::parse(bytes, *offset as u64)
                else {
                    panic!("a chunk");
                };
                Chunk { encoding, data }.decode_into(&mut self.columns).expect("samples");
            }
        }
    }
}

/// Chunks of the range, of each series that has the first part of the queries' metric names.
struct Files {
    segments: Vec<Vec<u8>>,
    entries: Vec<Vec<(usize, usize)>>,
}

impl Files {
    fn open(dir: &Path, end_ms: i64) -> Result<Self> {
        let index = IndexFile::open(fs::read(dir.join("index"))?.into()).context("the index")?;
        let mut names: Vec<_> =
            fs::read_dir(dir.join("chunks"))?.map(|e| Ok(e?.path())).collect::<Result<_>>()?;
        names.sort();
        let segments = names.iter().map(fs::read).collect::<std::io::Result<_>>()?;
        let mut entries = Vec::new();
        for metric in ["http_requests_total", "native_histogram_series"] {
            let Some(list) = index.index().table.find(b"__name__", metric.as_bytes()) else { continue };
            for id in index.postings(list)?.iter() {
                let mut entry = SeriesEntry::default();
                index.series(id, &mut entry)?;
                let inside = entry.chunks.iter().filter(|(interval, _)| interval.mint <= end_ms);
                entries.push(inside.map(|(_, c)| ((c.0 >> 32) as usize, c.0 as u32 as usize)).collect());
            }
        }
        Ok(Self { segments, entries })
    }
}

/// FNV-1a of 64 bits.
#[derive(Clone, Copy)]
struct Fnv(u64);

impl Fnv {
    const EMPTY: Self = Self(0xcbf2_9ce4_8422_2325);
}

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

/// Nine digits, so that the order of additions does not matter.
fn number(v: f64) -> String {
    if v.is_nan() {
        return "NaN".to_owned();
    }
    if v == 0.0 {
        return "0".to_owned();
    }
    if v.is_infinite() {
        return if v > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    // Exponents have a sign and two digits at least.
    let text = format!("{v:.8e}");
    let (digits, exponent) = text.split_once('e').expect("an exponent");
    let (sign, exponent) = match exponent.strip_prefix('-') {
        Some(exponent) => ('-', exponent),
        None => ('+', exponent),
    };
    format!("{digits}e{sign}{exponent:0>2}")
}

fn sum_of(series: &MatrixSeries) -> u64 {
    let mut hash = Fnv::EMPTY;
    for label in series.labels.iter() {
        hash.write(label.name);
        hash.write(&[0xff]);
        hash.write(label.value);
        hash.write(&[0xff]);
    }
    let mut sum = 0u64;
    let mut add = |t: i64, text: String| {
        let mut value = Fnv::EMPTY;
        value.write(text.as_bytes());
        sum = sum.wrapping_add((hash.finish() ^ t as u64).wrapping_mul(value.finish() | 1));
    };
    series.floats.iter().for_each(|(t, v)| add(*t, number(*v)));
    series.histograms.iter().for_each(|(t, h)| add(*t, number(h.count) + " " + &number(h.sum)));
    sum
}
