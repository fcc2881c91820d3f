//! Recorded gRPC calls to Thanos: their messages read and written, and those of the store gateway
//! made again to our server over a real connection.

mod messages;
mod store;

use std::process::ExitCode;

use thanoslib::testing::golden::Golden;

fn main() -> ExitCode {
    let mut golden = Golden::new(env!("CARGO_MANIFEST_DIR"), &["query/grpc", "query_seams/grpc"]);
    store::run(&mut golden);
    messages::run(&mut golden);
    golden.finish()
}
