//! One known endpoint and what was learnt of it.

use std::sync::{
    Arc, PoisonError, RwLock,
    atomic::{AtomicBool, Ordering},
};

use super::{EndpointInfo, EndpointSpec, EndpointStatus, Peer};
use crate::{
    apis::Apis,
    model::Interval,
    store::{Abilities, ProxyMember, StoreInfo},
};

/// An endpoint that is asked what it is, again and again.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) spec: EndpointSpec,
    pub(super) peer: Arc<dyn Peer>,
    pub(super) apis: Apis,
    pub(super) created_ms: i64,
    strict: AtomicBool,
    state: RwLock<State>,
}

#[derive(Clone, Debug, Default)]
struct State {
    /// What it said last, also when it does not answer now.
    info: Option<Arc<EndpointInfo>>,
    /// The part of it about series.
    store: Option<Arc<StoreInfo>>,
    last_check_ms: Option<i64>,
    last_error: Option<String>,
    /// What endpoints that hold the same blocks share.
    twins: Option<Arc<str>>,
}

impl Endpoint {
    pub(super) fn new(spec: EndpointSpec, peer: Arc<dyn Peer>, now_ms: i64) -> Self {
        let apis = peer.apis();
        let strict = AtomicBool::new(spec.strict);
        Self { spec, peer, apis, created_ms: now_ms, strict, state: RwLock::default() }
    }

    fn state(&self) -> State {
        self.state.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes over what may change without a new connection.
    pub(super) fn set_strict(&self, strict: bool) {
        self.strict.store(strict, Ordering::Relaxed);
    }

    pub(super) fn is_strict(&self) -> bool {
        self.strict.load(Ordering::Relaxed)
    }

    /// Notes an answer to the question what it is.
    pub(super) fn learn(&self, info: EndpointInfo, now_ms: i64) {
        let store = info.store.clone().map(Arc::new);
        let twins = store.as_deref().and_then(twins).map(Arc::from);
        let last_check_ms = Some(now_ms);
        let state = State { info: Some(Arc::new(info)), store, last_check_ms, last_error: None, twins };
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = state;
    }

    /// Notes that it did not say what it is; what was known stays.
    pub(super) fn fail(&self, error: String) {
        self.state.write().unwrap_or_else(PoisonError::into_inner).last_error = Some(error);
    }

    /// True when requests may go to it.
    pub(super) fn is_queryable(&self) -> bool {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        self.is_strict() || (state.info.is_some() && state.last_error.is_none())
    }

    /// True when it has been silent for `limit_ms`, and is known for as long.
    pub(super) fn is_given_up(&self, now_ms: i64, limit_ms: i64) -> bool {
        let since = |t_ms: i64| now_ms.saturating_sub(t_ms) >= limit_ms;
        !self.is_strict() && since(self.created_ms) && self.state().last_check_ms.is_none_or(since)
    }

    pub(super) fn info(&self) -> Option<Arc<EndpointInfo>> {
        self.state().info
    }

    /// The endpoint as a store; `None` when it serves none.
    pub(super) fn member(&self) -> Option<ProxyMember> {
        let state = self.state();
        let info = match (state.info, state.store) {
            (_, Some(store)) => store,
            (Some(_), None) => return None,
            // Strict, and never heard of: it may hold anything.
            (None, None) => Arc::new(unknown_store()),
        };
        let store = Arc::clone(self.apis.store.as_ref()?);
        let group = self.spec.replicas.as_deref().map(Arc::from).or(state.twins);
        Some(ProxyMember { group, ..ProxyMember::remote(&self.spec.address, store, info) })
    }

    pub(super) fn status(&self) -> EndpointStatus {
        let state = self.state();
        let info = state.info.as_deref();
        EndpointStatus {
            address: self.spec.address.clone(),
            component: info.map(|i| i.component),
            label_sets: info.map(|i| i.label_sets.clone()).unwrap_or_default(),
            interval: match (info, state.store) {
                (_, Some(store)) => store.interval,
                (Some(_), None) => None,
                (None, None) => Some(Interval::ALL),
            },
            last_check_ms: state.last_check_ms,
            last_error: state.last_error,
            queryable: self.is_queryable(),
            strict: self.is_strict(),
        }
    }
}

/// A name for all stores that hold the same blocks under the same labels for the same time; `None` for
/// what did not say so, or has no labels.
fn twins(store: &StoreInfo) -> Option<String> {
    let (hash, held) = (store.blocks_hash?, store.interval?);
    if store.label_sets.iter().all(|set| set.is_empty()) {
        return None;
    }
    let mut sets: Vec<String> = store.label_sets.iter().map(ToString::to_string).collect();
    sets.sort();
    Some(format!("blocks {hash:032x} from {} to {} of {}", held.mint, held.maxt, sets.join(", ")))
}

/// What is assumed of a store that did not say what it is.
fn unknown_store() -> StoreInfo {
    StoreInfo {
        component: "store",
        label_sets: Vec::new(),
        interval: Some(Interval::ALL),
        tsdbs: Vec::new(),
        abilities: Abilities { external_labels: true, ..Abilities::default() },
        blocks_hash: None,
    }
}
