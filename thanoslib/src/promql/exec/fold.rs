//! Aggregations that take the series of a leaf as soon as these are reduced.
//!
//! Series are taken in order. The job whose series come next adds each at once, so that it holds
//! one at a time and those of its processor's cache; jobs that run ahead of their turn keep theirs
//! until it comes, which they look for at each series. So the result is the same for any number of
//! workers.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use crate::{
    budget::Lease,
    error::{Error, Result},
    model::{LABEL_NAME, Labels},
    promql::{
        Annotations, Block, Steps,
        names::{LABEL_TYPE, LABEL_UNIT, Seen, same_labelset},
        ops::aggregate::Aggregator,
    },
};

use super::Shared;

/// The aggregation of one leaf.
#[derive(Debug)]
pub(super) struct Fold {
    pub(super) aggregator: Aggregator,
    /// Bytes reserved for what the aggregation holds.
    pub(super) held: Option<Lease>,
    /// Labels seen, where two series with the same labels are an error.
    pub(super) seen: Option<Seen>,
    /// True when all series have the same name, and come with it.
    pub(super) named: bool,
}

impl Fold {
    /// True for a series that may keep the name that it should lose before it is aggregated: no group
    /// has it, and no series before becomes the same without it.
    ///
    /// Series of one name differ without it, unless one of them has a type or a unit, which it loses
    /// too. That one came before, for the other has a label behind those in its place.
    pub(super) fn passes_names(&self, labels: &Labels) -> bool {
        let Some(seen) = &self.seen else { return false };
        self.named
            && seen.is_empty()
            && labels.iter().last().is_some_and(|l| l.name > LABEL_UNIT)
            && !labels.iter().any(|l| l.name == LABEL_TYPE || l.name == LABEL_UNIT)
            && !self.aggregator.groups_by_names()
    }

    /// Adds a series; what is left in `block` has no meaning.
    ///
    /// # Errors
    /// Two series with the same labels, too much memory, a query that must stop.
    pub(super) fn add(
        &mut self,
        shared: &Shared,
        steps: Steps,
        annotations: &mut Annotations,
        block: &mut Block,
    ) -> Result<()> {
        let is_named = self.named && block.labels.get(LABEL_NAME).is_some();
        if let Some(seen) = &mut self.seen
            && !is_named
            && !seen.insert(&block.labels)
        {
            return Err(same_labelset());
        }
        self.aggregator.absorb(&mut shared.scope(steps, annotations), block)?;
        let held = match &mut self.held {
            Some(held) => held,
            none => none.insert(shared.ctx.budget().reserve(0)?),
        };
        let more = self.aggregator.held_bytes().saturating_sub(held.bytes());
        if more > 0 {
            held.grow(more)?;
        }
        Ok(())
    }
}

/// The right of a job to add to the aggregations of its read, which it has or waits for.
#[derive(Debug)]
pub(super) struct Turn<'f> {
    /// Nothing for a job that leaves all to those who take in its parts.
    folds: Option<&'f Folds>,
    job: usize,
    list: Option<MutexGuard<'f, Vec<Option<Fold>>>>,
}

impl<'f> Turn<'f> {
    pub(super) fn new(folds: Option<&'f Folds>, job: usize) -> Self {
        Self { folds, job, list: None }
    }

    /// True when the turn has come since it was asked last; nobody is waited for.
    pub(super) fn comes(&mut self) -> bool {
        if self.list.is_none()
            && let Some(folds) = self.folds
        {
            self.list = folds.turn(self.job);
            return self.list.is_some();
        }
        false
    }

    /// The aggregation of a leaf, when it is the turn of this job.
    pub(super) fn fold(&mut self, leaf: usize) -> Option<&mut Fold> {
        self.list.as_mut()?.get_mut(leaf)?.as_mut()
    }

    /// Ends the turn, and makes it that of the job behind.
    pub(super) fn end(self) {
        if let (Some(folds), Some(list)) = (self.folds, self.list) {
            drop(list);
            folds.done(self.job);
        }
    }
}

/// The aggregations of a read: a place for each of its leaves.
#[derive(Debug)]
pub(super) struct Folds {
    /// The job whose series come next.
    next: AtomicUsize,
    list: Mutex<Vec<Option<Fold>>>,
    /// True when there is any.
    any: bool,
}

impl Folds {
    pub(super) fn new(list: Vec<Option<Fold>>) -> Self {
        let any = list.iter().any(Option::is_some);
        Self { next: AtomicUsize::new(0), list: Mutex::new(list), any }
    }

    /// The aggregations, when it is the turn of this job; nobody is waited for.
    fn turn(&self, job: usize) -> Option<MutexGuard<'_, Vec<Option<Fold>>>> {
        let is_next = self.any && self.next.load(Ordering::Acquire) == job;
        is_next.then(|| self.list.try_lock().ok()).flatten()
    }

    /// Makes it the turn of the job behind.
    pub(super) fn done(&self, job: usize) {
        self.next.store(job + 1, Ordering::Release);
    }

    /// The aggregations, for series that a job kept and whose turn it is now.
    ///
    /// # Errors
    /// `Internal` when a job that ended still holds them.
    pub(super) fn late(&self) -> Result<MutexGuard<'_, Vec<Option<Fold>>>> {
        self.list.try_lock().map_err(|_| Error::internal("an aggregation is in use by two jobs"))
    }

    /// The aggregations at the end.
    pub(super) fn take(&self) -> Vec<Option<Fold>> {
        std::mem::take(&mut *self.list.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
