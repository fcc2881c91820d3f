//! The endpoints as a whole.

use std::{
    collections::BTreeMap,
    fmt,
    future::Future,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::{StreamExt, stream};
use tokio::sync::watch;

use super::{
    Connect, EndpointConnection, EndpointSpec, EndpointStatus, endpoint::Endpoint, status::external_labels,
};
use crate::{
    clock::Clock,
    context::Context,
    model::Labels,
    store::{ProxyMember, Stores},
};

/// Endpoints asked at the same time what they are.
const CONCURRENT: usize = 256;

/// Tells which endpoints there should be as of now.
///
/// See [`EndpointSet`].
pub trait EndpointSpecs: fmt::Debug + Send + Sync + 'static {
    /// The endpoints; of equal addresses the last one counts.
    fn specs(&self) -> Vec<EndpointSpec>;
}

impl EndpointSpecs for Vec<EndpointSpec> {
    fn specs(&self) -> Vec<EndpointSpec> {
        self.clone()
    }
}

impl EndpointSpecs for RwLock<Vec<EndpointSpec>> {
    fn specs(&self) -> Vec<EndpointSpec> {
        self.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl EndpointSpecs for Vec<Arc<dyn EndpointSpecs>> {
    fn specs(&self) -> Vec<EndpointSpec> {
        self.iter().flat_map(|specs| specs.specs()).collect()
    }
}

/// How endpoints are watched; plain data.
///
/// ```
/// use thanoslib::query::EndpointSettings;
/// assert_eq!(EndpointSettings::default().info_timeout.as_secs(), 5);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndpointSettings {
    /// Time between two rounds, and the longest time that one takes. Default: 5 s.
    pub info_timeout: Duration,
    /// How long an endpoint may be silent before it is forgotten. Default: 5 min.
    pub unhealthy_timeout: Duration,
    /// How long the connection of a forgotten endpoint is kept, for requests that still use it.
    /// Default: 5 min.
    pub close_delay: Duration,
}

impl Default for EndpointSettings {
    fn default() -> Self {
        let five_minutes = Duration::from_secs(300);
        Self {
            info_timeout: Duration::from_secs(5),
            unhealthy_timeout: five_minutes,
            close_delay: five_minutes,
        }
    }
}

/// The endpoints behind a querier, watched.
///
/// ```no_run
/// # use std::sync::Arc;
/// # use thanoslib::{SystemClock, query::{Connect, EndpointSet, EndpointSettings, EndpointSpec}};
/// # use thanoslib::store::{Proxy, ProxySettings};
/// # async fn f(connect: Arc<dyn Connect>, shutdown: tokio::sync::oneshot::Receiver<()>) {
/// let specs = vec![EndpointSpec::new("10.0.0.1:10901"), EndpointSpec::new("10.0.0.2:10901")];
/// let settings = EndpointSettings::default();
/// let endpoints = EndpointSet::new(Arc::new(specs), connect, Arc::new(SystemClock), settings);
/// let endpoints = Arc::new(endpoints);
/// let store = Proxy::new(Arc::clone(&endpoints) as _, ProxySettings::default());
/// # let _ = store;
/// endpoints.run(async { shutdown.await.unwrap_or(()) }).await;
/// # }
/// ```
#[derive(Debug)]
pub struct EndpointSet {
    specs: Arc<dyn EndpointSpecs>,
    connect: Arc<dyn Connect>,
    clock: Arc<dyn Clock>,
    settings: EndpointSettings,
    known: RwLock<BTreeMap<String, Arc<Endpoint>>>,
    /// Forgotten endpoints and the time until which they are kept.
    closing: Mutex<Vec<(i64, Arc<Endpoint>)>>,
    /// One round at a time.
    updating: tokio::sync::Mutex<()>,
    rounds: watch::Sender<u64>,
    duplicates: AtomicU64,
}

impl EndpointSet {
    /// A set that knows no endpoint yet.
    pub fn new(
        specs: Arc<dyn EndpointSpecs>,
        connect: Arc<dyn Connect>,
        clock: Arc<dyn Clock>,
        settings: EndpointSettings,
    ) -> Self {
        Self {
            specs,
            connect,
            clock,
            settings,
            known: RwLock::default(),
            closing: Mutex::default(),
            updating: tokio::sync::Mutex::new(()),
            rounds: watch::Sender::new(0),
            duplicates: AtomicU64::new(0),
        }
    }

    /// Watches the endpoints until `shutdown` ends: a round, then one in every
    /// [`info_timeout`](EndpointSettings::info_timeout).
    pub async fn run(&self, shutdown: impl Future<Output = ()> + Send) {
        let rounds = async {
            let mut every = tokio::time::interval(self.settings.info_timeout.max(Duration::from_millis(1)));
            every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                every.tick().await;
                self.update().await;
            }
        };
        tokio::select! {
            () = shutdown => {}
            () = rounds => {}
        }
    }

    /// Waits until the first round has ended.
    pub async fn updated(&self) {
        // The sender lives in this set, so that waiting cannot fail.
        let _ = self.rounds.subscribe().wait_for(|rounds| *rounds > 0).await;
    }

    /// One round: asks all endpoints what they are, takes up new ones, forgets old ones.
    pub async fn update(&self) {
        let _one = self.updating.lock().await;
        let ctx = Context::default().with_timeout(self.settings.info_timeout);
        let wanted = self.wanted();
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner).clone();
        let asked: Vec<_> = wanted
            .into_values()
            .map(|spec| {
                let before = known.get(&spec.address).filter(|e| same_connection(&e.spec, &spec)).cloned();
                self.ask(&ctx, spec, before)
            })
            .collect();
        let answered: Vec<Option<Arc<Endpoint>>> =
            stream::iter(asked).buffer_unordered(CONCURRENT).collect().await;
        let mut next: BTreeMap<String, Arc<Endpoint>> = BTreeMap::new();
        let now_ms = self.clock.now_ms();
        let limit_ms = millis(self.settings.unhealthy_timeout);
        for endpoint in answered.into_iter().flatten().filter(|e| !e.is_given_up(now_ms, limit_ms)) {
            next.insert(endpoint.spec.address.clone(), endpoint);
        }
        warn_of_twins(&next);
        self.close(&known, &next, now_ms);
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = next;
        self.rounds.send_modify(|rounds| *rounds += 1);
    }

    /// The endpoints that there should be, by address.
    fn wanted(&self) -> BTreeMap<String, EndpointSpec> {
        let mut wanted = BTreeMap::new();
        for spec in self.specs.specs() {
            if wanted.insert(spec.address.clone(), spec).is_some() {
                self.duplicates.fetch_add(1, Ordering::Relaxed);
            }
        }
        wanted
    }

    /// Asks an endpoint what it is; `None` for a new one that is not to be kept.
    async fn ask(
        &self,
        ctx: &Context,
        spec: EndpointSpec,
        before: Option<Arc<Endpoint>>,
    ) -> Option<Arc<Endpoint>> {
        let (endpoint, is_new) = match before {
            Some(endpoint) => {
                endpoint.set_strict(spec.strict);
                (endpoint, false)
            }
            None => match ctx.run(self.connect.connect(&spec)).await {
                Ok(peer) => (Arc::new(Endpoint::new(spec, peer, self.clock.now_ms())), true),
                Err(e) => {
                    tracing::warn!(address = %spec.address, error = %e, "endpoint cannot be used");
                    return None;
                }
            },
        };
        match ctx.run(endpoint.peer.info(ctx)).await {
            Ok(info) => endpoint.learn(info, self.clock.now_ms()),
            Err(e) => {
                tracing::warn!(address = %endpoint.spec.address, error = %e, "endpoint does not say what it is");
                endpoint.fail(e.to_string());
            }
        }
        (!is_new || endpoint.is_queryable()).then_some(endpoint)
    }

    /// Keeps what was forgotten for those who use it still, and drops what nobody can use now.
    fn close(
        &self,
        known: &BTreeMap<String, Arc<Endpoint>>,
        next: &BTreeMap<String, Arc<Endpoint>>,
        now_ms: i64,
    ) {
        let until = now_ms.saturating_add(millis(self.settings.close_delay));
        let kept = |e: &&Arc<Endpoint>| next.get(&e.spec.address).is_some_and(|n| Arc::ptr_eq(n, e));
        let mut closing = self.closing.lock().unwrap_or_else(PoisonError::into_inner);
        closing.retain(|(until, _)| *until > now_ms);
        closing.extend(known.values().filter(|e| !kept(e)).map(|e| (until, Arc::clone(e))));
    }

    /// The endpoints that requests may go to, by address.
    pub(super) fn queryable(&self) -> Vec<Arc<Endpoint>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.values().filter(|e| e.is_queryable()).cloned().collect()
    }

    /// What is known of each endpoint, by address.
    pub fn statuses(&self) -> Vec<EndpointStatus> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.values().map(|e| e.status()).collect()
    }

    /// The endpoints that requests go to, for a gauge.
    pub fn connections(&self) -> Vec<EndpointConnection> {
        let connection = |e: Arc<Endpoint>| {
            let status = e.status();
            EndpointConnection {
                external_labels: external_labels(&status.label_sets),
                component: status.component.unwrap_or("store"),
                address: status.address,
            }
        };
        self.queryable().into_iter().map(connection).collect()
    }

    /// How often an address was given more than once, over all rounds.
    pub fn duplicates(&self) -> u64 {
        self.duplicates.load(Ordering::Relaxed)
    }

    /// Forgotten endpoints whose connections are still kept.
    pub fn closing(&self) -> usize {
        self.closing.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl Stores for EndpointSet {
    fn stores(&self) -> Vec<ProxyMember> {
        self.queryable().iter().filter_map(|e| e.member()).collect()
    }
}

/// True when a change of one into the other needs no new connection.
fn same_connection(a: &EndpointSpec, b: &EndpointSpec) -> bool {
    (a.group, &a.service_config, &a.client, &a.replicas)
        == (b.group, &b.service_config, &b.client, &b.replicas)
}

/// Producers with equal labels are told apart by nothing.
fn warn_of_twins(endpoints: &BTreeMap<String, Arc<Endpoint>>) {
    let mut seen: BTreeMap<(&'static str, Vec<Labels>), String> = BTreeMap::new();
    for endpoint in endpoints.values() {
        let Some(info) = endpoint.info().filter(|i| matches!(i.component, "sidecar" | "rule")) else {
            continue;
        };
        let address = endpoint.spec.address.clone();
        if let Some(other) = seen.insert((info.component, info.label_sets.clone()), address) {
            let address = &endpoint.spec.address;
            tracing::warn!(%address, %other, "two producers have equal external labels");
        }
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
