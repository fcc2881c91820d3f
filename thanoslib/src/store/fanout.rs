//! One store over several: asks those that may have something, joins what they say.

use std::{collections::BTreeSet, sync::Arc};

use async_trait::async_trait;
use futures::{
    StreamExt,
    future::{BoxFuture, FutureExt},
    stream,
};

use super::{
    Abilities, Frame, LabelNames, LabelNamesRequest, LabelValues, LabelValuesRequest, PartialResponse,
    SeriesRequest, SeriesStream, Store, StoreInfo, conform::sort_and_cut, external::may_match, merge,
};
use crate::{
    context::Context,
    error::{Error, ErrorKind, Result},
    model::{Interval, Labels, Matcher, Warning, Warnings},
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
    for info in infos {
        sets.extend(info.label_sets);
        tsdbs.extend(info.tsdbs);
        interval = match (interval, info.interval) {
            (Some(a), Some(b)) => Some(Interval::new(a.mint.min(b.mint), a.maxt.max(b.maxt))),
            (a, b) => a.or(b),
        };
    }
    StoreInfo {
        component,
        label_sets: sets.into_iter().collect(),
        interval,
        tsdbs,
        abilities: Abilities::ALL,
    }
}

/// Streams the series of all members, joined; every stream is opened before merging.
pub(crate) async fn series(
    ctx: &Context,
    members: Vec<Member>,
    request: SeriesRequest,
) -> Result<SeriesStream> {
    let strategy = request.partial_response;
    let opened: Vec<Result<SeriesStream>> = stream::iter(members)
        .map(|member| {
            let (ctx, request) = (ctx.clone(), request.clone());
            async move {
                let opened = ctx.run(member.store.series(&ctx, request)).await;
                match opened {
                    Ok(stream) => Ok(guard(stream, member.name, strategy)),
                    Err(e) => failed(e, &member.name, strategy).map(merge::warning),
                }
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

pub(crate) async fn label_names(
    ctx: &Context,
    members: Vec<Member>,
    request: LabelNamesRequest,
) -> Result<LabelNames> {
    let limit = request.limit;
    let strategy = request.partial_response;
    let calls = members.into_iter().map(|m| {
        let (ctx, request) = (ctx.clone(), request.clone());
        async move { (m.name, ctx.run(m.store.label_names(&ctx, request)).await) }.boxed()
    });
    let mut out = LabelNames::default();
    collect(calls.collect(), strategy, &mut out.warnings, |answer: LabelNames| {
        out.names.extend(answer.names);
        out.queried_blocks.extend(answer.queried_blocks);
        answer.warnings
    })
    .await?;
    sort_and_cut(&mut out.names, limit);
    Ok(out)
}

pub(crate) async fn label_values(
    ctx: &Context,
    members: Vec<Member>,
    request: LabelValuesRequest,
) -> Result<LabelValues> {
    let limit = request.limit;
    let strategy = request.partial_response;
    let calls = members.into_iter().map(|m| {
        let (ctx, request) = (ctx.clone(), request.clone());
        async move { (m.name, ctx.run(m.store.label_values(&ctx, request)).await) }.boxed()
    });
    let mut out = LabelValues::default();
    collect(calls.collect(), strategy, &mut out.warnings, |answer: LabelValues| {
        out.values.extend(answer.values);
        out.queried_blocks.extend(answer.queried_blocks);
        answer.warnings
    })
    .await?;
    sort_and_cut(&mut out.values, limit);
    Ok(out)
}

async fn collect<T>(
    calls: Vec<BoxFuture<'static, (String, Result<T>)>>,
    strategy: PartialResponse,
    warnings: &mut Warnings,
    mut take: impl FnMut(T) -> Warnings,
) -> Result<()> {
    let mut answers = stream::iter(calls).buffered(CONCURRENT);
    while let Some((name, answer)) = answers.next().await {
        match answer {
            Ok(answer) => {
                let more = take(answer);
                warnings.extend(more.iter().cloned());
            }
            Err(e) => warnings.push(failed(e, &name, strategy)?),
        }
    }
    Ok(())
}
