//! Who stands behind a proxy.

use std::{fmt, sync::Arc};

use crate::{
    model::Matcher,
    store::{Member, Store, StoreInfo},
};

/// Tells the stores behind a proxy as of now.
///
/// See [`Proxy`](super::Proxy).
pub trait Stores: fmt::Debug + Send + Sync + 'static {
    /// The stores that can be asked, in a steady order.
    fn stores(&self) -> Vec<ProxyMember>;
}

/// Says for a store which metrics it surely does not have.
///
/// See [`ProxyMember`].
pub trait MetricNames: fmt::Debug + Send + Sync + 'static {
    /// False only if no series of the store satisfies the matchers.
    fn may_match(&self, matchers: &[Matcher]) -> bool;
}

/// A store behind a proxy, with what it said of itself.
///
/// Its text is the one that warnings call it by.
///
/// ```
/// use std::sync::Arc;
/// use thanoslib::{Labels, MemoryStore, store::ProxyMember};
/// let store = MemoryStore::new(Labels::empty());
/// store.push(&Labels::from_pairs([("__name__", "up")]), 15_000, 1.0)?;
/// let member = ProxyMember::local("memory", Arc::new(store));
/// assert_eq!(member.to_string(), "Addr: memory MinTime: 15000 MaxTime: 15000");
/// # Ok::<(), thanoslib::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ProxyMember {
    /// Host and port, or a name for what has none.
    pub address: Arc<str>,
    /// The store.
    pub store: Arc<dyn Store>,
    /// What it said of itself.
    pub info: Arc<StoreInfo>,
    /// True for a store in this process; it matches no address.
    pub local: bool,
    /// Stores of the same group hold the same data: somebody said so, or their blocks are the same.
    pub group: Option<Arc<str>>,
    /// Which metrics it surely does not have, if that is known.
    pub names: Option<Arc<dyn MetricNames>>,
}

impl ProxyMember {
    /// A store in this process, as it is now.
    pub fn local(name: &str, store: Arc<dyn Store>) -> Self {
        let info = Arc::new(store.info());
        Self { address: Arc::from(name), store, info, local: true, group: None, names: None }
    }

    /// A store somewhere else.
    pub fn remote(address: &str, store: Arc<dyn Store>, info: Arc<StoreInfo>) -> Self {
        Self { address: Arc::from(address), store, info, local: false, group: None, names: None }
    }

    /// Its label sets, as warnings show them.
    ///
    /// Compat: a store without any is called as in Thanos `pkg/store/proxy_merge.go`.
    pub(super) fn label_text(&self) -> String {
        let sets = &self.info.label_sets;
        if sets.iter().all(|set| set.is_empty()) {
            return "Store Gateway".to_owned();
        }
        let mut texts: Vec<String> = sets.iter().map(ToString::to_string).collect();
        texts.sort();
        texts.join(",")
    }
}

impl fmt::Display for ProxyMember {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A store that holds nothing says so by a range that ends before it begins.
        let (mint, maxt) = self.info.interval.map_or((i64::MAX, i64::MIN), |i| (i.mint, i.maxt));
        write!(f, "Addr: {} MinTime: {mint} MaxTime: {maxt}", self.address)
    }
}

impl Stores for Vec<ProxyMember> {
    fn stores(&self) -> Vec<ProxyMember> {
        self.clone()
    }
}

/// Stores in this process; each is asked anew what it holds.
impl Stores for Vec<Member> {
    fn stores(&self) -> Vec<ProxyMember> {
        self.iter().map(|m| ProxyMember::local(&m.name, Arc::clone(&m.store))).collect()
    }
}

/// All of them, one after the other.
impl Stores for Vec<Arc<dyn Stores>> {
    fn stores(&self) -> Vec<ProxyMember> {
        self.iter().flat_map(|stores| stores.stores()).collect()
    }
}
