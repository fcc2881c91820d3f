//! A querier over 200 endpoints far away, of which some are dead.

use std::{
    sync::{Arc, Mutex, RwLock},
    time::Duration,
};

use async_trait::async_trait;
use futures::{StreamExt, future::join_all};
use thanoslib::{
    Error, ErrorKind, Result,
    apis::Apis,
    clock::ManualClock,
    context::Context,
    model::{Interval, Labels, Matcher},
    query::{Connect, EndpointInfo, EndpointSet, EndpointSettings, EndpointSpec, Peer},
    store::{Conform, Frame, MemoryStore, Proxy, ProxySettings, SeriesRequest, Store, StoreInfo},
    testing::{FaultyStore, StoreFault},
};

const ENDPOINTS: usize = 200;
/// How far away they are.
const AWAY: Duration = Duration::from_millis(150);

/// Endpoint `n` holds one series of cluster `n / 2`; every twentieth is dead.
#[derive(Debug)]
struct Far {
    n: usize,
    store: Arc<FaultyStore>,
    info: StoreInfo,
}

impl Far {
    fn new(n: usize) -> Self {
        let (cluster, instance) = (format!("c{}", n / 2), format!("i{n}"));
        let external = Labels::from_pairs([("cluster", cluster.as_str())]);
        let store = MemoryStore::new(external.clone());
        let labels = Labels::from_pairs([("__name__", "up"), ("instance", instance.as_str())]);
        store.push(&labels, 1_000, 1.0).expect("one sample");
        let sound: Arc<dyn Store> = Arc::new(Conform::new(Arc::new(store), external));
        let info = sound.info();
        Self { n, store: Arc::new(FaultyStore::new(sound, StoreFault::Slow(AWAY))), info }
    }
}

#[async_trait]
impl Peer for Far {
    async fn info(&self, _: &Context) -> Result<EndpointInfo> {
        tokio::time::sleep(AWAY).await;
        if self.n % 20 == 7 {
            return Err(Error::unavailable("nobody is there"));
        }
        Ok(EndpointInfo { component: "store", ..EndpointInfo::of_store(self.info.clone()) })
    }

    fn apis(&self) -> Apis {
        Apis { store: Some(Arc::clone(&self.store) as _), ..Apis::default() }
    }
}

#[derive(Debug, Default)]
struct World(Mutex<Vec<Arc<Far>>>);

impl World {
    fn endpoint(&self, n: usize) -> Arc<Far> {
        let mut all = self.0.lock().expect("not poisoned");
        while all.len() <= n {
            let far = Arc::new(Far::new(all.len()));
            all.push(far);
        }
        Arc::clone(&all[n])
    }

    fn calls(&self) -> Vec<usize> {
        let all = self.0.lock().expect("not poisoned");
        all.iter().filter(|far| far.store.calls() > 0).map(|far| far.n).collect()
    }
}

#[async_trait]
impl Connect for World {
    async fn connect(&self, spec: &EndpointSpec) -> Result<Arc<dyn Peer>> {
        let n = spec.address.trim_start_matches("far-").parse().map_err(|_| Error::invalid("an address"))?;
        Ok(self.endpoint(n))
    }
}

struct Stage {
    world: Arc<World>,
    specs: Arc<RwLock<Vec<EndpointSpec>>>,
    set: Arc<EndpointSet>,
}

impl Stage {
    fn new(info_timeout: Duration) -> Self {
        let world = Arc::new(World::default());
        let specs = Arc::new(RwLock::new(Vec::new()));
        let settings = EndpointSettings { info_timeout, ..EndpointSettings::default() };
        let clock = Arc::new(ManualClock::new(1_000_000));
        let set = EndpointSet::new(Arc::clone(&specs) as _, Arc::clone(&world) as _, clock, settings);
        let stage = Self { world, specs, set: Arc::new(set) };
        stage.name(0..ENDPOINTS);
        stage
    }

    fn name(&self, numbers: impl Iterator<Item = usize>) {
        let specs = numbers.map(|n| EndpointSpec::new(format!("far-{n}"))).collect();
        *self.specs.write().expect("not poisoned") = specs;
    }

    fn proxy(&self, response_timeout: Option<Duration>) -> Proxy {
        let settings = ProxySettings { response_timeout, ..ProxySettings::default() };
        Proxy::new(Arc::clone(&self.set) as _, settings)
    }
}

/// Series, and warnings.
async fn ask(proxy: &Proxy, matchers: Vec<Matcher>) -> (usize, Vec<String>) {
    let request = SeriesRequest::new(Interval::ALL, matchers);
    let mut frames = proxy.series(&Context::default(), request).await.expect("a stream");
    let (mut series, mut warnings) = (0, Vec::new());
    while let Some(frame) = frames.next().await {
        match frame.expect("a partial answer") {
            Frame::Batch(batch) => series += batch.len(),
            Frame::Warning(warning) => warnings.push(warning.to_string()),
            _ => {}
        }
    }
    (series, warnings)
}

fn up() -> Matcher {
    Matcher::equal("__name__", "up")
}

#[tokio::test(start_paused = true)]
async fn only_endpoints_that_can_hold_a_cluster_are_asked() {
    let stage = Stage::new(Duration::from_secs(5));
    stage.set.update().await;
    let proxy = stage.proxy(None);
    assert_eq!(ask(&proxy, vec![up(), Matcher::equal("cluster", "c21")]).await, (2, vec![]));
    assert_eq!(stage.world.calls(), [42, 43]);
    // All that are not dead, at the same time.
    let begin = tokio::time::Instant::now();
    assert_eq!(ask(&proxy, vec![up()]).await, (190, vec![]));
    assert!(begin.elapsed() < 2 * AWAY, "{:?}", begin.elapsed());
}

#[tokio::test(start_paused = true)]
async fn churn_of_endpoints_loses_no_query() {
    let stage = Stage::new(Duration::from_secs(5));
    stage.set.update().await;
    let proxy = stage.proxy(None);
    // A fifth of the endpoints is replaced in a minute, by a few at each round, while queries run.
    let churn = async {
        for round in 0..12 {
            let (gone, new) = (ENDPOINTS * round / 60, ENDPOINTS + ENDPOINTS * round / 60);
            stage.name(gone..new);
            stage.set.update().await;
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
    };
    let queries = (0..600).map(|i| {
        let proxy = &proxy;
        async move {
            tokio::time::sleep(Duration::from_millis(100 * i)).await;
            ask(proxy, vec![up(), Matcher::equal("cluster", "c60")]).await
        }
    });
    let ((), answers) = tokio::join!(churn, join_all(queries));
    assert!(answers.iter().all(|answer| *answer == (2, vec![])), "one was lost");
}

#[tokio::test(start_paused = true)]
async fn a_stopped_store_delays_the_others_by_its_deadline_at_most() {
    let stage = Stage::new(Duration::from_secs(5));
    stage.set.update().await;
    stage.world.endpoint(0).store.set(StoreFault::Hangs);
    let deadline = Duration::from_secs(2);
    let begin = tokio::time::Instant::now();
    let (series, warnings) = ask(&stage.proxy(Some(deadline)), vec![up()]).await;
    assert_eq!(series, 189);
    assert!(matches!(&warnings[..], [w] if w.contains("failed to receive any data in 2s from Addr: far-0 ")));
    assert!(begin.elapsed() <= deadline + AWAY, "{:?}", begin.elapsed());
    // One that fails at once delays nothing.
    stage.world.endpoint(0).store.set(StoreFault::Fails(ErrorKind::Unavailable, "gone"));
    let begin = tokio::time::Instant::now();
    assert_eq!(ask(&stage.proxy(Some(deadline)), vec![up()]).await.0, 189);
    assert!(begin.elapsed() < 2 * AWAY);
}

#[test]
fn idle_endpoints_cost_little() {
    let on_cpu_ns = || -> Option<u64> {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
        text.split(' ').next()?.parse().ok()
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let stage = Stage::new(Duration::from_millis(500));
    let (rounds, before) = (4, on_cpu_ns());
    runtime.block_on(async {
        let end = tokio::time::sleep(Duration::from_millis(500 * rounds - 100));
        stage.set.run(end).await;
    });
    if let (Some(before), Some(after)) = (before, on_cpu_ns()) {
        let ns = (after - before) / rounds;
        // In one of the rounds that come every five seconds.
        let percent = ns as f64 / 5e9 * 100.0;
        println!("{ENDPOINTS} endpoints: {} us a round, {percent:.3} % of a core", ns / 1000);
    }
    assert_eq!(stage.set.statuses().iter().filter(|s| s.queryable).count(), 190);
}
