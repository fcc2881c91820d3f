//! How many requests come in a time.

use std::{
    sync::{Mutex, PoisonError},
    time::Instant,
};

use super::config::RateLimit;

/// A bucket that fills with time and from which each request takes one.
#[derive(Debug)]
pub(super) struct Limiter {
    limit: RateLimit,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    left: f64,
    filled: Instant,
}

impl Limiter {
    /// A full bucket.
    pub(super) fn new(limit: RateLimit, now: Instant) -> Self {
        Self { limit, state: Mutex::new(State { left: f64::from(limit.burst), filled: now }) }
    }

    /// True when one more request may come now.
    pub(super) fn allows(&self, now: Instant) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let since = now.saturating_duration_since(state.filled).as_secs_f64();
        let more = since / self.limit.interval.as_secs_f64();
        state.left = (state.left + more).min(f64::from(self.limit.burst));
        state.filled = state.filled.max(now);
        let allowed = state.left >= 1.0;
        if allowed {
            state.left -= 1.0;
        }
        allowed
    }

    /// True when it limits by these figures.
    pub(super) fn is(&self, limit: RateLimit) -> bool {
        self.limit == limit
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_passes_and_then_one_in_each_interval() {
        let now = Instant::now();
        let limiter = Limiter::new(RateLimit { interval: Duration::from_millis(100), burst: 2 }, now);
        let at = |ms| limiter.allows(now + Duration::from_millis(ms));
        assert_eq!(
            [at(0), at(0), at(0), at(50), at(100), at(120), at(1000), at(1000), at(1000)],
            [true, true, false, false, true, false, true, true, false]
        );
        let closed = Limiter::new(RateLimit { interval: Duration::from_millis(1), burst: 0 }, now);
        assert!(!closed.allows(now + Duration::from_secs(9)));
    }
}
