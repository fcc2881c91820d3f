//! Recorded data of real programs, judged row by row.

mod blocks;
mod promql_eval;
mod promql_parse;
mod tsdb_index;

use std::process::ExitCode;

use thanoslib::testing::golden::Golden;

fn main() -> ExitCode {
    let mut golden = Golden::new(env!("CARGO_MANIFEST_DIR"), &["tsdb", "thanos", "promql", "query/http"]);
    tsdb_index::run(&mut golden);
    promql_parse::run(&mut golden);
    promql_eval::run(&mut golden);
    golden.finish()
}
