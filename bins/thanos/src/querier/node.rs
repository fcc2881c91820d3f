//! A querier from its flags: endpoints, the store over them, the engine, the APIs.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, anyhow};
use thanoslib::{
    apis::{Apis, JoinSettings},
    budget::Budget,
    clock::Clock,
    context::SpanSink,
    http::{self, Api, Served, StoreStatus, StoreStatuses},
    metrics::{Collect, Kind, TextWriter},
    model::{
        Interval,
        duration::UnixTime,
        relabel::{self, RelabelConfig},
    },
    promql::Engine,
    query::{Distribution, EndpointSet, QueryEngines, QueryService, SelectOptions},
    runtime::Pool,
    store::{
        Breaker, Limited, Member, PartialResponse, Proxy, ProxySettings, ProxyStatistics, Retrieval, Store,
        StoreLimits, Stores, Tolerance, TsdbSelector,
    },
};
use thanoslib_bins_common::{env::TextPair, server_flags::StoreLimitFlags, values};

use super::{
    endpoints::Endpoints,
    flags::{
        AnswerFlags, EngineFlags, MemoryFlags, ProxyFlags, TelemetryFlags, TenancyFlags, WebFlags, listed,
    },
    own::{self, Own},
    settings,
};

/// Everything that the flags of a querier say, beside where it listens and whom it asks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QuerierFlags<'a> {
    pub engine: &'a EngineFlags,
    pub answers: &'a AnswerFlags,
    pub memory: &'a MemoryFlags,
    pub web: &'a WebFlags,
    pub proxy: &'a ProxyFlags,
    pub tenancy: &'a TenancyFlags,
    pub limits: &'a StoreLimitFlags,
    pub telemetry: &'a TelemetryFlags,
}

/// A querier, ready to be served.
pub(crate) struct Querier {
    pub api: Arc<Api>,
    /// What is served over gRPC.
    pub apis: Apis,
    /// How much one gRPC call may send.
    pub limits: StoreLimits,
    pub budget: Arc<Budget>,
    pub metrics: Vec<Arc<dyn Collect>>,
}

/// Builds a querier over endpoints and stores of its own; `shown` are the flags that its API tells, and
/// `spans` where the spans of requests go.
pub(crate) fn build(
    flags: QuerierFlags<'_>,
    endpoints: &Endpoints,
    own: Vec<Own>,
    clock: Arc<dyn Clock>,
    shown: BTreeMap<String, String>,
    spans: Option<Arc<dyn SpanSink>>,
) -> Result<Querier> {
    let QuerierFlags { engine, answers, memory, web, proxy, tenancy, limits, telemetry } = flags;
    let budget = Budget::new("process memory", settings::memory_limit_bytes(memory)?);
    let http = settings::web(settings::http_settings(engine, answers, memory, shown)?, web, tenancy);
    let http = http::Settings { telemetry: settings::telemetry(telemetry)?, ..http };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let evaluator = Engine::new(settings::engine_options(engine, memory)?, Arc::new(Pool::new(threads)?));
    let evaluator = settings::tracked(evaluator, engine)?;

    let proxy_settings = proxy_settings(proxy)?;
    let selector = proxy_settings.tsdb_selector.clone();
    let members: Vec<Member> = own.iter().map(|own| own.member.clone()).collect();
    let stores: Vec<Arc<dyn Stores>> = vec![Arc::clone(&endpoints.set) as _, Arc::new(members)];
    let proxied = Arc::new(Proxy::new(Arc::new(stores), proxy_settings));
    let statistics = proxied.statistics();
    let limits = StoreLimits { series_max: limits.request_series, samples_max: limits.request_samples };
    // Over gRPC the server counts, by the frames that it sends.
    let store: Arc<dyn Store> = Arc::new(Limited::new(Arc::clone(&proxied) as _, limits));

    let partial = if answers.query_partial { PartialResponse::Warn } else { PartialResponse::Abort };
    let options = SelectOptions {
        replica_labels: http.replica_labels.clone(),
        algorithm: http.algorithm,
        counters: http.counters,
        seams: http.seams,
        fit_range: http.fit_range,
        max_resolution_ms: millis(answers.instant_resolution.0),
        partial_response: partial,
        ..SelectOptions::default()
    };
    let distribution = (engine.mode == "distributed").then(|| {
        let engines = Arc::clone(&endpoints.set) as Arc<dyn QueryEngines>;
        Arc::new(Distribution { engines, partition_labels: listed(&engine.partition_label) })
    });
    let query = QueryService {
        engine: evaluator.clone(),
        store: Arc::clone(&store),
        options,
        dynamic_lookback: http.dynamic_lookback,
        distribution: distribution.clone(),
        clock: Arc::clone(&clock),
    };
    let response_timeout = timeout(proxy);
    let for_users = JoinSettings { merge: Some(listed(&answers.replica_label)), response_timeout };
    let for_queriers = JoinSettings { merge: None, response_timeout };
    let served = Served {
        apis: own::apis(Some(&endpoints.set), &own, &for_users, Arc::clone(&store), None),
        stores: Some(Arc::new(ShownStores { endpoints: Arc::clone(&endpoints.set), selector })),
        distribution,
        clock,
        budget: Arc::clone(&budget),
        spans,
        ..Served::new(evaluator, Arc::clone(&store))
    };
    Ok(Querier {
        api: Api::new(http, served),
        apis: own::apis(Some(&endpoints.set), &own, &for_queriers, proxied, Some(Arc::new(query))),
        limits,
        budget,
        metrics: vec![Arc::new(endpoints.clone()), Arc::new(ProxyMetrics(statistics))],
    })
}

/// How long to wait for the first round over the endpoints.
pub(crate) fn first_update(proxy: &ProxyFlags) -> Duration {
    timeout(proxy).unwrap_or(Duration::from_secs(30))
}

fn timeout(proxy: &ProxyFlags) -> Option<Duration> {
    Some(proxy.response_timeout.0).filter(|t| !t.is_zero())
}

/// The rules that choose producers, or blocks.
pub(crate) fn selector_rules(flags: &ProxyFlags) -> Result<Option<Vec<RelabelConfig>>> {
    let text = TextPair {
        flag: "selector.relabel-config",
        text: Some(flags.relabel.as_str()),
        file: Some(flags.relabel_file.as_ref()),
    };
    let rules = text.get()?.map(|yaml| relabel::parse_relabel(&yaml)).transpose();
    rules.context("fix --selector.relabel-config")
}

fn proxy_settings(flags: &ProxyFlags) -> Result<ProxySettings> {
    let selector_labels =
        values::labels(&flags.selector_label).map_err(|e| anyhow!("--selector-label: {e}"))?;
    let selector = selector_rules(flags)?.map(|rules| TsdbSelector::new(&rules)).transpose();
    let tsdb_selector = selector.context("fix --selector.relabel-config")?.map(Arc::new);
    Ok(ProxySettings {
        component: "query",
        selector_labels,
        tsdb_selector,
        response_timeout: timeout(flags),
        retrieval: if flags.strategy == "lazy" { Retrieval::Lazy } else { Retrieval::Eager },
        buffered_frames: flags.buffered_frames,
        tolerance: tolerance(flags)?,
    })
}

fn tolerance(flags: &ProxyFlags) -> Result<Tolerance> {
    let share = flags.time_share;
    if !(0.0..=1.0).contains(&share) {
        return Err(anyhow!("--store.time-share must be from 0 to 1, not {share}"));
    }
    let breaker = Breaker { failures: flags.breaker_failures, rest: flags.breaker_rest.0 };
    Ok(Tolerance {
        groups: flags.replica_groups,
        hedge: flags.hedge,
        fail_over: flags.fail_over,
        breaker: (breaker.failures > 0).then_some(breaker),
        store_time: (share > 0.0).then_some(share),
    })
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// The endpoints as `/api/v1/stores` shows them.
#[derive(Debug)]
struct ShownStores {
    endpoints: Arc<EndpointSet>,
    selector: Option<Arc<TsdbSelector>>,
}

impl StoreStatuses for ShownStores {
    fn stores(&self) -> Vec<StoreStatus> {
        let shown = self.endpoints.statuses().into_iter().filter_map(|status| {
            let label_sets = match &self.selector {
                Some(selector) => selector.keep(&status.label_sets)?,
                None => status.label_sets,
            };
            Some(StoreStatus {
                // What never said what it is is not shown.
                component: status.component?.to_owned(),
                name: status.address,
                last_check: status.last_check_ms.map(UnixTime::from_ms),
                last_error: status.last_error,
                label_sets,
                // A store that holds nothing shows an empty range.
                interval: status.interval.unwrap_or(Interval::new(i64::MAX, i64::MIN)),
            })
        });
        shown.collect()
    }
}

/// What is counted of requests to stores.
#[derive(Debug)]
struct ProxyMetrics(Arc<ProxyStatistics>);

impl Collect for ProxyMetrics {
    fn collect(&self, out: &mut TextWriter) {
        out.single(
            "thanos_proxy_store_empty_stream_responses_total",
            "Answers of stores that held no series.",
            Kind::Counter,
            self.0.empty_streams() as f64,
        );
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        proxy: ProxyFlags,
    }

    #[test]
    fn tolerance_is_off_unless_asked_for() {
        let of = |args: &[&str]| {
            let command = Command::try_parse_from(["query"].iter().chain(args)).map_err(|e| e.to_string())?;
            tolerance(&command.proxy).map_err(|e| e.to_string())
        };
        assert_eq!(of(&[]), Ok(Tolerance::default()));
        let all = [
            "--store.replica-groups",
            "--store.hedge",
            "--store.fail-over",
            "--store.breaker-failures=3",
            "--store.breaker-rest=1m",
            "--store.time-share=0.5",
        ];
        let breaker = Some(Breaker { failures: 3, rest: Duration::from_secs(60) });
        let want = Tolerance { groups: true, hedge: true, fail_over: true, breaker, store_time: Some(0.5) };
        assert_eq!(of(&all), Ok(want));
        assert!(of(&["--store.hedge"]).is_err_and(|e| e.contains("--store.replica-groups")));
        assert!(of(&["--store.time-share=2"]).is_err_and(|e| e.contains("--store.time-share")));
    }
}
