//! Functions over the short windows of a group of steps, computed side by side.
//!
//! The windows take turns sample by sample, so that no addition waits for the one before, and
//! several run in one register. Each window takes its samples in their order: results are those of
//! windows one by one, to the bit. What has special cases, infinities above all, is declined.

use crate::{model::two_sum, promql::pace::GROUP};

use super::{runs::Runs, sliding::SHORT};

/// Most samples of a window whose extreme is looked for anew.
const EXTREME: usize = 32;

/// A value for each window of a group.
type Row = [f64; GROUP];

/// Calls `of` with the first, second, … sample of all windows.
#[inline(always)]
fn rows(values: &[f64], runs: &Runs, mut of: impl FnMut(usize, &Row)) {
    let from = runs.get(0).start;
    for k in 0..runs.len() {
        match values[from + k..].first_chunk::<GROUP>() {
            Some(row) if runs.stride() == 1 => of(k, row),
            _ => of(k, &std::array::from_fn(|i| values[from + k + i * runs.stride()])),
        }
    }
}

/// Adds a row to compensated sums, as [`kahan_add`](crate::model::kahan_add) does while all are
/// finite.
#[inline(always)]
fn add(row: &Row, sum: &mut Row, c: &mut Row) {
    for i in 0..GROUP {
        let (next, lost) = two_sum(sum[i], row[i]);
        (sum[i], c[i]) = (next, c[i] + lost);
    }
}

/// True when all sums are finite, compensations too; then they were so all along.
#[inline(always)]
fn finite(sum: &Row, c: &Row) -> bool {
    (0..GROUP).fold(true, |all, i| all & (sum[i] + c[i]).is_finite())
}

/// sum_over_time, or avg_over_time.
#[inline]
pub(super) fn sums(values: &[f64], runs: &Runs, average: bool, out: &mut Row) -> bool {
    if runs.len() > SHORT {
        return false;
    }
    let (mut sum, mut c) = ([0.0; GROUP], [0.0; GROUP]);
    rows(values, runs, |k, row| {
        if k == 0 && average {
            sum = *row;
        } else {
            add(row, &mut sum, &mut c);
        }
    });
    let n = runs.len() as f64;
    for i in 0..GROUP {
        out[i] = if average { sum[i] / n + c[i] / n } else { sum[i] + c[i] };
    }
    finite(&sum, &c)
}

/// stddev_over_time, or stdvar_over_time without the root.
#[inline]
pub(super) fn deviations(values: &[f64], runs: &Runs, root: bool, out: &mut Row) -> bool {
    if runs.len() > SHORT {
        return false;
    }
    let zero = [0.0; GROUP];
    let (mut mean, mut mean_c, mut squares, mut squares_c) = (zero, zero, zero, zero);
    let (mut delta, mut part) = (zero, zero);
    rows(values, runs, |k, row| {
        let n = (k + 1) as f64;
        for i in 0..GROUP {
            delta[i] = row[i] - (mean[i] + mean_c[i]);
            part[i] = delta[i] / n;
        }
        add(&part, &mut mean, &mut mean_c);
        for i in 0..GROUP {
            part[i] = delta[i] * (row[i] - (mean[i] + mean_c[i]));
        }
        add(&part, &mut squares, &mut squares_c);
    });
    let n = runs.len() as f64;
    for i in 0..GROUP {
        let variance = (squares[i] + squares_c[i]) / n;
        out[i] = if root { variance.sqrt() } else { variance };
    }
    finite(&mean, &mean_c) && finite(&squares, &squares_c)
}

/// min_over_time, or max_over_time.
#[inline]
pub(super) fn extremes(values: &[f64], runs: &Runs, smallest: bool, out: &mut Row) -> bool {
    if runs.len() > EXTREME {
        return false;
    }
    // NaN is the extreme of windows with nothing else.
    rows(values, runs, |k, row| {
        if k == 0 {
            *out = *row;
        } else if smallest {
            replace(row, out, |new, old| new < old);
        } else {
            replace(row, out, |new, old| new > old);
        }
    });
    true
}

#[inline(always)]
fn replace(row: &Row, out: &mut Row, better: impl Fn(f64, f64) -> bool) {
    for (new, old) in row.iter().zip(out) {
        let take = better(*new, *old) | (old.is_nan() & !new.is_nan());
        *old = if take { *new } else { *old };
    }
}
