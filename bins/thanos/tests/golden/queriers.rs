//! Queriers with endpoints: rows of `query/http` that need them, and `query/grpc/q1` and `q2`.
//!
//! `q1` is a querier over the store, `q2` one over store, sidecar, rule and receive, `qdist` a
//! distributed one over `q1`. What the wall clock of the recording decides is left out on both sides:
//! times of checks, evaluations and scrapes.

use std::{cell::RefCell, path::Path};

use serde_json::Value;
use thanoslib::testing::{
    answers::{same_answer, same_headers},
    golden::{Golden, Suite, Verdict},
};
use thanoslib_grpc::testing::{Target, judge, run_with};
use tokio::runtime::Runtime;

use crate::{
    process::{Host, Process},
    prometheus::{Prometheus, prometheus},
    recorded, unnamed, variants,
};

/// Ports, HTTP and gRPC, of the recording.
const SIDECAR: (u16, u16) = (21_013, 21_014);
const PROMETHEUS: u16 = 21_010;
const RULE: u16 = 21_032;
const RECEIVE: u16 = 21_042;
const STORE: u16 = 21_002;
const Q1: (u16, u16) = (21_021, 21_022);
const Q2: (u16, u16) = (21_023, 21_024);
const DISTRIBUTED: (u16, u16) = (21_067, 21_068);

/// Files with rows that need endpoints.
pub(crate) const FILES: &[&str] = &[
    "query/http/distributed.jsonl",
    "query/http/distributed_explain.jsonl",
    "query/http/q1_endpoints.jsonl",
    "query/http/q2_endpoints.jsonl",
    "query/http/q2_meta_endpoints.jsonl",
    "query/http/q2_query_endpoints.jsonl",
    "query/http/q2_range_endpoints.jsonl",
    "query/http/store_match.jsonl",
];

pub(crate) fn run(golden: &mut Golden) {
    let root = golden.root().join("query");
    if !root.join("http/q2_endpoints.jsonl").is_file() {
        return;
    }
    let runtime = Runtime::new().expect("a runtime");
    let cluster = RefCell::new(None);
    let check = |_: &Path, row: &Value| {
        let mut cluster = cluster.borrow_mut();
        cluster.get_or_insert_with(|| Cluster::start(&runtime, &root)).judge(row)
    };
    for path in FILES {
        golden.run(&Suite {
            label: "query/http",
            path,
            inputs: &["id", "target", "group", "request", "deterministic"],
            expected: &["status", "headers", "body"],
            ignored: &[
                ("body_raw", "answers are compared as JSON"),
                ("body.data.startTime", "wall clock of the recording"),
                ("body.data.store.*.lastCheck", "wall clock of the recording"),
                ("body.data.query.*.lastCheck", "wall clock of the recording"),
                ("body.data.rule.*.lastCheck", "wall clock of the recording"),
                ("body.data.receive.*.lastCheck", "wall clock of the recording"),
                ("body.data.sidecar.*.lastCheck", "wall clock of the recording"),
                ("body.data.groups.*.lastEvaluation", "wall clock of the recording"),
                ("body.data.groups.*.evaluationTime", "wall clock of the recording"),
                ("body.data.groups.*.rules.*.lastEvaluation", "wall clock of the recording"),
                ("body.data.groups.*.rules.*.evaluationTime", "wall clock of the recording"),
                ("body.data.groups.*.rules.*.alerts.*.activeAt", "wall clock of the recording"),
                ("body.data.alerts.*.activeAt", "wall clock of the recording"),
                ("body.data.activeTargets.*.lastScrape", "wall clock of the recording"),
                ("body.data.activeTargets.*.lastScrapeDuration", "wall clock of the recording"),
            ],
            rows: None,
            check: &check,
        });
    }
    let check = |_: &Path, row: &Value| {
        let mut cluster = cluster.borrow_mut();
        cluster.get_or_insert_with(|| Cluster::start(&runtime, &root)).judge_grpc(&runtime, row)
    };
    for component in ["q1", "q2"] {
        let (label, path) = (format!("query/grpc/{component}"), format!("query/grpc/{component}.jsonl"));
        run_with(golden, &label, &path, &check);
    }
}

struct Cluster {
    host: Host,
    q1: (Process, Target),
    q2: (Process, Target),
    distributed: Process,
    _others: (Prometheus, [Process; 2]),
    _data: tempfile::TempDir,
}

impl Cluster {
    fn start(runtime: &Runtime, root: &Path) -> Self {
        let host = Host::new();
        let data = tempfile::tempdir().expect("a folder");
        let recording = root.join("sidecar_prometheus/conversation.jsonl");
        let prometheus = runtime.block_on(prometheus(&recording, &host.at(PROMETHEUS)));
        recorded::rule(runtime, root, &host.at(RULE));
        recorded::receive(runtime, root, &host.at(RECEIVE));
        let store = variants::store(&host, &root.join("bucket"), data.path());
        let url = format!("--prometheus.url=http://{}", host.at(PROMETHEUS));
        let sidecar = Process::start(&host, SIDECAR, &["sidecar".to_owned(), url]);
        let experimental = "--enable-feature=promql-experimental-functions";
        let q1 = querier(&host, Q1, &[STORE], &[experimental]);
        let q2 = querier(&host, Q2, &[STORE, SIDECAR.1, RULE, RECEIVE], &[]);
        let distributed = querier(&host, DISTRIBUTED, &[Q1.1], &["--query.mode=distributed"]);
        let target = |(_, grpc)| runtime.block_on(Target::at(&host.at(grpc)));
        let (q1, q2) = ((q1, target(Q1)), (q2, target(Q2)));
        Self { host, q1, q2, distributed, _others: (prometheus, [store, sidecar]), _data: data }
    }

    fn judge_grpc(&self, runtime: &Runtime, row: &Value) -> Verdict {
        let (_, target) = if row["component"] == "q1" { &self.q1 } else { &self.q2 };
        runtime.block_on(judge(target, &self.host.here_in(row)))
    }

    fn judge(&self, row: &Value) -> Verdict {
        let process = match row["target"].as_str() {
            Some("q1") => &self.q1.0,
            Some("q2") => &self.q2.0,
            Some("qdist") => &self.distributed,
            other => return Err(format!("no {other:?} runs here")),
        };
        let request = self.host.here_in(&row["request"]);
        let answer = process.ask(&request)?;
        if row["status"].as_u64() != Some(u64::from(answer.status)) {
            return Err(format!("status {}, want {}: {}", answer.status, row["status"], answer.body));
        }
        same_headers(&|name| answer.header(name), &row["headers"])?;
        let got = serde_json::from_str(&answer.body);
        let mut got = got.unwrap_or_else(|_| serde_json::json!({ "text": answer.body }));
        let mut want = self.host.here_in(&row["body"]);
        for body in [&mut got, &mut want] {
            timeless(body);
        }
        same_answer(&request, &got.to_string(), &want)
    }
}

/// Waits for each endpoint.
fn querier(host: &Host, ports: (u16, u16), endpoints: &[u16], flags: &[&str]) -> Process {
    let mut args: Vec<String> = [
        "query",
        "--query.replica-label=replica",
        "--deduplication.counters=thanos",
        "--query.resolution-seams=thanos",
    ]
    .map(str::to_owned)
    .into();
    args.extend(endpoints.iter().map(|port| format!("--endpoint={}", host.at(*port))));
    args.extend(flags.iter().map(|flag| (*flag).to_owned()));
    let querier = Process::start(host, ports, &args);
    for port in endpoints {
        let address = format!("\"{}\"", host.at(*port));
        querier.wait("/api/v1/stores", |answer| answer.body.contains(&address));
    }
    querier
}

/// Leaves out what the wall clock decides, and names of clients.
fn timeless(body: &mut Value) {
    const TIMES: &[&str] =
        &["lastCheck", "lastEvaluation", "evaluationTime", "activeAt", "lastScrape", "lastScrapeDuration"];
    match body {
        Value::Object(object) => {
            for (key, value) in object {
                if TIMES.contains(&key.as_str()) && !value.is_null() {
                    *value = Value::from("(time)");
                }
                if key == "warnings" {
                    for warning in value.as_array_mut().into_iter().flatten() {
                        *warning = Value::from(unnamed(warning.as_str().unwrap_or_default()));
                    }
                }
                timeless(value);
            }
        }
        Value::Array(values) => values.iter_mut().for_each(timeless),
        _ => {}
    }
}
