//! The smoothed instant selector: at each step the value on the line between its neighbours.

use std::sync::Arc;

use crate::{
    model::{CounterReset, Labels},
    promql::{Block, Steps, ast::Expr, plan::Reference, scope::Scope},
    series::SampleColumns,
};

use super::{Notes, interpolate, window::advance};

/// Where a smoothed instant selector looks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Smoothed {
    steps: Steps,
    reference: Reference,
    lookback_ms: i64,
    /// Where the selector stands in the query.
    position: Option<(u32, u32)>,
}

impl Smoothed {
    /// The selector `expr` of a plan.
    pub(crate) fn new(expr: &Expr, reference: Reference, lookback_ms: i64, scope: &Scope<'_>) -> Self {
        Self { steps: scope.steps, reference, lookback_ms, position: scope.position(expr) }
    }

    /// Fills `block` with the values of a series without stale marks.
    pub(crate) fn fill(
        &self,
        scope: &mut Scope<'_>,
        labels: &Labels,
        columns: &SampleColumns,
        block: &mut Block,
    ) {
        block.reset(labels, self.steps.count);
        let mut notes = Notes::new(scope.annotations, labels, self.position, self.position);
        let (ft, fv) = (columns.floats.ts.as_slice(), columns.floats.vs.as_slice());
        let ht = columns.histograms.ts.as_slice();
        let (mut f, mut h) = (0..0, 0..0);
        for (step, t_ms) in self.steps.iter().enumerate() {
            let t_ms = self.reference.time(t_ms);
            let (start_ms, end_ms) =
                (t_ms.saturating_sub(self.lookback_ms), t_ms.saturating_add(self.lookback_ms));
            advance(ft, start_ms, end_ms, &mut f);
            advance(ht, start_ms, end_ms, &mut h);
            if !f.is_empty() && !h.is_empty() {
                notes.mixed();
            } else if h.is_empty() {
                let next = f.start + ft[f.clone()].partition_point(|t| *t < t_ms);
                if next < f.end && ft[next] == t_ms {
                    block.set(step, fv[next]);
                } else if next > f.start && next < f.end {
                    let (a, b) = ((ft[next - 1], fv[next - 1]), (ft[next], fv[next]));
                    block.set(step, interpolate::float(a, b, t_ms, false));
                } else if next > f.start {
                    block.set(step, fv[next - 1]);
                }
            } else {
                let next = h.start + ht[h.clone()].partition_point(|t| *t < t_ms);
                let value = |i: usize| (ht[i], columns.histograms.get(i));
                let found = if next < h.end && ht[next] == t_ms {
                    Some(value(next).1)
                } else if next > h.start && next < h.end {
                    let (a, b) = (value(next - 1), value(next));
                    let counter = a.1.hint != CounterReset::Gauge || b.1.hint != CounterReset::Gauge;
                    interpolate::histogram((a.0, &a.1), (b.0, &b.1), t_ms, counter, &mut notes)
                } else if next > h.start {
                    // A hint tells of two neighbouring samples.
                    let mut last = value(next - 1).1;
                    last.hint = CounterReset::Unknown;
                    Some(last)
                } else {
                    None
                };
                block.histograms.extend(found.map(|h| (step as u32, Arc::new(h))));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Context,
        promql::{Annotations, EngineOptions, ast::Node},
    };

    #[test]
    fn steps_lie_between_samples() {
        let check = |samples: &[(i64, f64)], offset_ms, want: &[Option<f64>]| {
            let mut columns = SampleColumns::default();
            samples.iter().for_each(|(t, v)| columns.floats.push(*t, *v));
            let steps = Steps { start_ms: 0, step_ms: 10, count: want.len() };
            let (options, ctx, mut annotations) =
                (EngineOptions::default(), Context::default(), Annotations::default());
            let mut scope =
                Scope { steps, options: &options, ctx: &ctx, text: "", annotations: &mut annotations };
            let reference = Reference { at_ms: None, offset_ms };
            let expr = Expr::new(Node::String(Vec::new()));
            let mut block = Block::default();
            let smoothed = Smoothed::new(&expr, reference, 15, &scope);
            smoothed.fill(&mut scope, &Labels::empty(), &columns, &mut block);
            let got: Vec<_> = (0..want.len()).map(|i| block.float(i)).collect();
            assert_eq!(got, want, "{samples:?}");
        };
        check(&[(5, 1.0), (15, 3.0)], 0, &[None, Some(2.0), Some(3.0), None]);
        check(&[(0, 1.0), (20, 3.0)], 0, &[Some(1.0), Some(2.0), Some(3.0)]);
        check(&[(0, 1.0), (20, 3.0)], 10, &[None, Some(1.0), Some(2.0)]);
        check(&[(0, 1.0), (40, 3.0)], 0, &[Some(1.0), Some(1.0), None, None, Some(3.0)]);
    }
}
