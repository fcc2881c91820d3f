//! Recorded data of real programs, judged row by row.

mod block_verify;
mod blocks;
mod histogram_chunks;
mod merged_blocks;
mod promql_doubled;
mod promql_eval;
mod promql_parse;
mod promql_thanos;
mod query_http;
mod query_seams;
mod thanos_aggr;
mod thanos_dedup;
mod thanos_downsample;
mod thanos_filters;
mod thanos_index;
mod thanos_meta;
mod tsdb_appender;
mod tsdb_blocks;
mod tsdb_chunks;
mod tsdb_index;
mod tsdb_relabel;
mod tsdb_values;

use std::process::ExitCode;

use thanoslib::testing::golden::Golden;

fn main() -> ExitCode {
    let mut golden = Golden::new(
        env!("CARGO_MANIFEST_DIR"),
        &["tsdb", "thanos", "promql", "query/http", "query_seams/http", "query_seams/truth"],
    );
    tsdb_blocks::run(&mut golden);
    block_verify::run(&mut golden);
    tsdb_chunks::run(&mut golden);
    tsdb_appender::run(&mut golden);
    tsdb_index::run(&mut golden);
    tsdb_values::run(&mut golden);
    tsdb_relabel::run(&mut golden);
    merged_blocks::run(&mut golden);
    thanos_index::run(&mut golden);
    thanos_meta::run(&mut golden);
    thanos_aggr::run(&mut golden);
    thanos_dedup::run(&mut golden);
    thanos_downsample::run(&mut golden);
    thanos_filters::run(&mut golden);
    promql_parse::run(&mut golden);
    promql_eval::run(&mut golden);
    promql_eval::run_x_functions(&mut golden);
    promql_thanos::run(&mut golden);
    promql_doubled::run(&mut golden);
    query_http::run(&mut golden);
    query_seams::run(&mut golden);
    golden.finish()
}
