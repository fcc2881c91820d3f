//! Recorded calls to real Thanos components, made again to the commands of this crate.

mod partial;
mod process;
mod prometheus;
mod queriers;
mod recorded;
mod sidecar;
mod surface;
mod throttle;
mod variants;

use std::process::ExitCode;

use thanoslib::testing::golden::Golden;

fn main() -> ExitCode {
    let mut areas = vec![
        "query/grpc/q1.jsonl",
        "query/grpc/q2.jsonl",
        "query/grpc/sidecar.jsonl",
        "query/partial",
        "query/surface",
        "query/variants",
    ];
    areas.extend_from_slice(queriers::FILES);
    let mut golden = Golden::new(env!("CARGO_MANIFEST_DIR"), &areas);
    partial::run(&mut golden);
    queriers::run(&mut golden);
    sidecar::run(&mut golden);
    surface::run(&mut golden);
    variants::run(&mut golden);
    golden.finish()
}

/// A text without the name of the client, which upstream prints as an address in memory.
fn unnamed(text: &str) -> String {
    let Some((before, after)) = text.split_once(" client ") else { return text.to_owned() };
    match after.split_once(": ") {
        Some((_, rest)) => format!("{before} client (name): {rest}"),
        None => text.to_owned(),
    }
}
