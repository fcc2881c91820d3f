use std::{
    sync::{Arc, Mutex, RwLock},
    time::Duration,
};

use async_trait::async_trait;

use super::*;
use crate::{
    apis::Apis,
    clock::ManualClock,
    context::Context,
    error::{Error, Result},
    model::{Interval, Labels},
    store::{Abilities, MemoryStore, StoreInfo, Stores},
};

/// What the world of fake endpoints is like.
#[derive(Debug, Default)]
struct World {
    /// Addresses that answer.
    up: Mutex<Vec<String>>,
    connected: Mutex<Vec<String>>,
}

#[derive(Debug)]
struct Fake {
    address: String,
    world: Arc<World>,
}

#[async_trait]
impl Peer for Fake {
    async fn info(&self, _: &Context) -> Result<EndpointInfo> {
        if self.address.starts_with("hang") {
            std::future::pending::<()>().await;
        }
        if !self.world.up.lock().expect("not poisoned").contains(&self.address) {
            return Err(Error::unavailable("refused"));
        }
        let label_sets = vec![Labels::from_pairs([("address", &self.address)])];
        let store = StoreInfo {
            component: "sidecar",
            label_sets: label_sets.clone(),
            interval: Some(Interval::new(0, 9)),
            tsdbs: Vec::new(),
            abilities: Abilities::default(),
            blocks_hash: None,
        };
        Ok(EndpointInfo { component: "sidecar", label_sets, rules: true, ..EndpointInfo::of_store(store) })
    }

    fn apis(&self) -> Apis {
        Apis { store: Some(Arc::new(MemoryStore::new(Labels::empty()))), ..Apis::default() }
    }
}

#[derive(Debug)]
struct FakeConnect(Arc<World>);

#[async_trait]
impl Connect for FakeConnect {
    async fn connect(&self, spec: &EndpointSpec) -> Result<Arc<dyn Peer>> {
        if spec.address.starts_with("bad") {
            return Err(Error::invalid("no such certificate"));
        }
        self.0.connected.lock().expect("not poisoned").push(spec.address.clone());
        Ok(Arc::new(Fake { address: spec.address.clone(), world: Arc::clone(&self.0) }))
    }
}

/// A set in a world, with the levers to move both.
struct Stage {
    world: Arc<World>,
    specs: Arc<RwLock<Vec<EndpointSpec>>>,
    clock: Arc<ManualClock>,
    set: EndpointSet,
}

impl Stage {
    fn new(addresses: &[&str]) -> Self {
        let world = Arc::new(World::default());
        let specs = Arc::new(RwLock::new(Vec::new()));
        let clock = Arc::new(ManualClock::new(1_000_000));
        let connect = Arc::new(FakeConnect(Arc::clone(&world)));
        let settings = EndpointSettings::default();
        let set = EndpointSet::new(Arc::clone(&specs) as _, connect, Arc::clone(&clock) as _, settings);
        let stage = Self { world, specs, clock, set };
        stage.configure(addresses);
        stage
    }

    /// A leading `!` makes an endpoint strict.
    fn configure(&self, addresses: &[&str]) {
        let spec = |address: &&str| match address.strip_prefix('!') {
            Some(address) => EndpointSpec { strict: true, ..EndpointSpec::new(address) },
            None => EndpointSpec::new(*address),
        };
        *self.specs.write().expect("not poisoned") = addresses.iter().map(spec).collect();
    }

    /// A round `seconds` later, in which these endpoints answer.
    async fn round(&self, seconds: i64, up: &[&str]) {
        use crate::clock::Clock;
        self.clock.set(self.clock.now_ms() + seconds * 1000);
        *self.world.up.lock().expect("not poisoned") = up.iter().map(|a| (*a).to_owned()).collect();
        self.set.update().await;
    }

    /// Addresses of stores that requests go to, and of all endpoints known.
    fn check(&self, queryable: &[&str], known: &[&str]) {
        let stores: Vec<String> = self.set.stores().iter().map(|m| m.address.to_string()).collect();
        assert_eq!(stores, queryable, "queryable");
        let statuses: Vec<String> = self.set.statuses().into_iter().map(|s| s.address).collect();
        assert_eq!(statuses, known, "known");
    }

    fn status(&self, address: &str) -> EndpointStatus {
        let statuses = self.set.statuses();
        statuses.into_iter().find(|s| s.address == address).expect("a known endpoint")
    }
}

#[tokio::test(start_paused = true)]
async fn endpoints_come_go_and_return() {
    let stage = Stage::new(&["a", "b"]);
    stage.check(&[], &[]);
    stage.round(0, &["a"]).await;
    stage.check(&["a"], &["a"]);
    stage.round(5, &["a", "b"]).await;
    stage.check(&["a", "b"], &["a", "b"]);
    stage.round(5, &["b"]).await;
    stage.check(&["b"], &["a", "b"]);
    let a = stage.status("a");
    assert_eq!((a.last_check_ms, a.last_error.as_deref()), (Some(1_005_000), Some("refused")));
    assert_eq!(a.label_sets, [Labels::from_pairs([("address", "a")])], "what was known stays");
    stage.round(5, &["a", "b"]).await;
    stage.check(&["a", "b"], &["a", "b"]);
    assert_eq!(stage.status("a").last_error, None);
    stage.configure(&["b"]);
    stage.round(5, &["a", "b"]).await;
    stage.check(&["b"], &["b"]);
    assert_eq!(stage.set.closing(), 1, "running requests may still use it");
    stage.round(301, &["b"]).await;
    assert_eq!(stage.set.closing(), 0);
    let connected = stage.world.connected.lock().expect("not poisoned").clone();
    assert_eq!(connected.iter().filter(|a| *a == "b").count(), 2, "once in vain, then once for all");
}

#[tokio::test(start_paused = true)]
async fn silent_endpoints_are_forgotten_after_a_time() {
    let stage = Stage::new(&["a", "!s"]);
    stage.round(0, &["a", "s"]).await;
    stage.round(299, &[]).await;
    stage.check(&["s"], &["a", "s"]);
    stage.round(1, &[]).await;
    stage.check(&["s"], &["s"]);
    stage.round(5, &["a"]).await;
    stage.check(&["a", "s"], &["a", "s"]);
}

#[tokio::test(start_paused = true)]
async fn strict_endpoints_are_asked_whatever_they_say() {
    let stage = Stage::new(&["!s"]);
    stage.round(0, &[]).await;
    stage.check(&["s"], &["s"]);
    let members = stage.set.stores();
    assert_eq!((members[0].info.interval, members[0].info.label_sets.len()), (Some(Interval::ALL), 0));
    assert_eq!(stage.status("s").component, None);
    stage.round(5, &["s"]).await;
    assert_eq!(stage.set.stores()[0].info.interval, Some(Interval::new(0, 9)));
    stage.configure(&["s"]);
    stage.round(5, &[]).await;
    stage.check(&[], &["s"]);
}

#[tokio::test(start_paused = true)]
async fn hanging_and_unusable_endpoints_hold_nobody_up() {
    let stage = Stage::new(&["a", "bad", "hang", "!hang2"]);
    let before = tokio::time::Instant::now();
    stage.round(0, &["a"]).await;
    assert_eq!(before.elapsed(), Duration::from_secs(5));
    stage.check(&["a", "hang2"], &["a", "hang2"]);
    assert_eq!(stage.status("hang2").last_error.as_deref(), Some("request timed out"));
}

#[tokio::test(start_paused = true)]
async fn of_equal_addresses_the_last_counts() {
    let stage = Stage::new(&["a", "!a", "a"]);
    stage.round(0, &["a"]).await;
    assert!(!stage.status("a").strict);
    assert_eq!(stage.set.duplicates(), 2);
    stage.configure(&["a", "!a"]);
    stage.round(5, &[]).await;
    assert!(stage.status("a").strict);
    assert_eq!(stage.set.duplicates(), 3);
}

#[tokio::test(start_paused = true)]
async fn rounds_go_on_until_shutdown() {
    let stage = Stage::new(&["a"]);
    stage.world.up.lock().expect("not poisoned").push("a".to_owned());
    let shutdown = tokio::time::sleep(Duration::from_secs(12));
    let ready = async {
        stage.set.updated().await;
        stage.check(&["a"], &["a"]);
    };
    tokio::join!(stage.set.run(shutdown), ready);
    let connections = stage.set.connections();
    assert_eq!(connections[0].external_labels, r#"{address="a"}"#);
}

#[tokio::test]
async fn replicas_are_told_to_the_proxy() {
    let stage = Stage::new(&[]);
    let replica =
        |address: &str| EndpointSpec { replicas: Some("twins".to_owned()), ..EndpointSpec::new(address) };
    *stage.specs.write().expect("not poisoned") = vec![replica("a"), replica("b"), EndpointSpec::new("c")];
    stage.round(5, &["a", "b", "c"]).await;
    let groups: Vec<_> = stage.set.stores().into_iter().map(|m| m.group.map(|g| g.to_string())).collect();
    assert_eq!(groups, [Some("twins".to_owned()), Some("twins".to_owned()), None]);
}
