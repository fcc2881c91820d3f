//! Recorded calls to real Thanos components, made again to the commands of this crate.

mod process;
mod sidecar;
mod surface;
mod variants;

use std::process::ExitCode;

use thanoslib::testing::golden::Golden;

fn main() -> ExitCode {
    let areas = ["query/grpc/sidecar.jsonl", "query/surface", "query/variants"];
    let mut golden = Golden::new(env!("CARGO_MANIFEST_DIR"), &areas);
    sidecar::run(&mut golden);
    surface::run(&mut golden);
    variants::run(&mut golden);
    golden.finish()
}
