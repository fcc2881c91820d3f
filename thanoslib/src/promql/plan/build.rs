//! Builds the plan of a folded expression.

use crate::{
    error::{Error, Result},
    model::Interval,
    promql::{
        EngineOptions, FunctionId, Queryable, Steps,
        ast::{Aggregate, AggregateOp, Expr, Extension, Node, Subquery, ValueType, VectorSelector},
    },
    store::{Grouping, SelectHints},
};

use super::{
    CommonPlan, InfoPlan, Kind, Leaf, LeafKind, Plan, PlanNode, QueryTimes, RangePlan, RangeSource, Reach,
    Reference, SubqueryPlan, common::Classes, invariant::is_wrapped, leaf::folded, projection::project,
    reach::check_extension, reads::reads,
};

/// Most calls of `info` in a query: each is a read that waits for the one before.
const INFOS_MAX: usize = 128;

/// Plans a folded expression over a queryable.
///
/// # Errors
/// `Limit` when a subquery has more steps than the query may hold samples, or for too many calls
/// of `info`.
pub(crate) fn plan<'e>(
    expr: &'e Expr,
    steps: Steps,
    times: &QueryTimes,
    lookback_ms: i64,
    options: &EngineOptions,
    queryable: &dyn Queryable,
) -> Result<Plan<'e>> {
    let mut builder = Builder {
        lookback_ms,
        options,
        classes: Classes::new(expr),
        places: Vec::new(),
        leaves: Vec::new(),
        infos: Vec::new(),
        commons: Vec::new(),
        nodes: 0,
    };
    let around = Around {
        steps,
        data: Interval::new(times.start_ms, times.end_ms),
        hint_step_ms: times.step_ms,
        func: "",
        grouping: None,
        stats: false,
        buckets: false,
    };
    let root = builder.node(expr, around)?;
    let Builder { mut leaves, infos, commons, .. } = builder;
    if options.optimize {
        project(&root, &mut leaves, &infos, &commons);
    }
    let reads = reads(&leaves, queryable, options.optimize);
    Ok(Plan { root, leaves, infos, commons, reads })
}

/// What stands around a node.
#[derive(Clone, Copy, PartialEq)]
struct Around<'e> {
    steps: Steps,
    /// The evaluation times that reach the node, windows of subqueries included.
    data: Interval,
    hint_step_ms: i64,
    /// Name of the nearest function or aggregation.
    func: &'e str,
    /// The aggregation, if it is the direct parent.
    grouping: Option<&'e Aggregate>,
    /// Inside a function that needs no more of histograms than count and sum.
    stats: bool,
    /// Inside something that needs the buckets of histograms.
    buckets: bool,
}

struct Builder<'a, 'e> {
    lookback_ms: i64,
    options: &'a EngineOptions,
    classes: Classes,
    /// Class and surroundings of each common part.
    places: Vec<(usize, Around<'e>)>,
    leaves: Vec<Leaf<'e>>,
    infos: Vec<InfoPlan<'e>>,
    commons: Vec<CommonPlan<'e>>,
    nodes: usize,
}

impl<'e> Builder<'_, 'e> {
    /// The plan of a part, which is evaluated once for all places where it stands in the same
    /// surroundings.
    fn node(&mut self, expr: &'e Expr, around: Around<'e>) -> Result<PlanNode<'e>> {
        let Some(class) = self.classes.repeated(expr).filter(|_| self.options.optimize) else {
            return self.single(expr, around);
        };
        // What looks at its surroundings only for its operands is equal in all of them.
        let around = match &expr.node {
            Node::Binary(_) | Node::Aggregate(_) | Node::Call { .. } => {
                Around { func: "", grouping: None, ..around }
            }
            _ => around,
        };
        let place = (class, around);
        let found = self.places.iter().position(|p| *p == place);
        let common = match found {
            Some(common) => common,
            None => {
                let node = self.single(expr, around)?;
                self.places.push(place);
                self.commons.push(CommonPlan { node, uses: 0 });
                self.commons.len() - 1
            }
        };
        self.commons[common].uses += 1;
        Ok(self.made(expr, around.steps, Kind::Common(common)))
    }

    /// The plan of a part for one place.
    fn single(&mut self, expr: &'e Expr, around: Around<'e>) -> Result<PlanNode<'e>> {
        if around.steps.count > 1 && is_wrapped(expr) {
            let once = Around { steps: Steps { count: 1, ..around.steps }, ..around };
            let inner = Box::new(self.plain(expr, once)?);
            return Ok(self.made(expr, around.steps, Kind::Once(inner)));
        }
        self.plain(expr, around)
    }

    fn made(&mut self, expr: &'e Expr, steps: Steps, kind: Kind<'e>) -> PlanNode<'e> {
        self.nodes += 1;
        PlanNode { id: self.nodes - 1, expr, steps, kind }
    }

    fn boxed(&mut self, expr: &'e Expr, around: Around<'e>) -> Result<Box<PlanNode<'e>>> {
        Ok(Box::new(self.node(expr, around)?))
    }

    fn plain(&mut self, expr: &'e Expr, around: Around<'e>) -> Result<PlanNode<'e>> {
        let inside = Around { grouping: None, ..around };
        let kind = match &expr.node {
            Node::Number { value, .. } => Kind::Number(*value),
            Node::String(s) => Kind::String(s),
            Node::Paren(inner) => return self.plain(inner, inside),
            Node::Unary { negative: false, expr } => return self.plain(expr, inside),
            Node::Unary { negative: true, expr } => Kind::Negate(self.boxed(expr, inside)?),
            Node::Binary(binary) => {
                let inside = Around { func: "", buckets: inside.buckets || binary.op.is_trim(), ..inside };
                let lhs = self.boxed(&binary.lhs, inside)?;
                Kind::Binary { binary, lhs, rhs: self.boxed(&binary.rhs, inside)? }
            }
            Node::Aggregate(aggregate) => self.aggregate(expr, aggregate, inside)?,
            Node::Call { function, args } => {
                let inside = Around { func: function.name, ..histograms_in(function.id, inside) };
                match args.iter().position(|a| a.value_type() == ValueType::Matrix) {
                    Some(vector) => self.range_call(expr, function.id, args, vector, inside)?,
                    None => self.call(function, args, inside)?,
                }
            }
            Node::Vector(selector) => {
                let kind = match selector.extension {
                    Some(Extension::Smoothed) => LeafKind::Smoothed(expr),
                    // Compat: promql/engine.go passes over `anchored` here.
                    Some(Extension::Anchored) | None => LeafKind::Instant,
                };
                Kind::Leaf(self.instant(selector, kind, around)?)
            }
            Node::Matrix { selector, range } => {
                let range_ms = folded(range)?;
                let kind = match selector.extension {
                    Some(extension) => LeafKind::Edged { range_ms, extension },
                    None => LeafKind::Raw,
                };
                let reach = Reach::of_range(None, selector.extension, self.lookback_ms);
                Kind::Leaf(self.window(selector, range_ms, reach, kind, inside)?)
            }
            Node::Subquery(subquery) => Kind::Subquery(self.subquery(subquery, inside)?),
        };
        Ok(self.made(expr, around.steps, kind))
    }

    fn aggregate(
        &mut self,
        expr: &'e Expr,
        aggregate: &'e Aggregate,
        around: Around<'e>,
    ) -> Result<Kind<'e>> {
        let param = match &aggregate.param {
            Some(param) => Some(self.boxed(param, Around { func: aggregate.op.as_str(), ..around })?),
            None => None,
        };
        let inside = Around { func: aggregate.op.as_str(), grouping: Some(aggregate), ..around };
        // Series that are aggregated as they come are not held for another place.
        let child = match takes_series_singly(aggregate.op) && is_read(&aggregate.expr) {
            true => self.single(&aggregate.expr, inside)?,
            false => self.node(&aggregate.expr, inside)?,
        };
        let child = Box::new(child);
        if let (Kind::Leaf(i), true) = (&child.kind, takes_series_singly(aggregate.op)) {
            let leaf = &mut self.leaves[*i];
            if leaf.aggregate.is_none()
                && matches!(leaf.kind, LeafKind::Instant | LeafKind::Smoothed(_) | LeafKind::Range(_))
            {
                leaf.aggregate = Some((expr, aggregate));
                return Ok(Kind::Leaf(*i));
            }
        }
        Ok(Kind::Aggregate { aggregate, child, param })
    }

    fn call(
        &mut self,
        function: &'static crate::promql::Function,
        exprs: &'e [Expr],
        around: Around<'e>,
    ) -> Result<Kind<'e>> {
        if function.id == FunctionId::Info {
            return self.info(exprs, around);
        }
        if let [Expr { node: Node::Vector(selector), .. }] = exprs {
            let kind = match function.id {
                FunctionId::Timestamp => Some(LeafKind::Timestamp),
                FunctionId::StartTimestamp if self.options.start_timestamps => Some(LeafKind::StartTimestamp),
                _ => None,
            };
            if let Some(kind) = kind {
                return Ok(Kind::Leaf(self.instant(selector, kind, around)?));
            }
        }
        let args = exprs.iter().map(|e| self.node(e, around)).collect::<Result<_>>()?;
        Ok(Kind::Call { function, exprs, args })
    }

    fn info(&mut self, exprs: &'e [Expr], around: Around<'e>) -> Result<Kind<'e>> {
        let selector = match exprs.get(1).map(|e| &e.unparen().node) {
            None => None,
            Some(Node::Vector(selector)) => Some(selector),
            Some(_) => return Err(Error::internal("the second argument of info is no selector")),
        };
        let Some(expr) = exprs.first() else {
            return Err(Error::internal("info has no argument"));
        };
        let arg = self.node(expr, around)?;
        if self.infos.len() == INFOS_MAX {
            return Err(Error::limit(format!("query calls info more than {INFOS_MAX} times")));
        }
        let reference = first_reference(expr)?.unwrap_or(Reference { at_ms: None, offset_ms: 0 });
        let before_ms = self.lookback_ms.saturating_sub(1).max(0);
        let mint = reference.time(around.data.mint).saturating_sub(before_ms);
        let interval = Interval::new(mint, reference.time(around.data.maxt));
        let hints = SelectHints {
            step_ms: around.hint_step_ms,
            func: around.func.to_owned(),
            range_ms: 0,
            ..SelectHints::default()
        };
        let steps = around.steps;
        self.infos.push(InfoPlan { arg, selector, interval, hints, steps, reference });
        Ok(Kind::Info(self.infos.len() - 1))
    }

    fn range_call(
        &mut self,
        expr: &'e Expr,
        id: FunctionId,
        exprs: &'e [Expr],
        vector: usize,
        around: Around<'e>,
    ) -> Result<Kind<'e>> {
        let others = exprs.iter().enumerate().filter(|(i, _)| *i != vector);
        let params_read = others.clone().any(|(_, e)| self.classes.reads(e));
        let params = others.map(|(_, e)| self.node(e, around)).collect::<Result<Vec<_>>>()?;
        let call = |reference, range_ms, extension, reach, params| RangePlan {
            id,
            steps: around.steps,
            reference,
            range_ms,
            extension,
            reach,
            exprs,
            vector,
            params,
        };
        let kind = match &exprs[vector].node {
            Node::Matrix { selector, range } => {
                let (range_ms, extension) = (folded(range)?, selector.extension);
                check_extension(id, around.func, extension)?;
                let reach = Reach::of_range(Some(id), extension, self.lookback_ms);
                let reference = Reference::new(selector.at, &selector.offset)?;
                let call = call(reference, range_ms, extension, reach, params);
                if params_read {
                    let leaf = self.window(selector, range_ms, reach, LeafKind::Raw, around)?;
                    Kind::Range { call, source: RangeSource::Leaf(leaf) }
                } else {
                    Kind::Leaf(self.window(selector, range_ms, reach, LeafKind::Range(call), around)?)
                }
            }
            Node::Subquery(subquery) => {
                if id.is_x_function() {
                    // Compat: the text of promql-engine, execution/parse; only selectors know samples
                    // before a range.
                    return Err(Error::invalid("expression not implemented"));
                }
                let source = self.subquery(subquery, around)?;
                Kind::Range {
                    call: call(source.reference, source.range_ms, None, Reach::default(), params),
                    source: RangeSource::Subquery(source),
                }
            }
            _ => return Err(Error::internal("a range function has no range vector argument")),
        };
        if id == FunctionId::AbsentOverTime {
            let present = Box::new(self.made(expr, around.steps, kind));
            return Ok(Kind::AbsentOverTime { present, arg: &exprs[vector] });
        }
        Ok(kind)
    }

    fn subquery(&mut self, subquery: &'e Subquery, around: Around<'e>) -> Result<SubqueryPlan<'e>> {
        let reference = Reference::new(subquery.at, &subquery.offset)?;
        let range_ms = folded(&subquery.range)?;
        let step_ms = match &subquery.step {
            Some(step) => folded(step)?,
            None => self.options.subquery_step_ms,
        };
        let step_ms = step_ms.max(1);
        let first = reference.time(around.steps.start_ms);
        let last = reference.time(around.steps.end_ms());
        let steps = inner_steps(first, last, range_ms, step_ms, around.steps.count);
        if steps.count as u64 > self.options.samples_max {
            return Err(Error::limit(
                "query processing would load too many samples into memory in query execution",
            ));
        }
        let data = Interval::new(
            reference.time(around.data.mint).saturating_sub(range_ms),
            reference.time(around.data.maxt),
        );
        let inside = Around { steps, data, hint_step_ms: step_ms, buckets: true, ..around };
        Ok(SubqueryPlan { inner: self.boxed(&subquery.expr, inside)?, reference, range_ms })
    }

    fn instant(
        &mut self,
        selector: &'e VectorSelector,
        kind: LeafKind<'e>,
        around: Around<'e>,
    ) -> Result<usize> {
        let after_ms = match selector.extension {
            Some(Extension::Smoothed) => self.lookback_ms,
            Some(Extension::Anchored) | None => 0,
        };
        let reach = Reach { before_ms: self.lookback_ms, after_ms };
        self.leaf(selector, reach, 0, kind, around)
    }

    fn window(
        &mut self,
        selector: &'e VectorSelector,
        range_ms: i64,
        reach: Reach,
        kind: LeafKind<'e>,
        around: Around<'e>,
    ) -> Result<usize> {
        let reach = Reach { before_ms: reach.before_ms.saturating_add(range_ms), ..reach };
        self.leaf(selector, reach, range_ms, kind, around)
    }

    fn leaf(
        &mut self,
        selector: &'e VectorSelector,
        reach: Reach,
        range_ms: i64,
        kind: LeafKind<'e>,
        around: Around<'e>,
    ) -> Result<usize> {
        let reference = Reference::new(selector.at, &selector.offset)?;
        // Windows are open on the left, so the first millisecond is not needed.
        let before_ms = reach.before_ms.saturating_sub(1).max(0);
        let mint = reference.time(around.data.mint).saturating_sub(before_ms);
        let maxt = reference.time(around.data.maxt).saturating_add(reach.after_ms);
        let interval = Interval::new(mint, maxt);
        let hints = SelectHints {
            step_ms: around.hint_step_ms,
            func: around.func.to_owned(),
            range_ms,
            grouping: around
                .grouping
                .map(|a| a.grouping.clone().unwrap_or(Grouping { by: true, labels: Vec::new() })),
            projection: None,
        };
        let steps = around.steps;
        let stats = around.stats && !around.buckets;
        self.leaves.push(Leaf { interval, selector, hints, steps, reference, kind, stats, aggregate: None });
        Ok(self.leaves.len() - 1)
    }
}

/// What stands around the arguments of a function, as far as histograms are concerned.
fn histograms_in(id: FunctionId, around: Around<'_>) -> Around<'_> {
    use FunctionId::{
        HistogramAvg, HistogramCount, HistogramFraction, HistogramQuantile, HistogramQuantiles, HistogramSum,
    };
    match id {
        HistogramAvg | HistogramCount | HistogramSum => Around { stats: true, ..around },
        HistogramFraction | HistogramQuantile | HistogramQuantiles => Around { buckets: true, ..around },
        _ => around,
    }
}

/// Which time the first selector of an expression looks at, if there is one.
fn first_reference(expr: &Expr) -> Result<Option<Reference>> {
    match &expr.node {
        Node::Number { .. } | Node::String(_) => Ok(None),
        Node::Paren(e) | Node::Unary { expr: e, .. } => first_reference(e),
        Node::Binary(b) => first_of([&b.lhs, &b.rhs]),
        Node::Aggregate(a) => first_of([&a.expr].into_iter().chain(&a.param)),
        Node::Call { args, .. } => first_of(args),
        Node::Vector(v) | Node::Matrix { selector: v, .. } => Reference::new(v.at, &v.offset).map(Some),
        Node::Subquery(s) => match first_reference(&s.expr)? {
            Some(inner) => Ok(Some(inner.inside(Reference::new(s.at, &s.offset)?))),
            None => Ok(None),
        },
    }
}

fn first_of<'e>(operands: impl IntoIterator<Item = &'e Expr>) -> Result<Option<Reference>> {
    operands.into_iter().find_map(|e| first_reference(e).transpose()).transpose()
}

/// True for aggregations without parameter, which keep a state for each group.
fn takes_series_singly(op: AggregateOp) -> bool {
    use AggregateOp::{Avg, Count, Group, Max, Min, Stddev, Stdvar, Sum};
    matches!(op, Sum | Avg | Count | Min | Max | Group | Stddev | Stdvar)
}

/// True for a selector, or a function over the windows of one.
fn is_read(expr: &Expr) -> bool {
    match &expr.unparen().node {
        Node::Vector(_) => true,
        Node::Call { args, .. } => args.iter().any(|a| matches!(a.node, Node::Matrix { .. })),
        _ => false,
    }
}

/// The inner steps of a subquery whose windows end from `first` to `last`.
///
/// Steps are multiples of the step counted from the epoch; the window is open on the left.
///
/// Compat: division rounds towards zero, also before the epoch (promql/engine.go).
fn inner_steps(first: i64, last: i64, range_ms: i64, step_ms: i64, outer: usize) -> Steps {
    let left = first.saturating_sub(range_ms);
    let mut start_ms = step_ms.saturating_mul(left / step_ms);
    if start_ms <= left {
        start_ms = start_ms.saturating_add(step_ms);
    }
    let count = if outer == 0 || last < start_ms {
        0
    } else {
        usize::try_from((i128::from(last) - i128::from(start_ms)) / i128::from(step_ms) + 1)
            .unwrap_or(usize::MAX)
    };
    Steps { start_ms, step_ms, count }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::Matcher,
        promql::{
            ast::{At, Duration},
            find_function,
        },
    };

    fn selector(at: Option<At>, offset_ms: i64) -> VectorSelector {
        VectorSelector {
            name: Some("up".into()),
            matchers: vec![Matcher::equal("__name__", "up")],
            offset: Duration::Ms(offset_ms),
            at,
            ..VectorSelector::default()
        }
    }

    #[test]
    fn inner_steps_lie_on_the_epoch_grid() {
        let check = |first, last, range, step, want: (i64, usize)| {
            let s = inner_steps(first, last, range, step, 1);
            assert_eq!((s.start_ms, s.count), want, "{first} {last} [{range}:{step}]");
        };
        check(1000, 1000, 50, 10, (960, 5));
        check(1003, 1023, 50, 10, (960, 7));
        check(5, 5, 10, 20, (0, 1));
        check(15, 15, 10, 20, (20, 0));
        check(-5, -5, 20, 10, (-20, 2));
        check(i64::MIN, i64::MAX, 1, 1, (i64::MIN + 1, usize::MAX));
    }

    #[derive(Debug)]
    struct Nothing;

    #[async_trait::async_trait]
    impl Queryable for Nothing {
        async fn select(
            &self,
            _: &crate::context::Context,
            _: crate::promql::Select,
        ) -> Result<crate::promql::SelectStream> {
            Err(Error::internal("nothing is read"))
        }
    }

    #[test]
    fn selects_read_what_windows_reach() {
        let check = |expr: Expr, mint: i64, maxt: i64, func: &str| {
            let steps = Steps { start_ms: 100_000, step_ms: 10_000, count: 11 };
            let times = QueryTimes { start_ms: 100_000, end_ms: 200_000, step_ms: 10_000 };
            let plan = plan(&expr, steps, &times, 5000, &EngineOptions::default(), &Nothing).expect("plans");
            let [leaf] = plan.leaves.as_slice() else { panic!("one leaf: {plan:?}") };
            assert_eq!((leaf.interval, leaf.hints.func.as_str()), (Interval::new(mint, maxt), func));
        };
        check(Expr::new(Node::Vector(selector(None, 0))), 95_001, 200_000, "");
        check(Expr::new(Node::Vector(selector(None, 1000))), 94_001, 199_000, "");
        check(Expr::new(Node::Vector(selector(Some(At::Time(7000)), 1000))), 1001, 6000, "");
        let matrix = Expr::new(Node::Matrix { selector: selector(None, 0), range: Duration::Ms(3000) });
        let rate = Node::Call { function: find_function("rate").expect("known"), args: vec![matrix] };
        check(Expr::new(rate.clone()), 97_001, 200_000, "rate");
        let (range, offset) = (Duration::Ms(20_000), Duration::Ms(500));
        let subquery = Subquery { expr: Expr::new(rate), range, step: None, offset, at: None };
        check(Expr::new(Node::Subquery(Box::new(subquery))), 76_501, 199_500, "rate");
    }
}
