//! What `thanos tools bucket` shows of a bucket.

use std::path::{Path, PathBuf};

use thanoslib::{
    block::{BlockId, BlockMeta, DeletionMark, Mark},
    bucket::Bucket,
    context::Context,
    model::Interval,
    tools::{Column, InspectSettings, LsOutput, LsSettings, TableFormat, Zone, inspect, ls},
};

const HOUR_MS: i64 = 3_600_000;
const BASE_MS: i64 = 1_700_006_400_000;

async fn small_bucket() -> Bucket {
    let bucket = Bucket::memory("b");
    for (n, (hours, resolution, samples, cluster)) in
        [(2, 0, 1_234_567, "b"), (48, 0, 999, "a"), (240, 300_000, 5, "a"), (240, 3_600_000, 1, "a")]
            .into_iter()
            .enumerate()
    {
        let ulid = BlockId::from_parts(n as u64 + 1, 0);
        let mut meta = BlockMeta { ulid, version: 1, min_time: BASE_MS, ..BlockMeta::default() };
        meta.max_time = BASE_MS + hours * HOUR_MS;
        meta.stats.num_samples = samples;
        meta.compaction.level = 1;
        meta.compaction.sources = vec![ulid];
        meta.thanos.downsample.resolution = resolution;
        meta.thanos.source = "sidecar".to_owned();
        meta.thanos.labels.insert("cluster".to_owned(), cluster.to_owned());
        meta.thanos.labels.insert("a".to_owned(), "x y".to_owned());
        let text = meta.encode().expect("encodes");
        bucket.put(&format!("{ulid}/meta.json"), text).await.expect("put");
    }
    let marked = BlockId::from_parts(2, 0);
    let mark = DeletionMark { id: marked, version: 1, deletion_time: 1, ..DeletionMark::default() };
    bucket.put(&format!("{marked}/deletion-mark.json"), mark.encode().expect("encodes")).await.expect("put");
    bucket.put(&format!("{}/index", BlockId::from_parts(9, 0)), "partial").await.expect("put");
    bucket
}

async fn listed(bucket: &Bucket, settings: &LsSettings) -> String {
    let mut out = Vec::new();
    let count = ls(&Context::default(), bucket, settings, &mut out).await.expect("ls");
    let text = String::from_utf8(out).expect("text");
    if !matches!(settings.output, LsOutput::Json) {
        assert_eq!(text.lines().count(), count);
    }
    text
}

async fn inspected(bucket: &Bucket, settings: &InspectSettings) -> String {
    let mut out = Vec::new();
    let count = inspect(&Context::default(), bucket, settings, &mut out).await.expect("inspect");
    let text = String::from_utf8(out).expect("text");
    let head = if settings.format == TableFormat::Table { 2 } else { 1 };
    assert_eq!(text.lines().count(), count + head);
    text
}

#[tokio::test]
async fn ls_shows_ids_facts_json_and_fields() {
    let bucket = small_bucket().await;
    let check = async |output: &str, exclude_deleted: bool, want: &str| {
        let output = LsOutput::parse(output).expect("output");
        let settings = LsSettings { output, exclude_deleted, ..LsSettings::default() };
        assert_eq!(listed(&bucket, &settings).await, want);
    };
    let all: Vec<String> = (1..=4).map(|n| format!("{}\n", BlockId::from_parts(n, 0))).collect();
    check("", false, &all.concat()).await;
    check("", true, &[&all[0], &all[2], &all[3]].map(String::as_str).concat()).await;
    check("{{.Stats.NumSamples}}/{{.Thanos.Labels.cluster}}", true, "1234567/b\n5/a\n1/a\n").await;

    let output = LsOutput::parse("wide").expect("output");
    let zone = Zone::new(|_| 7200);
    let wide = listed(&bucket, &LsSettings { output, zone, ..LsSettings::default() }).await;
    let want = format!(
        "{} -- 2023-11-15T02:00:00+02:00 - 2023-11-15T04:00:00+02:00 Diff: 2h0m0s, Compaction: 1, \
         Downsample: 0, Source: sidecar",
        all[0].trim()
    );
    assert_eq!(wide.lines().next(), Some(want.as_str()));

    let output = LsOutput::parse("json").expect("output");
    let json = listed(&bucket, &LsSettings { output, ..LsSettings::default() }).await;
    assert!(json.starts_with(&format!("{{\n\t\"ulid\": \"{}\",\n\t\"minTime\"", all[0].trim())));
    let objects: Vec<serde_json::Value> = serde_json::Deserializer::from_str(&json)
        .into_iter()
        .collect::<Result<_, _>>()
        .expect("a stream of objects");
    assert_eq!(objects.len(), 4);

    let interval = Interval::new(BASE_MS + 3 * HOUR_MS, BASE_MS + 100 * HOUR_MS);
    let some = listed(&bucket, &LsSettings { interval, ..LsSettings::default() }).await;
    assert_eq!(some, all[1..].concat());
}

#[tokio::test]
async fn inspect_sorts_by_meaning_and_quotes() {
    let bucket = small_bucket().await;
    let id = |n| BlockId::from_parts(n, 0).to_string();
    let order = async |sort_by: &[Column]| {
        let settings =
            InspectSettings { sort_by: sort_by.to_vec(), format: TableFormat::Tsv, ..Default::default() };
        let text = inspected(&bucket, &settings).await;
        text.lines().skip(1).map(|l| l.split('\t').next().unwrap_or("").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(order(&[Column::From, Column::Until]).await, [1, 2, 3, 4].map(id));
    assert_eq!(order(&[Column::Samples]).await, [4, 3, 2, 1].map(id));
    assert_eq!(order(&[Column::Labels, Column::Range]).await, [2, 3, 4, 1].map(id));
    assert_eq!(order(&[Column::UntilDown]).await, [4, 2, 3, 1].map(id));

    let csv = InspectSettings {
        selector: vec![("cluster".to_owned(), "b".to_owned())],
        format: TableFormat::Csv,
        ..InspectSettings::default()
    };
    let want = format!(
        "ULID,FROM,UNTIL,RANGE,UNTIL-DOWN,#SERIES,#SAMPLES,#CHUNKS,COMP-LEVEL,COMP-FAILED,LABELS,RESOLUTION,SOURCE\n\
         {},2023-11-15T00:00:00Z,2023-11-15T02:00:00Z,2h0m0s,38h0m0s,0,\"1,234,567\",0,1,false,\
         \"a=x y,cluster=b\",0s,sidecar\n",
        id(1)
    );
    assert_eq!(inspected(&bucket, &csv).await, want);

    let table = inspected(&bucket, &InspectSettings::default()).await;
    let widths: Vec<usize> = table.lines().map(|l| l.chars().count()).collect();
    assert!(widths.windows(2).all(|w| w[0] == w[1]), "{table}");
    assert!(table.lines().all(|l| l.starts_with('|') && l.ends_with('|')));
    assert!(table.lines().nth(3).is_some_and(|l| l.contains("| -8h0m0s ")), "{table}");
    assert!(table.lines().nth(5).is_some_and(|l| l.contains("| -  ") && l.contains("| 1h0m0s ")), "{table}");
}

/// Blocks that real programs made.
#[tokio::test]
async fn recorded_blocks_are_listed() {
    let golden = std::env::var_os("THANOSLIB_GOLDEN").filter(|v| !v.is_empty()).map(PathBuf::from);
    let golden = golden.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata"));
    let folder = golden.join("query/bucket");
    let bucket = Bucket::local(&folder).expect("opens");
    let ids = listed(&bucket, &LsSettings::default()).await;
    assert_eq!(ids.lines().count(), std::fs::read_dir(&folder).expect("a folder").count());
    assert!(ids.lines().is_sorted());
    let output = LsOutput::Json;
    let json = listed(&bucket, &LsSettings { output, ..LsSettings::default() }).await;
    let mut files = String::new();
    for id in ids.lines() {
        let text = std::fs::read_to_string(golden.join("query/bucket").join(id).join("meta.json"));
        files.push_str(text.expect("meta").trim_end());
        files.push('\n');
    }
    assert_eq!(json, files, "descriptions are shown as they are stored");
    let settings = InspectSettings {
        selector: vec![("cluster".to_owned(), "us1".to_owned()), ("region".to_owned(), "west".to_owned())],
        format: TableFormat::Csv,
        ..InspectSettings::default()
    };
    let csv = inspected(&bucket, &settings).await;
    let first = csv.lines().nth(1).expect("a row");
    assert!(
        first.starts_with("01M82CCJDCG8ANXBGRWJEJ5RB0,2023-11-15T00:00:00Z,2023-11-15T02:00:00Z,2h0m0s,")
    );
    assert!(first.contains(",59,\"6,712\","), "{first}");
    assert!(first.ends_with(",\"cluster=us1,region=west,replica=A\",0s,receive"), "{first}");
}
