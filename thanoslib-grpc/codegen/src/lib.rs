//! Writes the generated code of `thanoslib-grpc` from its `.proto` files.
//!
//! Needs no protoc: `protox` parses, `tonic-prost-build` writes the Rust code. Beside the
//! code lies the descriptor set that the reflection service shows.

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};
use prost::Message;
use prost_types::{FileDescriptorSet, field_descriptor_proto::Type};

/// The files to compile, below the folder `proto`.
const FILES: [&str; 12] = [
    "api/query/querypb/query.proto",
    "exemplars/exemplarspb/rpc.proto",
    "info/infopb/rpc.proto",
    "metadata/metadatapb/rpc.proto",
    "rules/rulespb/rpc.proto",
    "status/statuspb/rpc.proto",
    "store/hintspb/hints.proto",
    "store/labelpb/types.proto",
    "store/storepb/prompb/types.proto",
    "store/storepb/rpc.proto",
    "store/storepb/types.proto",
    "targets/targetspb/rpc.proto",
];

/// String fields that the Rust code holds as bytes, as message and field.
///
/// Go peers send what they store without a check for UTF-8, and one bad string must not
/// fail its whole frame. The bytes on the wire are the same for both types, so the
/// descriptors of the reflection service keep `string`.
const LENIENT: [(&str, &str); 20] = [
    ("ActiveTarget", "lastError"),
    ("Alert", "last_error"),
    ("ExemplarsResponse", "warning"),
    ("Label", "name"),
    ("Label", "value"),
    ("LabelMatcher", "value"),
    ("LabelNamesResponse", "names"),
    ("LabelNamesResponse", "warnings"),
    ("LabelValuesResponse", "values"),
    ("LabelValuesResponse", "warnings"),
    ("Meta", "help"),
    ("MetricMetadataResponse", "warning"),
    ("QueryRangeResponse", "warnings"),
    ("QueryResponse", "warnings"),
    ("RecordingRule", "last_error"),
    ("RulesResponse", "warning"),
    ("SeriesResponse", "warning"),
    ("Statistic", "name"),
    ("TSDBStatisticsResponse", "warning"),
    ("TargetsResponse", "warning"),
];

/// Methods of the Store whose answers are encoded and decoded by hand: each with the name of their
/// type in the `.proto` files, as it were, and in services and clients.
const FRAMES: [(&str, &str, &str); 2] = [
    ("Series", ".thanos.SeriesFrame", "crate::codec::SeriesFrame"),
    ("LabelValues", ".thanos.LabelValuesFrame", "crate::codec::LabelValuesFrame"),
];

/// Name of the descriptor set among the generated files.
pub const DESCRIPTORS: &str = "descriptors.bin";

/// Compiles the `.proto` files below `proto` into Rust files in `out`.
///
/// # Errors
/// A file that does not compile or cannot be written.
pub fn generate(proto: &Path, out: &Path) -> Result<()> {
    let mut files = protox::compile(FILES, [proto]).context("compile the .proto files")?;
    let shown = FileDescriptorSet {
        file: files
            .file
            .iter()
            .cloned()
            .map(|f| prost_types::FileDescriptorProto { source_code_info: None, ..f })
            .collect(),
    };
    fs::write(out.join(DESCRIPTORS), shown.encode_to_vec()).context("write the descriptors")?;
    let changed = soften(&mut files);
    ensure!(changed == LENIENT.len(), "{changed} of {} lenient fields found", LENIENT.len());
    for (method, frame, _) in FRAMES {
        ensure!(answer_frames(&mut files, method, frame) == 1, "no method Store.{method}");
    }
    let mut config = tonic_prost_build::Config::new();
    // Maps in name order, so that equal messages have equal bytes.
    config.bytes(["."]).btree_map(["."]).enable_type_names();
    for (_, frame, path) in FRAMES {
        config.extern_path(frame, path);
    }
    tonic_prost_build::configure()
        .out_dir(out)
        .emit_rerun_if_changed(false)
        .codec_path("crate::codec::Codec")
        .compile_fds_with_config(files, config)
        .context("write the Rust code")
}

/// Turns the lenient fields into bytes; returns how many there are.
fn soften(files: &mut FileDescriptorSet) -> usize {
    let mut changed = 0;
    for message in files.file.iter_mut().filter(|f| f.package() == "thanos").flat_map(|f| &mut f.message_type)
    {
        let name = message.name().to_owned();
        for field in &mut message.field {
            if LENIENT.contains(&(name.as_str(), field.name())) {
                field.set_type(Type::Bytes);
                changed += 1;
            }
        }
    }
    changed
}

/// Lets a method of the Store answer frames instead of messages; returns how many methods that is.
fn answer_frames(files: &mut FileDescriptorSet, method: &str, frame: &str) -> usize {
    let services = files.file.iter_mut().filter(|f| f.package() == "thanos").flat_map(|f| &mut f.service);
    let methods = services.filter(|s| s.name() == "Store").flat_map(|s| &mut s.method);
    methods.filter(|m| m.name() == method).map(|m| m.output_type = Some(frame.to_owned())).count()
}
