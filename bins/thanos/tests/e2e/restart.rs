//! The Prometheus of a sidecar is restarted while its series are on their way.
//!
//! There is no twin: every answer has all samples, or says that some are missing, or is an error.

use std::{
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::Value;
use thanoslib::{BlockId, Labels, block::BlockSpec, model::TimeRange};
use tokio::time::sleep;

use super::process::{Process, Prometheus, ask, free_port, get, until};

const SERIES: usize = 5000;
const SAMPLES: i64 = 40;
/// Questions that are asked at the same time.
const ASKING: usize = 4;

/// A block of the day before with many series; its first time in seconds.
fn write_block(data: &Path) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as i64;
    let mint = (now - 86_400_000) / 7_200_000 * 7_200_000;
    let range = TimeRange::new(mint, mint + 7_200_000);
    let spec = BlockSpec { id: BlockId::from_parts(mint as u64, 9), range, external_labels: Labels::empty() };
    let series = (0..SERIES).map(|i| {
        let labels = Labels::from_pairs([("__name__", "many"), ("i", &format!("{i:05}"))]);
        (labels, (0..SAMPLES).map(move |n| (mint + n * 15_000, ((n * 31 + i as i64) % 97) as f64)))
    });
    spec.write(data, series).expect("written");
    mint / 1000
}

/// What came of the questions.
#[derive(Debug, Default)]
struct Seen {
    whole: usize,
    marked: usize,
    failed: usize,
    wrong: Vec<String>,
}

impl Seen {
    fn add(&mut self, answer: Option<(u16, String)>) {
        let Some((200, body)) = answer else {
            self.failed += 1;
            return;
        };
        let answer: Value = serde_json::from_str(&body).expect("JSON");
        let value = |i: usize| answer["data"]["result"][i]["value"][1].as_str().unwrap_or("nothing");
        let all = SERIES.to_string();
        let marked = answer["warnings"].as_array().is_some_and(|warnings| !warnings.is_empty());
        match (value(0) == all, marked) {
            (true, false) => self.whole += 1,
            (_, true) => self.marked += 1,
            (false, false) => self.wrong.push(body),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn series_in_flight_over_a_restart_are_whole_or_marked() {
    let dir = tempfile::tempdir().expect("tempdir");
    let prometheus = Prometheus { dir: dir.path().to_owned(), address: free_port() };
    std::fs::create_dir_all(prometheus.dir.join("data")).expect("a folder");
    let text = "global: {external_labels: {replica: A}}\n";
    std::fs::write(prometheus.dir.join("prometheus.yml"), text).expect("written");
    let begin = write_block(&prometheus.dir.join("data"));
    let mut server = prometheus.start();
    let (sidecar_http, sidecar) = (free_port(), free_port());
    let mut near = Process::start(
        Command::new(env!("CARGO_BIN_EXE_thanos"))
            .args(["sidecar", "--log.level=error", "--prometheus.get_config_interval=1s"])
            .arg(format!("--prometheus.url=http://{}", prometheus.address))
            .arg(format!("--tsdb.path={}", prometheus.dir.join("data").display()))
            .arg(format!("--http-address={sidecar_http}"))
            .arg(format!("--grpc-address={sidecar}")),
    );
    let http = free_port();
    let mut querier = Process::start(
        Command::new(env!("CARGO_BIN_EXE_thanos"))
            .args(["query", "--log.level=error", "--endpoint.info-timeout=1s"])
            // Also asked while it is down, so that each answer has something to say.
            .arg(format!("--endpoint-strict={sidecar}"))
            .arg(format!("--http-address={http}"))
            .arg(format!("--grpc-address={}", free_port())),
    );
    // Reading is most of what such a query takes.
    let end = begin + SAMPLES * 15;
    let path = format!("/api/v1/query?query=count(many)&time={end}&partial_response=true");
    let whole = async || {
        let mut seen = Seen::default();
        seen.add(ask(&http, &path).await);
        seen.whole == 1
    };
    until("the first answer", whole).await;

    let mut all = Seen::default();
    for (round, signal) in ["-TERM", "-KILL"].into_iter().cycle().take(8).enumerate() {
        let mut asking = tokio::task::JoinSet::new();
        let (enough, answers) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        for _ in 0..ASKING {
            let (http, path) = (http.clone(), path.clone());
            let (enough, answers) = (Arc::clone(&enough), Arc::clone(&answers));
            asking.spawn(async move {
                let mut seen = Seen::default();
                while !enough.load(Ordering::Relaxed) {
                    seen.add(ask(&http, &path).await);
                    answers.fetch_add(1, Ordering::Relaxed);
                }
                seen
            });
        }
        // Somewhere in the middle of some answer.
        sleep(Duration::from_millis(400 + 37 * round as u64)).await;
        let pid = server.0.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().expect("kill runs").success());
        server.0.wait().expect("it ends");
        // Of so many answers one was asked for while the server was down.
        let enough_answers = answers.load(Ordering::Relaxed) + ASKING + 1;
        until("answers while it is down", async || answers.load(Ordering::Relaxed) >= enough_answers).await;
        server = prometheus.start();
        sleep(Duration::from_millis(1500)).await;
        enough.store(true, Ordering::Relaxed);
        for seen in asking.join_all().await {
            all.whole += seen.whole;
            all.marked += seen.marked;
            all.failed += seen.failed;
            all.wrong.extend(seen.wrong);
        }
        until("it is whole again", whole).await;
    }
    println!("whole {}, marked {}, failed {}, wrong {}", all.whole, all.marked, all.failed, all.wrong.len());
    assert!(all.wrong.is_empty(), "{} answers say nothing: {}", all.wrong.len(), all.wrong[0]);
    assert!(all.whole > 0 && all.marked > 0, "{all:?}");

    // A hangup ends neither of them.
    for process in [&mut near, &mut querier] {
        let pid = process.0.id().to_string();
        assert!(Command::new("kill").args(["-HUP", &pid]).status().expect("kill runs").success());
    }
    sleep(Duration::from_millis(200)).await;
    for process in [&mut near, &mut querier] {
        assert!(process.0.try_wait().expect("asked").is_none(), "it goes on");
    }
    assert!(get(&http, "/-/ready").await.is_some() && whole().await);
}
