//! A source that is watched: silence, failures and broken promises become warnings or the end.

use std::sync::{Arc, atomic::Ordering};

use async_trait::async_trait;
use futures::{FutureExt, StreamExt, future::BoxFuture, stream};

use super::{
    ProxySettings, ProxyStatistics,
    attempt::{Attempt, Trying},
    fault::{Fault, Step, aborted},
    health::Health,
    member::ProxyMember,
    replicas::{self, Replicas},
    tolerance::Patience,
};
use crate::{
    context::Context,
    error::Result,
    model::Interval,
    store::{
        Abilities, Frame, LabelNames, LabelNamesRequest, LabelValues, LabelValuesRequest, PartialResponse,
        SeriesRequest, SeriesStream, Store, StoreInfo, merge,
    },
};

/// A member, or a group of which one is asked, whose answers are limited in time. Where a partial
/// answer is wanted failures are warnings; an error that still comes ends the request.
#[derive(Debug)]
pub(super) struct Watched {
    /// The best first; at least one.
    pub(super) members: Vec<ProxyMember>,
    /// What is asked, for warnings.
    pub(super) interval: Interval,
    pub(super) settings: Arc<ProxySettings>,
    pub(super) statistics: Arc<ProxyStatistics>,
    pub(super) health: Arc<Health>,
}

impl Watched {
    /// The member that texts are about.
    pub(super) fn face(&self) -> &ProxyMember {
        &self.members[0]
    }

    fn trying(&self, ctx: &Context) -> Trying {
        let tolerance = &self.settings.tolerance;
        Trying {
            ctx: ctx.clone(),
            patience: Patience::new(self.settings.response_timeout, tolerance, ctx.deadline()),
            health: Arc::clone(&self.health),
            breaker: tolerance.breaker,
        }
    }

    fn failed(&self) {
        self.statistics.failed.fetch_add(1, Ordering::Relaxed);
    }

    fn asked(&self, ctx: &Context) {
        self.statistics.asked.fetch_add(1, Ordering::Relaxed);
        ctx.coverage().asked(self.wanted());
    }

    /// The time that is asked for and that a member holds.
    fn wanted(&self) -> Interval {
        let held = self.face().info.interval;
        held.and_then(|held| held.intersect(self.interval)).unwrap_or(self.interval)
    }

    /// The same stream, of which any gap is noted once.
    fn noted(&self, ctx: &Context, stream: SeriesStream) -> SeriesStream {
        let (coverage, wanted, mut missed) = (ctx.coverage().clone(), self.wanted(), false);
        let note = move |frame: &Result<Frame>| {
            if matches!(frame, Err(_) | Ok(Frame::Warning(_))) && !std::mem::replace(&mut missed, true) {
                coverage.missed(wanted);
            }
        };
        stream.inspect(note).boxed()
    }

    /// The stream of the member, or of the group.
    async fn opened(&self, ctx: &Context, request: SeriesRequest) -> Result<SeriesStream> {
        let strategy = request.partial_response;
        let trying = self.trying(ctx);
        if let [member] = self.members.as_slice() {
            return match Attempt::open(trying, member.clone(), request).await {
                Ok(attempt) => Ok(frames(Reading {
                    attempt: Some(attempt),
                    strategy,
                    interval: self.interval,
                    statistics: Arc::clone(&self.statistics),
                })),
                Err(fault) => {
                    self.failed();
                    fault.told(Step::Open, member, self.interval, strategy).map(merge::warning)
                }
            };
        }
        replicas::read(Replicas {
            trying,
            tolerance: self.settings.tolerance.clone(),
            request,
            face: self.face().clone(),
            left: self.members.iter().cloned().collect(),
            interval: self.interval,
        })
        .await
    }

    /// Calls one member after the other until one answers.
    async fn call<'a, T: Send>(
        &'a self,
        ctx: &Context,
        call: impl Fn(&'a ProxyMember) -> BoxFuture<'a, Result<T>> + Send,
    ) -> Result<T, (&'a ProxyMember, Fault)> {
        self.asked(ctx);
        let trying = self.trying(ctx);
        let mut members = self.members.iter();
        let mut failure = None;
        while let Some(member) =
            members.next().filter(|_| failure.is_none() || self.settings.tolerance.fail_over)
        {
            match trying.call(member, call(member)).await {
                Ok(answer) => return Ok(answer),
                Err(fault @ Fault::Own(_)) => return Err((member, fault)),
                Err(fault) => failure = Some((member, fault)),
            }
        }
        self.failed();
        ctx.coverage().missed(self.wanted());
        let nobody = || (self.face(), Fault::Own(crate::error::Error::internal("nobody was asked")));
        Err(failure.unwrap_or_else(nobody))
    }
}

#[async_trait]
impl Store for Watched {
    fn info(&self) -> StoreInfo {
        (*self.face().info).clone()
    }

    fn abilities(&self) -> Abilities {
        let mut all = Abilities::ALL;
        for one in self.members.iter().map(|m| m.info.abilities) {
            all = Abilities {
                without_replica_labels: all.without_replica_labels && one.without_replica_labels,
                sharding: all.sharding && one.sharding,
                external_labels: all.external_labels && one.external_labels,
                limit: all.limit && one.limit,
                projection: all.projection && one.projection,
            };
        }
        all
    }

    async fn series(&self, ctx: &Context, request: SeriesRequest) -> Result<SeriesStream> {
        self.asked(ctx);
        self.opened(ctx, request).await.map(|stream| self.noted(ctx, stream))
    }

    async fn label_names(&self, ctx: &Context, request: LabelNamesRequest) -> Result<LabelNames> {
        let strategy = request.partial_response;
        let call = |member: &'_ ProxyMember| {
            let (store, ctx, request) = (Arc::clone(&member.store), ctx.clone(), request.clone());
            async move { store.label_names(&ctx, request).await }.boxed()
        };
        match self.call(ctx, call).await {
            Ok(names) => Ok(names),
            Err((member, fault)) => {
                let mut answer = LabelNames::default();
                answer.warnings.push(fault.told(Step::LabelNames, member, self.interval, strategy)?);
                Ok(answer)
            }
        }
    }

    async fn label_values(&self, ctx: &Context, request: LabelValuesRequest) -> Result<LabelValues> {
        let strategy = request.partial_response;
        let call = |member: &'_ ProxyMember| {
            let (store, ctx, request) = (Arc::clone(&member.store), ctx.clone(), request.clone());
            async move { store.label_values(&ctx, request).await }.boxed()
        };
        match self.call(ctx, call).await {
            Ok(values) => Ok(values),
            Err((member, fault)) => {
                let mut answer = LabelValues::default();
                answer.warnings.push(fault.told(Step::LabelValues, member, self.interval, strategy)?);
                Ok(answer)
            }
        }
    }
}

/// A stream of one member that is read.
struct Reading {
    /// `None` after its end.
    attempt: Option<Attempt>,
    strategy: PartialResponse,
    interval: Interval,
    statistics: Arc<ProxyStatistics>,
}

fn frames(reading: Reading) -> SeriesStream {
    stream::unfold(reading, |mut reading| async move {
        let frame = reading.next().await?;
        if frame.is_err() {
            reading.attempt = None;
        }
        Some((frame, reading))
    })
    .boxed()
}

impl Reading {
    async fn next(&mut self) -> Option<Result<Frame>> {
        let attempt = self.attempt.as_mut()?;
        match attempt.next().await {
            Ok(Some(Frame::Warning(warning))) if self.strategy == PartialResponse::Abort => {
                Some(Err(aborted(&warning.message)))
            }
            Ok(Some(Frame::Warning(mut warning))) => {
                if warning.origin.is_empty() {
                    warning.origin = attempt.member.address.to_string();
                }
                Some(Ok(Frame::Warning(warning)))
            }
            Ok(frame) => frame.map(Ok),
            Err(fault) => {
                self.statistics.failed.fetch_add(1, Ordering::Relaxed);
                let told = fault.told(Step::Read, &attempt.member, self.interval, self.strategy);
                self.attempt = None;
                Some(told.map(Frame::Warning))
            }
        }
    }
}
