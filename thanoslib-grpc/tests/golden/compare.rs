//! Compares messages: by their bytes, or by what they say where Thanos' order is random.

use std::fmt::Debug;

use prost::Message;
use thanoslib::testing::golden::Verdict;
use thanoslib_grpc::{
    convert,
    pb::thanos::{LabelNamesResponse, LabelValuesResponse, SeriesResponse, info::InfoResponse},
};

/// Compares one message of the answer to `method`.
pub(crate) fn message(method: &str, got: &[u8], want: &[u8]) -> Verdict {
    match method {
        "/thanos.Store/LabelNames" => {
            by_meaning(got, want, |m: LabelNamesResponse| (m.names, m.warnings, blocks(m.hints.as_ref())))
        }
        "/thanos.Store/LabelValues" => {
            by_meaning(got, want, |m: LabelValuesResponse| (m.values, m.warnings, blocks(m.hints.as_ref())))
        }
        "/thanos.info.Info/Info" => by_meaning(got, want, |mut m: InfoResponse| {
            m.label_sets.sort_by_key(|s| format!("{s:?}"));
            if let Some(store) = &mut m.store {
                store.tsdb_infos.sort_by_key(|t| format!("{t:?}"));
            }
            m
        }),
        "/thanos.Store/Series" => match by_meaning(got, want, |m: SeriesResponse| m) {
            Ok(()) if got != want => Err(format!("equal but not byte for byte: {}", hex(got))),
            verdict => verdict,
        },
        _ if got == want => Ok(()),
        _ => Err(format!("got {}, want {}", hex(got), hex(want))),
    }
}

/// Hints without blocks say as much as no hints; the order of blocks is random in Thanos.
fn blocks(hints: Option<&prost_types::Any>) -> Option<(String, Vec<String>)> {
    let hints = hints?;
    let mut blocks = convert::queried_blocks(hints);
    blocks.sort();
    let says_nothing = blocks.is_empty() && hints.value.is_empty() && hints.type_url.starts_with(HINTS);
    (!says_nothing).then(|| (hints.type_url.clone(), blocks))
}

const HINTS: &str = "type.googleapis.com/hintspb.Label";

fn by_meaning<M: Message + Default + Clone, T: PartialEq + Debug>(
    got: &[u8],
    want: &[u8],
    meaning: impl Fn(M) -> T,
) -> Verdict {
    let read = |bytes: &[u8]| {
        let message = M::decode(bytes).map_err(|e| format!("{e}: {}", hex(bytes)))?;
        // What the messages do not know would be lost here, and so not compared.
        if message.encoded_len() != bytes.len() {
            return Err(format!("unknown fields: {}", hex(bytes)));
        }
        Ok(meaning(message))
    };
    let (got, want) = (read(got)?, read(want)?);
    if got == want { Ok(()) } else { Err(format!("got {got:?}, want {want:?}")) }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().take(200).map(|b| format!("{b:02x}")).collect()
}
