//! Times of rounds and ratios between them.

use std::time::{Duration, Instant};

/// How long a job is repeated.
const SPAN: Duration = Duration::from_millis(250);
/// Rounds that are run at least.
const ROUNDS: usize = 5;

/// The median time of a round, after one round to warm up.
pub(crate) fn median_ns(mut job: impl FnMut()) -> f64 {
    job();
    let mut rounds = Vec::new();
    let start = Instant::now();
    while rounds.len() < ROUNDS || start.elapsed() < SPAN {
        let round = Instant::now();
        job();
        rounds.push(round.elapsed().as_nanos() as f64);
    }
    rounds.sort_by(f64::total_cmp);
    rounds[rounds.len() / 2]
}

/// `a / b`, turn by turn.
pub(crate) fn ratios(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a / b).collect()
}

/// The arithmetic mean.
pub(crate) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The geometric mean.
pub(crate) fn geometric_mean(values: &[f64]) -> f64 {
    (values.iter().map(|v| v.ln()).sum::<f64>() / values.len() as f64).exp()
}

/// The greatest value.
pub(crate) fn max(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

/// The smallest value.
pub(crate) fn min(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}
