//! Rewrites `thanoslib-grpc/src/generated`.

use std::path::Path;

fn main() -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    thanoslib_grpc_codegen::generate(&root.join("proto"), &root.join("src/generated"))
}
