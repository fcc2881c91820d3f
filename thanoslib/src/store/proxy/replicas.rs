//! Reading one member of a group, and another when it is slow or fails.

use std::collections::VecDeque;

use futures::{
    StreamExt,
    future::BoxFuture,
    stream::{self, FuturesUnordered},
};

use super::{
    attempt::{Attempt, Trying},
    fault::{Fault, Step, aborted},
    member::ProxyMember,
    tolerance::Tolerance,
};
use crate::{
    error::{Error, Result},
    model::{Interval, Labels},
    series::{BatchBuilder, SeriesBatch},
    store::{Frame, PartialResponse, SeriesRequest, SeriesStream},
};

/// The members of a group that hold the same data, and what they are asked.
pub(super) struct Replicas {
    pub(super) trying: Trying,
    pub(super) tolerance: Tolerance,
    pub(super) request: SeriesRequest,
    /// One of them, for texts.
    pub(super) face: ProxyMember,
    /// Who may be asked, in this order.
    pub(super) left: VecDeque<ProxyMember>,
    pub(super) interval: Interval,
}

/// Who failed, where, and how.
type Failure = (ProxyMember, Step, Fault);

/// A member that has begun to answer.
struct Started {
    attempt: Attempt,
    first: Option<Frame>,
}

/// Opens a member and reads its first frame.
async fn begin(trying: Trying, member: ProxyMember, request: SeriesRequest) -> Result<Started, Failure> {
    let face = member.clone();
    match Attempt::open(trying, member, request).await {
        Err(fault) => Err((face, Step::Open, fault)),
        Ok(mut attempt) => match attempt.next().await {
            Ok(first) => Ok(Started { attempt, first }),
            Err(fault) => Err((face, Step::Read, fault)),
        },
    }
}

impl Replicas {
    /// Finds a member that answers: one after the other, or two when the first is slow.
    async fn start(&mut self, mut failure: Option<Failure>) -> Result<Started, Failure> {
        let mut running: FuturesUnordered<BoxFuture<'static, Result<Started, Failure>>> =
            FuturesUnordered::new();
        let mut begun: Vec<ProxyMember> = Vec::new();
        let mut hedged = false;
        loop {
            if running.is_empty() {
                let next =
                    if failure.is_none() || self.tolerance.fail_over { self.left.pop_front() } else { None };
                match (next, failure.take()) {
                    (Some(member), _) => running.push(self.begun(member, &mut begun)),
                    (None, Some(failure)) => return Err(failure),
                    (None, None) => {
                        // Nobody was there to be asked.
                        let message = Error::internal("a group of stores without members");
                        return Err((self.face.clone(), Step::Open, Fault::Own(message)));
                    }
                }
            }
            let slow = begun.last().and_then(|m| self.trying.health.slow_after(m));
            let slow = slow.filter(|_| self.tolerance.hedge && !hedged && !self.left.is_empty());
            let wait = async {
                match slow {
                    Some(after) => tokio::time::sleep(after).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                Some(done) = running.next() => match done {
                    Ok(started) => {
                        // Who was slower may still be asked when this one fails.
                        let address = &started.attempt.member.address;
                        begun.retain(|m| m.address != *address);
                        self.left.extend(begun);
                        return Ok(started);
                    }
                    Err((member, step, fault)) => {
                        begun.retain(|m| m.address != member.address);
                        let own = matches!(fault, Fault::Own(_));
                        failure = Some((member, step, fault));
                        if own {
                            running.clear();
                            self.left.clear();
                        }
                    }
                },
                () = wait => {
                    hedged = true;
                    if let Some(member) = self.left.pop_front() {
                        running.push(self.begun(member, &mut begun));
                    }
                }
            }
        }
    }

    fn begun(
        &self,
        member: ProxyMember,
        begun: &mut Vec<ProxyMember>,
    ) -> BoxFuture<'static, Result<Started, Failure>> {
        begun.push(member.clone());
        Box::pin(begin(self.trying.clone(), member, self.request.clone()))
    }
}

/// A group that is read.
struct Reading {
    replicas: Replicas,
    now: Option<Started>,
    /// Parts of the last series, which may go on: whole series only are sent, so that another
    /// member can go on after them.
    open: Vec<SeriesBatch>,
    /// The last series that was sent.
    sent: Option<Labels>,
    ready: VecDeque<Result<Frame>>,
    ended: bool,
}

/// Reads a group, as if it were one store.
pub(super) async fn read(mut replicas: Replicas) -> Result<SeriesStream> {
    let now = match replicas.start(None).await {
        Ok(started) => started,
        Err((member, step, fault)) => {
            let warning = fault.told(step, &member, replicas.interval, replicas.request.partial_response)?;
            return Ok(stream::iter([Ok(Frame::Warning(warning))]).boxed());
        }
    };
    let reading = Reading {
        replicas,
        now: Some(now),
        open: Vec::new(),
        sent: None,
        ready: VecDeque::new(),
        ended: false,
    };
    Ok(stream::unfold(reading, |mut reading| async move {
        let frame = reading.next().await?;
        Some((frame, reading))
    })
    .boxed())
}

impl Reading {
    async fn next(&mut self) -> Option<Result<Frame>> {
        loop {
            if let Some(frame) = self.ready.pop_front() {
                return Some(frame);
            }
            if self.ended {
                return None;
            }
            let now = self.now.as_mut()?;
            let frame = match now.first.take() {
                Some(frame) => Ok(Some(frame)),
                None => now.attempt.next().await,
            };
            match frame {
                Ok(Some(Frame::Batch(batch))) => self.take(batch),
                Ok(Some(Frame::Warning(warning))) if self.may_change() => {
                    // This member knows of a gap that another may not have.
                    let told = Fault::Failed(Error::unavailable(warning.message));
                    self.change(told).await;
                }
                Ok(Some(Frame::Warning(warning)))
                    if self.replicas.request.partial_response == PartialResponse::Abort =>
                {
                    self.ready.push_back(Err(aborted(&warning.message)));
                    self.ended = true;
                }
                Ok(Some(other)) => self.ready.push_back(Ok(other)),
                Ok(None) => {
                    self.send_open();
                    self.ended = true;
                }
                Err(fault) => self.change(fault).await,
            }
        }
    }

    fn may_change(&self) -> bool {
        self.replicas.tolerance.fail_over && !self.replicas.left.is_empty()
    }

    /// Goes on with another member, or ends.
    async fn change(&mut self, fault: Fault) {
        let member = match self.now.take() {
            Some(now) => now.attempt.member,
            None => self.replicas.face.clone(),
        };
        let failure = (member, Step::Read, fault);
        let own = matches!(failure.2, Fault::Own(_));
        let next =
            if own || !self.may_change() { Err(failure) } else { self.replicas.start(Some(failure)).await };
        match next {
            Ok(started) => {
                // The next one sends the series that was not whole again.
                self.open.clear();
                self.now = Some(started);
            }
            Err((member, step, fault)) => {
                self.send_open();
                let strategy = self.replicas.request.partial_response;
                let told = fault.told(step, &member, self.replicas.interval, strategy);
                self.ready.push_back(told.map(Frame::Warning));
                self.ended = true;
            }
        }
    }

    /// Takes series in: those that are surely whole are sent.
    fn take(&mut self, batch: SeriesBatch) {
        if !self.replicas.tolerance.fail_over {
            self.ready.push_back(Ok(Frame::Batch(batch)));
            return;
        }
        let batch = match &self.sent {
            Some(sent) => after(&batch, sent),
            None => batch,
        };
        let Some(last) = batch.len().checked_sub(1) else { return };
        let labels = |b: &SeriesBatch, i: usize| b.get(i).map(|s| s.labels().to_labels());
        let goes_on = self.open.first().is_some_and(|open| labels(open, 0) == labels(&batch, 0));
        if !goes_on {
            self.send_open();
        } else if last > 0 {
            // The open series ends with the first of this batch.
            self.open.push(cut(&batch, 0, 1));
            self.send_open();
        } else {
            self.open.push(batch);
            return;
        }
        let from = usize::from(goes_on);
        let whole = cut(&batch, from, last);
        if !whole.is_empty() {
            self.send(whole);
        }
        self.open.push(cut(&batch, last, last + 1));
    }

    fn send_open(&mut self) {
        for part in std::mem::take(&mut self.open) {
            self.send(part);
        }
    }

    fn send(&mut self, batch: SeriesBatch) {
        let last = batch.len().checked_sub(1).and_then(|i| batch.get(i));
        self.sent = last.map(|s| s.labels().to_labels()).or(self.sent.take());
        self.ready.push_back(Ok(Frame::Batch(batch)));
    }
}

/// Series `from` to before `to` of a batch.
fn cut(batch: &SeriesBatch, from: usize, to: usize) -> SeriesBatch {
    let mut out = BatchBuilder::default();
    (from..to).filter_map(|i| batch.get(i)).for_each(|series| out.copy(series));
    out.finish()
}

/// The series of a batch that come after one.
fn after(batch: &SeriesBatch, sent: &Labels) -> SeriesBatch {
    let from =
        (0..batch.len()).take_while(|i| batch.get(*i).is_some_and(|s| s.labels() <= sent.view())).count();
    if from == 0 { batch.clone() } else { cut(batch, from, batch.len()) }
}
