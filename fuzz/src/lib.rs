//! One fuzz body for each decoder, run over committed corpora as tests.
//!
//! A body takes any bytes and must return: it panics when a decoder does or when a promise is
//! broken, such as that pieces equal the whole. `corpus/NAME/` holds seeds of the body `NAME`:
//! chunks, sections of indexes and metadata that Prometheus and Thanos wrote (parts of the
//! library's `testdata`), and inputs that once failed. `cargo test -p thanoslib-fuzz` runs each
//! body over its seeds and over seeded changes of them, always the same ones.
//!
//! `README.md` beside this file says how to search on with libFuzzer, and what was found.

pub mod blocks;
pub mod chunks;
pub mod downsample;
pub mod grpc;
pub mod model;
pub mod promql;
pub mod values;
pub mod writers;

/// Takes any bytes and must return.
pub type Body = fn(&[u8]);

/// Every body with the name of its corpus.
pub const BODIES: &[(&str, Body)] = &[
    ("aggregates", chunks::aggregates),
    ("append_floats", writers::append_floats),
    ("cache_file", blocks::cache_file),
    ("chunk_merge", writers::chunk_merge),
    ("cut", writers::cut),
    ("dedup", chunks::dedup),
    ("downsample_aggregates", downsample::downsample_aggregates),
    ("downsample_floats", downsample::downsample_floats),
    ("downsample_histograms", downsample::downsample_histograms),
    ("evaluator", model::evaluator),
    ("float_histogram", chunks::float_histogram),
    ("float_histogram_st", chunks::float_histogram_st),
    ("grpc_message", grpc::grpc_message),
    ("histogram", chunks::histogram),
    ("histogram_st", chunks::histogram_st),
    ("histograms", values::histograms),
    ("index", blocks::index),
    ("index_header", blocks::index_header),
    ("index_symbols", blocks::index_symbols),
    ("index_table", blocks::index_table),
    ("index_toc", blocks::index_toc),
    ("merge_any", writers::merge_any),
    ("meta", blocks::meta),
    ("plan", promql::plan),
    ("postings", blocks::postings),
    ("postings_codec", blocks::postings_codec),
    ("postings_model", blocks::postings_model),
    ("promql", promql::parser),
    ("promql_peer", promql::peer),
    ("regex", values::regex),
    ("segment", blocks::segment),
    ("series_entry", blocks::series_entry),
    ("series_frame", grpc::series_frame),
    ("texts", values::texts),
    ("tombstones", blocks::tombstones),
    ("verify", blocks::verify),
    ("xor", chunks::xor),
    ("xor2", chunks::xor2),
];
