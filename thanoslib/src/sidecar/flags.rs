//! Whether blocks of a server can be uploaded, by its flags.

use std::{
    collections::BTreeMap,
    path::{Component, Path, PathBuf},
};

use super::ShipperSettings;
use crate::{
    context::Context,
    error::{Error, ErrorKind, Result},
    model::duration,
    store::prometheus::PrometheusClient,
};

/// Flags as the server says them.
pub(super) type ServerFlags = BTreeMap<String, String>;

/// The flags; `None` of a server too old to say them.
pub(super) async fn ask(client: &PrometheusClient, ctx: &Context) -> Result<Option<ServerFlags>> {
    match client.get::<ServerFlags>(ctx, &["api", "v1", "status", "flags"], &[]).await {
        Ok(answer) => Ok(Some(answer.data)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// Checks that the server does not compact blocks away before they are uploaded.
///
/// # Errors
/// `Invalid` with what to change.
pub(super) fn check(flags: &ServerFlags, settings: &ShipperSettings) -> Result<()> {
    let delay = flags.get("storage.tsdb.delay-compact-file.path").map_or("", String::as_str);
    if !delay.is_empty() {
        let ours = clean(&settings.data_dir.join(&settings.meta_file));
        if clean(Path::new(delay)) != ours {
            return Err(Error::invalid(format!(
                "storage.tsdb.delay-compact-file.path of Prometheus is {delay:?}, the shipper's file is {:?}: \
                 they must be the same",
                ours.display()
            )));
        }
    }
    let block = |end: &str| -> Result<Option<i64>> {
        let name = format!("storage.tsdb.{end}-block-duration");
        let Some(text) = flags.get(&name).filter(|text| !text.is_empty()) else { return Ok(None) };
        duration::parse(text).map(Some).map_err(|e| e.context(format!("flag {name} of Prometheus")))
    };
    let (Some(min), Some(max)) = (block("min")?, block("max")?) else { return Ok(()) };
    if min != max && delay.is_empty() {
        let told = format!(
            "compaction of Prometheus must be off, or wait for the uploads: storage.tsdb.min-block-duration \
             is {}, storage.tsdb.max-block-duration {}; make them equal, or set \
             storage.tsdb.delay-compact-file.path to the shipper's file",
            duration::format(min),
            duration::format(max)
        );
        if !settings.ignore_unequal_block_size {
            return Err(Error::invalid(told));
        }
        tracing::warn!("{told}");
    }
    if min != TWO_HOURS_MS {
        tracing::warn!(
            "blocks of Prometheus should span 2h, storage.tsdb.min-block-duration is {}",
            duration::format(min)
        );
    }
    Ok(())
}

const TWO_HOURS_MS: i64 = 7_200_000;

/// The path without `.` and `..`, told by the text alone.
fn clean(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if out.file_name().is_some_and(|name| name != "..") => {
                out.pop();
            }
            Component::ParentDir if out.has_root() => {}
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_must_not_compact_before_uploads() {
        let check = |flags: &[(&str, &str)], ignore: bool, want: Option<&str>| {
            let flags = flags.iter().map(|(n, v)| (format!("storage.tsdb.{n}"), (*v).to_owned())).collect();
            let settings = ShipperSettings {
                data_dir: PathBuf::from("./data"),
                ignore_unequal_block_size: ignore,
                ..ShipperSettings::default()
            };
            match (super::check(&flags, &settings), want) {
                (Ok(()), None) => {}
                (Err(e), Some(words)) => assert!(e.message().contains(words), "{e}"),
                (got, want) => panic!("{flags:?}: got {got:?}, want {want:?}"),
            }
        };
        let equal = [("min-block-duration", "2h"), ("max-block-duration", "2h")];
        let unequal = [("min-block-duration", "2h"), ("max-block-duration", "36h")];
        let delayed = |path| [unequal[0], unequal[1], ("delay-compact-file.path", path)];
        check(&equal, false, None);
        check(&unequal, false, Some("compaction"));
        check(&unequal, true, None);
        check(&delayed("data/thanos.shipper.json"), false, None);
        check(&delayed("data/x/.././thanos.shipper.json"), false, None);
        check(&delayed("/data/thanos.shipper.json"), false, Some("must be the same"));
        check(&delayed("/data/thanos.shipper.json"), true, Some("must be the same"));
        check(&[], false, None);
        check(&[("min-block-duration", "soon")], false, Some("min-block-duration"));
    }

    #[test]
    fn paths_are_cleaned_by_their_text() {
        let check = |path: &str, want: &str| assert_eq!(clean(Path::new(path)), Path::new(want), "{path}");
        check("./data//x", "data/x");
        check("a/../../b", "../b");
        check("/../a", "/a");
        check("", "");
    }
}
