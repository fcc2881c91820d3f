//! `thanos standalone` as users run it.

mod common;

use std::{fs, net::TcpListener, path::Path, time::Duration};

use common::{Server, run, testdata};
use serde_json::Value;

/// Path and parameters of a printed curl line.
fn parts(line: &str) -> (String, Vec<(String, String)>) {
    let mut quoted = line.split('\'').skip(1).step_by(2);
    let url = quoted.next().expect("a quoted address");
    let (_, rest) = url.strip_prefix("http://").and_then(|u| u.split_once('/')).expect("an address");
    let (path, params) = rest.split_once('?').expect("parameters");
    let form = quoted.next().expect("a quoted query");
    let pair = |p: &str| p.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned())).expect("name=value");
    (format!("/{path}"), params.split('&').chain([form]).map(pair).collect())
}

/// Times and values of each series.
fn series(answer: &Value) -> Vec<Vec<(i64, f64)>> {
    let one = |s: &Value| {
        let values = s["values"].as_array().expect("values");
        let value = |v: &Value| v[1].as_str().and_then(|v| v.parse().ok()).expect("a float");
        values.iter().map(|v| (v[0].as_i64().expect("a time"), value(v))).collect()
    };
    answer["data"]["result"].as_array().expect("a matrix").iter().map(one).collect()
}

fn longest_step(samples: &[(i64, f64)]) -> i64 {
    samples.windows(2).map(|w| w[1].0 - w[0].0).max().unwrap_or_default()
}

#[test]
fn the_demo_shows_what_merging_replicas_does() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start(&["--demo", &format!("--data-dir={}", dir.path().display())]);
    let mut answers = Vec::new();
    while answers.len() < 3 {
        let line = server.out.recv_timeout(Duration::from_secs(10)).expect("three curl lines");
        if line.starts_with("curl") {
            assert!(line.contains(&server.http), "{line}");
            let (path, params) = parts(&line);
            let params: Vec<_> = params.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
            answers.push(series(&server.ask(&path, &params)));
        }
    }
    let [raw, merged, rates] = &answers[..] else { panic!("three answers") };
    assert_eq!(raw.len(), 2);
    assert!(raw.iter().all(|s| longest_step(s) > 600), "each replica was down once: {raw:?}");
    assert_eq!(merged.len(), 1);
    assert_eq!(longest_step(&merged[0]), 300);
    assert!(merged[0].windows(2).any(|w| w[1].1 < w[0].1), "the counter restarts");
    assert_eq!(rates.len(), 2);
    for rate in rates {
        assert_eq!(longest_step(rate), 300);
        assert!(rate.iter().all(|(_, v)| (90.0..230.0).contains(v)), "{rate:?}");
    }
    let (status, page) = server.get("/", &[]);
    assert!(status == 200 && page.contains("<script>"), "{status}");
    for probe in ["/-/healthy", "/-/ready"] {
        assert_eq!(server.get(probe, &[]).0, 200, "{probe}");
    }
    let (status, log) = server.stop();
    assert_eq!(status.code(), Some(0), "{log:#?}");
    assert!(log.iter().any(|l| l.contains("msg=stopping")), "{log:#?}");
}

#[test]
fn what_cannot_work_ends_with_one_line_that_says_what_to_do() {
    let dir = tempfile::tempdir().expect("a folder");
    let data = format!("--data-dir={}", dir.path().display());
    let file = dir.path().join("bad.yml");
    fs::write(&file, "type: [}\n").expect("write");
    let busy = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let busy = busy.local_addr().map(|a| a.to_string()).map(|a| (busy, a)).expect("bound");
    let check = |args: &[&str], want: &[&str]| {
        let mut all = vec!["standalone", "--grpc-address=127.0.0.1:0", &data];
        all.extend(args);
        if !args.iter().any(|a| a.starts_with("--http-address")) {
            all.push("--http-address=127.0.0.1:0");
        }
        let output = run(&all);
        let text = String::from_utf8_lossy(&output.stderr);
        // What cannot be read ends the reading of flags, the rest the start.
        let code = if text.contains("parsing commandline arguments") { 2 } else { 1 };
        assert_eq!(output.status.code(), Some(code), "{args:?}: {text}");
        assert_eq!(text.trim_end().lines().count(), 1, "{args:?}: {text}");
        for want in want {
            assert!(text.contains(want), "{args:?}: {text}");
        }
    };
    check(&[&format!("--http-address={}", busy.1)], &["in use", "give another address with --http-address"]);
    check(&["--tsdb.path=/no/such/folder"], &["/no/such/folder", "--tsdb.path takes the data folder"]);
    check(&[&format!("--objstore.config-file={}", file.display())], &["bad.yml", "fix", "line 1"]);
    check(&["--objstore.config={type: FTP}"], &["fix --objstore.config", "FTP is not supported"]);
    check(
        &[&format!("--objstore.config-file={}", dir.path().display())],
        &["must name a readable file", &dir.path().display().to_string()],
    );
    check(&["--objstore.config-file=/no/such.yml"], &["must name a readable file", "/no/such.yml"]);
    check(&["--sync-block-duration=soon"], &["--sync-block-duration"]);
    check(&["--deduplication.func=x"], &["--deduplication.func", "penalty,chain"]);
}

#[test]
fn without_data_it_serves_and_says_what_to_do() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start(&[&format!("--data-dir={}", dir.path().display())]);
    let told =
        server.started.iter().any(|l| l.contains("level=warn") && l.contains("--objstore.config-file"));
    assert!(told, "{:#?}", server.started);
    assert_eq!(server.ask("/api/v1/query", &[("query", "up")])["data"]["result"], serde_json::json!([]));
    let (status, log) = server.stop();
    assert_eq!(status.code(), Some(0), "{log:#?}");
}

/// A copy of a recorded block in the folder of a Prometheus; the end of its time in ms.
fn copy_block(block: &Path, into: &Path) -> i64 {
    let meta = fs::read_to_string(block.join("meta.json")).expect("a block");
    let meta: Value = serde_json::from_str(&meta).expect("JSON");
    let to = into.join(meta["ulid"].as_str().expect("an id"));
    fs::create_dir_all(to.join("chunks")).expect("a folder");
    for file in ["meta.json", "index", "tombstones", "chunks/000001"] {
        fs::copy(block.join(file), to.join(file)).expect(file);
    }
    meta["maxTime"].as_i64().expect("a time")
}

#[test]
fn the_folder_of_a_prometheus_is_served_and_its_log_is_named_as_a_gap() {
    let dir = tempfile::tempdir().expect("a folder");
    let maxt = copy_block(&testdata("tsdb/blocks/floats"), dir.path());
    fs::create_dir(dir.path().join("wal")).expect("a folder");
    fs::write(dir.path().join("wal/00000000"), [0; 64]).expect("write");
    let server = Server::start(&[&format!("--tsdb.path={},cluster=eu,replica=A", dir.path().display())]);
    let is_gap = |text: &str| text.contains("write-ahead log") && text.contains("is not read");
    let told = server.started.iter().any(|l| l.contains("level=warn") && is_gap(l));
    assert!(told, "{:#?}", server.started);

    let query = "count by (cluster, replica) (last_over_time({__name__=~\".+\"}[1d]))";
    let ask = |t_ms: i64| {
        let time = format!("{}", t_ms / 1000);
        server.ask("/api/v1/query", &[("query", query), ("time", &time), ("dedup", "false")])
    };
    let inside = ask(maxt - 60_000);
    let result = inside["data"]["result"].as_array().expect("a vector");
    assert_eq!(result.len(), 1, "{inside}");
    assert_eq!(result[0]["metric"], serde_json::json!({"cluster": "eu", "replica": "A"}));
    assert!(inside.get("warnings").is_none(), "{inside}");
    let after = ask(maxt + 60_000);
    let warnings = after["warnings"].as_array().expect("warnings");
    assert!(warnings.iter().filter_map(Value::as_str).any(is_gap), "{after}");
}
