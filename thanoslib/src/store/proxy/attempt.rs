//! One try to read one member.

use std::sync::Arc;

use futures::StreamExt;
use tokio::time::Instant;

use super::{
    check::Check,
    fault::{Fault, awaited},
    health::Health,
    member::ProxyMember,
    tolerance::{Breaker, Patience},
};
use crate::{
    context::Context,
    error::Error,
    store::{Frame, SeriesRequest, SeriesStream},
};

/// What every try of one request shares.
#[derive(Clone, Debug)]
pub(super) struct Trying {
    pub(super) ctx: Context,
    pub(super) patience: Patience,
    pub(super) health: Arc<Health>,
    pub(super) breaker: Option<Breaker>,
}

impl Trying {
    /// Awaits a member for one answer, and notes how it did.
    pub(super) async fn call<T>(
        &self,
        member: &ProxyMember,
        work: impl Future<Output = crate::error::Result<T>> + Send,
    ) -> Result<T, Fault> {
        if let Some(fault) = self.health.refuses(member, self.breaker) {
            return Err(fault);
        }
        let begin = Instant::now();
        let done = awaited(&self.ctx, member, self.patience, work).await;
        match &done {
            Ok(_) => self.health.answered(member, begin.elapsed()),
            Err(fault) => self.health.failed(member, fault, self.breaker),
        }
        done
    }
}

/// A stream of one member.
pub(super) struct Attempt {
    pub(super) member: ProxyMember,
    trying: Trying,
    /// `None` after its end.
    stream: Option<SeriesStream>,
    begin: Instant,
    any_frame: bool,
    check: Check,
}

impl Attempt {
    /// Opens the stream of a member.
    pub(super) async fn open(
        trying: Trying,
        member: ProxyMember,
        request: SeriesRequest,
    ) -> Result<Self, Fault> {
        if let Some(fault) = trying.health.refuses(&member, trying.breaker) {
            return Err(fault);
        }
        let begin = Instant::now();
        trying.ctx.coverage().begun(&member.address);
        let opened = member.store.series(&trying.ctx, request);
        match awaited(&trying.ctx, &member, trying.patience, opened).await {
            Ok(stream) => {
                let (stream, any_frame, check) = (Some(stream), false, Check::new(&member));
                Ok(Self { member, trying, stream, begin, any_frame, check })
            }
            Err(fault) => {
                trying.health.failed(&member, &fault, trying.breaker);
                if !matches!(fault, Fault::Own(_)) {
                    trying.ctx.coverage().ended(&member.address);
                }
                Err(fault)
            }
        }
    }

    fn ended(&mut self) {
        self.trying.ctx.coverage().ended(&self.member.address);
        self.stream = None;
    }

    /// The next frame; `None` at the end, and after a fault. A member that breaks the contract of a
    /// store is one that fails.
    pub(super) async fn next(&mut self) -> Result<Option<Frame>, Fault> {
        loop {
            let Some(stream) = self.stream.as_mut() else { return Ok(None) };
            let next = async { stream.next().await.transpose() };
            let trying = &self.trying;
            let done = awaited(&trying.ctx, &self.member, trying.patience, next).await;
            let broken = |wrong| Fault::Failed(Error::corrupt(wrong));
            let checked = match done {
                Ok(Some(Frame::Batch(batch))) => {
                    trying.ctx.coverage().sent(&self.member.address, batch.size_bytes());
                    let batch = Frame::Batch(batch.with_origin(&self.member.address));
                    self.check.frame(batch).map_err(broken).map(|frame| (frame, false))
                }
                Ok(Some(frame)) => self.check.frame(frame).map_err(broken).map(|frame| (frame, false)),
                Ok(None) => Ok((None, true)),
                Err(fault) => Err(fault),
            };
            match checked {
                Ok((frame, ended)) => {
                    if !std::mem::replace(&mut self.any_frame, true) {
                        trying.health.answered(&self.member, self.begin.elapsed());
                    }
                    if ended {
                        self.ended();
                    }
                    if ended || frame.is_some() {
                        return Ok(frame);
                    }
                }
                Err(fault) => {
                    trying.health.failed(&self.member, &fault, trying.breaker);
                    // What the request itself has ended is not at its own end.
                    if !matches!(fault, Fault::Own(_)) {
                        self.ended();
                    }
                    self.stream = None;
                    return Err(fault);
                }
            }
        }
    }
}
