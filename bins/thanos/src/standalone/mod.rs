//! `thanos standalone`: blocks of buckets and local folders, asked over HTTP and gRPC.

mod demo;
mod flags;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use thanoslib::{
    ErrorKind,
    block::{BlockCache, Discovery},
    bucket::{Bucket, BucketConfig},
    budget::Budget,
    clock::{Clock, SystemClock},
    context::Context,
    http::{self, Api, Probes, Readiness, Served},
    metrics::Collect,
    promql::{Engine, EngineOptions},
    runtime::Pool,
    store::{BlockSet, BucketSource, Fanout, FolderSource, Member, Store},
};
use thanoslib_bins_common::{env, listen::listen, shutdown};
use thanoslib_grpc::server;
use tokio::sync::watch;

use crate::querier::settings;
pub(crate) use flags::StandaloneFlags;

/// Time that the first look at the blocks may take.
const FIRST_SYNC: Duration = Duration::from_secs(120);

/// Serves until a signal comes.
///
/// `shown` are the flags as the API tells them.
pub(crate) async fn run(flags: StandaloneFlags, shown: BTreeMap<String, String>) -> Result<()> {
    let mut stop = Box::pin(shutdown::signals()?);
    let settings = Settings::new(&flags, shown)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let demo_end = match flags.demo {
        true => Some(demo::write(&flags.data_dir.join("demo"), &clock)?),
        false => None,
    };
    let sets = block_sets(&flags)?;
    let http = listen("http-address", &flags.http_address).await?;
    let grpc = listen("grpc-address", &flags.grpc_address).await?;
    tokio::select! {
        loaded = first_sync(&sets) => loaded?,
        () = &mut stop => return Ok(()),
    }
    serve(settings, sets, Listeners { http, grpc }, clock, demo_end, stop).await
}

/// What the flags say, read before anything is opened.
struct Settings {
    http: http::Settings,
    grpc: server::Settings,
    engine: EngineOptions,
    memory_bytes: u64,
    sync_every: Duration,
}

impl Settings {
    fn new(flags: &StandaloneFlags, shown: BTreeMap<String, String>) -> Result<Self> {
        let StandaloneFlags { engine, answers, memory, .. } = flags;
        let mut http = settings::http_settings(engine, answers, memory, shown)?;
        if flags.demo && http.replica_labels.is_empty() {
            http.replica_labels = vec!["replica".to_owned()];
        }
        Ok(Self {
            http,
            grpc: server::Settings {
                admission: settings::admission(memory, flags.grpc_max_concurrent)?,
                ..server::Settings::default()
            },
            engine: settings::engine_options(engine, memory)?,
            memory_bytes: settings::memory_limit_bytes(memory)?,
            sync_every: flags.sync_block_duration.0,
        })
    }
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
    if sets.iter().all(|s| s.store.block_ids().is_empty()) {
        tracing::warn!(
            "no block was found: name a bucket with --objstore.config-file, a data folder with --tsdb.path, or try --demo"
        );
    }
    Ok(())
}

struct Listeners {
    http: tokio::net::TcpListener,
    grpc: tokio::net::TcpListener,
}

/// A set of blocks and what it is called in logs and warnings.
struct Set {
    name: String,
    store: Arc<BlockSet>,
}

fn block_sets(flags: &StandaloneFlags) -> Result<Vec<Set>> {
    let mut sets: Vec<Set> = Vec::new();
    let mut caches = Caches { dir: flags.data_dir.join("cache"), names: BTreeSet::new() };
    let mut bucket = |bucket: Bucket, keep: bool| -> Result<()> {
        let name = format!("bucket {}", bucket.name());
        let cache = if keep { caches.open(bucket.name())? } else { None };
        let source = BucketSource::new(bucket).with_discovery(Discovery::Recursive);
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
    let named = flags.demo
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

async fn serve(
    settings: Settings,
    sets: Vec<Set>,
    listeners: Listeners,
    clock: Arc<dyn Clock>,
    demo_end: Option<i64>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<()> {
    let members = sets
        .iter()
        .map(|s| Member { name: s.name.clone(), store: Arc::clone(&s.store) as Arc<dyn Store> })
        .collect();
    let store: Arc<dyn Store> = Arc::new(Fanout::new("store", members));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let engine = Engine::new(settings.engine, Arc::new(Pool::new(threads)?));
    let budget = Budget::new("process memory", settings.memory_bytes);
    let served = Served { clock, budget: Arc::clone(&budget), ..Served::new(engine, Arc::clone(&store)) };
    let api = Api::new(settings.http, served);
    let readiness = Readiness::default();
    let probes = Probes {
        component: "standalone",
        version: settings::THANOS_VERSION.to_owned(),
        readiness: readiness.clone(),
        metrics: vec![Arc::clone(&api) as Arc<dyn Collect>],
    };
    let router = http::router(api).merge(http::pages()).merge(probes.router()).fallback(http::not_found);

    let (stopping, stopped) = watch::channel(false);
    let mut tasks = tokio::task::JoinSet::new();
    for set in sets {
        tasks.spawn(resync(set, settings.sync_every, until(stopped.clone())));
    }
    let http_address = listeners.http.local_addr()?;
    let grpc_address = listeners.grpc.local_addr()?;
    let http_server = axum_serve(listeners.http, router, until(stopped.clone()));
    let transport = settings.grpc.transport.clone();
    let mut services = server::Services::new(store, settings.grpc);
    services.context = Context::new(budget);
    let (routes, grpc_readiness) = services.build().await?;
    let grpc_server = server::serve_routes(routes, &transport, listeners.grpc, until(stopped));
    readiness.set(true);
    grpc_readiness.set(true).await;
    tracing::info!(http = %http_address, grpc = %grpc_address, "ready");
    if let Some(end) = demo_end {
        print_demo(&http_address.to_string(), end);
    }
    let signal = async move {
        stop.await;
        tracing::info!("stopping");
        readiness.set(false);
        grpc_readiness.set(false).await;
        // Nobody listens any more only when all servers are gone already.
        let _ = stopping.send(true);
        Ok::<(), anyhow::Error>(())
    };
    tokio::try_join!(signal, http_server, async { grpc_server.await.map_err(anyhow::Error::from) })?;
    while tasks.join_next().await.is_some() {}
    Ok(())
}

async fn axum_serve(
    listener: tokio::net::TcpListener,
    router: axum::Router,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<()> {
    axum::serve(listener, router).with_graceful_shutdown(stop).await.context("HTTP server")
}

async fn until(mut stopped: watch::Receiver<bool>) {
    // An error means that the sender is gone, which ends the process as well.
    let _ = stopped.wait_for(|stopped| *stopped).await;
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
