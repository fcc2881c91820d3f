//! PromQL at a peer.

use async_trait::async_trait;
use futures::{
    StreamExt,
    stream::{self, BoxStream},
};
use thanoslib::{
    Error, Result,
    apis::{QueryApi, QueryFrame, QueryStream, RemoteQuery},
    budget::Lease,
    context::Context,
    promql::MatrixSeries,
};
use tonic::{Status, Streaming};

use super::{
    call::{call, client},
    link::Link,
};
use crate::{
    codec::Wire,
    convert::{QueryMessage, QueryPart},
    pb::thanos::{self as pb, query_client::QueryClient as Client},
    status::to_error,
};

/// The query API of one peer.
#[derive(Clone, Debug)]
pub struct QueryClient {
    link: Link,
}

impl QueryClient {
    /// The API at the other end of a link.
    pub fn new(link: impl Into<Link>) -> Self {
        Self { link: link.into() }
    }
}

#[async_trait]
impl QueryApi for QueryClient {
    async fn query(&self, ctx: &Context, query: RemoteQuery) -> Result<QueryStream> {
        let ctx = match query.timeout {
            Some(timeout) => ctx.with_timeout(timeout),
            None => ctx.clone(),
        };
        Ok(match QueryMessage::try_from(&query)? {
            QueryMessage::Instant(message) => {
                let make = |request| {
                    let mut client = client!(Client, self.link, &ctx);
                    async move { client.query(request).await }
                };
                let messages = call(&self.link, &ctx, message, make).await?;
                frames(parts(messages, pb::QueryResponse::part), ctx)
            }
            QueryMessage::Range(message) => {
                let make = |request| {
                    let mut client = client!(Client, self.link, &ctx);
                    async move { client.query_range(request).await }
                };
                let messages = call(&self.link, &ctx, message, make).await?;
                frames(parts(messages, pb::QueryRangeResponse::part), ctx)
            }
        })
    }
}

type Parts = BoxStream<'static, Result<Option<QueryPart>, Status>>;

fn parts<M: Wire>(messages: Streaming<M>, part: fn(M) -> Option<QueryPart>) -> Parts {
    messages.map(move |m| m.map(part)).boxed()
}

struct Answer {
    parts: Parts,
    ctx: Context,
    /// What the series so far hold; given back with the stream.
    lease: Option<Lease>,
    /// Parts without anything since the last one with something.
    empty: usize,
    done: bool,
}

/// Parts that say nothing which may follow each other.
const EMPTY_PARTS_MAX: usize = 10_000;

/// The frames of an answer; they end with an error when the context does.
fn frames(parts: Parts, ctx: Context) -> QueryStream {
    let answer = Answer { parts, ctx, lease: None, empty: 0, done: false };
    stream::unfold(answer, |mut answer| async move {
        let next = answer.next().await.transpose()?;
        Some((next, answer))
    })
    .boxed()
}

impl Answer {
    async fn next(&mut self) -> Result<Option<QueryFrame>> {
        if std::mem::replace(&mut self.done, true) {
            return Ok(None);
        }
        loop {
            let parts = &mut self.parts;
            let Some(part) = self.ctx.run(async { Ok(parts.next().await) }).await? else { return Ok(None) };
            // A kind of part that is newer than this client has nothing to say.
            let Some(part) = part.map_err(|s| to_error(&s))? else {
                self.empty += 1;
                if self.empty > EMPTY_PARTS_MAX {
                    return Err(Error::corrupt(format!("{EMPTY_PARTS_MAX} parts without anything")));
                }
                continue;
            };
            self.empty = 0;
            let frame = QueryFrame::try_from(part).map_err(|e: Error| e.context("answer of the peer"))?;
            if let QueryFrame::Series(series) = &frame {
                self.charge(series.iter().map(size_bytes).sum())?;
            }
            self.done = false;
            return Ok(Some(frame));
        }
    }

    fn charge(&mut self, bytes: u64) -> Result<()> {
        match &mut self.lease {
            Some(lease) => lease.grow(bytes),
            None => {
                self.lease = Some(self.ctx.budget().reserve(bytes)?);
                Ok(())
            }
        }
    }
}

/// Bytes that a series holds.
fn size_bytes(series: &MatrixSeries) -> u64 {
    let histogram = |h: &thanoslib::FloatHistogram| {
        let numbers = h.positive_buckets.len() + h.negative_buckets.len() + h.custom_values.len();
        size_of_val(h) + 8 * (numbers + h.positive_spans.len() + h.negative_spans.len())
    };
    let histograms: usize = series.histograms.iter().map(|(_, h)| 16 + histogram(h)).sum();
    (series.labels.as_bytes().len() + series.floats.len() * 16 + histograms) as u64
}
