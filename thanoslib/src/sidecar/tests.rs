//! A sidecar over a server that comes and goes.

use std::sync::{
    Mutex,
    atomic::{AtomicBool, Ordering},
};

use super::*;
use crate::{
    ErrorKind,
    store::{
        Store,
        prometheus::{
            HttpClientConfig, PrometheusClient,
            mock::{Asked, Mock, Reply},
        },
    },
};

struct Setup {
    mock: Mock,
    down: Arc<AtomicBool>,
    labels: Arc<Mutex<String>>,
    dir: tempfile::TempDir,
}

impl Setup {
    async fn new(labels: &str) -> Self {
        let down: Arc<AtomicBool> = Arc::default();
        let labels = Arc::new(Mutex::new(labels.to_owned()));
        let (away, now) = (Arc::clone(&down), Arc::clone(&labels));
        let answer = move |asked: &Asked| {
            let labels = now.lock().expect("no panic holds the lock").clone();
            let data = match asked.target.split('?').next().unwrap_or_default() {
                _ if away.load(Ordering::Acquire) => return Reply::new(503, "text/plain", b"starting"),
                "/metrics" => return Reply::new(200, "text/plain", b""),
                "/api/v1/status/buildinfo" => return Reply::new(404, "text/plain", b""),
                "/api/v1/status/config" => {
                    format!(r#"{{"yaml":"global: {{external_labels: {{{labels}}}}}"}}"#)
                }
                "/api/v1/status/flags" => {
                    r#"{"storage.tsdb.min-block-duration":"2h","storage.tsdb.max-block-duration":"2h"}"#
                        .to_owned()
                }
                _ => "[]".to_owned(),
            };
            Reply::json(&format!(r#"{{"status":"success","data":{data}}}"#))
        };
        let mock = Mock::start(answer).await;
        Self { mock, down, labels, dir: tempfile::tempdir().expect("tempdir") }
    }

    fn sidecar(&self) -> (Arc<PrometheusStore>, Sidecar) {
        let client =
            PrometheusClient::new(&self.mock.address, &HttpClientConfig::default()).expect("an address");
        let store = Arc::new(PrometheusStore::new(client));
        let short = Duration::from_millis(10);
        let settings = Settings {
            config_interval: short,
            retry_interval: short,
            ready_timeout: Duration::from_millis(500),
            shipper: ShipperSettings {
                data_dir: self.dir.path().to_owned(),
                interval: short,
                ..ShipperSettings::default()
            },
            ..Settings::default()
        };
        (Arc::clone(&store), Sidecar::new(store, settings))
    }
}

#[tokio::test]
async fn a_server_that_goes_and_comes_is_followed() {
    let setup = Setup::new("cluster: eu").await;
    setup.down.store(true, Ordering::Release);
    let (store, sidecar) = setup.sidecar();
    let mut ready = sidecar.ready();
    assert!(!*ready.borrow(), "not at first");
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let sidecar = Arc::new(sidecar.with_bucket(Bucket::memory("test")));
    let running = Arc::clone(&sidecar);
    let task = tokio::spawn(async move { running.run(async { drop(stopped.await) }).await });
    setup.down.store(false, Ordering::Release);
    ready.wait_for(|r| *r).await.expect("it runs");
    assert_eq!(store.info().label_sets[0].to_string(), r#"{cluster="eu"}"#);
    assert_eq!(store.version().as_deref(), Some("0"));
    setup.down.store(true, Ordering::Release);
    ready.wait_for(|r| !*r).await.expect("it runs");
    assert_eq!(sidecar.metrics().prometheus_up.get(), 0);
    assert_eq!(store.info().label_sets[0].to_string(), r#"{cluster="eu"}"#, "what was known stays");
    // Labels that vanish later are followed, and do not end it.
    setup.labels.lock().expect("no panic holds the lock").clear();
    setup.down.store(false, Ordering::Release);
    ready.wait_for(|r| *r).await.expect("it runs");
    assert!(store.info().label_sets.is_empty());
    while sidecar.metrics().dir_syncs.get() < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(stop);
    task.await.expect("no panic").expect("stopped");
}

#[tokio::test]
async fn a_server_without_external_labels_is_refused() {
    let setup = Setup::new("").await;
    let (_store, sidecar) = setup.sidecar();
    let e = sidecar.run(std::future::pending()).await.expect_err("no labels");
    assert!(e.kind() == ErrorKind::Invalid && e.message().contains("external labels"), "{e}");
    assert!(!*sidecar.ready().borrow());
}

#[tokio::test]
async fn uploads_do_not_wait_for_ever() {
    let setup = Setup::new("cluster: eu").await;
    setup.down.store(true, Ordering::Release);
    let (_store, sidecar) = setup.sidecar();
    let e =
        sidecar.with_bucket(Bucket::memory("test")).run(std::future::pending()).await.expect_err("too long");
    assert_eq!(e.kind(), ErrorKind::Timeout);
}
