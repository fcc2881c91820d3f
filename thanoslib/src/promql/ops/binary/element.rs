//! One pair of samples, or many pairs of floats at once.

use std::sync::Arc;

use crate::{
    model::{CounterReset, FloatHistogram, Value, histogram::Trim},
    promql::{
        ast::{BinaryOp, Expr},
        functions::pow,
        scope::Scope,
    },
};

/// What there is to say about a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remark {
    /// The operator does not take a left and right of these types; true for histograms.
    Types(bool, bool),
    /// Exponential and custom buckets do not mix.
    Layout,
    /// One side followed a counter reset, the other did not.
    ResetCollision,
    /// Custom bounds differed and were reconciled.
    Reconciled,
}

impl Remark {
    /// Adds the annotation that blames `node`.
    pub(super) fn report(self, scope: &mut Scope<'_>, node: &Expr, op: BinaryOp) {
        let kind = |histogram| if histogram { "histogram" } else { "float" };
        let name = op.as_str();
        let verb = if op == BinaryOp::Sub { "subtraction" } else { "addition" };
        match self {
            Self::Types(l, r) => scope.info(
                node,
                format!(
                    "incompatible sample types encountered for binary operator \"{name}\": {} {name} {}",
                    kind(l),
                    kind(r)
                ),
            ),
            Self::Layout => {
                scope
                    .warn(node, format!("incompatible bucket layout encountered for binary operator {name}"));
            }
            Self::ResetCollision => {
                scope.warn(node, format!("conflicting counter resets during histogram {verb}"));
            }
            Self::Reconciled => {
                scope.info(node, format!("mismatched custom buckets were reconciled during {verb}"));
            }
        }
    }
}

/// What a pair with a histogram gives.
#[derive(Debug)]
pub(super) struct Outcome {
    /// The value.
    pub(super) value: Arc<FloatHistogram>,
    /// False when a comparison filters the pair.
    pub(super) keep: bool,
    /// What there is to say, though there is a value.
    pub(super) remark: Option<Remark>,
}

/// Applies an operator to a pair of which one side at least is a histogram.
///
/// # Errors
/// The remark of a pair without result.
pub(super) fn pair(op: BinaryOp, l: &Value, r: &Value) -> Result<Outcome, Remark> {
    let changed = |h: &Arc<FloatHistogram>, change: &dyn Fn(&mut FloatHistogram)| {
        let mut h = FloatHistogram::clone(h);
        change(&mut h);
        h.compact(0);
        Ok(Outcome { value: Arc::new(h), keep: true, remark: None })
    };
    match (op, l, r) {
        (BinaryOp::Mul, Value::Histogram(h), Value::Float(v))
        | (BinaryOp::Mul, Value::Float(v), Value::Histogram(h)) => changed(h, &|h| h.mul(*v)),
        (BinaryOp::Div, Value::Histogram(h), Value::Float(v)) => changed(h, &|h| h.div(*v)),
        (BinaryOp::TrimUpper, Value::Histogram(h), Value::Float(v)) => {
            changed(h, &|h| h.trim(*v, Trim::KeepBelow))
        }
        (BinaryOp::TrimLower, Value::Histogram(h), Value::Float(v)) => {
            changed(h, &|h| h.trim(*v, Trim::KeepAbove))
        }
        (BinaryOp::Add | BinaryOp::Sub, Value::Histogram(l), Value::Histogram(r)) => {
            let mut h = FloatHistogram::clone(l);
            let outcome = if op == BinaryOp::Add { h.add(r) } else { h.sub(r) };
            let outcome = outcome.map_err(|_| Remark::Layout)?;
            if op == BinaryOp::Sub {
                h.hint = CounterReset::Gauge;
            }
            h.compact(0);
            // Compat: promql/engine.go, VectorBinop: one remark a pair; the info comes last.
            let remark = if outcome.bounds_reconciled {
                Some(Remark::Reconciled)
            } else {
                outcome.counter_reset_collision.then_some(Remark::ResetCollision)
            };
            Ok(Outcome { value: Arc::new(h), keep: true, remark })
        }
        (BinaryOp::Eq | BinaryOp::Ne, Value::Histogram(l), Value::Histogram(r)) => {
            Ok(Outcome { value: Arc::clone(l), keep: l.equals(r) == (op == BinaryOp::Eq), remark: None })
        }
        _ => Err(Remark::Types(matches!(l, Value::Histogram(_)), matches!(r, Value::Histogram(_)))),
    }
}

/// Applies an operator to floats of the same steps.
///
/// `keep` holds a bit for each step. A comparison without `return_bool` gives the values of
/// `kept` and clears the bits of steps that do not satisfy it. Operators that have no meaning
/// for floats clear all bits.
pub(super) fn zip_floats(
    op: BinaryOp,
    return_bool: bool,
    l: &[f64],
    r: &[f64],
    kept: &[f64],
    out: &mut [f64],
    keep: &mut [u64],
) {
    macro_rules! compute {
        ($f:expr) => {
            compute(l, r, out, $f)
        };
    }
    macro_rules! compare {
        ($f:expr) => {
            if return_bool {
                compute(l, r, out, |l, r| if $f(&l, &r) { 1.0 } else { 0.0 });
            } else {
                out.copy_from_slice(kept);
                filter(l, r, keep, $f);
            }
        };
    }
    match op {
        BinaryOp::Add => compute!(|l, r| l + r),
        BinaryOp::Sub => compute!(|l, r| l - r),
        BinaryOp::Mul => compute!(|l, r| l * r),
        BinaryOp::Div => compute!(|l, r| l / r),
        BinaryOp::Mod => compute!(|l, r| l % r),
        BinaryOp::Pow => compute!(pow),
        BinaryOp::Atan2 => compute!(f64::atan2),
        BinaryOp::Eq => compare!(f64::eq),
        BinaryOp::Ne => compare!(f64::ne),
        BinaryOp::Lt => compare!(f64::lt),
        BinaryOp::Le => compare!(f64::le),
        BinaryOp::Gt => compare!(f64::gt),
        BinaryOp::Ge => compare!(f64::ge),
        BinaryOp::TrimUpper | BinaryOp::TrimLower | BinaryOp::And | BinaryOp::Or | BinaryOp::Unless => {
            keep.fill(0);
        }
    }
}

#[inline]
fn compute(l: &[f64], r: &[f64], out: &mut [f64], f: impl Fn(f64, f64) -> f64) {
    for ((l, r), out) in l.iter().zip(r).zip(out) {
        *out = f(*l, *r);
    }
}

#[inline]
fn filter(l: &[f64], r: &[f64], keep: &mut [u64], f: impl Fn(&f64, &f64) -> bool) {
    for ((l, r), keep) in l.chunks(64).zip(r.chunks(64)).zip(keep) {
        let mut word = 0;
        for (i, (l, r)) in l.iter().zip(r).enumerate() {
            word |= u64::from(f(l, r)) << i;
        }
        *keep &= word;
    }
}
