//! Members of a cluster die, hang and come back while it is asked 50 times a second.
//!
//! Two queriers over the same members, a sidecar at each of a pair of Prometheus servers and two stores
//! over one bucket; a querier over both queriers answers. Every answer must be right, or say what is
//! missing.

use std::{
    collections::BTreeMap,
    path::Path,
    process::Command,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{Router, routing::get};
use serde_json::Value;
use thanoslib::Labels;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::{
    process::{Process, Prometheus, ask, free_port, get as get_body, until},
    sidecar::write_block,
};

/// Time between two questions.
const EVERY: Duration = Duration::from_millis(20);
/// How long a fault lasts.
const FAULT: Duration = Duration::from_secs(4);
/// What the exporter's counter grows in a second.
const TICKS: f64 = 100.0;

/// A program of the cluster.
struct Member {
    name: &'static str,
    /// How the others call it in their warnings.
    known_as: String,
    command: Box<dyn Fn() -> Command + Send + Sync>,
    running: Process,
}

impl Member {
    fn start(
        name: &'static str,
        known_as: &str,
        command: impl Fn() -> Command + Send + Sync + 'static,
    ) -> Self {
        let running = Process::start(&mut command());
        Self { name, known_as: known_as.to_owned(), command: Box::new(command), running }
    }

    fn signal(&self, signal: &str) {
        let pid = self.running.0.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().expect("kill runs").success());
    }
}

/// A role of our command on two ports, HTTP and gRPC.
fn role(name: &'static str, ports: &(String, String), args: Vec<String>) -> impl Fn() -> Command + use<> {
    let (http, grpc) = ports.clone();
    move || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_thanos"));
        command.args([name, "--log.level=error"]).args(&args);
        command.arg(format!("--http-address={http}")).arg(format!("--grpc-address={grpc}"));
        command
    }
}

fn querier(ports: &(String, String), timeout: &str, endpoints: &[&String]) -> impl Fn() -> Command + use<> {
    let mut args = vec![
        "--query.replica-label=replica".to_owned(),
        format!("--store.response-timeout={timeout}"),
        "--endpoint.info-timeout=1s".to_owned(),
    ];
    args.extend(endpoints.iter().map(|address| format!("--endpoint={address}")));
    role("query", ports, args)
}

/// Serves a counter that grows with time, and whether it was asked.
async fn exporter() -> String {
    let began = Instant::now();
    let metrics = move || async move {
        let ticks = began.elapsed().as_secs_f64() * TICKS;
        format!("# TYPE ticks_total counter\nticks_total {ticks}\n")
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/metrics", get(metrics))).await });
    address
}

fn prometheus(dir: &Path, replica: &str, exporter: &str) -> Prometheus {
    let dir = dir.join(replica);
    std::fs::create_dir_all(dir.join("data")).expect("a folder");
    let text = format!(
        "global:\n  scrape_interval: 1s\n  external_labels: {{cluster: live, replica: {replica}}}\n\
         scrape_configs:\n- job_name: exporter\n  static_configs: [{{targets: ['{exporter}']}}]\n"
    );
    std::fs::write(dir.join("prometheus.yml"), text).expect("written");
    Prometheus { dir, address: free_port() }
}

/// A question whose right answer is known.
#[derive(Clone, Debug)]
struct Question {
    path: String,
    right: std::ops::RangeInclusive<f64>,
}

impl Question {
    fn new(query: &str, time: Option<i64>, right: std::ops::RangeInclusive<f64>) -> Self {
        let encoded: String = query.bytes().map(|b| format!("%{b:02X}")).collect();
        let time = time.map(|t| format!("&time={t}")).unwrap_or_default();
        Self { path: format!("/api/v1/query?query={encoded}{time}&partial_response=true"), right }
    }
}

/// What came of the questions of one fault.
#[derive(Debug, Default)]
struct Seen {
    complete: usize,
    partial: usize,
    failed: usize,
    slowest: Duration,
    /// Answers that are not right and do not say so.
    wrong: Vec<String>,
    /// Warnings, and how often they came.
    warnings: BTreeMap<String, usize>,
}

impl Seen {
    fn add(&mut self, question: &Question, answer: Option<(u16, String)>, took: Duration) {
        self.slowest = self.slowest.max(took);
        let Some((200, body)) = answer else {
            self.failed += 1;
            return;
        };
        let answer: Value = serde_json::from_str(&body).expect("JSON");
        let value = answer["data"]["result"][0]["value"][1].as_str().and_then(|v| v.parse::<f64>().ok());
        let warnings = answer["warnings"].as_array().cloned().unwrap_or_default();
        for warning in &warnings {
            *self.warnings.entry(warning.as_str().unwrap_or_default().to_owned()).or_default() += 1;
        }
        // A twin has what is missing: also what is marked as partial must be right.
        if !value.is_some_and(|v| question.right.contains(&v)) {
            self.wrong.push(format!("{question:?}: {body}"));
        }
        match warnings.is_empty() {
            true => self.complete += 1,
            false => self.partial += 1,
        }
    }
}

/// Asks all questions in turn until `end` ends.
async fn load(address: &str, questions: &[Question], end: impl Future<Output = ()> + Send) -> Seen {
    let seen = Arc::new(Mutex::new(Seen::default()));
    let mut asking = tokio::task::JoinSet::new();
    let mut every = interval(EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut next = questions.iter().cycle();
    tokio::pin!(end);
    loop {
        tokio::select! {
            () = &mut end => break,
            _ = every.tick() => {
                let question = next.next().expect("it cycles").clone();
                let (address, seen) = (address.to_owned(), Arc::clone(&seen));
                asking.spawn(async move {
                    let began = Instant::now();
                    let answer = ask(&address, &question.path).await;
                    seen.lock().expect("no panic").add(&question, answer, began.elapsed());
                });
            }
        }
    }
    asking.join_all().await;
    Arc::into_inner(seen).expect("all have ended").into_inner().expect("no panic")
}

#[tokio::test(flavor = "multi_thread")]
async fn members_die_hang_and_return_and_no_answer_is_silently_wrong() {
    let dir = tempfile::tempdir().expect("tempdir");
    let exporter = exporter().await;
    let bucket = dir.path().join("bucket");
    std::fs::create_dir_all(&bucket).expect("a folder");
    let (_, old) = write_block(&bucket, Labels::from_pairs([("cluster", "past"), ("replica", "a")]));

    let ports = || (free_port(), free_port());
    let [sidecar_a, sidecar_b, store_1, store_2, query_1, query_2, all] = std::array::from_fn(|_| ports());
    let servers = ["a", "b"].map(|replica| Arc::new(prometheus(dir.path(), replica, &exporter)));
    let sidecar = |at: &(String, String), server: &Prometheus| {
        let url = format!("--prometheus.url=http://{}", server.address);
        let path = format!("--tsdb.path={}", server.dir.join("data").display());
        role("sidecar", at, vec![url, path, "--prometheus.get_config_interval=1s".to_owned()])
    };
    let store = |at: &(String, String), name: &str| {
        let config =
            format!("--objstore.config=type: FILESYSTEM\nconfig: {{directory: {}}}", bucket.display());
        role("standalone", at, vec![config, format!("--data-dir={}", dir.path().join(name).display())])
    };
    let endpoints = [&sidecar_a.1, &sidecar_b.1, &store_1.1, &store_2.1];
    let server_a = Arc::clone(&servers[0]);
    let mut members = vec![
        // A server that is gone is told by its sidecar.
        Member::start("Prometheus", &sidecar_a.1, move || server_a.command()),
        Member::start("sidecar", &sidecar_a.1, sidecar(&sidecar_a, &servers[0])),
        Member::start("store", &store_1.1, store(&store_1, "store-1")),
        Member::start("querier", &query_1.1, querier(&query_1, "1s", &endpoints)),
    ];
    let _twins = [
        servers[1].start(),
        Process::start(&mut sidecar(&sidecar_b, &servers[1])()),
        Process::start(&mut store(&store_2, "store-2")()),
        Process::start(&mut querier(&query_2, "1s", &endpoints)()),
        Process::start(&mut querier(&all, "2s", &[&query_1.1, &query_2.1])()),
    ];

    let questions = [
        Question::new("sum(rate(ticks_total[8s]))", None, TICKS * 0.9..=TICKS * 1.1),
        Question::new("count(up{job=\"exporter\"})", None, 1.0..=1.0),
        Question::new("sum(old_metric)", Some(old.mint / 1000 + 1500), 200.0..=200.0),
        Question::new("count(count_over_time(ticks_total[8s]) >= 6)", None, 1.0..=1.0),
    ];
    let healthy = async || {
        let mut right = 0;
        for question in &questions {
            let mut seen = Seen::default();
            seen.add(question, ask(&all.0, &question.path).await, Duration::ZERO);
            right += usize::from(seen.complete == 1 && seen.wrong.is_empty());
        }
        // Whom a querier has lost sight of it does not miss.
        let knows = async |querier: &str, known: &[&String]| {
            let stores = get_body(querier, "/api/v1/stores").await.unwrap_or_default();
            known.iter().all(|address| stores.contains(*address))
        };
        right == questions.len()
            && knows(&all.0, &[&query_1.1, &query_2.1]).await
            && knows(&query_1.0, &endpoints).await
            && knows(&query_2.0, &endpoints).await
    };
    until("the cluster is whole", healthy).await;

    println!("| fault | asked | complete | partial | failed | slowest ms | warnings |");
    println!("|---|--:|--:|--:|--:|--:|---|");
    for member in &mut members {
        for fault in ["killed", "stopped"] {
            let signal = if fault == "killed" { "-KILL" } else { "-STOP" };
            let strike = async {
                sleep(FAULT / 4).await;
                member.signal(signal);
                sleep(FAULT).await;
            };
            let seen = load(&all.0, &questions, strike).await;
            let Seen { complete, partial, failed, slowest, wrong, warnings } = seen;
            let asked = complete + partial + failed;
            let texts: Vec<&str> = warnings.keys().map(String::as_str).collect();
            println!(
                "| {} {fault} | {asked} | {complete} | {partial} | {failed} | {} | {} |",
                member.name,
                slowest.as_millis(),
                texts.join("; ")
            );
            assert!(
                wrong.is_empty(),
                "{} {fault}: {} of {asked} wrong: {}",
                member.name,
                wrong.len(),
                wrong[0]
            );
            let unnamed = texts.iter().find(|text| !text.contains(&member.known_as));
            assert_eq!(unnamed, None, "only {} is at fault", member.known_as);
            assert!(partial > 0, "{} {fault}: nobody noticed", member.name);
            assert!(failed <= 2, "{} {fault}: {failed} of {asked} failed", member.name);
            match fault {
                "killed" => member.running = Process::start(&mut (member.command)()),
                _ => member.signal("-CONT"),
            }
            until("the cluster is whole again", healthy).await;
        }
    }
}
