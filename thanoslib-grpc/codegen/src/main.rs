//! Rewrites the generated code of thanoslib-grpc.
fn main() {}
