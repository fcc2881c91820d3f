//! Queries over seams between resolutions: as the recorded queriers answered them, and how far
//! our own answers are from what a querier with all scraped samples says.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, HashMap},
    path::Path,
};

use axum::Router;
use serde_json::Value;
use thanoslib::{
    dedup::{Algorithm, Counters},
    http::Settings,
    query::ResolutionSeams,
    testing::{
        answers::param,
        golden::{Golden, Suite, Verdict},
    },
};

use crate::query_http::{answer, api, open, replay, settings};

pub(crate) fn run(golden: &mut Golden) {
    let bucket = golden.root().join("query_seams/bucket");
    if !bucket.is_dir() {
        return;
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let store = runtime.block_on(open(&bucket));
    let routers = |settings: Settings| -> HashMap<&str, Router> {
        let chain = Settings { algorithm: Algorithm::Chain, ..settings.clone() };
        let auto = Settings { auto_downsampling: true, ..settings.clone() };
        [
            ("q1", api(&store, settings, false)),
            ("qchain", api(&store, chain, false)),
            ("qauto", api(&store, auto, false)),
        ]
        .into()
    };
    let theirs = routers(settings());
    let check = |_: &Path, row: &Value| {
        let target = row["target"].as_str().unwrap_or_default();
        let Some(router) = theirs.get(target) else { return Err(format!("no {target} is replayed here")) };
        runtime.block_on(replay(router, row))
    };
    golden.run(&Suite {
        label: "query_seams/http",
        path: "query_seams/http/*.jsonl",
        inputs: &["id", "target", "group", "request"],
        expected: &["status", "headers", "body"],
        ignored: &[],
        rows: None,
        check: &check,
    });

    let ours =
        routers(Settings { seams: ResolutionSeams::Right, counters: Counters::Prometheus, ..settings() });
    let recorded = recorded_rows(&golden.root().join("query_seams/http"));
    let worst = RefCell::new(BTreeMap::new());
    let judge = |truth: &Value, key: &str| {
        let id = truth["id"].as_str().unwrap_or_default();
        let Some(row) = recorded.get(id) else { return Err(format!("no query {id}")) };
        let target = row["target"].as_str().unwrap_or_default();
        let Some(router) = ours.get(target) else { return Err(format!("no {target} is replayed here")) };
        let (status, got) = runtime.block_on(answer(router, &row["request"]))?;
        if truth.get("status").is_some_and(|want| *want != status) {
            return Err(format!("status {status}"));
        }
        if !truth[key].is_array() {
            return Err(format!("no list of series but {}", truth[key]));
        }
        let scraped = truth.get("status").is_some();
        let comparison = Comparison { query: Query::of(row)?, row, truth: &truth[key], scraped };
        comparison.judge(&got, &mut worst.borrow_mut())
    };
    golden.run(&Suite {
        label: "query_seams/truth",
        path: "query_seams/truth/full_raw.jsonl",
        inputs: &["id"],
        expected: &["status", "result"],
        ignored: &[
            ("result.*.values.*.1", "judged by the error that is allowed"),
            ("result.*.value.1", "judged by the error that is allowed"),
            ("result.*.histograms.*.1", "their counts are judged by the error that is allowed"),
        ],
        rows: None,
        check: &|_, truth| judge(truth, "result"),
    });
    golden.run(&Suite {
        label: "query_seams/true_increase",
        path: "query_seams/truth/true_increase.jsonl",
        inputs: &["id"],
        expected: &["series"],
        ignored: &[("series.*.values.*.1", "judged by the error that is allowed")],
        rows: None,
        check: &|_, truth| judge(truth, "series"),
    });
    for (group, (ours, theirs)) in worst.into_inner() {
        println!("seams {group}: worst error {:.2} %, of Thanos {:.2} %", ours * 100.0, theirs * 100.0);
    }
}

/// The recorded queries by id, with the answers of Thanos.
fn recorded_rows(folder: &Path) -> HashMap<String, Value> {
    let files = std::fs::read_dir(folder).expect("a folder").flatten();
    let lines = files.flat_map(|f| {
        let text = std::fs::read_to_string(f.path()).expect("a file");
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    });
    let rows = lines.map(|l| serde_json::from_str::<Value>(&l).expect("a row"));
    rows.map(|r| (r["id"].as_str().unwrap_or_default().to_owned(), r)).collect()
}

/// Largest error where windows hold at least two samples of the coarser resolution.
const ERROR_MAX: f64 = 0.05;
/// Errors up to this one are not told from none: ends of windows are extrapolated by guess.
const ERROR_NONE: f64 = 0.005;
/// Start of the recorded data.
const BASE_S: i64 = 1_700_006_400;
const HOUR_S: i64 = 3600;

/// What a recorded query asks.
struct Query {
    cluster: String,
    range_s: i64,
    /// Coarsest resolution that the range allows, in seconds; 0 for scraped samples.
    resolution_s: i64,
    /// True for rate and increase, whose error is limited.
    limited: bool,
}

impl Query {
    fn of(row: &Value) -> Result<Self, String> {
        let text = param(&row["request"], "query").unwrap_or_default();
        let between = |from: &str, to: &str| Some(text.split_once(from)?.1.split_once(to)?.0.to_owned());
        let seconds = |text: &str| {
            thanoslib::model::duration::parse_api_duration(text).ok().map(|ns| ns / 1_000_000_000)
        };
        let range_s = between("[", "]").and_then(|t| seconds(&t)).ok_or(format!("no range in {text}"))?;
        let cluster = between("cluster=\"", "\"").ok_or(format!("no cluster in {text}"))?;
        let auto = row["target"] == "qauto";
        let asked_s = match param(&row["request"], "max_source_resolution").as_deref() {
            None if !auto => 0,
            None | Some("auto") => {
                let step = param(&row["request"], "step").and_then(|s| s.parse::<i64>().ok());
                step.unwrap_or(0) / 5
            }
            Some(text) => seconds(text).ok_or(format!("no resolution {text}"))?,
        };
        let allowed = |r: &i64| *r <= asked_s && *r <= range_s / 2;
        let resolution_s = [HOUR_S, 300].into_iter().find(allowed).unwrap_or(0);
        let limited = resolution_s > 0
            && !text.contains("irate(")
            && (text.contains("rate(") || text.contains("increase("));
        Ok(Self { cluster, range_s, resolution_s, limited })
    }

    /// Hours in which a cluster has windows of a resolution in seconds and nothing finer.
    fn coarse(&self) -> Vec<(i64, i64, i64)> {
        let coarsest = self.resolution_s.max(300);
        match self.cluster.as_str() {
            "pair" => vec![(0, 48, coarsest), (48, 96, 300)],
            "overlap" => vec![(0, 48, coarsest), (96, 144, 300)],
            _ => vec![(0, 48, 300)],
        }
    }

    /// True when the window that ends at `t_s` has no sample, or two or more, of the coarsest
    /// resolution that it touches.
    fn has_two(&self, t_s: i64) -> bool {
        let (end, start) = (t_s - BASE_S, t_s - BASE_S - self.range_s);
        let inside = |&(from, to, _): &(i64, i64, i64)| start < to * HOUR_S && end > from * HOUR_S;
        let touched = self.coarse().into_iter().filter(inside).max_by_key(|(_, _, r)| *r);
        let Some((from, to, resolution)) = touched else { return true };
        let (from, to) = (start.max(from * HOUR_S), end.min(to * HOUR_S));
        to.div_euclid(resolution) - from.div_euclid(resolution) >= 2
    }

    /// True when the window that ends at `t_s` lies where a replica was not scraped for long: then
    /// the samples of one replica tell nothing of the time of its last scrape.
    fn in_gap(&self, series: &str, t_s: i64) -> bool {
        let gaps = match self.cluster.as_str() {
            "pair" => &[
                ("A", 96, -720, -240),
                ("A", 48, 600, 1500),
                ("B", 96, 60, 900),
                ("B", 48, -1300, -500),
                ("B", 68, 0, 3 * HOUR_S),
            ][..],
            "skew" => &[("A", 48, 300, 1200), ("B", 48, -3000, -2000)][..],
            _ => &[],
        };
        gaps.iter().any(|(replica, hour, from, to)| {
            let at = BASE_S + hour * HOUR_S;
            // A scrape that is missing shortens windows around it too.
            let (from, to) = (at + from - 300, at + to + 300);
            series.contains(&format!("\"replica\":\"{replica}\"")) && t_s - self.range_s < to && t_s > from
        })
    }
}

/// One answer of ours and one of Thanos, both against the truth.
struct Comparison<'a> {
    query: Query,
    row: &'a Value,
    truth: &'a Value,
    /// True when the truth is what scraped samples say.
    scraped: bool,
}

/// Values by series and time.
type Samples = BTreeMap<(String, i64), f64>;

impl Comparison<'_> {
    fn judge(&self, got: &Value, worst: &mut BTreeMap<String, (f64, f64)>) -> Verdict {
        let truth = samples(self.truth);
        let ours = samples(&got["data"]["result"]);
        let theirs = samples(&self.row["body"]["data"]["result"]);
        let named = |of: &Samples| of.keys().map(|k| self.named(k)).collect::<BTreeSet<_>>();
        // The generator tells of all that was recorded, all scraped samples may tell of more.
        let (told, wanted) = (named(&ours), if self.scraped { named(&theirs) } else { named(&truth) });
        if let Some(missing) = wanted.difference(&told).next() {
            return Err(format!("{missing:?} is missing"));
        }
        if let Some(unknown) = told.iter().find(|k| !truth.contains_key(*k)) {
            return Err(format!("{unknown:?} is not in the truth"));
        }
        if !self.query.limited {
            return Ok(());
        }
        let (ours, theirs) = (self.errors(&ours, &truth), self.errors(&theirs, &truth));
        let (our_worst, their_worst) = (largest(&ours), largest(&theirs));
        let group = self.row["group"].as_str().unwrap_or_default().to_owned();
        let entry = worst.entry(group).or_insert((0.0, 0.0));
        *entry = (entry.0.max(our_worst), entry.1.max(their_worst));
        if our_worst > their_worst.max(ERROR_NONE) {
            return Err(format!("error {our_worst:.4}, of Thanos {their_worst:.4}"));
        }
        let over =
            |((series, t), e): &(&(String, i64), &f64)| e.abs() > ERROR_MAX && !self.query.in_gap(series, *t);
        match ours.iter().find(over).filter(|_| self.scraped) {
            Some(((series, t), e)) => Err(format!("error {e:.4} of {series} at {t}")),
            None => Ok(()),
        }
    }

    /// The key of a sample in the truth: the generator knows no replicas.
    fn named(&self, (series, t): &(String, i64)) -> (String, i64) {
        let bare = |series: &str| {
            let mut labels: BTreeMap<String, Value> = serde_json::from_str(series).unwrap_or_default();
            labels.remove("replica");
            serde_json::json!(labels).to_string()
        };
        (if self.scraped { series.clone() } else { bare(series) }, *t)
    }

    /// Relative errors of the samples whose windows are judged.
    fn errors(&self, got: &Samples, truth: &Samples) -> Samples {
        let error = |(key, v): (&(String, i64), &f64)| {
            // In a gap no sample of a replica comes near to what the generator made.
            let judged = self.query.has_two(key.1) && (self.scraped || !self.query.in_gap(&key.0, key.1));
            let want = truth.get(&self.named(key)).filter(|_| judged)?;
            Some((key.clone(), if want == v { 0.0 } else { (v - want) / want.abs().max(1e-9) }))
        };
        got.iter().filter_map(error).collect()
    }
}

/// The largest of some errors.
fn largest(errors: &Samples) -> f64 {
    errors.values().fold(0.0, |max: f64, e| max.max(e.abs()))
}

/// The floats of a result, and of histograms the counts.
fn samples(result: &Value) -> Samples {
    let mut out = Samples::new();
    for series in result.as_array().into_iter().flatten() {
        let several = ["values", "histograms"].iter().filter_map(|k| series[*k].as_array()).flatten();
        let single = ["value", "histogram"].iter().filter_map(|k| series.get(*k));
        for point in several.chain(single) {
            let v = point[1].get("count").unwrap_or(&point[1]);
            let v = v.as_f64().or_else(|| v.as_str()?.parse().ok());
            let key = (series["metric"].to_string(), point[0].as_i64().unwrap_or_default());
            out.insert(key, v.unwrap_or(f64::NAN));
        }
    }
    out
}
