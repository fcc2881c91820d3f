//! Recorded gRPC calls to Thanos, made again to our server over a real connection.

mod call;
mod compare;
mod store;

use std::process::ExitCode;

use thanoslib::testing::golden::Golden;

fn main() -> ExitCode {
    let mut golden = Golden::new(env!("CARGO_MANIFEST_DIR"), &["query/grpc", "query_seams/grpc"]);
    store::run(&mut golden);
    golden.finish()
}
