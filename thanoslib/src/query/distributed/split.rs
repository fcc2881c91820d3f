//! Which parts of a query go to queriers.

use std::collections::BTreeMap;

use super::{Engines, RemoteEngine};
use crate::{
    model::{Labels, Matcher},
    promql::{
        FunctionId as Id,
        ast::{
            Aggregate, AggregateOp, Binary, BinaryOp, Cardinality, Expr, Matching, Node, ValueType,
            VectorSelector,
        },
    },
    store::{Grouping, may_match},
};

/// Begin of the names of selectors that stand for parts.
const NAME: &str = "[remote] #";

/// Label that tells apart what several queriers say of one group.
pub(super) const ENGINE: &str = "__engine__";

/// A part of a query that queriers evaluate.
#[derive(Debug)]
pub(super) struct Part {
    /// What they are asked.
    pub(super) text: String,
    /// Whom it concerns.
    pub(super) engines: Vec<RemoteEngine>,
    /// True: what they say is told apart by [`ENGINE`].
    pub(super) tagged: bool,
}

/// The number of the part that matchers stand for.
pub(super) fn part_of(matchers: &[Matcher]) -> Option<usize> {
    let [matcher] = matchers else { return None };
    std::str::from_utf8(matcher.value()).ok()?.strip_prefix(NAME)?.parse().ok()
}

/// Takes parts out of one query.
pub(super) struct Split<'a> {
    known: &'a Engines,
    /// Labels that may be of the partition; none allows all.
    partition: &'a [String],
    instant: bool,
    parts: Vec<Part>,
}

/// Whom a part concerns.
struct Concerned {
    engines: Vec<RemoteEngine>,
    /// The labels that tell them apart.
    partition: Vec<String>,
}

impl<'a> Split<'a> {
    pub(super) fn new(known: &'a Engines, partition: &'a [String], instant: bool) -> Self {
        Self { known, partition, instant, parts: Vec::new() }
    }

    /// The query with selectors in place of parts; `None` when it has such names itself.
    pub(super) fn query(&mut self, expr: &Expr) -> Option<Expr> {
        let mut own = false;
        selectors(expr, &mut |s| own |= s.matchers.iter().any(|m| m.value().starts_with(NAME.as_bytes())));
        (!own).then(|| self.rewrite(expr))
    }

    pub(super) fn into_parts(self) -> Vec<Part> {
        self.parts
    }

    /// The expression with selectors in place of parts.
    fn rewrite(&mut self, expr: &Expr) -> Expr {
        if expr.value_type() == ValueType::Vector
            // The order of series is that of the answer, and no querier tells it.
            && !(self.instant && orders(expr))
            && let Some(concerned) = self.concerned(expr)
            && concerned.keeps(expr)
        {
            return self.part(expr.to_string(), expr, concerned, false);
        }
        let node = match &expr.node {
            Node::Aggregate(a) => return self.aggregate(expr, a),
            Node::Paren(e) => Node::Paren(Box::new(self.rewrite(e))),
            Node::Unary { negative, expr: e } => {
                Node::Unary { negative: *negative, expr: Box::new(self.rewrite(e)) }
            }
            Node::Binary(b) => {
                let (lhs, rhs) = (self.rewrite(&b.lhs), self.rewrite(&b.rhs));
                Node::Binary(Box::new(Binary { lhs, rhs, ..(**b).clone() }))
            }
            // Which series these add labels from is not told by their argument.
            Node::Call { function, .. } if function.id == Id::Info => expr.node.clone(),
            Node::Call { function, args } => {
                // The selector itself says which labels a missing series would have.
                let stays =
                    |arg: &Expr| function.id == Id::Absent && matches!(arg.unparen().node, Node::Vector(_));
                let arg = |arg: &Expr| if stays(arg) { arg.clone() } else { self.rewrite(arg) };
                Node::Call { function, args: args.iter().map(arg).collect() }
            }
            // Steps of a subquery are not those of the query.
            Node::Number { .. }
            | Node::String(_)
            | Node::Vector(_)
            | Node::Matrix { .. }
            | Node::Subquery(_) => expr.node.clone(),
        };
        Expr { node, span: expr.span }
    }

    /// An aggregation of which not all lies with each querier.
    fn aggregate(&mut self, expr: &Expr, a: &Aggregate) -> Expr {
        use AggregateOp::{Avg, Bottomk, Count, Group, Max, Min, Sum, Topk};
        let begun = is_literal(a.param.as_ref())
            .then(|| self.concerned(&a.expr))
            .flatten()
            .filter(|concerned| concerned.keeps(&a.expr));
        let by_name = a.grouping.as_ref().is_some_and(|g| g.by && g.labels.iter().any(|l| l == "__name__"));
        match (begun, a.op) {
            (Some(concerned), Sum | Min | Max | Group) => self.finished(expr, a, concerned, a.op, a.op),
            (Some(concerned), Count) => self.finished(expr, a, concerned, Count, Sum),
            (Some(concerned), Avg) if !by_name => {
                let again =
                    Concerned { engines: concerned.engines.clone(), partition: concerned.partition.clone() };
                let lhs = self.finished(expr, a, concerned, Sum, Sum);
                let rhs = self.finished(expr, a, again, Count, Sum);
                let node = Node::Binary(Box::new(Binary {
                    op: BinaryOp::Div,
                    lhs,
                    rhs,
                    return_bool: false,
                    matching: Matching { cardinality: Cardinality::OneToOne, ..Matching::default() },
                    op_span: None,
                }));
                Expr { node, span: expr.span }
            }
            (Some(concerned), Topk | Bottomk) => {
                let part = self.part(expr.to_string(), &a.expr, concerned, false);
                let node = Node::Aggregate(Box::new(Aggregate { expr: part, ..a.clone() }));
                Expr { node, span: expr.span }
            }
            _ => {
                let child = self.rewrite(&a.expr);
                let node = Node::Aggregate(Box::new(Aggregate { expr: child, ..a.clone() }));
                Expr { node, span: expr.span }
            }
        }
    }

    /// An aggregation that queriers begin and that is finished here.
    fn finished(
        &mut self,
        expr: &Expr,
        a: &Aggregate,
        concerned: Concerned,
        begin: AggregateOp,
        finish: AggregateOp,
    ) -> Expr {
        let text = Expr::new(Node::Aggregate(Box::new(Aggregate { op: begin, ..a.clone() }))).to_string();
        let part = self.part(text, &a.expr, concerned, true);
        let mut grouping = a.grouping.clone();
        if let Some(Grouping { by: false, labels }) = &mut grouping {
            labels.push(ENGINE.to_owned());
        }
        let node = Node::Aggregate(Box::new(Aggregate { op: finish, expr: part, param: None, grouping }));
        Expr { node, span: expr.span }
    }

    /// A selector that stands for a part.
    fn part(&mut self, text: String, expr: &Expr, concerned: Concerned, tagged: bool) -> Expr {
        let same = |p: &Part| p.text == text && p.tagged == tagged;
        let number = self.parts.iter().position(same).unwrap_or(self.parts.len());
        if number == self.parts.len() {
            self.parts.push(Part { text, engines: concerned.engines, tagged });
        }
        let name = format!("{NAME}{number}");
        let matchers = vec![Matcher::equal("__name__", name.as_str())];
        let selector = VectorSelector { name: Some(name), matchers, ..VectorSelector::default() };
        Expr { node: Node::Vector(selector), span: expr.span }
    }

    /// Whom an expression concerns, if each of its series lies with one of them alone.
    fn concerned(&self, expr: &Expr) -> Option<Concerned> {
        let mut asked: Vec<&[Matcher]> = Vec::new();
        selectors(expr, &mut |s| asked.push(&s.matchers));
        let matches = |sets: &[Labels]| asked.iter().any(|matchers| may_match(sets, matchers));
        if self.known.stores.iter().any(|sets| matches(sets)) {
            return None;
        }
        let relevant = |engine: &'a RemoteEngine| {
            let sets = engine.label_sets.iter().filter(|set| matches(std::slice::from_ref(*set)));
            let sets: Vec<&Labels> = sets.collect();
            (engine.label_sets.is_empty() && !asked.is_empty() || !sets.is_empty()).then_some((engine, sets))
        };
        let found: Vec<_> = self.known.engines.iter().filter_map(relevant).collect();
        if found.len() > 1 && found.iter().any(|(_, sets)| sets.is_empty()) {
            return None;
        }
        let engines = || found.iter().map(|(engine, _)| (*engine).clone()).collect();
        match found.as_slice() {
            [] => None,
            [_] => Some(Concerned { engines: engines(), partition: Vec::new() }),
            [(_, first), ..] => {
                let all = || found.iter().flat_map(|(_, sets)| sets.iter());
                let names = first.first()?.iter().map(|l| String::from_utf8_lossy(l.name).into_owned());
                let common = |name: &String| {
                    (self.partition.is_empty() || self.partition.contains(name))
                        && all().all(|set| set.get(name).is_some())
                };
                let partition: Vec<String> = names.filter(common).collect();
                are_apart(&found, &partition).then(|| Concerned { engines: engines(), partition })
            }
        }
    }
}

/// True when no two queriers have the same values of the partition labels.
fn are_apart(found: &[(&RemoteEngine, Vec<&Labels>)], partition: &[String]) -> bool {
    let mut owners: BTreeMap<Labels, usize> = BTreeMap::new();
    found.iter().enumerate().all(|(i, (_, sets))| {
        sets.iter().all(|set| {
            let values = set.filter(|l| partition.iter().any(|p| p.as_bytes() == l.name));
            *owners.entry(values).or_insert(i) == i
        })
    })
}

impl Concerned {
    /// True when the value of an expression is the union of its values over each querier's series.
    fn keeps(&self, expr: &Expr) -> bool {
        // One of them holds everything.
        self.engines.len() == 1 || self.keeps_partition(expr)
    }

    fn is_partition(&self, name: &str) -> bool {
        self.partition.iter().any(|p| p == name)
    }

    fn keeps_partition(&self, expr: &Expr) -> bool {
        match &expr.node {
            Node::Number { .. } | Node::String(_) => false,
            Node::Vector(_) | Node::Matrix { .. } => true,
            Node::Paren(e) | Node::Unary { expr: e, .. } => self.keeps_partition(e),
            Node::Subquery(s) => self.keeps_partition(&s.expr),
            Node::Binary(b) => self.binary_keeps(b),
            Node::Aggregate(a) => self.aggregate_keeps(a),
            Node::Call { function, args } => self.call_keeps(function.id, args),
        }
    }

    fn binary_keeps(&self, b: &Binary) -> bool {
        let constant = |e: &Expr| is_literal(Some(e));
        match (constant(&b.lhs), constant(&b.rhs)) {
            (true, true) => false,
            (true, false) => self.keeps_partition(&b.rhs),
            (false, true) => self.keeps_partition(&b.lhs),
            (false, false) => {
                let vectors = [&b.lhs, &b.rhs].iter().all(|e| e.value_type() == ValueType::Vector);
                let Matching { on, labels, include, .. } = &b.matching;
                let kept = match on {
                    true => self.partition.iter().all(|p| labels.contains(p)),
                    false => !labels.iter().any(|l| self.is_partition(l)),
                };
                vectors
                    && kept
                    && !include.iter().any(|l| self.is_partition(l))
                    && self.keeps_partition(&b.lhs)
                    && self.keeps_partition(&b.rhs)
            }
        }
    }

    fn aggregate_keeps(&self, a: &Aggregate) -> bool {
        use AggregateOp::{CountValues, LimitRatio, Limitk};
        let kept = match &a.grouping {
            None => false,
            Some(Grouping { by: true, labels }) => self.partition.iter().all(|p| labels.contains(p)),
            Some(Grouping { by: false, labels }) => !labels.iter().any(|l| self.is_partition(l)),
        };
        let written = match (a.op, a.param.as_ref().map(|p| &p.unparen().node)) {
            (CountValues, Some(Node::String(label))) => !self.partition.iter().any(|p| p.as_bytes() == label),
            // What is taken depends on the order in which series come, or on all of their labels.
            (CountValues | Limitk | LimitRatio, _) => false,
            _ => is_literal(a.param.as_ref()),
        };
        kept && written && self.keeps_partition(&a.expr)
    }

    fn call_keeps(&self, id: Id, args: &[Expr]) -> bool {
        let writes = match id {
            // Of no series, of other series, or in an order of their own.
            Id::Absent | Id::AbsentOverTime | Id::Info | Id::ScalarOf | Id::VectorOf => return false,
            Id::Sort | Id::SortDesc | Id::SortByLabel | Id::SortByLabelDesc => return false,
            Id::LabelReplace | Id::LabelJoin | Id::HistogramQuantiles => args.get(1),
            _ => None,
        };
        if let Some(label) = writes {
            match &label.unparen().node {
                Node::String(s) if !self.partition.iter().any(|p| p.as_bytes() == s) => {}
                _ => return false,
            }
        }
        if matches!(id, Id::HistogramQuantile | Id::HistogramQuantiles | Id::HistogramFraction)
            && self.is_partition("le")
        {
            return false;
        }
        let series = |e: &&Expr| matches!(e.value_type(), ValueType::Vector | ValueType::Matrix);
        let mut any = false;
        let all = args.iter().all(|arg| match series(&arg) {
            true => {
                any = true;
                self.keeps_partition(arg)
            }
            false => is_literal(Some(arg)),
        });
        any && all
    }
}

/// True when the order of its series may be another than that of their labels: that of their values,
/// or one side after the other.
fn orders(expr: &Expr) -> bool {
    match &expr.node {
        Node::Number { .. } | Node::String(_) | Node::Vector(_) | Node::Matrix { .. } => false,
        Node::Paren(e) | Node::Unary { expr: e, .. } => orders(e),
        Node::Binary(b) => b.op == BinaryOp::Or || orders(&b.lhs) || orders(&b.rhs),
        Node::Aggregate(a) => matches!(a.op, AggregateOp::Topk | AggregateOp::Bottomk) || orders(&a.expr),
        Node::Call { function, args } => {
            let sorts =
                matches!(function.id, Id::Sort | Id::SortDesc | Id::SortByLabel | Id::SortByLabelDesc);
            sorts || args.iter().any(orders)
        }
        Node::Subquery(s) => orders(&s.expr),
    }
}

/// True for numbers and strings, and where there is nothing.
fn is_literal(expr: Option<&Expr>) -> bool {
    match expr.map(|e| &e.node) {
        None | Some(Node::Number { .. } | Node::String(_)) => true,
        Some(Node::Paren(e) | Node::Unary { expr: e, .. }) => is_literal(Some(e)),
        Some(_) => false,
    }
}

/// Hands all selectors of an expression to `see`.
fn selectors<'e>(expr: &'e Expr, see: &mut impl FnMut(&'e VectorSelector)) {
    match &expr.node {
        Node::Number { .. } | Node::String(_) => {}
        Node::Paren(e) | Node::Unary { expr: e, .. } => selectors(e, see),
        Node::Binary(b) => {
            selectors(&b.lhs, see);
            selectors(&b.rhs, see);
        }
        Node::Aggregate(a) => {
            if let Some(param) = &a.param {
                selectors(param, see);
            }
            selectors(&a.expr, see);
        }
        Node::Call { args, .. } => args.iter().for_each(|a| selectors(a, see)),
        Node::Vector(selector) | Node::Matrix { selector, .. } => see(selector),
        Node::Subquery(s) => selectors(&s.expr, see),
    }
}
