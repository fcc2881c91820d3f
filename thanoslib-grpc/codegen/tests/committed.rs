//! The committed generated code is what the `.proto` files give.

use std::{collections::BTreeMap, fs, path::Path};

use thanoslib_grpc_codegen::generate;

fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).expect("the folder can be read");
    entries
        .map(|entry| {
            let path = entry.expect("the entry can be read").path();
            let name = path.file_name().expect("an entry has a name").to_string_lossy().into_owned();
            (name, fs::read(&path).expect("the file can be read"))
        })
        .collect()
}

#[test]
fn generated_code_is_up_to_date() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let out = tempfile::tempdir().expect("a folder for the output");
    generate(&root.join("proto"), out.path()).expect("the .proto files compile");
    let (want, have) = (files(out.path()), files(&root.join("src/generated")));
    assert_eq!(want.keys().collect::<Vec<_>>(), have.keys().collect::<Vec<_>>());
    for (name, bytes) in &want {
        assert!(have.get(name) == Some(bytes), "{name} is stale: run `cargo run -p thanoslib-grpc-codegen`");
    }
}
