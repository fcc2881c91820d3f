//! Which blocks of a bucket count, as Thanos' filters said, and which belong together.

use std::{path::Path, sync::Arc, time::Duration};

use serde_json::{Value, json};
use thanoslib::{
    Bucket, Context, Interval,
    block::{BlockFilter, BlockId, BlockIdGenerator, BlockMeta, MetaFetcher, UploadTime, View},
    clock::ManualClock,
    model::Labels,
    testing::golden::{Golden, Suite, Verdict, equal},
};

/// Clock of the replay.
const NOW_MS: i64 = 1_700_000_000_000;

pub(crate) fn run(golden: &mut Golden) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    golden.run(&Suite {
        label: "thanos/compact/filters",
        path: "thanos/compact/time_filters.jsonl",
        inputs: &[
            "kind",
            "block_mint",
            "block_maxt",
            "filter_mint",
            "filter_maxt",
            "delay_s",
            "source",
            "ulid_age_s",
            "upload_time_age_s",
            "mark",
            "mark_age_s",
        ],
        expected: &["kept", "in_deletion_map", "err"],
        ignored: &[],
        rows: None,
        check: &|_: &Path, row| runtime.block_on(check_one(row)),
    });
    golden.run(&Suite {
        label: "thanos/compact/filters",
        path: "thanos/compact/dedup_filter.jsonl",
        inputs: &["name", "metas"],
        expected: &["kept", "duplicates"],
        ignored: &[],
        rows: None,
        check: &|_: &Path, row| runtime.block_on(check_duplicates(row)),
    });
    golden.run(&Suite {
        label: "thanos/compact/group_key",
        path: "thanos/compact/group_key.jsonl",
        inputs: &["labels", "resolution"],
        expected: &["group_key", "hash", "labels_string", "resolution_string"],
        ignored: &[],
        rows: None,
        check: &|_: &Path, row| check_group_key(row),
    });
}

/// A block that is all default but for its name.
fn meta(ulid: BlockId) -> BlockMeta {
    BlockMeta { ulid, version: 1, ..BlockMeta::default() }
}

fn id(text: &Value) -> Result<BlockId, String> {
    let text = text.as_str().unwrap_or_default();
    text.parse().map_err(|e| format!("{text:?}: {e}"))
}

/// What a fetch at [`NOW_MS`] sees of these blocks.
async fn fetch(bucket: &Bucket, metas: &[BlockMeta], filter: BlockFilter) -> Result<View, String> {
    for meta in metas {
        let text = meta.encode().map_err(|e| e.to_string())?;
        bucket.put(&format!("{}/meta.json", meta.ulid), text).await.map_err(|e| e.to_string())?;
    }
    let fetcher = MetaFetcher::new(bucket.clone(), filter).with_clock(Arc::new(ManualClock::new(NOW_MS)));
    fetcher.fetch(&Context::default()).await.map_err(|e| e.to_string())
}

async fn check_one(row: &Value) -> Verdict {
    let int = |key: &str| row[key].as_i64();
    let seconds = |key: &str| int(key).map(|s| Duration::from_secs(s.unsigned_abs()));
    let age_ms = int("ulid_age_s").unwrap_or(0) * 1000;
    let made = Arc::new(ManualClock::new(NOW_MS - age_ms));
    let mut meta = meta(BlockIdGenerator::new(made, 1).next_id());
    (meta.min_time, meta.max_time) = (int("block_mint").unwrap_or(0), int("block_maxt").unwrap_or(0));
    meta.thanos.source = row["source"].as_str().unwrap_or_default().to_owned();
    if let Some(age_s) = int("upload_time_age_s") {
        meta.thanos.upload_time = UploadTime::from_unix_ms(NOW_MS - age_s * 1000);
    }
    let bucket = Bucket::memory("filters");
    let mut filter = BlockFilter::default();
    match row["kind"].as_str() {
        Some("time_partition") => {
            let (mint, maxt) = int("filter_mint").zip(int("filter_maxt")).ok_or("no interval")?;
            filter.window = Interval::new(mint, maxt).into();
        }
        Some("consistency_delay") => filter.consistency_delay = seconds("delay_s").ok_or("no delay")?,
        Some("ignore_deletion_mark") => {
            filter.deletion_marks_delay = seconds("delay_s");
            let mark = match int("mark_age_s") {
                Some(age_s) => {
                    let made_s = NOW_MS / 1000 - age_s;
                    json!({"id": meta.ulid.to_string(), "version": 1, "deletion_time": made_s}).to_string()
                }
                None => row["mark"].as_str().unwrap_or_default().to_owned(),
            };
            if !mark.is_empty() {
                let name = format!("{}/deletion-mark.json", meta.ulid);
                bucket.put(&name, mark).await.map_err(|e| e.to_string())?;
            }
        }
        other => return Err(format!("an unknown filter: {other:?}")),
    }
    let got = fetch(&bucket, std::slice::from_ref(&meta), filter).await;
    if let Some(want) = row["err"].as_str() {
        // A filter that fails leaves nothing out and finds no mark.
        equal(&json!([true, false]), &json!([row["kept"], row["in_deletion_map"]]))?;
        let fault =
            want.strip_prefix("filter blocks marked for deletion: ").ok_or("another filter failed")?;
        return match got {
            Err(e) if e.ends_with(fault) => Ok(()),
            got => Err(format!("{got:?}, want the error {want}")),
        };
    }
    let view = got?;
    equal(&json!(view.metas.contains_key(&meta.ulid)), &row["kept"])?;
    if row["in_deletion_map"].is_boolean() {
        equal(&json!(view.marked.contains_key(&meta.ulid)), &row["in_deletion_map"])?;
    }
    Ok(())
}

async fn check_duplicates(row: &Value) -> Verdict {
    let mut metas = Vec::new();
    for recorded in row["metas"].as_array().into_iter().flatten() {
        let ids = recorded["sources"].as_array().into_iter().flatten();
        let mut meta = meta(id(&recorded["ulid"])?);
        meta.compaction.sources = ids.map(id).collect::<Result<_, _>>()?;
        group(&mut meta, recorded);
        metas.push(meta);
    }
    let filter = BlockFilter { deduplicate: true, ..BlockFilter::default() };
    let view = fetch(&Bucket::memory("filters"), &metas, filter).await?;
    let texts = |ids: Vec<&BlockId>| json!(ids.iter().map(ToString::to_string).collect::<Vec<_>>());
    equal(&texts(view.metas.keys().collect()), &row["kept"])?;
    equal(&texts(view.excluded.keys().collect()), &row["duplicates"])
}

/// Takes over external labels and resolution.
fn group(meta: &mut BlockMeta, recorded: &Value) {
    let labels = recorded["labels"].as_object().into_iter().flatten();
    meta.thanos.labels =
        labels.map(|(n, v)| (n.clone(), v.as_str().unwrap_or_default().to_owned())).collect();
    meta.thanos.downsample.resolution = recorded["resolution"].as_i64().unwrap_or(0);
}

fn check_group_key(row: &Value) -> Verdict {
    let mut meta = BlockMeta::default();
    group(&mut meta, row);
    let labels = Labels::from_pairs(meta.thanos.labels.iter().map(|(n, v)| (n.as_str(), v.as_str())));
    let key = meta.group_key();
    equal(&json!(key), &row["group_key"])?;
    equal(&json!(key.split_once('@').map(|(_, hash)| hash)), &row["hash"])?;
    equal(&json!(labels.to_string()), &row["labels_string"])?;
    equal(&json!(meta.thanos.downsample.resolution.to_string()), &row["resolution_string"])
}
