//! Recorded data of real programs, judged row by row.

use std::process::ExitCode;

use thanoslib::testing::golden::Golden;

fn main() -> ExitCode {
    let golden = Golden::new(env!("CARGO_MANIFEST_DIR"), &["tsdb", "thanos", "promql", "query/http"]);
    golden.finish()
}
