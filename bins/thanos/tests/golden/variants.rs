//! `query/variants/variants.jsonl`: queriers of other settings over a store gateway's blocks.

use std::{cell::RefCell, path::Path};

use serde_json::Value;
use thanoslib::testing::{
    answers::same_answer,
    golden::{Golden, Suite, Verdict},
};
use thanoslib_grpc::testing::{Target, judge};
use tokio::runtime::Runtime;

use crate::process::{Host, Process};

/// Ports of the store gateway of default flags, of one with flags, and of the querier.
const STORE: (u16, u16) = (21_001, 21_002);
const VARIED_STORE: (u16, u16) = (21_093, 21_094);
const QUERIER: (u16, u16) = (21_095, 21_096);

/// Flags of a store gateway that `standalone` has, too.
const STORE_FLAGS: [&str; 5] = [
    "--store.limits.request-series=",
    "--store.limits.request-samples=",
    "--min-time=",
    "--max-time=",
    "--selector.relabel-config=",
];

/// The querier that answers the rows of one variant, with the store of its own if it has one.
struct Running {
    variant: String,
    process: Process,
    target: Target,
    store: Option<(Process, Target)>,
}

pub(crate) fn run(golden: &mut Golden) {
    let bucket = golden.root().join("query/bucket");
    if !bucket.is_dir() {
        return;
    }
    let runtime = Runtime::new().expect("a runtime");
    let host = Host::new();
    let data = tempfile::tempdir().expect("a folder");
    let default_store = store(&host, &bucket, data.path());
    let running: RefCell<Option<Running>> = RefCell::new(None);
    let check = |_: &Path, row: &Value| {
        let variant = row["variant"].as_str().unwrap_or_default();
        let store_flags = texts(&row["store_flags"]);
        if let Some(flag) = store_flags.iter().find(|f| !STORE_FLAGS.iter().any(|known| f.starts_with(known)))
        {
            return Err(format!("no flag {flag} yet"));
        }
        let mut running = running.borrow_mut();
        if running.as_ref().is_none_or(|r| r.variant != variant) {
            // The ports are those of the one before.
            drop(running.take());
            // Rows of this file never say that an answer was one header frame.
            let at = |port| Target { tells_trailers: false, ..runtime.block_on(Target::at(&host.at(port))) };
            let varied = !store_flags.is_empty();
            let own = varied.then(|| {
                let process = store_with(&host, VARIED_STORE, &bucket, data.path(), store_flags);
                (process, at(VARIED_STORE.1))
            });
            let asked = if varied { VARIED_STORE } else { STORE };
            let process = querier(&host, asked, &row["querier_flags"]);
            let target = at(QUERIER.1);
            *running = Some(Running { variant: variant.to_owned(), process, target, store: own });
        }
        let Some(running) = running.as_ref() else { return Err("nothing runs".to_owned()) };
        one(&host, &runtime, running, row)
    };
    golden.run(&Suite {
        label: "query/variants",
        path: "query/variants/variants.jsonl",
        inputs: &["id", "variant", "store_flags", "querier_flags", "request"],
        expected: &["status", "content_type", "body", "grpc"],
        ignored: &[
            ("body.data.store.*.lastCheck", "wall clock of the recording"),
            ("grpc.request_json", "the same as request_hex"),
            ("grpc.deterministic", "tells whether two recordings agreed"),
            ("grpc.id", "names the row"),
            ("grpc.component", "names the row"),
            ("grpc.method", "what is asked"),
            ("grpc.request_hex", "what is asked"),
            ("grpc.trailers_only", "not recorded here for answers without messages"),
        ],
        rows: None,
        check: &check,
    });
    drop(default_store);
}

fn one(host: &Host, runtime: &Runtime, running: &Running, row: &Value) -> Verdict {
    if !row["grpc"].is_null() {
        let of_store = running.store.as_ref().filter(|_| row["grpc"]["component"] == "store");
        let target = of_store.map_or(&running.target, |(_, target)| target);
        return runtime.block_on(judge(target, &row["grpc"]));
    }
    let answer = running.process.ask(&row["request"])?;
    if row["status"].as_u64() != Some(u64::from(answer.status)) {
        return Err(format!("status {}, want {}: {}", answer.status, row["status"], answer.body));
    }
    if row["content_type"].as_str() != Some(answer.header("content-type").as_str()) {
        return Err(format!("content type {}, want {}", answer.header("content-type"), row["content_type"]));
    }
    let mut got: Value = serde_json::from_str(&answer.body).unwrap_or(Value::Null);
    let mut want = host.here_in(&row["body"]);
    for body in [&mut got, &mut want] {
        for stores in body["data"].as_object_mut().into_iter().flat_map(|o| o.values_mut()) {
            for store in stores.as_array_mut().into_iter().flatten().filter(|s| s["lastCheck"].is_string()) {
                store["lastCheck"] = Value::from("(time)");
            }
        }
    }
    same_answer(&row["request"], &got.to_string(), &want)
}

/// The blocks of a folder as a store gateway serves them.
pub(crate) fn store(host: &Host, bucket: &Path, data: &Path) -> Process {
    store_with(host, STORE, bucket, data, Vec::new())
}

fn store_with(host: &Host, ports: (u16, u16), bucket: &Path, data: &Path, flags: Vec<String>) -> Process {
    let mut args = vec![
        "standalone".to_owned(),
        format!("--objstore.config={{type: FILESYSTEM, config: {{directory: {}}}}}", bucket.display()),
        format!("--data-dir={}", data.display()),
    ];
    args.extend(flags);
    Process::start(host, ports, &args)
}

fn texts(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn querier(host: &Host, store: (u16, u16), flags: &Value) -> Process {
    let mut args = vec![
        "query".to_owned(),
        format!("--endpoint={}", host.at(store.1)),
        "--deduplication.counters=thanos".to_owned(),
        "--query.resolution-seams=thanos".to_owned(),
    ];
    args.extend(texts(flags));
    Process::start(host, QUERIER, &args)
}
