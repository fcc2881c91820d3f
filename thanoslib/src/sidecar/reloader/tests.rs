//! A reloader over a server that answers as it is told.

use std::{
    fs,
    sync::atomic::{AtomicBool, Ordering},
};

use super::*;
use crate::{
    clock::ManualClock,
    store::prometheus::{
        HttpClientConfig,
        mock::{Mock, Reply},
    },
};

struct Setup {
    mock: Mock,
    dir: tempfile::TempDir,
    metrics: Arc<SidecarMetrics>,
    broken: Arc<AtomicBool>,
}

impl Setup {
    async fn new() -> Self {
        let broken: Arc<AtomicBool> = Arc::default();
        let fails = Arc::clone(&broken);
        let mock = Mock::start(move |_| match fails.load(Ordering::Acquire) {
            true => Reply::new(500, "text/plain", b"bad configuration\n"),
            false => Reply::new(200, "text/plain", b""),
        })
        .await;
        let dir = tempfile::tempdir().expect("tempdir");
        fs::write(dir.path().join("in.yml"), "path: $(PATH)\n").expect("written");
        fs::create_dir(dir.path().join("rules")).expect("a folder");
        Self { mock, dir, metrics: Arc::default(), broken }
    }

    fn reloader(&self, change: impl FnOnce(&mut ReloaderSettings)) -> Reloader {
        let mut settings = ReloaderSettings {
            config_file: Some(self.dir.path().join("in.yml")),
            output_file: Some(self.dir.path().join("out.yml")),
            rule_dirs: vec![self.dir.path().join("rules")],
            retry_interval: Duration::from_millis(10),
            poll_interval: Duration::from_millis(5),
            watch_interval: Duration::from_millis(100),
            ..ReloaderSettings::default()
        };
        change(&mut settings);
        let client =
            PrometheusClient::new(&self.mock.address, &HttpClientConfig::default()).expect("an address");
        Reloader::new(client, settings, Arc::new(ManualClock::new(5_000)), Arc::clone(&self.metrics))
    }

    /// Waits until so many reloads worked.
    async fn reloaded(&self, times: u64) {
        let worked = || self.metrics.reloads.get() - self.metrics.reloads_failed.get();
        for _ in 0..2_000 {
            if worked() >= times {
                break;
            }
            sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(worked(), times);
    }
}

#[tokio::test]
async fn changes_are_followed_by_reloads() {
    let setup = Setup::new().await;
    let task = tokio::spawn(setup.reloader(|_| {}).run());
    setup.reloaded(1).await;
    let path = std::env::var("PATH").expect("set");
    let written = fs::read_to_string(setup.dir.path().join("out.yml")).expect("written");
    assert_eq!(written, format!("path: {path}\n"));
    assert_eq!((setup.metrics.reload_success_time.get(), setup.metrics.reload_successful.get()), (5, 1));
    fs::write(setup.dir.path().join("rules/a.yml"), "groups: []").expect("written");
    setup.reloaded(2).await;
    fs::write(setup.dir.path().join("in.yml"), "x: 1\n").expect("written");
    setup.reloaded(3).await;
    // Written anew with the same content: looked at, not reloaded.
    let applies = setup.metrics.applies.get();
    fs::write(setup.dir.path().join("in.yml"), "x: 1\n").expect("written");
    while setup.metrics.applies.get() < applies + 2 {
        sleep(Duration::from_millis(5)).await;
    }
    setup.reloaded(3).await;
    // A variable that is not set: told, and what was written before stays.
    fs::write(setup.dir.path().join("in.yml"), "$(THANOSLIB_NOT_SET)").expect("written");
    while setup.metrics.expansion_errors.get() == 0 {
        sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(fs::read_to_string(setup.dir.path().join("out.yml")).expect("there"), "x: 1\n");
    assert!(setup.mock.targets().iter().all(|t| t == "/-/reload"));
    assert!(!task.is_finished());
    task.abort();
}

#[tokio::test]
async fn failed_reloads_are_tried_again() {
    let setup = Setup::new().await;
    setup.broken.store(true, Ordering::Release);
    let task = tokio::spawn(setup.reloader(|_| {}).run());
    while setup.metrics.reloads_failed.get() < 2 || setup.metrics.applies.get() < 2 {
        sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(setup.metrics.reload_successful.get(), 0);
    setup.broken.store(false, Ordering::Release);
    setup.reloaded(1).await;
    assert!(!task.is_finished());
    task.abort();
}

#[tokio::test]
async fn the_first_look_must_work() {
    let setup = Setup::new().await;
    let fails = async |reloader: Reloader, words: &str| {
        let e = tokio::time::timeout(Duration::from_secs(60), reloader.run()).await.expect("ends");
        let e = e.expect_err(words);
        assert!(e.message().contains(words), "{e}");
    };
    let missing = setup.dir.path().join("missing.yml");
    fails(setup.reloader(|s| s.config_file = Some(missing.clone())), "missing.yml").await;
    fails(setup.reloader(|s| s.rule_dirs = vec![missing.clone()]), "missing.yml").await;
    fails(setup.reloader(|s| s.output_file = Some(missing.join("x"))), "cannot write").await;
    fs::write(setup.dir.path().join("in.yml"), "$(THANOSLIB_NOT_SET)").expect("written");
    fails(setup.reloader(|_| {}), "unset environment variable").await;
    assert_eq!(setup.metrics.applies_failed.get(), 4);
    assert!(setup.mock.targets().is_empty());
}

#[tokio::test]
async fn without_an_interval_the_configuration_is_written_once() {
    let setup = Setup::new().await;
    let reloader = setup.reloader(|s| s.watch_interval = Duration::ZERO);
    let waited = tokio::time::timeout(Duration::from_millis(200), reloader.run()).await;
    assert!(waited.is_err(), "it goes on");
    assert!(setup.dir.path().join("out.yml").is_file() && setup.mock.targets().is_empty());
    let method = ReloadMethod::Signal { process_name: "no such program".to_owned() };
    assert_eq!(method.as_str(), "signal");
    let mut reloader = setup.reloader(|s| s.method = method);
    reloader.apply().await.expect("only told");
    assert!(setup.metrics.reloads_failed.get() > 0);
}
