//! Blocks in an S3 bucket: a sidecar uploads them, a store serves them, a querier reads both as one.

use std::{net::TcpListener, path::PathBuf, process::Command};

use serde_json::Value;
use thanoslib::Labels;

use super::{
    process::{Process, Prometheus, ask, free_port, get, until},
    sidecar::write_block,
};

/// Makes a bucket as soon as the server listens.
const MAKE: &str = "
import sys, time, urllib.request
for attempt in range(120):
    try:
        urllib.request.urlopen(urllib.request.Request(sys.argv[1] + '/blocks', method='PUT'))
        break
    except OSError as e:
        error = e
        time.sleep(0.25)
else:
    sys.exit(str(error))
";

/// A program of the Python environment that `THANOSLIB_MOTO` names.
fn program(name: &str) -> Option<Command> {
    let venv = std::env::var_os("THANOSLIB_MOTO")?;
    Some(Command::new(PathBuf::from(venv).join("bin").join(name)))
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_go_through_an_s3_bucket() {
    let (Some(mut server), Some(mut python)) = (program("moto_server"), program("python")) else {
        println!("THANOSLIB_MOTO names no environment with moto: nothing is tested");
        return;
    };
    let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
    let _s3 = Process::start(
        server.args(["-H", "127.0.0.1", "-p", &port.to_string()]).stderr(std::process::Stdio::null()),
    );
    let made = python.args(["-c", MAKE, &format!("http://127.0.0.1:{port}")]).status().expect("python runs");
    assert!(made.success(), "no bucket");
    let objstore = format!(
        "--objstore.config={{type: S3, prefix: some/prefix, config: {{bucket: blocks, \
         endpoint: '127.0.0.1:{port}', access_key: key, secret_key: secret, insecure: true}}}}"
    );

    let dir = tempfile::tempdir().expect("tempdir");
    let prometheus = Prometheus { dir: dir.path().to_owned(), address: free_port() };
    let data = prometheus.dir.join("data");
    std::fs::create_dir_all(&data).expect("a folder");
    let text = "global: {external_labels: {cluster: eu, replica: A}}\n";
    std::fs::write(prometheus.dir.join("prometheus.yml"), text).expect("written");
    let (id, old) = write_block(&data, Labels::empty());
    let _prometheus = prometheus.start();
    let ours = || Command::new(env!("CARGO_BIN_EXE_thanos"));
    let [sidecar, store, querier] = std::array::from_fn(|_| (free_port(), free_port()));
    let ports = |(http, grpc): &(String, String)| {
        [format!("--http-address={http}"), format!("--grpc-address={grpc}")]
    };
    let _sidecar = Process::start(
        ours()
            .args(["sidecar", "--log.level=error", "--prometheus.get_config_interval=1s", &objstore])
            .arg(format!("--prometheus.url=http://{}", prometheus.address))
            .arg(format!("--tsdb.path={}", data.display()))
            .args(ports(&sidecar)),
    );
    let uploaded = "thanos_shipper_uploads_total 1";
    until("the upload", async || get(&sidecar.0, "/metrics").await.is_some_and(|m| m.contains(uploaded)))
        .await;
    let _store = Process::start(
        ours()
            .args(["standalone", "--log.level=error", &objstore])
            .arg(format!("--data-dir={}", dir.path().join("store").display()))
            .args(ports(&store)),
    );
    let _querier = Process::start(
        ours()
            .args([
                "query",
                "--log.level=error",
                "--endpoint.info-timeout=1s",
                "--query.replica-label=replica",
            ])
            .args([&sidecar.1, &store.1].map(|address| format!("--endpoint={address}")))
            .args(ports(&querier)),
    );
    // The samples 0 to 299 of both series, from either of the two, and from both.
    let time = (old.mint + 299 * 15_000) / 1000;
    let sum = async |address: &str, more: &str| {
        let path = format!("/api/v1/query?time={time}&query=sum(sum_over_time(old_metric%5B2h%5D)){more}");
        let (_, body) = ask(address, &path).await?;
        let answer: Value = serde_json::from_str(&body).ok()?;
        answer["data"]["result"][0]["value"][1].as_str().map(str::to_owned)
    };
    let want = Some("89700".to_owned());
    until("the store has the block", async || sum(&store.0, "").await == want).await;
    let stores = async || get(&querier.0, "/api/v1/stores").await.unwrap_or_default();
    until("the querier knows both", async || {
        let stores = stores().await;
        stores.contains(&sidecar.1) && stores.contains(&store.1)
    })
    .await;
    assert_eq!(sum(&querier.0, "").await, want, "samples of both count once");
    for endpoint in [&sidecar.1, &store.1] {
        let only = format!("&storeMatch[]=%7B__address__%3D%22{endpoint}%22%7D");
        assert_eq!(sum(&querier.0, &only).await, want, "{endpoint} alone");
    }
    let list = ours().args(["tools", "bucket", "ls", &objstore]).output().expect("it runs");
    assert!(String::from_utf8_lossy(&list.stdout).contains(&id.to_string()), "{list:?}");
}
