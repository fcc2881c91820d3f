//! The store over many stores near and far: chooses whom to ask, reads all at the same time, joins
//! what they say, and tells what is missing.
//!
//! Invariant: knows stores through [`Stores`] and [`Store`] alone; no wire, no discovery.

mod attempt;
mod buffer;
mod check;
mod choose;
mod fault;
mod health;
mod member;
mod replicas;
mod retrieve;
mod selector;
mod tolerance;
mod watched;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;

pub use member::{MetricNames, ProxyMember, Stores};
pub use selector::TsdbSelector;
pub use tolerance::{Breaker, Tolerance};

use super::{
    Abilities, Conform, LabelNames, LabelNamesRequest, LabelValues, LabelValuesRequest, PartialResponse,
    SeriesRequest, SeriesStream, Store, StoreInfo, TsdbInfo, external::consume, fanout, merge,
};
use crate::{
    context::Context,
    error::{Error, Result},
    model::{Interval, Labels, Matcher},
};
use choose::{Asked, Chosen};
use health::Health;
use watched::Watched;

/// Members asked at the same time by one request.
const CONCURRENT: usize = 512;

/// How far the answers of stores are read ahead.
///
/// See [`ProxySettings`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Retrieval {
    /// To their end, as long as the request holds less than half of its memory; beyond that as
    /// with [`Lazy`](Self::Lazy).
    #[default]
    Eager,
    /// A number of frames of each store.
    Lazy,
}

/// How a [`Proxy`] asks; plain data.
///
/// ```
/// use thanoslib::{Labels, store::{ProxySettings, Retrieval}};
/// let settings = ProxySettings {
///     selector_labels: Labels::from_pairs([("region", "eu")]),
///     response_timeout: Some(std::time::Duration::from_secs(5)),
///     ..ProxySettings::default()
/// };
/// assert_eq!((settings.retrieval, settings.buffered_frames), (Retrieval::Eager, 20));
/// ```
#[derive(Clone, Debug)]
pub struct ProxySettings {
    /// What it calls itself in its info. Default: `query`.
    pub component: &'static str,
    /// Labels of all its series, by name only: requests for other values answer nothing, and its
    /// info shows them. Default: none.
    pub selector_labels: Labels,
    /// Which producers are asked, by their labels. Default: all.
    pub tsdb_selector: Option<Arc<TsdbSelector>>,
    /// Longest time to wait for each frame of a store, and for the answer of a label call; it does
    /// not run while nobody wants the next frame. `None`, the default, waits for the deadline of
    /// the request.
    pub response_timeout: Option<Duration>,
    /// How far answers are read ahead. Default: eager.
    pub retrieval: Retrieval,
    /// Frames of one store that wait to be joined. Default: 20.
    pub buffered_frames: usize,
    /// What is done about slow and failing stores beyond Thanos. Default: nothing.
    pub tolerance: Tolerance,
}

impl Default for ProxySettings {
    fn default() -> Self {
        Self {
            component: "query",
            selector_labels: Labels::empty(),
            tsdb_selector: None,
            response_timeout: None,
            retrieval: Retrieval::Eager,
            buffered_frames: 20,
            tolerance: Tolerance::default(),
        }
    }
}

/// Counters of a proxy.
///
/// See [`Proxy`].
#[derive(Debug, Default)]
pub struct ProxyStatistics {
    /// Answers of stores that held no series.
    pub empty_streams: AtomicU64,
    /// Requests to stores: series and label calls.
    pub asked: AtomicU64,
    /// Requests to stores that failed or were given up.
    pub failed: AtomicU64,
}

impl ProxyStatistics {
    /// Answers of stores that held no series.
    pub fn empty_streams(&self) -> u64 {
        self.empty_streams.load(Ordering::Relaxed)
    }
}

/// One store over those that its [`Stores`] name, as of each request.
///
/// Members whose labels, time or address exclude an answer are not asked. A member that fails is
/// a warning that says who and which time and labels, or the end of the request when it wants no
/// partial answer. A member that breaks the contract of a store is one that fails.
///
/// ```
/// use std::sync::Arc;
/// use thanoslib::{Context, Interval, LabelValuesRequest, Labels, MemoryStore, Store};
/// use thanoslib::store::{Member, Proxy, ProxySettings};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let member = |job: &str| -> thanoslib::Result<Member> {
///     let store = MemoryStore::new(Labels::empty());
///     store.push(&Labels::from_pairs([("job", job)]), 15_000, 1.0)?;
///     Ok(Member { name: job.to_owned(), store: Arc::new(store) })
/// };
/// let stores = vec![member("api")?, member("web")?];
/// let proxy = Proxy::new(Arc::new(stores), ProxySettings::default());
/// let request = LabelValuesRequest::new("job", Interval::ALL, Vec::new());
/// assert_eq!(proxy.label_values(&Context::default(), request).await?.values, ["api", "web"]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Proxy {
    stores: Arc<dyn Stores>,
    settings: Arc<ProxySettings>,
    statistics: Arc<ProxyStatistics>,
    health: Arc<Health>,
}

impl Proxy {
    /// A store over what `stores` names.
    pub fn new(stores: Arc<dyn Stores>, settings: ProxySettings) -> Self {
        Self { stores, settings: Arc::new(settings), statistics: Arc::default(), health: Arc::default() }
    }

    /// What was counted so far.
    pub fn statistics(&self) -> Arc<ProxyStatistics> {
        Arc::clone(&self.statistics)
    }

    /// The members that a request concerns; `None` when the selector labels exclude an answer.
    fn chosen(
        &self,
        matchers: &[Matcher],
        interval: Interval,
        store_matchers: &[Vec<Matcher>],
    ) -> Option<Chosen> {
        let matchers = consume(&self.settings.selector_labels, matchers)?;
        let selector = self.settings.tsdb_selector.as_deref();
        let asked = Asked { matchers, interval, store_matchers };
        Some(choose::choose(self.stores.stores(), asked, selector))
    }

    /// The sources of an answer: members alone, or groups of which one is asked.
    fn sources(&self, members: &[ProxyMember], interval: Interval) -> Vec<Watched> {
        let sources = tolerance::sources(members.to_vec(), &self.settings.tolerance).into_iter();
        let watched = |mut members: Vec<ProxyMember>| {
            if members.len() > 1 {
                self.health.sort(&mut members);
            }
            Watched {
                members,
                interval,
                settings: Arc::clone(&self.settings),
                statistics: Arc::clone(&self.statistics),
                health: Arc::clone(&self.health),
            }
        };
        sources.map(watched).collect()
    }
}

#[async_trait]
impl Store for Proxy {
    fn info(&self) -> StoreInfo {
        let members = self.stores.stores();
        let selector = self.settings.tsdb_selector.as_deref();
        let overlaid = |labels: &Labels| overlay_selector(labels, &self.settings.selector_labels);
        let mut info = StoreInfo {
            component: self.settings.component,
            label_sets: Vec::new(),
            interval: None,
            tsdbs: Vec::new(),
            abilities: Abilities::ALL,
            // Which blocks endpoints have is known of a time before, and a selector hides some.
            blocks_hash: match selector {
                None if members.iter().all(|m| m.local) => {
                    fanout::join_hashes(members.iter().map(|m| m.info.blocks_hash))
                }
                _ => None,
            },
        };
        let mut any = false;
        for member in &members {
            let Some(sets) = selector::keep(selector, &member.info.label_sets) else { continue };
            any = true;
            info.label_sets.extend(sets.iter().map(overlaid));
            let tsdbs = member.info.tsdbs.iter().filter(|t| selector::keeps(selector, &t.labels));
            info.tsdbs.extend(tsdbs.map(|t| TsdbInfo { labels: overlaid(&t.labels), interval: t.interval }));
            info.interval = fanout::around(info.interval, member.info.interval);
        }
        info.label_sets.sort();
        info.label_sets.dedup();
        if info.label_sets.is_empty() && !self.settings.selector_labels.is_empty() {
            info.label_sets.push(self.settings.selector_labels.clone());
        }
        if !any {
            // What will come is not known.
            info.interval = Some(Interval::ALL);
        }
        info
    }

    fn abilities(&self) -> Abilities {
        Abilities::ALL
    }

    async fn series(&self, ctx: &Context, request: SeriesRequest) -> Result<SeriesStream> {
        let Some(chosen) = self.chosen(&request.matchers, request.interval, &request.store_matchers) else {
            return Ok(merge::ready(Vec::new()));
        };
        if chosen.matchers.is_empty() {
            return Err(Error::invalid("no matchers specified (excluding selector labels)"));
        }
        if chosen.none_known && request.partial_response == PartialResponse::Abort {
            return Err(Error::unavailable("No StoreAPIs available"));
        }
        let limit = request.limit;
        let request = SeriesRequest {
            matchers: chosen.with_generated(),
            store_matchers: Vec::new(),
            block_matchers: Vec::new(),
            ..request
        };
        let retrieved = self
            .sources(&chosen.members, request.interval)
            .into_iter()
            .map(|source| retrieve::retrieve(ctx, source, request.clone(), &self.settings));
        let (pumps, streams): (Vec<_>, Vec<_>) = retrieved.unzip();
        let merged = merge::merge(streams);
        let merged = if limit == 0 { merged } else { merge::limit(merged, limit) };
        Ok(retrieve::driven(merged, pumps))
    }

    async fn label_names(&self, ctx: &Context, request: LabelNamesRequest) -> Result<LabelNames> {
        let Some(chosen) = self.chosen(&request.matchers, request.interval, &request.store_matchers) else {
            return Ok(LabelNames::default());
        };
        let limit = request.limit;
        let request =
            LabelNamesRequest { matchers: chosen.with_generated(), store_matchers: Vec::new(), ..request };
        let calls = self.sources(&chosen.members, request.interval).into_iter().map(|source| {
            let store = Conform::new(Arc::new(source), Labels::empty());
            let (ctx, request) = (ctx.clone(), request.clone());
            async move { store.label_names(&ctx, request).await.map(Ok) }.boxed()
        });
        let joined = fanout::join_names(ctx, calls.collect(), CONCURRENT, limit).await?;
        // Compat: what members read is not told on (thanos `pkg/store/proxy.go`).
        Ok(LabelNames { queried_blocks: Vec::new(), ..joined })
    }

    async fn label_values(&self, ctx: &Context, request: LabelValuesRequest) -> Result<LabelValues> {
        if request.label.is_empty() {
            return Err(Error::invalid("label name parameter cannot be empty"));
        }
        let Some(chosen) = self.chosen(&request.matchers, request.interval, &request.store_matchers) else {
            return Ok(LabelValues::default());
        };
        let limit = request.limit;
        let request = LabelValuesRequest {
            matchers: chosen.with_generated(),
            store_matchers: Vec::new(),
            block_matchers: Vec::new(),
            ..request
        };
        let calls = self.sources(&chosen.members, request.interval).into_iter().map(|source| {
            let store = Conform::new(Arc::new(source), Labels::empty());
            let (ctx, request) = (ctx.clone(), request.clone());
            async move { store.label_values(&ctx, request).await.map(Ok) }.boxed()
        });
        let joined = fanout::join_values(ctx, calls.collect(), CONCURRENT, limit).await?;
        Ok(LabelValues { queried_blocks: Vec::new(), ..joined })
    }
}

/// A label set with the selector labels over it.
fn overlay_selector(labels: &Labels, selector: &Labels) -> Labels {
    if selector.is_empty() { labels.clone() } else { super::external::overlay(labels.view(), selector, &[]) }
}
