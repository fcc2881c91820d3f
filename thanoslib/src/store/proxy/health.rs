//! How stores did so far: how fast they were, and which had better not be asked.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::{fault::Fault, member::ProxyMember, tolerance::Breaker};
use crate::error::Error;

/// Times of first frames that are remembered of a store.
const TIMES_KEPT: usize = 64;
/// Times that must be known before a second store is asked early.
const TIMES_NEEDED: usize = 8;

/// How stores did, by address.
#[derive(Debug, Default)]
pub(super) struct Health(Mutex<HashMap<Arc<str>, Record>>);

#[derive(Debug, Default)]
struct Record {
    /// Times to the first frame, oldest first from `next`.
    times: Vec<Duration>,
    next: usize,
    failures: u32,
    last_error: String,
    rests_until: Option<Instant>,
}

impl Record {
    /// The time that 95 of 100 answers kept.
    fn slow_after(&self) -> Option<Duration> {
        if self.times.len() < TIMES_NEEDED {
            return None;
        }
        let mut sorted = self.times.clone();
        sorted.sort();
        sorted.get((sorted.len() * 95).div_ceil(100).saturating_sub(1)).copied()
    }

    fn median(&self) -> Duration {
        let mut sorted = self.times.clone();
        sorted.sort();
        sorted.get(sorted.len() / 2).copied().unwrap_or_default()
    }
}

impl Health {
    fn records(&self) -> MutexGuard<'_, HashMap<Arc<str>, Record>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes the first frame of an answer.
    pub(super) fn answered(&self, member: &ProxyMember, after: Duration) {
        let mut records = self.records();
        let record = records.entry(Arc::clone(&member.address)).or_default();
        (record.failures, record.rests_until) = (0, None);
        if record.times.len() < TIMES_KEPT {
            record.times.push(after);
        } else if let Some(oldest) = record.times.get_mut(record.next) {
            *oldest = after;
            record.next = (record.next + 1) % TIMES_KEPT;
        }
    }

    /// Notes a failure.
    pub(super) fn failed(&self, member: &ProxyMember, fault: &Fault, breaker: Option<Breaker>) {
        let text = match fault {
            Fault::Own(_) => return,
            Fault::Failed(e) => e.to_string(),
            Fault::Silent(after) | Fault::Late(after) => format!("no answer in {after:?}"),
        };
        let mut records = self.records();
        let record = records.entry(Arc::clone(&member.address)).or_default();
        record.failures = record.failures.saturating_add(1);
        record.last_error = text;
        if let Some(breaker) = breaker.filter(|b| record.failures >= b.failures) {
            record.rests_until = Instant::now().checked_add(breaker.rest);
        }
    }

    /// Why a member is not to be asked now; when its rest is over one request may try.
    pub(super) fn refuses(&self, member: &ProxyMember, breaker: Option<Breaker>) -> Option<Fault> {
        let breaker = breaker?;
        let mut records = self.records();
        let record = records.get_mut(&member.address)?;
        let until = record.rests_until?;
        let now = Instant::now();
        if until <= now {
            // The others wait for what this one finds.
            record.rests_until = now.checked_add(breaker.rest);
            return None;
        }
        let (failures, last) = (record.failures, &record.last_error);
        Some(Fault::Failed(Error::unavailable(format!(
            "not asked: it failed {failures} times in a row, last: {last}"
        ))))
    }

    /// The time after which another member may be asked besides.
    pub(super) fn slow_after(&self, member: &ProxyMember) -> Option<Duration> {
        self.records().get(&member.address)?.slow_after()
    }

    /// Sorts members: those that rest last, then by failures, then by how fast they were.
    pub(super) fn sort(&self, members: &mut [ProxyMember]) {
        let records = self.records();
        let now = Instant::now();
        members.sort_by_cached_key(|member| match records.get(&member.address) {
            None => (false, 0, Duration::ZERO),
            Some(r) => (r.rests_until.is_some_and(|until| until > now), r.failures, r.median()),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{model::Labels, store::MemoryStore};

    fn member(address: &str) -> ProxyMember {
        ProxyMember::local(address, Arc::new(MemoryStore::new(Labels::empty())))
    }

    #[tokio::test(start_paused = true)]
    async fn the_breaker_opens_and_lets_one_try() {
        let health = Health::default();
        let store = member("a");
        let breaker = Some(Breaker { failures: 2, rest: Duration::from_secs(10) });
        let gone = || Fault::Failed(Error::unavailable("gone"));
        health.failed(&store, &gone(), breaker);
        assert!(health.refuses(&store, breaker).is_none());
        health.failed(&store, &gone(), breaker);
        let refused = health.refuses(&store, breaker);
        let text = "not asked: it failed 2 times in a row, last: gone";
        assert!(matches!(refused, Some(Fault::Failed(e)) if e.message() == text));
        tokio::time::advance(Duration::from_secs(10)).await;
        assert!(health.refuses(&store, breaker).is_none(), "one tries");
        assert!(health.refuses(&store, breaker).is_some(), "the others wait");
        health.answered(&store, Duration::from_millis(1));
        assert!(health.refuses(&store, breaker).is_none());
    }

    #[test]
    fn the_best_member_comes_first() {
        let health = Health::default();
        let (slow, fast, failing) = (member("slow"), member("fast"), member("failing"));
        for ms in 0..100 {
            health.answered(&slow, Duration::from_millis(100 + ms));
            health.answered(&fast, Duration::from_millis(10));
        }
        health.failed(&failing, &Fault::Silent(Duration::from_secs(1)), None);
        let mut members = [failing, slow.clone(), fast];
        health.sort(&mut members);
        assert_eq!(members.map(|m| m.address.to_string()), ["fast", "slow", "failing"]);
        // Of the last 64 answers, between 136 and 199 ms.
        assert_eq!(health.slow_after(&slow), Some(Duration::from_millis(196)));
        assert_eq!(health.slow_after(&member("new")), None);
    }
}
