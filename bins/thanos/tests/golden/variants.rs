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

/// Ports of the store gateway of default flags, and of the querier.
const STORE: (u16, u16) = (21_001, 21_002);
const QUERIER: (u16, u16) = (21_095, 21_096);

/// The querier that answers the rows of one variant.
struct Running {
    variant: String,
    process: Process,
    target: Target,
}

pub(crate) fn run(golden: &mut Golden) {
    let bucket = golden.root().join("query/bucket");
    if !bucket.is_dir() {
        return;
    }
    let runtime = Runtime::new().expect("a runtime");
    let host = Host::new();
    let data = tempfile::tempdir().expect("a folder");
    let store = store(&host, &bucket, data.path());
    let running: RefCell<Option<Running>> = RefCell::new(None);
    let check = |_: &Path, row: &Value| {
        let variant = row["variant"].as_str().unwrap_or_default();
        if !row["store_flags"].as_array().is_none_or(Vec::is_empty) {
            return Err("flags of the store gateway".to_owned());
        }
        let mut running = running.borrow_mut();
        if running.as_ref().is_none_or(|r| r.variant != variant) {
            // The ports are those of the one before.
            drop(running.take());
            let process = querier(&host, &row["querier_flags"]);
            let target = runtime.block_on(Target::at(&host.at(QUERIER.1)));
            *running = Some(Running { variant: variant.to_owned(), process, target });
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
            ("grpc.trailers_only", "a connection between shows one header frame or two"),
        ],
        rows: None,
        check: &check,
    });
    drop(store);
}

fn one(host: &Host, runtime: &Runtime, running: &Running, row: &Value) -> Verdict {
    if !row["grpc"].is_null() {
        return runtime.block_on(judge(&running.target, &row["grpc"]));
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
    let args = [
        "standalone".to_owned(),
        format!("--objstore.config={{type: FILESYSTEM, config: {{directory: {}}}}}", bucket.display()),
        format!("--data-dir={}", data.display()),
    ];
    Process::start(host, STORE, &args)
}

fn querier(host: &Host, flags: &Value) -> Process {
    let mut args = vec![
        "query".to_owned(),
        format!("--endpoint={}", host.at(STORE.1)),
        "--deduplication.counters=thanos".to_owned(),
        "--query.resolution-seams=thanos".to_owned(),
    ];
    args.extend(flags.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned));
    Process::start(host, QUERIER, &args)
}
