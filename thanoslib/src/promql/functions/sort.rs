//! `sort`, `sort_desc`, `sort_by_label`, `sort_by_label_desc`.

use std::cmp::Ordering;

use crate::promql::{
    Block,
    ast::Expr,
    order::{INSERTION_MAX, sort_like_go},
    scope::Scope,
};

/// Range queries order their result by labels; says whether that is the case.
fn ineffective(scope: &mut Scope<'_>, node: &Expr) -> bool {
    let many = scope.steps.count > 1;
    if many {
        scope.warn(node, "sort is ineffective for range queries since results are always ordered by labels");
    }
    many
}

/// Orders floats by value, NaN last; histograms fall away.
pub(super) fn by_value(
    scope: &mut Scope<'_>,
    node: &Expr,
    mut blocks: Vec<Block>,
    descending: bool,
) -> Vec<Block> {
    for block in &mut blocks {
        block.histograms.clear();
    }
    blocks.retain(|b| !b.is_empty());
    if !ineffective(scope, node) {
        let value = |b: &Block| b.float(0).unwrap_or(f64::NAN);
        sort_like_go(&mut blocks, |a, b| {
            let (a, b) = (value(a), value(b));
            b.is_nan() || if descending { a > b } else { a < b }
        });
    }
    blocks
}

/// Orders series by the natural order of some labels, then by all labels.
pub(super) fn by_label(
    scope: &mut Scope<'_>,
    node: &Expr,
    mut blocks: Vec<Block>,
    names: &[Vec<u8>],
    descending: bool,
) -> Vec<Block> {
    if ineffective(scope, node) {
        return blocks;
    }
    let compare = |a: &Block, b: &Block| {
        names
            .iter()
            .map(|name| natural_order(value_of(a, name), value_of(b, name)))
            .find(|order| order.is_ne())
            .unwrap_or_else(|| a.labels.cmp(&b.labels))
    };
    if blocks.len() > INSERTION_MAX {
        blocks.sort_by(|a, b| if descending { compare(b, a) } else { compare(a, b) });
        return blocks;
    }
    let precedes = |a: &Block, b: &Block| {
        let mut values = names.iter().map(|name| (value_of(a, name), value_of(b, name)));
        match values.find(|(a, b)| a != b) {
            // Descending order asks the same question and turns its answer around.
            Some((a, b)) => naturally_precedes(a, b) != descending,
            None if descending => a.labels > b.labels,
            None => a.labels < b.labels,
        }
    };
    sort_like_go(&mut blocks, precedes);
    blocks
}

fn value_of<'a>(block: &'a Block, name: &[u8]) -> &'a [u8] {
    block.labels.get(name).unwrap_or_default()
}

/// True when `a` comes before `b`, which is not equal.
///
/// Compat: an empty text comes neither before nor after any other, and of texts with equal numbers
/// each comes before the other (github.com/facette/natsort).
fn naturally_precedes(a: &[u8], b: &[u8]) -> bool {
    !a.is_empty() && !b.is_empty() && order_of_runs(a, b).is_le()
}

/// A total order: by runs, then by bytes.
fn natural_order(a: &[u8], b: &[u8]) -> Ordering {
    order_of_runs(a, b).then_with(|| a.cmp(b))
}

/// Compares runs of digits by their number and the rest by bytes.
fn order_of_runs(mut x: &[u8], mut y: &[u8]) -> Ordering {
    while !x.is_empty() && !y.is_empty() {
        let (run_x, run_y) = (take_run(&mut x), take_run(&mut y));
        let order = if run_x[0].is_ascii_digit() && run_y[0].is_ascii_digit() {
            let (n, m) = (significant(run_x), significant(run_y));
            n.len().cmp(&m.len()).then_with(|| n.cmp(m))
        } else {
            run_x.cmp(run_y)
        };
        if order.is_ne() {
            return order;
        }
    }
    x.len().cmp(&y.len())
}

/// Takes the digits, or the other bytes, at the start.
fn take_run<'a>(s: &mut &'a [u8]) -> &'a [u8] {
    let digits = s[0].is_ascii_digit();
    let end = s.iter().position(|c| c.is_ascii_digit() != digits).unwrap_or(s.len());
    let (run, rest) = s.split_at(end);
    *s = rest;
    run
}

/// Digits without leading zeros.
fn significant(digits: &[u8]) -> &[u8] {
    let zeros = digits.iter().take_while(|d| **d == b'0').count();
    &digits[zeros..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_inside_texts_count_as_numbers() {
        let check = |a: &str, b: &str, want: Ordering| {
            assert_eq!(natural_order(a.as_bytes(), b.as_bytes()), want, "{a} {b}");
            assert_eq!(natural_order(b.as_bytes(), a.as_bytes()), want.reverse(), "{b} {a}");
        };
        check("node2", "node10", Ordering::Less);
        check("node2a", "node2", Ordering::Greater);
        check("", "0", Ordering::Less);
        check("1", "01", Ordering::Greater);
        check("9", "100000000000000000000000", Ordering::Less);
        check("a", "1", Ordering::Greater);
        check("a1b2", "a1b2", Ordering::Equal);
    }

    #[test]
    fn short_lists_are_compared_as_upstream() {
        let check = |a: &str, b: &str, want: (bool, bool)| {
            let (a, b) = (a.as_bytes(), b.as_bytes());
            assert_eq!((naturally_precedes(a, b), naturally_precedes(b, a)), want, "{a:?} {b:?}");
        };
        check("node2", "node10", (true, false));
        check("node2a", "node2", (false, true));
        check("", "0", (false, false));
        check("1", "01", (true, true));
    }
}
