//! `thanos standalone`: blocks of buckets and local folders, asked over HTTP and gRPC.

mod demo;
mod flags;
#[cfg(feature = "sidecar")]
mod live;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use futures::future::BoxFuture;
use thanoslib::{
    ErrorKind,
    apis::{Apis, JoinSettings},
    block::{BlockCache, BlockFilter, Discovery},
    bucket::{Bucket, BucketConfig},
    budget::Budget,
    clock::{Clock, SystemClock},
    context::{Context, SpanSink},
    http::{self, Api, Served},
    model::relabel::Relabel,
    promql::Engine,
    runtime::Pool,
    store::{BlockSet, BucketSource, Fanout, FolderSource, Limited, Member, Store, StoreLimits, Windowed},
};
use thanoslib_bins_common::{
    env,
    request::Requests,
    shutdown,
    spans::{self, Spans, SpansTask},
    web::WebServer,
};
use thanoslib_grpc::server;

use crate::querier::{
    endpoints::Endpoints,
    node::{self, Querier, QuerierFlags},
    own::{self, Own},
    serve::{Listeners, Serving, Task, route_prefix},
    settings,
};
pub(crate) use flags::StandaloneFlags;

/// Time that the first look at the blocks may take.
const FIRST_SYNC: Duration = Duration::from_secs(120);

/// Longest time that HTTP requests under way may take when the process stops.
const HTTP_GRACE: Duration = Duration::from_secs(120);

/// Serves until a signal comes.
///
/// `shown` are the flags as the API tells them.
pub(crate) async fn run(
    flags: StandaloneFlags,
    shown: BTreeMap<String, String>,
    spans: Option<(Arc<Spans>, SpansTask)>,
) -> Result<()> {
    let mut stop = Box::pin(shutdown::signals()?);
    let web = WebServer::open(&flags.http_config)?;
    let sink = spans::sink(spans.as_ref().map(|(spans, _)| spans));
    let requests = Requests::new(&flags.web.logging, &flags.web.logging_file, sink.clone())?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let mut flags = flags;
    if flags.demo && flags.answers.replica_label.is_empty() {
        flags.answers.replica_label = vec!["replica".to_owned()];
    }
    let demo_end = match flags.demo {
        true => Some(demo::write(&flags.data_dir.join("demo"), &clock)?),
        false => None,
    };
    let sets = block_sets(&flags)?;
    #[cfg(feature = "sidecar")]
    let beside = live::open(&flags.prometheus_url)?;
    #[cfg(not(feature = "sidecar"))]
    let beside: Vec<Beside> = Vec::new();
    let listeners = Listeners::open(&flags.http_address, &flags.grpc_address).await?;
    tokio::select! {
        loaded = first_sync(&sets) => loaded?,
        () = &mut stop => return Ok(()),
    }
    let window = flags.window.window()?;
    let (mut own, mut tasks): (Vec<Own>, Vec<Task>) = beside.into_iter().map(|b| (b.own, b.work)).unzip();
    for set in sets {
        let store = Windowed::new(Arc::clone(&set.store) as Arc<dyn Store>, window, Arc::clone(&clock));
        let member = Member { name: set.name.clone(), store: Arc::new(store) };
        own.push(Own { member, apis: Apis::default() });
        let every = flags.sync_block_duration.0;
        tasks.push(Box::new(move |stop| Box::pin(resync(set, every, stop))));
    }
    let (querier, first) = querier(&flags, own, clock, shown, sink, &mut tasks).await?;
    let serving = Serving {
        component: "standalone",
        api: querier.api,
        route_prefix: route_prefix(&flags.web.route_prefix, &flags.web.external_prefix),
        metrics: querier.metrics,
        apis: querier.apis,
        grpc: server::Settings {
            admission: settings::admission(&flags.memory, flags.grpc_max_concurrent)?,
            limits: querier.limits,
            ..server::Settings::default()
        },
        budget: querier.budget,
        web,
        requests,
        spans,
        http_grace: HTTP_GRACE,
        listeners,
    };
    let ready = |http: &str, _: &str| {
        if let Some(end) = demo_end {
            print_demo(http, end);
        }
    };
    serving.run(tasks, first, stop, ready).await
}

/// What is served over stores of the process and, where flags name some, endpoints; and what ends when
/// all have been asked what they are.
async fn querier(
    flags: &StandaloneFlags,
    own: Vec<Own>,
    clock: Arc<dyn Clock>,
    shown: BTreeMap<String, String>,
    spans: Option<Arc<dyn SpanSink>>,
    tasks: &mut Vec<Task>,
) -> Result<(Querier, BoxFuture<'static, ()>)> {
    let StandaloneFlags { engine, answers, memory, web, proxy, tenancy, limits, telemetry, .. } = flags;
    let given = QuerierFlags { engine, answers, memory, web, proxy, tenancy, limits, telemetry };
    if !flags.endpoints.are_given() {
        return Ok((local(given, own, clock, shown, spans)?, Box::pin(async {})));
    }
    let endpoints = Endpoints::open(
        &flags.endpoints,
        &flags.client,
        engine.timeout.0,
        proxy.replica_groups,
        Arc::clone(&clock),
    )
    .await?;
    tasks.extend(endpoints.tasks());
    let querier = node::build(given, &endpoints, own, clock, shown, spans)?;
    let (set, longest) = (Arc::clone(&endpoints.set), node::first_update(proxy));
    let first = async move {
        if tokio::time::timeout(longest, set.updated()).await.is_err() {
            tracing::warn!(after = ?longest, "not all endpoints have said what they are");
        }
    };
    Ok((querier, Box::pin(first)))
}

/// What is served over stores of the process alone: a store among others, as a store gateway is.
fn local(
    flags: QuerierFlags<'_>,
    own: Vec<Own>,
    clock: Arc<dyn Clock>,
    shown: BTreeMap<String, String>,
    spans: Option<Arc<dyn SpanSink>>,
) -> Result<Querier> {
    let QuerierFlags { engine, answers, memory, web, tenancy, limits, telemetry, .. } = flags;
    let http = settings::web(settings::http_settings(engine, answers, memory, shown)?, web, tenancy);
    let http = http::Settings { telemetry: settings::telemetry(telemetry)?, ..http };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let evaluator = Engine::new(settings::engine_options(engine, memory)?, Arc::new(Pool::new(threads)?));
    let evaluator = settings::tracked(evaluator, engine)?;
    let budget = Budget::new("process memory", settings::memory_limit_bytes(memory)?);
    let members = own.iter().map(|own| own.member.clone()).collect();
    let store: Arc<dyn Store> = Arc::new(Fanout::new("store", members));
    let limits = StoreLimits { series_max: limits.request_series, samples_max: limits.request_samples };
    let limited: Arc<dyn Store> = Arc::new(Limited::new(Arc::clone(&store), limits));
    let has_apis = own.iter().any(|own| own.apis.rules.is_some());
    let joined = |settings: &JoinSettings, store| match has_apis {
        true => own::apis(None, &own, settings, store, None),
        false => Apis::from(store),
    };
    let for_users = JoinSettings { merge: Some(http.replica_labels.clone()), ..JoinSettings::default() };
    let served = Served {
        apis: joined(&for_users, Arc::clone(&limited)),
        clock,
        budget: Arc::clone(&budget),
        spans,
        ..Served::new(evaluator, limited)
    };
    let apis = joined(&JoinSettings::default(), store);
    Ok(Querier { api: Api::new(http, served), apis, limits, budget, metrics: Vec::new() })
}

/// Looks at the blocks of every set; a set that cannot be listed at all ends the process.
async fn first_sync(sets: &[Set]) -> Result<()> {
    for set in sets {
        let ctx = Context::default().with_timeout(FIRST_SYNC);
        let report = set.store.sync(&ctx).await.with_context(|| set.name.clone())?;
        tracing::info!(source = %set.name, blocks = report.loaded, "blocks loaded");
        for gap in &report.gaps {
            tracing::warn!(source = %set.name, "{gap}");
        }
    }
    if !sets.is_empty() && sets.iter().all(|s| s.store.block_ids().is_empty()) {
        tracing::warn!(
            "no block was found: name a bucket with --objstore.config-file, a data folder with --tsdb.path, or try --demo"
        );
    }
    Ok(())
}

/// A set of blocks and what it is called in logs and warnings.
struct Set {
    name: String,
    store: Arc<BlockSet>,
}

/// A store that is no set of blocks, with its work until a future of the end completes.
struct Beside {
    own: Own,
    work: Task,
}

fn block_sets(flags: &StandaloneFlags) -> Result<Vec<Set>> {
    let mut sets: Vec<Set> = Vec::new();
    let selector = node::selector_rules(&flags.proxy)?.map(|rules| Relabel::selector(&rules)).transpose();
    let filter = BlockFilter {
        window: flags.window.window()?,
        selector: selector.context("fix --selector.relabel-config")?.map(Arc::new),
        ..BlockFilter::gateway()
    };
    let mut caches = Caches { dir: flags.data_dir.join("cache"), names: BTreeSet::new() };
    let mut bucket = |bucket: Bucket, keep: bool| -> Result<()> {
        let name = format!("bucket {}", bucket.name());
        let cache = if keep { caches.open(bucket.name())? } else { None };
        let source = BucketSource::with_filter(bucket, filter.clone()).with_discovery(Discovery::Recursive);
        let source = match cache {
            Some(cache) => source.with_cache(Arc::new(cache)),
            None => source,
        };
        sets.push(Set { store: Arc::new(BlockSet::new(name.clone(), Arc::new(source))), name });
        Ok(())
    };
    for file in &flags.objstore_config_file {
        let yaml = std::fs::read_to_string(file).with_context(|| {
            format!("--objstore.config-file must name a readable file: {}", file.display())
        })?;
        let opened = open_bucket(&yaml);
        bucket(opened.with_context(|| format!("fix the configuration in {}", file.display()))?, true)?;
    }
    for yaml in &flags.objstore_config {
        bucket(open_bucket(yaml).context("fix --objstore.config")?, true)?;
    }
    if flags.demo {
        bucket(Bucket::local(&flags.data_dir.join("demo"))?, false)?;
    }
    #[cfg(feature = "sidecar")]
    let live = !flags.prometheus_url.is_empty();
    #[cfg(not(feature = "sidecar"))]
    let live = false;
    let named = flags.demo
        || live
        || flags.endpoints.are_given()
        || !flags.tsdb_path.is_empty()
        || !flags.objstore_config.is_empty()
        || !flags.objstore_config_file.is_empty();
    if !named {
        let dir = flags.data_dir.join("bucket");
        std::fs::create_dir_all(&dir)
            .with_context(|| format!("cannot make {} (--data-dir)", dir.display()))?;
        bucket(Bucket::local(&dir)?, false)?;
    }
    for text in &flags.tsdb_path {
        let (dir, labels) = flags::tsdb_path(text)?;
        let name = format!("folder {}", dir.display());
        check_folder(&dir)?;
        let store = Arc::new(BlockSet::new(name.clone(), Arc::new(FolderSource::new(dir, labels)?)));
        sets.push(Set { name, store });
    }
    Ok(sets)
}

/// The files that keep what must be known of a bucket's blocks, below `--data-dir`.
struct Caches {
    dir: PathBuf,
    names: BTreeSet<String>,
}

impl Caches {
    /// The file of a bucket; none when another process uses it.
    fn open(&mut self, bucket: &str) -> Result<Option<BlockCache>> {
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
        let name: String = bucket.chars().map(plain).take(100).collect();
        let names = std::iter::once(name.clone()).chain((2..).map(|n| format!("{name}.{n}")));
        let Some(name) = names.into_iter().find(|n| !self.names.contains(n)) else { return Ok(None) };
        let path = self.dir.join(format!("{name}.blocks"));
        self.names.insert(name);
        match BlockCache::open(path) {
            Ok(cache) => Ok(Some(cache)),
            Err(e) if e.kind() == ErrorKind::Conflict => {
                tracing::warn!("blocks of bucket {bucket} are read anew at each start: {e}");
                Ok(None)
            }
            Err(e) => Err(e).context("name a writable folder with --data-dir"),
        }
    }
}

fn open_bucket(yaml: &str) -> Result<Bucket> {
    let yaml = env::expand(yaml)?;
    Ok(BucketConfig::parse(&yaml)?.open()?)
}

fn check_folder(dir: &Path) -> Result<()> {
    if !dir.is_dir() {
        bail!("no folder {}: --tsdb.path takes the data folder of a Prometheus", dir.display());
    }
    Ok(())
}

async fn resync(set: Set, every: Duration, stop: impl Future<Output = ()> + Send) {
    let first = tokio::time::sleep(every);
    let mut stop = std::pin::pin!(stop);
    tokio::select! {
        () = first => {}
        () = &mut stop => return,
    }
    let mut gaps: Vec<String> = Vec::new();
    let report = |name: &str, report: thanoslib::Result<thanoslib::store::SyncReport>| match report {
        Ok(r) => {
            if r.opened + r.dropped > 0 {
                tracing::info!(
                    source = name,
                    blocks = r.loaded,
                    opened = r.opened,
                    dropped = r.dropped,
                    "blocks changed"
                );
            }
            for gap in r.gaps.iter().filter(|g| !gaps.contains(g)) {
                tracing::warn!(source = name, "{gap}");
            }
            gaps = r.gaps;
        }
        Err(e) => tracing::error!(source = name, "cannot look for blocks: {e}"),
    };
    set.store.run(every, stop, report).await;
}

/// Lines to copy.
fn print_demo(address: &str, end_ms: i64) {
    let (start, end) = (end_ms / 1000 - 2 * 3600, end_ms / 1000);
    println!("page: http://{address}/");
    for (what, query, more) in demo::QUERIES {
        println!("# {what}");
        println!(
            "curl -s 'http://{address}/api/v1/query_range?start={start}&end={end}&step=300{more}' -G --data-urlencode 'query={query}'"
        );
    }
}
