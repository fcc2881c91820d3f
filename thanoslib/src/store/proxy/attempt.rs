//! One try to read one member.

use std::sync::Arc;

use futures::StreamExt;
use tokio::time::Instant;

use super::{
    fault::{Fault, awaited},
    member::ProxyMember,
    tolerance::{Breaker, Health, Patience},
};
use crate::{
    context::Context,
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
        let opened = member.store.series(&trying.ctx, request);
        match awaited(&trying.ctx, &member, trying.patience, opened).await {
            Ok(stream) => Ok(Self { member, trying, stream: Some(stream), begin, any_frame: false }),
            Err(fault) => {
                trying.health.failed(&member, &fault, trying.breaker);
                Err(fault)
            }
        }
    }

    /// The next frame; `None` at the end, and after a fault.
    pub(super) async fn next(&mut self) -> Result<Option<Frame>, Fault> {
        let Some(stream) = self.stream.as_mut() else { return Ok(None) };
        let next = async { stream.next().await.transpose() };
        let trying = &self.trying;
        let done = awaited(&trying.ctx, &self.member, trying.patience, next).await;
        match &done {
            Ok(frame) => {
                if !std::mem::replace(&mut self.any_frame, true) {
                    trying.health.answered(&self.member, self.begin.elapsed());
                }
                if frame.is_none() {
                    self.stream = None;
                }
            }
            Err(fault) => {
                trying.health.failed(&self.member, fault, trying.breaker);
                self.stream = None;
            }
        }
        done
    }
}
