//! `query/partial/faults.jsonl`: what a querier answers while stores are stopped, killed, cut off or
//! were never there.
//!
//! Texts are compared as they are, with our ports; of a text that names a client by its address in
//! memory the place of that address is. How long an answer took is not compared: a row that would
//! wait for what the recording waited for is told apart by what it says.

use std::{cell::RefCell, path::Path, time::Duration};

use serde_json::Value;
use thanoslib::testing::{
    answers::same_answer,
    golden::{Golden, Suite, Verdict},
};
use tokio::runtime::Runtime;

use crate::{
    process::{Answer, Host, Process},
    prometheus::{Prometheus, prometheus},
    throttle::Throttle,
    unnamed,
};

/// Ports, HTTP and gRPC, of the recording.
const STORE: (u16, u16) = (21_001, 21_002);
const SECOND: (u16, u16) = (21_071, 21_072);
const THROTTLE: u16 = 21_074;
const SIDECAR: (u16, u16) = (21_075, 21_076);
const PROMETHEUS: u16 = 21_077;
const QUERIER: (u16, u16) = (21_095, 21_096);

/// Bytes of a query's answer that pass before the line stalls.
const PASSED: i64 = 1024;

pub(crate) fn run(golden: &mut Golden) {
    let root = golden.root().join("query");
    if !root.join("partial/faults.jsonl").is_file() {
        return;
    }
    let cluster = RefCell::new(None);
    let check = |_: &Path, row: &Value| {
        let mut cluster = cluster.borrow_mut();
        cluster.get_or_insert_with(|| Cluster::start(&root)).judge(row)
    };
    golden.run(&Suite {
        label: "query/partial",
        path: "query/partial/faults.jsonl",
        inputs: &["id", "scenario", "note", "request"],
        expected: &["status", "content_type", "body", "client_error"],
        ignored: &[
            ("seconds", "how long it took then"),
            ("body.data.store.*.lastCheck", "wall clock of the recording"),
        ],
        rows: None,
        check: &check,
    });
}

/// What is done to the second store around a request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// It is stopped while it is asked.
    Stopped,
    /// It is stopped in the middle of its answer.
    StoppedMidway,
    /// It is killed in the middle of its answer.
    KilledMidway,
}

struct Cluster {
    host: Host,
    root: std::path::PathBuf,
    runtime: Runtime,
    data: tempfile::TempDir,
    _store: Process,
    second: Option<Process>,
    throttle: Option<Throttle>,
    sidecar: Option<Process>,
    prometheus: Option<Prometheus>,
    querier: Option<Process>,
    scenario: String,
    fault: Fault,
}

impl Cluster {
    fn start(root: &Path) -> Self {
        let host = Host::new();
        let data = tempfile::tempdir().expect("a folder");
        let store = store(&host, STORE, &root.join("bucket"), &data.path().join("1"));
        Self {
            host,
            root: root.to_owned(),
            runtime: Runtime::new().expect("a runtime"),
            data,
            _store: store,
            second: None,
            throttle: None,
            sidecar: None,
            prometheus: None,
            querier: None,
            scenario: String::new(),
            fault: Fault::None,
        }
    }

    fn judge(&mut self, row: &Value) -> Verdict {
        let scenario = row["scenario"].as_str().unwrap_or_default();
        if scenario != self.scenario {
            self.arrange(scenario)?;
            self.scenario = scenario.to_owned();
        }
        let answer = self.ask(&row["request"])?;
        same(&self.host, row, &answer)
    }

    /// Asks whom the scenario is about, with the fault that belongs to each of its requests.
    fn ask(&mut self, request: &Value) -> Result<Answer, String> {
        let asked = if self.scenario.ends_with("_probe") { &self.sidecar } else { &self.querier };
        let asked = asked.as_ref().ok_or("nobody to ask")?;
        match self.fault {
            Fault::None => asked.ask(request),
            Fault::Stopped => {
                let second = self.second.as_ref().ok_or("no second store")?;
                second.signal("STOP");
                let answer = asked.ask(request);
                second.signal("CONT");
                answer
            }
            Fault::StoppedMidway | Fault::KilledMidway => {
                if self.second.is_none() {
                    self.second = Some(self.second_store());
                }
                let throttle = self.throttle.as_ref().ok_or("no proxy")?;
                // The connection that broke is made anew.
                asked.wait("/api/v1/stores", |a| !a.body.contains("\"lastError\":\""));
                throttle.hold_after(PASSED);
                let answer = std::thread::scope(|scope| {
                    let answer = scope.spawn(|| asked.ask(request));
                    throttle.wait_held();
                    if self.fault == Fault::KilledMidway {
                        drop(self.second.take());
                        throttle.cut();
                    } else if let Some(second) = &self.second {
                        second.signal("STOP");
                    }
                    answer.join().map_err(|_| "the request panicked")?
                });
                if let Some(second) = self.second.as_ref().filter(|_| self.fault == Fault::StoppedMidway) {
                    second.signal("CONT");
                }
                throttle.release();
                answer
            }
        }
    }

    fn second_store(&self) -> Process {
        store(&self.host, SECOND, &self.root.join("bucket2"), &self.data.path().join("2"))
    }

    /// Brings about what the requests of a scenario meet.
    fn arrange(&mut self, scenario: &str) -> Result<(), String> {
        self.querier = None;
        self.fault = Fault::None;
        let sidecar = scenario.starts_with("sidecar_");
        if sidecar {
            return self.arrange_sidecar(scenario);
        }
        (self.sidecar, self.prometheus, self.throttle) = (None, None, None);
        let midway = scenario.starts_with("mid_stream_");
        let absent = scenario.starts_with("down_at_start")
            || scenario.starts_with("only_endpoint_down")
            || scenario.starts_with("no_endpoints");
        match (absent, &self.second) {
            (true, _) => self.second = None,
            (false, None) => self.second = Some(self.second_store()),
            (false, Some(_)) => {}
        }
        let strict = if scenario.ends_with("strict") { "--endpoint-strict" } else { "--endpoint" };
        let mut flags = Vec::new();
        if !scenario.starts_with("only_endpoint_down") && !scenario.starts_with("no_endpoints") {
            flags.push(format!("--endpoint={}", self.host.at(STORE.1)));
        }
        if !scenario.starts_with("no_endpoints") {
            let port = if midway { THROTTLE } else { SECOND.1 };
            flags.push(format!("{strict}={}", self.host.at(port)));
        }
        if scenario.contains("_1s") {
            flags.push("--store.response-timeout=1s".to_owned());
        }
        if scenario.contains("_lazy") {
            flags.push("--grpc.proxy-strategy=lazy".to_owned());
        }
        if scenario.contains("default_partial_off") {
            flags.push("--no-query.partial-response".to_owned());
        }
        let at_once = scenario.contains("at_once");
        if at_once {
            // No endpoint is asked again what it is.
            flags.push("--endpoint.info-timeout=10m".to_owned());
        }
        if midway {
            self.throttle = Some(Throttle::start(&self.host.at(THROTTLE), self.host.at(SECOND.1)));
            if scenario.contains("sigstop") {
                flags.push("--store.response-timeout=2s".to_owned());
                self.fault = Fault::StoppedMidway;
            } else {
                flags.push("--endpoint.info-timeout=1s".to_owned());
                self.fault = Fault::KilledMidway;
            }
        }
        if scenario.starts_with("store_sigstop") {
            self.fault = Fault::Stopped;
        }
        let querier = self.querier(&flags);
        if !absent {
            let second = self.host.at(if midway { THROTTLE } else { SECOND.1 });
            querier.wait("/api/v1/stores", |a| a.body.contains(&second));
        }
        if at_once || scenario.contains("_after_update_") {
            self.second = None;
        }
        if scenario.contains("_after_update_") {
            querier.wait("/api/v1/stores", |a| a.body.contains("\"lastError\":\""));
        }
        self.querier = Some(querier);
        Ok(())
    }

    fn arrange_sidecar(&mut self, scenario: &str) -> Result<(), String> {
        (self.second, self.throttle) = (None, None);
        let lost = scenario.contains("prometheus_lost");
        let down = scenario.contains("prometheus_down");
        let killed = !scenario.contains("prometheus");
        if down {
            self.prometheus = None;
        } else if self.prometheus.is_none() {
            let recording = self.root.join("sidecar_prometheus/conversation.jsonl");
            let address = self.host.at(PROMETHEUS);
            self.prometheus = Some(self.runtime.block_on(prometheus(&recording, &address)));
        }
        if !lost || self.sidecar.is_none() {
            self.sidecar = None;
            let args =
                ["sidecar".to_owned(), format!("--prometheus.url=http://{}", self.host.at(PROMETHEUS))];
            self.sidecar = Some(if down {
                let sidecar = Process::start_only(&self.host, SIDECAR, &args);
                sidecar.wait("/-/healthy", |a| a.status == 200);
                sidecar
            } else {
                Process::start(&self.host, SIDECAR, &args)
            });
        }
        if scenario.ends_with("_probe") && !lost {
            return Ok(());
        }
        let strict = if scenario.contains("strict") { "--endpoint-strict" } else { "--endpoint" };
        let mut flags = vec![
            format!("--endpoint={}", self.host.at(STORE.1)),
            format!("{strict}={}", self.host.at(SIDECAR.1)),
        ];
        if killed || lost {
            flags.push("--endpoint.info-timeout=10m".to_owned());
        }
        let querier = self.querier(&flags);
        if !down {
            let sidecar = self.host.at(SIDECAR.1);
            querier.wait("/api/v1/stores", |a| a.body.contains(&sidecar));
        }
        if killed {
            self.sidecar = None;
        }
        if lost {
            self.prometheus = None;
            std::thread::sleep(Duration::from_millis(50));
        }
        self.querier = Some(querier);
        Ok(())
    }

    fn querier(&self, flags: &[String]) -> Process {
        let mut args = vec![
            "query".to_owned(),
            "--query.replica-label=replica".to_owned(),
            "--deduplication.counters=thanos".to_owned(),
            "--query.resolution-seams=thanos".to_owned(),
        ];
        args.extend(flags.iter().cloned());
        Process::start(&self.host, QUERIER, &args)
    }
}

/// The blocks of a folder as a store gateway serves them.
fn store(host: &Host, ports: (u16, u16), bucket: &Path, data: &Path) -> Process {
    let args = [
        "standalone".to_owned(),
        format!("--objstore.config={{type: FILESYSTEM, config: {{directory: {}}}}}", bucket.display()),
        format!("--data-dir={}", data.display()),
    ];
    Process::start(host, ports, &args)
}

fn same(host: &Host, row: &Value, answer: &Answer) -> Verdict {
    if !row["client_error"].is_null() {
        return Err(format!("answered, want {}", row["client_error"]));
    }
    if row["status"].as_u64() != Some(u64::from(answer.status)) {
        return Err(format!("status {}, want {}: {}", answer.status, row["status"], answer.body));
    }
    if row["content_type"].as_str() != Some(answer.header("content-type").as_str()) {
        return Err(format!("content type {}, want {}", answer.header("content-type"), row["content_type"]));
    }
    let mut got: Value =
        serde_json::from_str(&answer.body).unwrap_or_else(|_| serde_json::json!({ "text": answer.body }));
    let mut want = host.here_in(&row["body"]);
    for body in [&mut got, &mut want] {
        for stores in body["data"].as_object_mut().into_iter().flat_map(|o| o.values_mut()) {
            for store in stores.as_array_mut().into_iter().flatten().filter(|s| s["lastCheck"].is_string()) {
                store["lastCheck"] = Value::from("(time)");
            }
        }
        for warning in body["warnings"].as_array_mut().into_iter().flatten() {
            *warning = Value::from(unnamed(warning.as_str().unwrap_or_default()));
        }
    }
    same_answer(&row["request"], &got.to_string(), &want)
}
