//! The `thanos` command.
fn main() {}
