//! A plan as a tree of named operators, for people and for the API.

use std::fmt::Write;

use crate::{
    context::StoreCost,
    model::{Interval, duration},
    promql::{
        Queryable, Select,
        ast::{Aggregate, Binary, Extension},
    },
};

use super::{Kind, Leaf, LeafKind, Plan, PlanNode, RangePlan, RangeSource, Reference, SubqueryPlan};

/// Begin of the name of a read.
pub(crate) const READ: &str = "[read]";

/// Begin of the name of a store that was asked among several.
const STORE: &str = "[store]";

/// An operator of a plan, with what it cost if the query was analyzed.
///
/// ```
/// use std::sync::Arc;
/// use thanoslib::{Engine, EngineOptions, InstantQuery, promql::parse, runtime::Inline};
/// use thanoslib::testing::MemoryQueryable;
/// let engine = Engine::new(EngineOptions::default(), Arc::new(Inline));
/// let text = "sum by (job) (rate(x[5m])) > 1";
/// let expr = parse(text, engine.options())?;
/// let query = InstantQuery { expr, text: Arc::from(text), time_ms: 600_000, lookback_ms: None };
/// let explained = engine.explain_instant(&MemoryQueryable::default(), query)?;
/// assert_eq!(explained.name, "[binary] >");
/// assert_eq!(explained.to_text().lines().nth(1), Some("  [aggregate] sum by (job)"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Explained {
    /// Kind of the operator in brackets, and what it does.
    pub name: String,
    /// What it cost, its operands included.
    pub cost: Option<OperatorCost>,
    /// Operands from left to right, parameters first.
    pub children: Vec<Explained>,
}

/// What an operator cost, its operands included.
///
/// See [`Explained`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OperatorCost {
    /// Time in ns. Reads of one query run at the same time, so that this may exceed the time of the query.
    pub execution_ns: u64,
    /// Most samples that the query held while the operator ran; a histogram counts by its size.
    pub peak_samples: u64,
    /// Samples looked at.
    pub total_samples: u64,
    /// Series that came out.
    pub series: u64,
    /// Bytes that came out.
    pub bytes: u64,
    /// Most bytes that the query had reserved while the operator ran.
    pub peak_bytes: u64,
}

impl OperatorCost {
    /// Adds what was spent below; peaks are the greater ones, series and bytes stay.
    fn include(&mut self, below: &OperatorCost) {
        self.execution_ns = self.execution_ns.saturating_add(below.execution_ns);
        self.total_samples = self.total_samples.saturating_add(below.total_samples);
        self.peaks(below);
    }

    /// Adds what was spent later.
    pub(crate) fn add(&mut self, more: &OperatorCost) {
        self.include(more);
        self.series = self.series.saturating_add(more.series);
        self.bytes = self.bytes.saturating_add(more.bytes);
    }

    fn peaks(&mut self, below: &OperatorCost) {
        self.peak_samples = self.peak_samples.max(below.peak_samples);
        self.peak_bytes = self.peak_bytes.max(below.peak_bytes);
    }
}

impl Explained {
    fn new(name: impl Into<String>, children: Vec<Explained>) -> Self {
        Self { name: name.into(), cost: None, children }
    }

    /// The tree with a line for each operator, operands indented.
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        // A plan is as deep as its query, which has few levels to the right.
        let mut waiting = vec![(self, 0)];
        while let Some((node, level)) = waiting.pop() {
            let _ = write!(out, "{:1$}{2}", "", 2 * level, node.name);
            if let Some(c) = &node.cost {
                let time = time(c.execution_ns);
                let _ = write!(
                    out,
                    "  ({time}, {} samples, {} series, {} bytes)",
                    c.total_samples, c.series, c.bytes
                );
            }
            out.push('\n');
            waiting.extend(node.children.iter().rev().map(|c| (c, level + 1)));
        }
        out
    }

    /// The tree as JSON: `{"name":…,"children":[…]}`, and the costs of an analyzed query.
    ///
    /// Keys are those of Thanos, beside `totalSeries`, `bytes` and `peakBytes`.
    pub fn to_json(&self) -> String {
        enum Step<'a> {
            Node(&'a Explained),
            Text(&'static str),
        }
        let mut out = String::new();
        let mut waiting = vec![Step::Node(self)];
        while let Some(step) = waiting.pop() {
            let node = match step {
                Step::Text(text) => {
                    out.push_str(text);
                    continue;
                }
                Step::Node(node) => node,
            };
            let _ = write!(out, "{{\"name\":{}", serde_json::Value::from(node.name.as_str()));
            if let Some(c) = &node.cost {
                let _ = write!(
                    out,
                    ",\"executionTime\":\"{}\",\"peakSamples\":{},\"totalSamples\":{},\"totalSeries\":{},\
                     \"bytes\":{},\"peakBytes\":{}",
                    time(c.execution_ns),
                    c.peak_samples,
                    c.total_samples,
                    c.series,
                    c.bytes,
                    c.peak_bytes
                );
            }
            if node.children.is_empty() {
                out.push('}');
                continue;
            }
            out.push_str(",\"children\":[");
            waiting.push(Step::Text("]}"));
            for (i, child) in node.children.iter().enumerate().rev() {
                waiting.push(Step::Node(child));
                if i > 0 {
                    waiting.push(Step::Text(","));
                }
            }
        }
        out
    }
}

/// Costs that were recorded while a plan ran, those of operands left out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Costs {
    /// Of each node, by its number.
    pub(crate) nodes: Vec<OperatorCost>,
    /// Of each leaf: what is computed of each series as it comes.
    pub(crate) leaves: Vec<OperatorCost>,
    /// Of each leaf: the aggregation that takes its series.
    pub(crate) aggregates: Vec<OperatorCost>,
    /// Of each read: awaiting series.
    pub(crate) reads: Vec<OperatorCost>,
    /// Of each read: the stores that were asked.
    pub(crate) stores: Vec<Vec<StoreCost>>,
}

/// Names the operators of a plan.
#[derive(Debug)]
pub(crate) struct Explainer<'p> {
    plan: &'p Plan<'p>,
    queryable: &'p dyn Queryable,
    costs: Option<&'p Costs>,
    /// Common parts that were shown.
    shown: Vec<bool>,
}

impl<'p> Explainer<'p> {
    /// Names operators, and adds what was recorded.
    pub(crate) fn new(plan: &'p Plan<'p>, queryable: &'p dyn Queryable, costs: Option<&'p Costs>) -> Self {
        Self { plan, queryable, costs, shown: vec![false; plan.commons.len()] }
    }

    /// The tree of the whole plan.
    pub(crate) fn root(mut self) -> Explained {
        let plan = self.plan;
        self.node(&plan.root)
    }

    /// Gives an operator its own cost and that of its operands.
    fn costed(&self, own: Option<OperatorCost>, mut explained: Explained) -> Explained {
        explained.cost = self.costs.and(own).map(|mut cost| {
            explained.children.iter().filter_map(|c| c.cost.as_ref()).for_each(|c| cost.include(c));
            cost
        });
        explained
    }

    fn node(&mut self, node: &PlanNode<'_>) -> Explained {
        let name = |name: &str| name.to_owned();
        let explained = match &node.kind {
            Kind::Number(v) => Explained::new(format!("[number] {v}"), Vec::new()),
            Kind::String(s) => {
                Explained::new(format!("[string] {:?}", String::from_utf8_lossy(s)), Vec::new())
            }
            Kind::Leaf(leaf) => return self.leaf(*leaf),
            Kind::Once(inner) => Explained::new(name("[once]"), vec![self.node(inner)]),
            Kind::Negate(inner) => Explained::new(name("[unary] -"), vec![self.node(inner)]),
            Kind::Binary { binary, lhs, rhs } => {
                let children = vec![self.node(lhs), self.node(rhs)];
                Explained::new(format!("[binary] {}", operator(binary)), children)
            }
            Kind::Aggregate { aggregate, child, param } => {
                let mut children: Vec<_> = param.iter().map(|p| self.node(p)).collect();
                children.push(self.node(child));
                Explained::new(aggregation(aggregate), children)
            }
            Kind::Call { function, args, .. } => {
                let children = args.iter().map(|a| self.node(a)).collect();
                Explained::new(format!("[function] {}", function.name), children)
            }
            Kind::Range { call, source } => {
                let mut children: Vec<_> = call.params.iter().map(|p| self.node(p)).collect();
                children.push(match source {
                    RangeSource::Leaf(leaf) => self.leaf(*leaf),
                    RangeSource::Subquery(s) => self.subquery(s),
                });
                Explained::new(range_call(call), children)
            }
            Kind::AbsentOverTime { present, .. } => {
                Explained::new(name("[function] absent_over_time"), vec![self.node(present)])
            }
            Kind::Info(i) => {
                let plan = self.plan;
                let children = plan.infos.get(*i).map(|info| self.node(&info.arg)).into_iter().collect();
                Explained::new(name("[info] series of the labels that are found"), children)
            }
            Kind::Common(i) => return self.common(*i),
            Kind::Subquery(s) => return self.subquery(s),
        };
        let own = self.costs.map(|costs| costs.nodes.get(node.id).copied().unwrap_or_default());
        self.costed(own, explained)
    }

    fn common(&mut self, i: usize) -> Explained {
        let plan = self.plan;
        let Some(common) = plan.commons.get(i) else { return Explained::default() };
        if common.uses == 1 {
            return self.node(&common.node);
        }
        let first = !std::mem::replace(&mut self.shown[i], true);
        let name = format!("[common #{i}] evaluated once for {} places", common.uses);
        if first {
            let child = self.node(&common.node);
            let cost = child.cost;
            Explained { cost, ..Explained::new(name, vec![child]) }
        } else {
            let cost = self.costs.map(|_| OperatorCost::default());
            Explained { cost, ..Explained::new(name, Vec::new()) }
        }
    }

    fn subquery(&mut self, s: &SubqueryPlan<'_>) -> Explained {
        let steps = s.inner.steps;
        let inner = self.node(&s.inner);
        let cost = inner.cost;
        let name = format!(
            "[subquery] {} steps of {} over {}{}",
            steps.count,
            length(steps.step_ms),
            length(s.range_ms),
            modifiers(s.reference, None)
        );
        Explained { cost, ..Explained::new(name, vec![inner]) }
    }

    fn leaf(&mut self, number: usize) -> Explained {
        let plan = self.plan;
        let Some(leaf) = plan.leaves.get(number) else { return Explained::default() };
        let mut children = Vec::new();
        if let LeafKind::Range(call) = &leaf.kind {
            children.extend(call.params.iter().map(|p| self.node(p)));
        }
        children.push(self.read(number));
        let own = self.costs.map(|c| c.leaves.get(number).copied().unwrap_or_default());
        let selector = self.costed(own, Explained::new(leaf_name(leaf), children));
        match leaf.aggregate {
            Some((_, aggregate)) => {
                let own = self.costs.map(|c| c.aggregates.get(number).copied().unwrap_or_default());
                self.costed(own, Explained::new(aggregation(aggregate), vec![selector]))
            }
            None => selector,
        }
    }

    /// The read that answers a leaf.
    fn read(&self, leaf: usize) -> Explained {
        let found = self.plan.reads.iter().enumerate().find_map(|(i, read)| {
            read.targets.iter().find(|t| t.leaf == leaf).map(|target| (i, read, target))
        });
        let Some((number, read, target)) = found else { return Explained::new(READ, Vec::new()) };
        let Some(select) = read.selects.get(target.select) else { return Explained::default() };
        let mut name = format!("{READ} #{number} {}", describe(select));
        if let Some(more) = self.queryable.explain(select) {
            let _ = write!(name, ", {more}");
        }
        if !target.filter.is_empty() {
            let _ = write!(name, ", of which {}", matchers(&target.filter));
        }
        if read.targets.len() > 1 {
            let _ = write!(name, ", shared by {} selectors", read.targets.len());
        }
        // The cost of a read stands at its first selector.
        let first = read.targets.iter().map(|t| t.leaf).min() == Some(leaf);
        let cost = self.costs.map(|c| c.reads.get(number).copied().filter(|_| first).unwrap_or_default());
        let stores = self.costs.and_then(|c| c.stores.get(number)).filter(|_| first);
        let children = stores.filter(|all| all.len() > 1).into_iter().flatten().map(store).collect();
        Explained { cost, ..Explained::new(name, children) }
    }
}

/// One of the stores that answered a read; what it took is part of the cost of the read.
fn store(cost: &StoreCost) -> Explained {
    let mut name = format!("{STORE} {}", cost.name);
    if cost.warnings > 0 {
        let _ = write!(name, ", warnings: {}", cost.warnings);
    }
    let cost = OperatorCost {
        execution_ns: u64::try_from(cost.time.as_nanos()).unwrap_or(u64::MAX),
        total_samples: cost.samples,
        series: cost.series,
        bytes: cost.bytes,
        ..OperatorCost::default()
    };
    Explained { cost: Some(cost), ..Explained::new(name, Vec::new()) }
}

fn operator(binary: &Binary) -> String {
    let mut out = binary.op.as_str().to_owned();
    if binary.return_bool {
        out.push_str(" bool");
    }
    let m = &binary.matching;
    if m.on || !m.labels.is_empty() {
        let _ = write!(out, " {} ({})", if m.on { "on" } else { "ignoring" }, m.labels.join(", "));
    }
    use crate::promql::ast::Cardinality::{ManyToOne, OneToMany};
    match m.cardinality {
        ManyToOne => _ = write!(out, " group_left ({})", m.include.join(", ")),
        OneToMany => _ = write!(out, " group_right ({})", m.include.join(", ")),
        _ => {}
    }
    for (name, fill) in [("fill_left", m.fill_left), ("fill_right", m.fill_right)] {
        if let Some(v) = fill {
            let _ = write!(out, " {name} ({v})");
        }
    }
    out
}

fn aggregation(aggregate: &Aggregate) -> String {
    let mut out = format!("[aggregate] {}", aggregate.op.as_str());
    if let Some(g) = &aggregate.grouping {
        let _ = write!(out, " {} ({})", if g.by { "by" } else { "without" }, g.labels.join(", "));
    }
    out
}

fn range_call(call: &RangePlan<'_>) -> String {
    let name = call.id.name();
    format!("[range] {name} over {}{}", length(call.range_ms), modifiers(call.reference, call.extension))
}

fn leaf_name(leaf: &Leaf<'_>) -> String {
    let own = |name: &str, extension| format!("[selector] {name}{}", modifiers(leaf.reference, extension));
    let stats = if leaf.stats { ", histograms without buckets" } else { "" };
    let name = match &leaf.kind {
        LeafKind::Instant => own("newest sample", None),
        LeafKind::Smoothed(_) => own("newest sample", Some(Extension::Smoothed)),
        LeafKind::Timestamp => own("time of the newest sample", None),
        LeafKind::StartTimestamp => own("start time of the newest sample", None),
        LeafKind::Range(call) => range_call(call),
        LeafKind::Raw => own("all samples", None),
        LeafKind::Edged { extension, .. } => own("all samples", Some(*extension)),
    };
    name + stats
}

fn modifiers(reference: Reference, extension: Option<Extension>) -> String {
    let mut out = extension.map(|e| format!(" {}", e.as_str())).unwrap_or_default();
    if let Some(t) = reference.at_ms {
        let _ = write!(out, " @ {}", seconds(t));
    }
    match reference.offset_ms {
        0 => {}
        ms if ms < 0 => _ = write!(out, " offset -{}", length(ms.saturating_neg())),
        ms => _ = write!(out, " offset {}", length(ms)),
    }
    out
}

/// A select with its window and hints.
fn describe(select: &Select) -> String {
    let Interval { mint, maxt } = select.interval;
    let mut out = format!("{} from {} to {}", matchers(&select.matchers), seconds(mint), seconds(maxt));
    let hints = &select.hints;
    if !hints.func.is_empty() {
        let _ = write!(out, ", for {}", hints.func);
    }
    if hints.step_ms > 0 {
        let _ = write!(out, ", step {}", length(hints.step_ms));
    }
    if hints.range_ms > 0 {
        let _ = write!(out, ", range {}", length(hints.range_ms));
    }
    if let Some(labels) = &hints.projection {
        let _ = write!(out, ", labels ({})", labels.join(", "));
    }
    out
}

fn matchers(matchers: &[crate::model::Matcher]) -> String {
    let texts: Vec<_> = matchers.iter().map(ToString::to_string).collect();
    format!("{{{}}}", texts.join(","))
}

/// A time as Go prints it: `1.5ms`, `559.275µs`.
fn time(ns: u64) -> String {
    duration::format_go(i64::try_from(ns).unwrap_or(i64::MAX))
}

fn seconds(ms: i64) -> String {
    format!("{}", ms as f64 / 1000.0)
}

fn length(ms: i64) -> String {
    duration::format(ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trees_print_as_text_and_json() {
        let cost =
            OperatorCost { execution_ns: 1_500_000, total_samples: 7, series: 2, ..OperatorCost::default() };
        let leaf = Explained { cost: Some(cost), ..Explained::new("[read] {a=\"b\"}", Vec::new()) };
        let root = Explained::new("[binary] +", vec![Explained::new("[number] 1", Vec::new()), leaf]);
        assert_eq!(
            root.to_text(),
            "[binary] +\n  [number] 1\n  [read] {a=\"b\"}  (1.5ms, 7 samples, 2 series, 0 bytes)\n"
        );
        assert_eq!(
            root.to_json(),
            concat!(
                r#"{"name":"[binary] +","children":[{"name":"[number] 1"},{"name":"[read] {a=\"b\"}","#,
                r#""executionTime":"1.5ms","peakSamples":0,"totalSamples":7,"totalSeries":2,"bytes":0,"peakBytes":0}]}"#
            )
        );
    }
}
