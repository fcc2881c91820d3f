//! One store over several: asks those that may have something, joins what they say.

use std::{collections::BTreeSet, sync::Arc, time::Instant};

use async_trait::async_trait;
use futures::{
    StreamExt,
    future::{BoxFuture, FutureExt},
    stream,
};
use xxhash_rust::xxh64::xxh64;

use super::{
    Abilities, Frame, LabelNames, LabelNamesRequest, LabelValues, LabelValuesRequest, PartialResponse,
    SeriesRequest, SeriesStream, Store, StoreInfo,
    conform::{cut, sort_and_cut},
    external::may_match,
    merge, union,
};
use crate::{
    chunk::Chunk,
    context::{Context, StoreCost, Tally},
    error::{Error, ErrorKind, Result},
    model::{Interval, Labels, Matcher, Warning, Warnings},
    series::ChunkView,
};

/// Members asked at the same time when streams are opened or labels collected.
const CONCURRENT: usize = 16;

/// A store with the name that warnings call it by.
///
/// See [`Fanout`].
#[derive(Clone, Debug)]
pub struct Member {
    /// Name in warnings: a block, a bucket, an address.
    pub name: String,
    /// The store; it keeps the whole contract.
    pub store: Arc<dyn Store>,
}

/// One store over several.
///
/// Members whose labels or time exclude an answer are not asked. A member that fails is a
/// warning, or the end of the request when it wants no partial answer.
///
/// ```
/// use std::sync::Arc;
/// use thanoslib::{Context, Fanout, Interval, LabelValuesRequest, Labels, MemoryStore, Store, store::Member};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let member = |job: &str| -> thanoslib::Result<Member> {
///     let store = MemoryStore::new(Labels::empty());
///     store.push(&Labels::from_pairs([("job", job)]), 15_000, 1.0)?;
///     Ok(Member { name: job.to_owned(), store: Arc::new(store) })
/// };
/// let store = Fanout::new("query", vec![member("api")?, member("web")?]);
/// let request = LabelValuesRequest::new("job", Interval::ALL, Vec::new());
/// assert_eq!(store.label_values(&Context::default(), request).await?.values, ["api", "web"]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Fanout {
    component: &'static str,
    members: Vec<Member>,
}

impl Fanout {
    /// A store over `members`, which calls itself `component` in its info.
    pub fn new(component: &'static str, members: Vec<Member>) -> Self {
        Self { component, members }
    }

    fn asked(&self, matchers: &[Matcher], interval: Interval) -> Vec<Member> {
        self.members.iter().filter(|m| relevant(&m.store.info(), matchers, interval)).cloned().collect()
    }
}

/// True when a store may have series of these labels in this time.
pub(crate) fn relevant(info: &StoreInfo, matchers: &[Matcher], interval: Interval) -> bool {
    info.interval.is_some_and(|held| held.overlaps(interval)) && may_match(&info.label_sets, matchers)
}

#[async_trait]
impl Store for Fanout {
    fn info(&self) -> StoreInfo {
        let infos: Vec<StoreInfo> = self.members.iter().map(|m| m.store.info()).collect();
        join_infos(self.component, infos)
    }

    fn abilities(&self) -> Abilities {
        Abilities::ALL
    }

    async fn series(&self, ctx: &Context, request: SeriesRequest) -> Result<SeriesStream> {
        let members = self.asked(&request.matchers, request.interval);
        series(ctx, members, request).await
    }

    async fn label_names(&self, ctx: &Context, request: LabelNamesRequest) -> Result<LabelNames> {
        let members = self.asked(&request.matchers, request.interval);
        label_names(ctx, members, request).await
    }

    async fn label_values(&self, ctx: &Context, request: LabelValuesRequest) -> Result<LabelValues> {
        let members = self.asked(&request.matchers, request.interval);
        label_values(ctx, members, request).await
    }
}

/// What several stores hold together.
pub(crate) fn join_infos(component: &'static str, infos: Vec<StoreInfo>) -> StoreInfo {
    let mut sets: BTreeSet<Labels> = BTreeSet::new();
    let mut interval: Option<Interval> = None;
    let mut tsdbs = Vec::new();
    let blocks_hash = join_hashes(infos.iter().map(|info| info.blocks_hash));
    for info in infos {
        sets.extend(info.label_sets);
        tsdbs.extend(info.tsdbs);
        interval = around(interval, info.interval);
    }
    StoreInfo {
        component,
        label_sets: sets.into_iter().collect(),
        interval,
        tsdbs,
        abilities: Abilities::ALL,
        blocks_hash,
    }
}

/// The hash of the blocks of all stores together; `None` when one holds anything else.
pub(crate) fn join_hashes(hashes: impl Iterator<Item = Option<u128>>) -> Option<u128> {
    let mut all: Vec<u128> = hashes.collect::<Option<_>>()?;
    all.sort_unstable();
    match all.as_slice() {
        [] => None,
        [only] => Some(*only),
        many => {
            let bytes: Vec<u8> = many.iter().flat_map(|hash| hash.to_be_bytes()).collect();
            Some(u128::from(xxh64(&bytes, 1)) << 64 | u128::from(xxh64(&bytes, 0)))
        }
    }
}

/// The time from the begin of the earlier to the end of the later.
pub(crate) fn around(a: Option<Interval>, b: Option<Interval>) -> Option<Interval> {
    match (a, b) {
        (Some(a), Some(b)) => Some(Interval::new(a.mint.min(b.mint), a.maxt.max(b.maxt))),
        (a, b) => a.or(b),
    }
}

/// Streams the series of all members, joined; every stream is opened before merging.
pub(crate) async fn series(
    ctx: &Context,
    members: Vec<Member>,
    request: SeriesRequest,
) -> Result<SeriesStream> {
    let strategy = request.partial_response;
    // What is told here is what each member cost, with all that it asks in turn.
    let (tally, ctx) = (ctx.tally().cloned(), ctx.with_tally(None));
    let opened: Vec<Result<SeriesStream>> = stream::iter(members)
        .map(|member| {
            let (ctx, request) = (ctx.clone(), request.clone());
            let told = tally.as_ref().map(|tally| Told::new(tally, &member.name));
            async move {
                let begun = Instant::now();
                let opened = ctx.run(member.store.series(&ctx, request)).await;
                let stream = match opened {
                    Ok(stream) => guard(stream, member.name, strategy),
                    Err(e) => merge::warning(failed(e, &member.name, strategy)?),
                };
                Ok(match told {
                    Some(told) => told.counted(stream, begun),
                    None => stream,
                })
            }
            .boxed()
        })
        .buffered(CONCURRENT)
        .collect()
        .await;
    let streams = opened.into_iter().collect::<Result<Vec<_>>>()?;
    let merged = merge::merge(streams);
    Ok(if request.limit == 0 { merged } else { merge::limit(merged, request.limit) })
}

/// Ends a stream at its first error, which becomes a warning if partial answers are wanted.
fn guard(stream: SeriesStream, name: String, strategy: PartialResponse) -> SeriesStream {
    stream::unfold(Some((stream, name)), move |state| async move {
        let (mut stream, name) = state?;
        match stream.next().await? {
            Ok(frame) => Some((Ok(frame), Some((stream, name)))),
            Err(e) => Some((failed(e, &name, strategy).map(Frame::Warning), None)),
        }
    })
    .boxed()
}

/// Tells what a store costs.
struct Told {
    tally: Tally,
    store: usize,
}

impl Told {
    fn new(tally: &Tally, name: &str) -> Self {
        Self { tally: tally.clone(), store: tally.store(name) }
    }

    /// The same frames, each told of; opening the stream took since `begun`.
    fn counted(self, stream: SeriesStream, begun: Instant) -> SeriesStream {
        self.tally.add(self.store, &StoreCost { time: begun.elapsed(), ..StoreCost::default() });
        stream::unfold((stream, self), |(mut stream, told)| async move {
            let begun = Instant::now();
            let frame = stream.next().await;
            let mut cost = StoreCost { time: begun.elapsed(), ..StoreCost::default() };
            match &frame {
                Some(Ok(Frame::Batch(batch))) => {
                    cost.series = batch.len() as u64;
                    cost.bytes = batch.size_bytes() as u64;
                    // A header that is cut is found by who decodes the chunk.
                    let samples = |view: ChunkView<'_>| {
                        let chunk = Chunk { encoding: view.meta.encoding, data: view.data() };
                        chunk.num_samples().unwrap_or_default() as u64
                    };
                    cost.responses = 1;
                    cost.chunks = batch.iter().map(|s| s.chunks().len() as u64).sum();
                    cost.samples = batch.iter().flat_map(|s| s.chunks()).map(samples).sum();
                }
                Some(Ok(Frame::Warning(_))) => cost.warnings = 1,
                _ => {}
            }
            told.tally.add(told.store, &cost);
            Some((frame?, (stream, told)))
        })
        .boxed()
    }
}

/// A failure as a warning, or as the error it is.
fn failed(e: Error, name: &str, strategy: PartialResponse) -> Result<Warning> {
    // When the request itself ends or asks nonsense, no part of the answer is left to give.
    let own =
        matches!(e.kind(), ErrorKind::Cancelled | ErrorKind::Timeout | ErrorKind::Invalid | ErrorKind::Limit);
    if own || strategy == PartialResponse::Abort {
        return Err(e.context(name));
    }
    Ok(Warning::new(format!("{name}: {e}")).origin(name))
}

/// The answer of one member, or the warning that stands for it; an error ends the request.
pub(crate) type Call<T> = BoxFuture<'static, Result<Result<T, Warning>>>;

pub(crate) async fn label_names(
    ctx: &Context,
    members: Vec<Member>,
    request: LabelNamesRequest,
) -> Result<LabelNames> {
    let (limit, strategy) = (request.limit, request.partial_response);
    let calls = members.into_iter().map(|m| {
        let (ctx, request) = (ctx.clone(), request.clone());
        async move { told(ctx.run(m.store.label_names(&ctx, request)).await, &m.name, strategy) }.boxed()
    });
    join_names(ctx, calls.collect(), CONCURRENT, limit).await
}

pub(crate) async fn label_values(
    ctx: &Context,
    members: Vec<Member>,
    request: LabelValuesRequest,
) -> Result<LabelValues> {
    let (limit, strategy) = (request.limit, request.partial_response);
    let calls = members.into_iter().map(|m| {
        let (ctx, request) = (ctx.clone(), request.clone());
        async move { told(ctx.run(m.store.label_values(&ctx, request)).await, &m.name, strategy) }.boxed()
    });
    join_values(ctx, calls.collect(), CONCURRENT, limit).await
}

fn told<T>(answer: Result<T>, name: &str, strategy: PartialResponse) -> Result<Result<T, Warning>> {
    answer.map(Ok).or_else(|e| failed(e, name, strategy).map(Err))
}

/// The names of all answers, charged to the request while they are joined.
pub(crate) async fn join_names(
    ctx: &Context,
    calls: Vec<Call<LabelNames>>,
    concurrent: usize,
    limit: usize,
) -> Result<LabelNames> {
    let mut out = LabelNames::default();
    let mut lease = ctx.budget().reserve(0)?;
    collect(calls, concurrent, &mut out.warnings, |answer: LabelNames| {
        lease.grow(held_bytes(&answer.names))?;
        out.names.extend(answer.names);
        out.queried_blocks.extend(answer.queried_blocks);
        Ok(answer.warnings)
    })
    .await?;
    sort_and_cut(&mut out.names, limit);
    Ok(out)
}

/// The values of all answers, charged to the request while they are joined.
pub(crate) async fn join_values(
    ctx: &Context,
    calls: Vec<Call<LabelValues>>,
    concurrent: usize,
    limit: usize,
) -> Result<LabelValues> {
    let (mut out, mut lists) = (LabelValues::default(), Vec::new());
    let mut lease = ctx.budget().reserve(0)?;
    collect(calls, concurrent, &mut out.warnings, |answer: LabelValues| {
        // Replicas and neighbouring blocks mostly have the same values.
        if !lists.contains(&answer.values) {
            lease.grow(answer.values.size_bytes() as u64)?;
            lists.push(answer.values);
        }
        out.queried_blocks.extend(answer.queried_blocks);
        Ok(answer.warnings)
    })
    .await?;
    out.values = cut(union(lists), limit);
    Ok(out)
}

fn held_bytes(texts: &[String]) -> u64 {
    texts.iter().map(|t| (t.len() + size_of::<String>()) as u64).sum()
}

async fn collect<T>(
    calls: Vec<Call<T>>,
    concurrent: usize,
    warnings: &mut Warnings,
    mut take: impl FnMut(T) -> Result<Warnings>,
) -> Result<()> {
    let mut answers = stream::iter(calls).buffered(concurrent);
    while let Some(answer) = answers.next().await {
        match answer? {
            Ok(answer) => warnings.extend(take(answer)?.iter().cloned()),
            Err(warning) => warnings.push(warning),
        }
    }
    Ok(())
}
