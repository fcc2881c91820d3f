//! `thanos sidecar` over a real server.

use std::{
    fs,
    path::Path,
    process::Command,
    time::{SystemTime, UNIX_EPOCH},
};

use futures::TryStreamExt;
use thanoslib::{
    BlockId, BlockMeta, Chunk, Context, Frame, Interval, Labels, Matcher, SampleColumns, SeriesRequest,
    block::BlockSpec,
    model::TimeRange,
    store::{LabelValuesRequest, Store},
};
use thanoslib_grpc::client;

use super::process::{Process, Prometheus, free_port, get, until};

/// Float samples of all series that match, by labels.
async fn floats(store: &dyn Store, interval: Interval, name: &str) -> Vec<(String, Vec<f64>)> {
    let request = SeriesRequest::new(interval, vec![Matcher::equal("__name__", name)]);
    let stream = store.series(&Context::default(), request).await.expect("answered");
    let frames: Vec<Frame> = stream.try_collect().await.expect("whole");
    let mut out = Vec::new();
    for frame in &frames {
        let Frame::Batch(batch) = frame else { panic!("{frame:?}") };
        for series in batch.iter() {
            let mut samples = SampleColumns::default();
            for chunk in series.chunks() {
                let chunk = Chunk { encoding: chunk.meta.encoding, data: chunk.data() };
                chunk.decode_into(&mut samples).expect("sound");
            }
            out.push((series.labels().to_string(), samples.within(interval).floats.vs));
        }
    }
    out
}

fn write_configuration(dir: &Path, address: &str) {
    fs::create_dir_all(dir.join("rules")).expect("a folder");
    fs::create_dir_all(dir.join("data")).expect("a folder");
    let text = format!(
        "global:\n  scrape_interval: 1s\n  evaluation_interval: 1s\n  external_labels: {{cluster: $(THANOSLIB_CLUSTER), replica: A}}\n\
         rule_files: ['{}/rules/*.yml']\nscrape_configs:\n- job_name: self\n  static_configs: [{{targets: ['{address}']}}]\n",
        dir.display()
    );
    fs::write(dir.join("template.yml"), &text).expect("written");
    fs::write(dir.join("prometheus.yml"), text.replace("$(THANOSLIB_CLUSTER)", "none")).expect("written");
}

/// A block of the day before, as Prometheus cuts them.
pub(super) fn write_block(data: &Path, external: Labels) -> (BlockId, Interval) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as i64;
    let mint = (now - 86_400_000) / 7_200_000 * 7_200_000;
    let id = BlockId::from_parts(mint as u64, 7);
    let spec = BlockSpec { id, range: TimeRange::new(mint, mint + 7_200_000), external_labels: external };
    let series = ["a", "b"].map(|job| {
        let labels = Labels::from_pairs([("__name__", "old_metric"), ("job", job)]);
        (labels, (0..300).map(move |i| (mint + i * 15_000, i as f64)))
    });
    spec.write(data, series).expect("written");
    (id, Interval::new(mint, mint + 7_199_999))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_prometheus_is_served_followed_uploaded_and_reloaded() {
    let dir = tempfile::tempdir().expect("tempdir");
    let prometheus = Prometheus { dir: dir.path().to_owned(), address: free_port() };
    write_configuration(&prometheus.dir, &prometheus.address);
    let (id, day_before) = write_block(&prometheus.dir.join("data"), Labels::empty());
    let (http, grpc) = (free_port(), free_port());
    let at = |name: &str| prometheus.dir.join(name).display().to_string();
    let mut running = prometheus.start();
    let _sidecar = Process::start(
        Command::new(env!("CARGO_BIN_EXE_thanos"))
            .args(["sidecar", "--log.level=warn", "--prometheus.get_config_interval=1s"])
            .arg(format!("--prometheus.url=http://{}", prometheus.address))
            .arg(format!("--http-address={http}"))
            .arg(format!("--grpc-address={grpc}"))
            .arg(format!("--tsdb.path={}", at("data")))
            .arg(format!("--objstore.config=type: FILESYSTEM\nconfig: {{directory: {}}}", at("bucket")))
            .arg(format!("--reloader.config-file={}", at("template.yml")))
            .arg(format!("--reloader.config-envsubst-file={}", at("prometheus.yml")))
            .arg(format!("--reloader.rule-dir={}", at("rules")))
            .env("THANOSLIB_CLUSTER", "eu"),
    );
    let ready = async || get(&http, "/-/ready").await.is_some();
    until("the sidecar is ready", ready).await;

    // The reloaded configuration has other labels, which the sidecar learns.
    let metrics = async |text: &str| get(&http, "/metrics").await.is_some_and(|m| m.contains(text));
    until("the first reload", async || metrics("thanos_sidecar_reloader_last_reload_successful 1").await)
        .await;
    let labelled = async || {
        client::connect(&grpc)
            .await
            .is_ok_and(|s| s.info().label_sets[0].to_string().contains("cluster=\"eu\""))
    };
    until("the labels of the reload", labelled).await;

    // Old samples come from the block, new ones from the head.
    let store = client::connect(&grpc).await.expect("served");
    let old = floats(&*store, day_before, "old_metric").await;
    let want = |job: &str| {
        let labels = format!(r#"{{__name__="old_metric", cluster="eu", job="{job}", replica="A"}}"#);
        (labels, (0..300).map(f64::from).collect::<Vec<_>>())
    };
    assert_eq!(old, [want("a"), want("b")]);
    until("scrapes", async || {
        floats(&*store, Interval::ALL, "up").await.iter().any(|(_, values)| values.contains(&1.0))
    })
    .await;
    let values = LabelValuesRequest::new("job", day_before, Vec::new());
    let values = store.label_values(&Context::default(), values).await.expect("answered").values;
    assert_eq!(values, ["a", "b"]);

    // The block is in the bucket, with the labels of the moment.
    let meta = prometheus.dir.join("bucket").join(id.to_string()).join(BlockMeta::FILE);
    until("the upload", async || meta.is_file()).await;
    let meta = BlockMeta::parse(&fs::read(meta).expect("there")).expect("sound");
    assert_eq!((meta.ulid, meta.thanos.source.as_str()), (id, "sidecar"));
    assert_eq!(meta.thanos.labels.get("replica").map(String::as_str), Some("A"));
    assert!(prometheus.dir.join("data/thanos.shipper.json").is_file());

    // A rule more is a reload more.
    let rule = "groups: [{name: g, rules: [{record: one, expr: vector(1)}]}]";
    fs::write(prometheus.dir.join("rules/one.yml"), rule).expect("written");
    until("the rule", async || {
        get(&prometheus.address, "/api/v1/rules").await.is_some_and(|rules| rules.contains("vector(1)"))
    })
    .await;

    // A server that goes is noticed, and noticed when it comes back.
    running.0.kill().expect("it ran");
    until("the loss", async || !ready().await).await;
    assert!(client::connect(&grpc).await.is_err(), "queriers learn it");
    drop(running);
    running = prometheus.start();
    until("the return", ready).await;
    assert_eq!(floats(&*store, day_before, "old_metric").await.len(), 2, "over the connection of before");
    assert!(running.0.try_wait().expect("asked").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_prometheus_is_reloaded_by_signal() {
    let dir = tempfile::tempdir().expect("tempdir");
    let prometheus = Prometheus { dir: dir.path().to_owned(), address: free_port() };
    write_configuration(&prometheus.dir, &prometheus.address);
    // A name of its own, so that no other server is signalled.
    let name = format!("prom-{}", std::process::id());
    let command = prometheus.command();
    let program = which(command.get_program());
    let link = prometheus.dir.join(&name);
    std::os::unix::fs::symlink(program, &link).expect("linked");
    let _running = Process::start(Command::new(&link).args(command.get_args()));
    let (http, grpc) = (free_port(), free_port());
    let at = |name: &str| prometheus.dir.join(name).display().to_string();
    until("Prometheus answers", async || get(&prometheus.address, "/-/ready").await.is_some()).await;
    let _sidecar = Process::start(
        Command::new(env!("CARGO_BIN_EXE_thanos"))
            .args(["sidecar", "--log.level=warn", "--prometheus.get_config_interval=1s"])
            .arg(format!("--prometheus.url=http://{}", prometheus.address))
            .arg(format!("--http-address={http}"))
            .arg(format!("--grpc-address={grpc}"))
            .arg(format!("--tsdb.path={}", at("data")))
            .args(["--reloader.method=signal", "--reloader.watch-interval=20s"])
            .arg(format!("--reloader.process-name={name}"))
            .arg(format!("--reloader.config-file={}", at("template.yml")))
            .arg(format!("--reloader.config-envsubst-file={}", at("prometheus.yml")))
            .env("THANOSLIB_CLUSTER", "us"),
    );
    let labelled = async || {
        client::connect(&grpc)
            .await
            .is_ok_and(|s| s.info().label_sets[0].to_string().contains("cluster=\"us\""))
    };
    until("the labels of the reload", labelled).await;
    // It has come when the server says so, which may be after its labels have changed.
    let reloaded = async || {
        let metrics = get(&http, "/metrics").await.unwrap_or_default();
        metrics.lines().any(|l| l == "thanos_sidecar_reloader_last_reload_successful 1")
    };
    until("a successful reload", reloaded).await;
    let metrics = get(&http, "/metrics").await.expect("metrics");
    for line in [
        r#"thanos_sidecar_reloader_info{method="signal"} 1"#,
        "thanos_sidecar_reloader_reloads_failed_total 0",
    ] {
        assert!(metrics.lines().any(|l| l == line), "no {line}");
    }
}

/// The file of a program in the path.
fn which(program: &std::ffi::OsStr) -> std::path::PathBuf {
    let path = Path::new(program);
    if path.components().count() > 1 {
        return path.to_owned();
    }
    let dirs = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&dirs).map(|dir| dir.join(path)).find(|p| p.is_file()).expect("in the path")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_prometheus_reads_our_stores() {
    let dir = tempfile::tempdir().expect("tempdir");
    let prometheus = Prometheus { dir: dir.path().to_owned(), address: free_port() };
    let (http, grpc) = (free_port(), free_port());
    fs::create_dir_all(prometheus.dir.join("data")).expect("a folder");
    let text = format!("remote_read: [{{url: 'http://{http}/api/v1/read', read_recent: true}}]\n");
    fs::write(prometheus.dir.join("prometheus.yml"), text).expect("written");
    let blocks = prometheus.dir.join("blocks");
    fs::create_dir_all(&blocks).expect("a folder");
    let (_, day_before) = write_block(&blocks, Labels::empty());
    let _ours = Process::start(
        Command::new(env!("CARGO_BIN_EXE_thanos"))
            .args(["standalone", "--log.level=warn", "--web.enable-remote-read"])
            .arg(format!("--tsdb.path={},cluster=eu", blocks.display()))
            .arg(format!("--data-dir={}", prometheus.dir.join("own").display()))
            .arg(format!("--http-address={http}"))
            .arg(format!("--grpc-address={grpc}")),
    );
    until("we answer", async || get(&http, "/-/ready").await.is_some()).await;
    let _running = prometheus.start();
    until("Prometheus answers", async || get(&prometheus.address, "/-/ready").await.is_some()).await;
    // The samples 0 to 299 of each series, one every 15 s.
    let end = (day_before.mint + 299 * 15_000) / 1000;
    let path = format!("/api/v1/query?time={end}&query=sum_over_time(old_metric%5B2h%5D)");
    let answer = get(&prometheus.address, &path).await.expect("an answer");
    for job in ["a", "b"] {
        let labels = format!(r#"{{"cluster":"eu","job":"{job}"}}"#);
        let want = format!(r#"{{"metric":{labels},"value":[{end},"44850"]}}"#);
        assert!(answer.contains(&want), "no {want} in {answer}");
    }
}
