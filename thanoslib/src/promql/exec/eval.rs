//! Evaluates the tree above the leaves; every value holds all steps.

use std::{sync::Arc, time::Instant};

use crate::{
    budget::Lease,
    error::{Error, Result},
    model::{FloatHistogram, Labels},
    promql::{
        Annotations, BitSet, Block, Function, FunctionId, Grain, MatrixSeries, Steps,
        ast::{Aggregate, Binary, Expr, Node, ValueType, VectorSelector},
        functions::{self, Arg, info::InfoMatchers, range::RangeCall},
        names::{drop_name, merge_equal, same_labelset},
        ops::{
            aggregate::{Aggregator, Param},
            binary,
        },
        plan::{CommonPlan, Kind, OperatorCost, PlanNode, RangePlan, RangeSource},
    },
};

use super::{
    Count, Looked, Shared,
    analysis::{Recorder, Whose, since},
    common::Kept,
    leaf::{RawSeries, column_samples},
    meter::{block_bytes, block_samples, histogram_samples},
    subquery,
    windows::{check_columns, check_points},
};

/// The value of a part of a query at all its steps.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    /// A series each.
    Vector(Vec<Block>),
    /// A float for each step.
    Scalar(Vec<f64>),
    /// The same string at all steps.
    String(Vec<u8>),
    /// The samples of one window of each series; `true` where metadata labels fall at the end.
    Matrix(Vec<(MatrixSeries, bool)>),
}

/// What the read of a leaf gave.
#[derive(Debug, Default)]
pub(super) struct LeafOutput {
    pub(super) blocks: Vec<Block>,
    pub(super) raw: Vec<RawSeries>,
    /// The value is `raw`, not `blocks`.
    pub(super) is_raw: bool,
    pub(super) annotations: Annotations,
    /// Bytes reserved for the values.
    pub(super) leases: Vec<Lease>,
    /// Samples that the leaf looked at.
    pub(super) looked: Looked,
}

/// A call of `info` whose two reads are done.
#[derive(Debug)]
pub(super) struct InfoOutput {
    /// The value of the first argument.
    pub(super) base: Vec<Block>,
    /// The info series; none when none was asked for.
    pub(super) infos: LeafOutput,
    /// Samples that the first argument looked at.
    pub(super) looked: Looked,
}

/// An evaluation between two reads.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) outputs: Vec<Option<LeafOutput>>,
    pub(super) infos: Vec<Option<InfoOutput>>,
    pub(super) commons: Vec<Option<Kept>>,
    pub(super) annotations: Annotations,
    pub(super) leases: Vec<Lease>,
}

/// Evaluates nodes of one plan, each once.
#[derive(Debug)]
pub(super) struct Evaluator<'q> {
    pub(super) shared: &'q Shared,
    /// Parts that stand at several places.
    pub(super) parts: &'q [CommonPlan<'q>],
    /// Their values, as far as they are known and needed again.
    pub(super) commons: Vec<Option<Kept>>,
    /// What the operands of the node that is evaluated cost, if the query is analyzed.
    spent: OperatorCost,
    outputs: Vec<Option<LeafOutput>>,
    /// Calls of `info` that are read, in order.
    infos: Vec<Option<InfoOutput>>,
    pub(super) annotations: Annotations,
    /// Bytes reserved for values that were made of leaves.
    pub(super) leases: Vec<Lease>,
    /// Samples looked at, by the steps of the part that is evaluated now.
    pub(super) looked: Looked,
}

impl<'q> Evaluator<'q> {
    /// An evaluator of what reads nothing.
    pub(super) fn new(shared: &'q Shared) -> Self {
        Self::resume(shared, &[], State::default())
    }

    /// Goes on where another evaluator stopped.
    pub(super) fn resume(shared: &'q Shared, parts: &'q [CommonPlan<'q>], state: State) -> Self {
        let State { outputs, infos, commons, annotations, leases } = state;
        let spent = OperatorCost::default();
        let looked = Looked::default();
        Self { shared, parts, commons, spent, outputs, infos, annotations, leases, looked }
    }

    /// What another evaluator needs to go on.
    pub(super) fn pause(self) -> State {
        let Self { outputs, infos, commons, annotations, leases, .. } = self;
        State { outputs, infos, commons, annotations, leases }
    }

    pub(super) fn into_annotations(self) -> Annotations {
        self.annotations
    }

    /// Evaluates with a count of its own for `steps` steps, which comes with the value.
    pub(super) fn counted<T>(
        &mut self,
        steps: usize,
        eval: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<(T, Looked)> {
        let outer = std::mem::replace(&mut self.looked, self.shared.looked(steps));
        let value = eval(self);
        let looked = std::mem::replace(&mut self.looked, outer);
        Ok((value?, looked))
    }

    /// The value of a node.
    pub(super) fn eval(&mut self, node: &PlanNode<'_>) -> Result<Value> {
        match &self.shared.recorder {
            None => self.value(node),
            Some(recorder) => self.recorded(recorder, node),
        }
    }

    /// The value of a node, whose cost is noted.
    fn recorded(&mut self, recorder: &Recorder, node: &PlanNode<'_>) -> Result<Value> {
        let outside = std::mem::take(&mut self.spent);
        let (begun, looked) = (Instant::now(), self.shared.meter.total());
        let value = self.value(node)?;
        let all = OperatorCost {
            execution_ns: since(begun),
            total_samples: self.shared.meter.total().saturating_sub(looked),
            ..OperatorCost::default()
        };
        let blocks: &[Block] = if let Value::Vector(blocks) = &value { blocks } else { &[] };
        let own = OperatorCost {
            execution_ns: all.execution_ns.saturating_sub(self.spent.execution_ns),
            total_samples: all.total_samples.saturating_sub(self.spent.total_samples),
            peak_samples: self.shared.meter.held(),
            series: blocks.len() as u64,
            bytes: blocks.iter().map(block_bytes).sum(),
            peak_bytes: self.shared.ctx.budget().used(),
        };
        recorder.add(Whose::Node(node.id), &own);
        self.spent = outside;
        self.spent.add(&all);
        Ok(value)
    }

    fn value(&mut self, node: &PlanNode<'_>) -> Result<Value> {
        self.shared.ctx.check()?;
        match &node.kind {
            Kind::Number(v) => Ok(Value::Scalar(vec![*v; node.steps.count])),
            Kind::String(s) => Ok(Value::String(s.to_vec())),
            Kind::Leaf(i) => self.leaf(*i),
            Kind::Once(inner) => {
                let (value, looked) = self.counted(inner.steps.count, |e| e.eval(inner))?;
                self.looked.repeat(&looked, node.steps.count);
                self.copied(value, node.steps.count)
            }
            Kind::Negate(inner) => match self.eval(inner)? {
                Value::Scalar(v) => Ok(Value::Scalar(v.into_iter().map(|v| -v).collect())),
                Value::Vector(blocks) => self.negate(blocks),
                Value::String(_) | Value::Matrix(_) => Err(unexpected("a sign")),
            },
            Kind::Binary { binary, lhs, rhs } => self.binary(node, binary, lhs, rhs),
            Kind::Aggregate { aggregate, child, param } => {
                self.aggregate(node, aggregate, child, param.as_deref())
            }
            Kind::Call { function, exprs, args } => self.call(node, function, exprs, args),
            Kind::Range { call, source } => self.range(call, source),
            Kind::AbsentOverTime { present, arg } => {
                let Value::Vector(present) = self.eval(present)? else {
                    return Err(unexpected("absent_over_time"));
                };
                let before = present.iter().map(block_samples).sum();
                self.replaced(before, absent(node.steps, &present, arg))
            }
            Kind::Info(i) => self.info(node, *i),
            Kind::Common(i) => self.common(node, *i),
            Kind::Subquery(plan) => {
                let (blocks, looked) = self.counted(plan.inner.steps.count, |e| e.vector(&plan.inner))?;
                self.looked.add_at_end(looked.sum());
                let end_ms = plan.reference.time(node.steps.start_ms);
                let window = (end_ms.saturating_sub(plan.range_ms), end_ms);
                Ok(Value::Matrix(subquery::window(&blocks, plan.inner.steps, window)))
            }
        }
    }

    /// The value of a node that gives a scalar.
    pub(super) fn scalar(&mut self, node: &PlanNode<'_>) -> Result<Vec<f64>> {
        match self.eval(node)? {
            Value::Scalar(v) => Ok(v),
            _ => Err(unexpected("a scalar argument")),
        }
    }

    /// The value of a node that gives a vector.
    pub(super) fn vector(&mut self, node: &PlanNode<'_>) -> Result<Vec<Block>> {
        match self.eval(node)? {
            Value::Vector(blocks) => Ok(blocks),
            _ => Err(unexpected("a vector argument")),
        }
    }

    fn take(&mut self, leaf: usize) -> Result<LeafOutput> {
        let taken = self.outputs.get_mut(leaf).and_then(Option::take);
        let mut output = taken.ok_or_else(|| Error::internal("a read of the plan was not answered"))?;
        self.annotations.merge(std::mem::take(&mut output.annotations));
        self.leases.append(&mut output.leases);
        self.looked.merge(&output.looked);
        Ok(output)
    }

    fn leaf(&mut self, leaf: usize) -> Result<Value> {
        let output = self.take(leaf)?;
        if !output.is_raw {
            return Ok(Value::Vector(output.blocks));
        }
        let series = output.raw.into_iter().map(|raw| {
            let (f, h) = (&raw.columns.floats, &raw.columns.histograms);
            let floats = f.ts.iter().copied().zip(f.vs.iter().copied()).collect();
            let histograms: Vec<_> = (0..h.len()).map(|i| (h.ts[i], Arc::new(h.get(i)))).collect();
            let weight: u64 = histograms.iter().map(|(_, h)| histogram_samples(h)).sum();
            self.looked.add_at(0, Count::new(f.len() as u64 + weight));
            (MatrixSeries { labels: raw.labels, floats, histograms }, false)
        });
        Ok(Value::Matrix(series.collect()))
    }

    /// Joins what the two reads of a call of `info` gave.
    fn info(&mut self, node: &PlanNode<'_>, i: usize) -> Result<Value> {
        let taken = self.infos.get_mut(i).and_then(Option::take);
        let Some(InfoOutput { base, mut infos, looked }) = taken else {
            return Err(Error::internal("a read of info was not answered"));
        };
        self.annotations.merge(std::mem::take(&mut infos.annotations));
        self.looked.merge(&looked);
        self.looked.merge(&infos.looked);
        let before = base.iter().chain(&infos.blocks).map(block_samples).sum();
        let matchers = InfoMatchers::new(info_selector(node.expr))?;
        let scope = &mut self.shared.scope(node.steps, &mut self.annotations);
        let blocks = matchers.join(scope, base, &infos.blocks)?;
        self.replaced(before, blocks)
    }

    /// The value of one step at `count` steps.
    fn copied(&self, value: Value, count: usize) -> Result<Value> {
        let copies = count.saturating_sub(1) as u64;
        Ok(match value {
            Value::Scalar(v) => Value::Scalar(vec![v.first().copied().unwrap_or(f64::NAN); count]),
            Value::Vector(blocks) => {
                let samples = blocks.iter().map(block_samples).sum::<u64>().saturating_mul(copies);
                self.shared.meter.hold(samples)?;
                Value::Vector(blocks.into_iter().map(|b| copy_block(&b, count)).collect())
            }
            other @ (Value::String(_) | Value::Matrix(_)) => other,
        })
    }

    fn negate(&self, mut blocks: Vec<Block>) -> Result<Value> {
        for block in &mut blocks {
            block.floats.iter_mut().for_each(|v| *v = -*v);
            for (_, h) in &mut block.histograms {
                Arc::make_mut(h).mul(-1.0);
            }
            drop_name(block, &self.shared.options);
        }
        Ok(Value::Vector(merge_equal(blocks)?))
    }

    fn binary(
        &mut self,
        node: &PlanNode<'_>,
        binary: &Binary,
        lhs: &PlanNode<'_>,
        rhs: &PlanNode<'_>,
    ) -> Result<Value> {
        let (lhs, rhs) = (self.eval(lhs)?, self.eval(rhs)?);
        if let (Value::Scalar(l), Value::Scalar(r)) = (&lhs, &rhs) {
            let pairs = l.iter().zip(r);
            return Ok(Value::Scalar(
                pairs.map(|(l, r)| binary::scalar_scalar(binary.op, *l, *r)).collect::<Result<_>>()?,
            ));
        }
        let before = samples(&lhs) + samples(&rhs);
        let scope = &mut self.shared.scope(node.steps, &mut self.annotations);
        let blocks = match (lhs, rhs) {
            (Value::Vector(l), Value::Vector(r)) => binary::vector_vector(scope, node.expr, binary, l, r)?,
            (Value::Vector(l), Value::Scalar(r)) => {
                binary::vector_scalar(scope, node.expr, binary, l, &r, false)?
            }
            (Value::Scalar(l), Value::Vector(r)) => {
                binary::vector_scalar(scope, node.expr, binary, r, &l, true)?
            }
            _ => return Err(unexpected("a binary operator")),
        };
        self.replaced(before, blocks)
    }

    /// A result that takes the place of `before` samples.
    fn replaced(&self, before: u64, blocks: Vec<Block>) -> Result<Value> {
        let value = Value::Vector(blocks);
        self.shared.meter.hold(samples(&value))?;
        self.shared.meter.release(before);
        Ok(value)
    }

    fn aggregate(
        &mut self,
        node: &PlanNode<'_>,
        aggregate: &Aggregate,
        child: &PlanNode<'_>,
        param: Option<&PlanNode<'_>>,
    ) -> Result<Value> {
        let param = match param {
            Some(param) => Some(match self.eval(param)? {
                Value::Scalar(v) => Param::Scalar(v),
                Value::String(s) => Param::String(s),
                Value::Vector(_) | Value::Matrix(_) => return Err(unexpected("an aggregation parameter")),
            }),
            None => None,
        };
        let blocks = self.vector(child)?;
        let before = blocks.iter().map(block_samples).sum();
        let mut aggregator = Aggregator::new(node.expr, aggregate, node.steps, param)?;
        let scope = &mut self.shared.scope(node.steps, &mut self.annotations);
        for mut block in blocks {
            aggregator.absorb(scope, &mut block)?;
        }
        let blocks = aggregator.finish(scope)?;
        self.replaced(before, blocks)
    }

    fn call(
        &mut self,
        node: &PlanNode<'_>,
        function: &'static Function,
        exprs: &[Expr],
        args: &[PlanNode<'_>],
    ) -> Result<Value> {
        match (function.id, args) {
            (FunctionId::Time, []) => {
                return Ok(Value::Scalar(node.steps.iter().map(|t| t as f64 / 1000.0).collect()));
            }
            (FunctionId::Pi, []) => return Ok(Value::Scalar(vec![std::f64::consts::PI; node.steps.count])),
            (FunctionId::ScalarOf, [of]) => {
                let blocks = self.vector(of)?;
                self.shared.meter.release(blocks.iter().map(block_samples).sum());
                return Ok(Value::Scalar(only_float(&blocks, node.steps.count)));
            }
            (FunctionId::MaxOf | FunctionId::MinOf, [a, b]) => {
                let (a, b) = (self.scalar(a)?, self.scalar(b)?);
                let pick =
                    if function.id == FunctionId::MaxOf { functions::go_max } else { functions::go_min };
                return Ok(Value::Scalar(a.into_iter().zip(b).map(|(a, b)| pick(a, b)).collect()));
            }
            (FunctionId::StartTimestamp, _) => {
                // Only a selector knows start timestamps.
                let blocks = self.vector(&args[0])?;
                return self.replaced(blocks.iter().map(block_samples).sum(), Vec::new());
            }
            _ => {}
        }
        let mut before = 0;
        let mut values = Vec::with_capacity(args.len());
        for arg in args {
            let value = self.eval(arg)?;
            before += samples(&value);
            values.push(match value {
                Value::Vector(blocks) => Arg::Vector(blocks),
                Value::Scalar(v) => Arg::Scalar(v),
                Value::String(s) => Arg::String(s),
                Value::Matrix(_) => return Err(unexpected("an argument")),
            });
        }
        if values.is_empty() && function.args.first() == Some(&ValueType::Vector) {
            // Functions of dates look at the time of the step.
            let mut now = Block::new(Labels::empty(), node.steps.count);
            node.steps.iter().enumerate().for_each(|(i, t)| now.set(i, t as f64 / 1000.0));
            values.push(Arg::Vector(vec![now]));
        }
        let scope = &mut self.shared.scope(node.steps, &mut self.annotations);
        let blocks = functions::call(scope, node.expr, function, exprs, values)?;
        self.replaced(before, blocks)
    }

    fn range(&mut self, plan: &RangePlan<'_>, source: &RangeSource<'_>) -> Result<Value> {
        let params = plan.params.iter().map(|p| self.scalar(p)).collect::<Result<_>>()?;
        let call = RangeCall::new(plan, params, &self.shared.scope(plan.steps, &mut self.annotations));
        let mut results = Vec::new();
        // Samples that were held for what the windows look at.
        let held: u64;
        match source {
            RangeSource::Leaf(leaf) => {
                let output = self.take(*leaf)?;
                held = output.raw.iter().map(|raw| column_samples(&raw.columns)).sum();
                let before = self.looked.sum().total;
                let scope = &mut self.shared.scope(plan.steps, &mut self.annotations);
                for raw in &output.raw {
                    let (labels, columns, grain) = (&raw.labels, &raw.columns, &Grain::default());
                    check_columns(&self.shared.meter, &call, columns)?;
                    let mut block = Block::default();
                    if call.over_columns(scope, labels, columns, grain, &mut self.looked, &mut block)? {
                        if call.drops_name() {
                            drop_name(&mut block, scope.options);
                        }
                        results.push(block);
                    }
                }
                self.shared.meter.look(self.looked.sum().total.saturating_sub(before));
            }
            RangeSource::Subquery(inner) => {
                let (blocks, inside) = self.counted(inner.inner.steps.count, |e| e.vector(&inner.inner))?;
                held = blocks.iter().map(block_samples).sum();
                let mut windows = self.shared.looked(plan.steps.count);
                let scope = &mut self.shared.scope(plan.steps, &mut self.annotations);
                for block in &blocks {
                    let points = subquery::Points::of(block, inner.inner.steps);
                    check_points(&self.shared.meter, &call, &points)?;
                    results.extend(points.apply(&call, scope, block, &mut windows)?);
                }
                self.shared.meter.look(windows.sum().total);
                // Compat: the windows count in place of what is inside, which alone was read.
                self.looked.merge(&windows.without_reads());
                self.looked.add_at_end(Count { total: 0, read: inside.sum().read });
            }
        }
        let mut blocks = Vec::with_capacity(results.len());
        for block in results {
            self.shared.meter.hold(block_samples(&block))?;
            blocks.push(block);
        }
        self.shared.meter.release(held);
        if call.drops_name() && !self.shared.options.delayed_name_removal {
            let mut labels: Vec<&Labels> = blocks.iter().map(|b| &b.labels).collect();
            labels.sort_unstable();
            if labels.windows(2).any(|w| w[0] == w[1]) {
                return Err(same_labelset());
            }
        }
        Ok(Value::Vector(blocks))
    }
}

/// The second argument of a call of `info`.
fn info_selector(call: &Expr) -> Option<&VectorSelector> {
    match &call.node {
        Node::Call { args, .. } => match args.get(1).map(|a| &a.unparen().node) {
            Some(Node::Vector(selector)) => Some(selector),
            _ => None,
        },
        _ => None,
    }
}

pub(super) fn unexpected(place: &str) -> Error {
    Error::internal(format!("{place} has a value of the wrong type"))
}

pub(super) fn samples(value: &Value) -> u64 {
    match value {
        Value::Vector(blocks) => blocks.iter().map(block_samples).sum(),
        Value::Scalar(_) | Value::String(_) | Value::Matrix(_) => 0,
    }
}

fn copy_block(block: &Block, count: usize) -> Block {
    let mut copy = match block.float(0) {
        Some(v) => Block {
            labels: block.labels.clone(),
            drop_name: false,
            floats: vec![v; count],
            present: BitSet::full(count),
            histograms: Vec::new(),
        },
        None => Block::new(block.labels.clone(), count),
    };
    copy.drop_name = block.drop_name;
    let histogram: Option<&Arc<FloatHistogram>> = block.histogram(0);
    if let Some(h) = histogram {
        copy.histograms = (0..count).map(|step| (step as u32, Arc::clone(h))).collect();
    }
    copy
}

/// The float at each step with exactly one, else NaN.
fn only_float(blocks: &[Block], count: usize) -> Vec<f64> {
    let mut values = vec![f64::NAN; count];
    let mut seen = vec![0u8; count];
    for block in blocks {
        for step in block.present.iter() {
            values[step] = if seen[step] == 0 { block.floats[step] } else { f64::NAN };
            seen[step] = 1;
        }
    }
    values
}

/// 1 where no series has a value, with the labels that the argument surely has.
fn absent(steps: Steps, present: &[Block], arg: &Expr) -> Vec<Block> {
    let mut block = Block::new(functions::absent_labels(arg), steps.count);
    for step in 0..steps.count {
        if !present.iter().any(|b| b.present.contains(step)) {
            block.set(step, 1.0);
        }
    }
    if block.is_empty() { Vec::new() } else { vec![block] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_need_exactly_one_float() {
        let mut a = Block::new(Labels::empty(), 3);
        a.set(0, 1.0);
        a.set(1, 2.0);
        let mut b = Block::new(Labels::empty(), 3);
        b.set(1, 3.0);
        let got = only_float(&[a, b], 3);
        assert_eq!(got[0], 1.0);
        assert!(got[1].is_nan() && got[2].is_nan());
    }
}
