//! Recorded calls to real Thanos components, made again to the commands of this crate.

mod sidecar;

use std::process::ExitCode;

use thanoslib::testing::golden::Golden;

fn main() -> ExitCode {
    let mut golden = Golden::new(env!("CARGO_MANIFEST_DIR"), &["query/grpc/sidecar.jsonl"]);
    sidecar::run(&mut golden);
    golden.finish()
}
