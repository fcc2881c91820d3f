//! A member that is watched: silence, failures and broken promises become warnings or the end.

use std::sync::{Arc, atomic::Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::{StreamExt, stream};

use super::{
    ProxyStatistics,
    fault::{Fault, Step, aborted, awaited},
    member::ProxyMember,
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

/// A member whose answers are limited in time. Where a partial answer is wanted its failures are
/// warnings; an error that still comes ends the request.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) member: ProxyMember,
    /// What is asked, for warnings.
    pub(super) interval: Interval,
    pub(super) response_timeout: Option<Duration>,
    pub(super) statistics: Arc<ProxyStatistics>,
}

impl Watched {
    fn failed(&self) {
        self.statistics.failed.fetch_add(1, Ordering::Relaxed);
    }

    fn asked(&self) {
        self.statistics.asked.fetch_add(1, Ordering::Relaxed);
    }
}

#[async_trait]
impl Store for Watched {
    fn info(&self) -> StoreInfo {
        (*self.member.info).clone()
    }

    fn abilities(&self) -> Abilities {
        self.member.info.abilities
    }

    async fn series(&self, ctx: &Context, request: SeriesRequest) -> Result<SeriesStream> {
        self.asked();
        let strategy = request.partial_response;
        let member = &self.member;
        match awaited(ctx, member, self.response_timeout, member.store.series(ctx, request)).await {
            Ok(stream) => Ok(frames(Reading {
                stream: Some(stream),
                ctx: ctx.clone(),
                strategy,
                member: member.clone(),
                interval: self.interval,
                response_timeout: self.response_timeout,
                statistics: Arc::clone(&self.statistics),
            })),
            Err(fault) => {
                self.failed();
                fault.told(Step::Open, member, self.interval, strategy).map(merge::warning)
            }
        }
    }

    async fn label_names(&self, ctx: &Context, request: LabelNamesRequest) -> Result<LabelNames> {
        self.asked();
        let strategy = request.partial_response;
        let member = &self.member;
        let call = member.store.label_names(ctx, request);
        match awaited(ctx, member, self.response_timeout, call).await {
            Ok(names) => Ok(names),
            Err(fault) => {
                self.failed();
                let mut answer = LabelNames::default();
                answer.warnings.push(fault.told(Step::LabelNames, member, self.interval, strategy)?);
                Ok(answer)
            }
        }
    }

    async fn label_values(&self, ctx: &Context, request: LabelValuesRequest) -> Result<LabelValues> {
        self.asked();
        let strategy = request.partial_response;
        let member = &self.member;
        let call = member.store.label_values(ctx, request);
        match awaited(ctx, member, self.response_timeout, call).await {
            Ok(values) => Ok(values),
            Err(fault) => {
                self.failed();
                let mut answer = LabelValues::default();
                answer.warnings.push(fault.told(Step::LabelValues, member, self.interval, strategy)?);
                Ok(answer)
            }
        }
    }
}

/// A stream of a member that is read.
struct Reading {
    /// `None` after its end.
    stream: Option<SeriesStream>,
    ctx: Context,
    strategy: PartialResponse,
    member: ProxyMember,
    interval: Interval,
    response_timeout: Option<Duration>,
    statistics: Arc<ProxyStatistics>,
}

fn frames(reading: Reading) -> SeriesStream {
    stream::unfold(reading, |mut reading| async move {
        let frame = reading.next().await?;
        if frame.is_err() {
            reading.stream = None;
        }
        Some((frame, reading))
    })
    .boxed()
}

impl Reading {
    async fn next(&mut self) -> Option<Result<Frame>> {
        let stream = self.stream.as_mut()?;
        let next = async { stream.next().await.transpose() };
        let fault = match awaited(&self.ctx, &self.member, self.response_timeout, next).await {
            Ok(Some(Frame::Warning(warning))) if self.strategy == PartialResponse::Abort => {
                return Some(Err(aborted(&warning.message)));
            }
            Ok(Some(Frame::Warning(mut warning))) => {
                if warning.origin.is_empty() {
                    warning.origin = self.member.address.to_string();
                }
                return Some(Ok(Frame::Warning(warning)));
            }
            Ok(frame) => return frame.map(Ok),
            Err(fault) => fault,
        };
        self.stream = None;
        self.statistics.failed.fetch_add(1, Ordering::Relaxed);
        Some(self.told(fault))
    }

    fn told(&self, fault: Fault) -> Result<Frame> {
        fault.told(Step::Read, &self.member, self.interval, self.strategy).map(Frame::Warning)
    }
}
