//! Finds the parts of a query that occur more than once.

use std::collections::HashMap;

use crate::promql::ast::{Expr, Node};

/// Which nodes of a tree are equal, places in the text aside.
///
/// Equal nodes have one class; a class refers to those of its operands, so that comparing two
/// nodes costs no walk. Nodes are told by where they lie in memory, while the tree is borrowed.
#[derive(Debug, Default)]
pub(super) struct Classes {
    of: HashMap<*const Expr, usize>,
    classes: Vec<Class>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Class {
    /// Occurrences, those inside of other parts that occur again not counted.
    occurs: usize,
    /// True when it reads series.
    reads: bool,
    /// True with a subquery in it.
    subquery: bool,
}

impl Classes {
    /// The classes of all nodes.
    pub(super) fn new(expr: &Expr) -> Self {
        let mut classes = Self::default();
        classes.add(expr, &mut HashMap::new());
        classes.count(expr);
        classes
    }

    /// The class of a node, if it is worth to be evaluated once for all its occurrences.
    pub(super) fn repeated(&self, expr: &Expr) -> Option<usize> {
        let class = *self.of.get(&std::ptr::from_ref(expr))?;
        let Class { occurs, reads, subquery } = self.classes[class];
        // A blamed subquery stands at the start of the text, wherever it stands; remarks on it must not be
        // taken for some on what really stands there.
        let at_start = expr.span.is_some_and(|(start, _)| start == 0);
        (occurs > 1 && reads && !(subquery && at_start)).then_some(class)
    }

    /// True when the node reads series.
    pub(super) fn reads(&self, expr: &Expr) -> bool {
        self.of.get(&std::ptr::from_ref(expr)).is_some_and(|class| self.classes[*class].reads)
    }

    fn add(&mut self, expr: &Expr, known: &mut HashMap<Vec<u8>, usize>) -> usize {
        let (mut key, operands) = shape(expr);
        let mut own = Class {
            occurs: 0,
            reads: matches!(expr.node, Node::Vector(_) | Node::Matrix { .. }),
            subquery: matches!(expr.node, Node::Subquery(_)),
        };
        for operand in operands {
            let class = self.add(operand, known);
            own.reads |= self.classes[class].reads;
            own.subquery |= self.classes[class].subquery;
            key.extend_from_slice(&class.to_le_bytes());
        }
        let next = self.classes.len();
        let class = *known.entry(key).or_insert(next);
        if class == next {
            self.classes.push(own);
        }
        self.of.insert(std::ptr::from_ref(expr), class);
        class
    }

    fn count(&mut self, expr: &Expr) {
        if let Some(class) = self.of.get(&std::ptr::from_ref(expr)) {
            self.classes[*class].occurs += 1;
            if self.classes[*class].occurs > 1 {
                return;
            }
        }
        for operand in shape(expr).1 {
            self.count(operand);
        }
    }
}

/// What tells a node from others of the same operands, and the operands.
fn shape(expr: &Expr) -> (Vec<u8>, Vec<&Expr>) {
    let with = |kind: u8, text: String| [&[kind], text.as_bytes(), &[0xFF]].concat();
    match &expr.node {
        Node::Number { value, is_duration } => {
            (with(0, format!("{:x} {is_duration}", value.to_bits())), Vec::new())
        }
        Node::String(s) => ([&[1], s.as_slice()].concat(), Vec::new()),
        Node::Paren(e) => (vec![2], vec![e]),
        Node::Unary { negative, expr } => (vec![3, u8::from(*negative)], vec![expr]),
        Node::Binary(b) => {
            let text = format!("{} {} {:?}", b.op.as_str(), b.return_bool, b.matching);
            (with(4, text), vec![&b.lhs, &b.rhs])
        }
        Node::Aggregate(a) => {
            let text = format!("{} {:?}", a.op.as_str(), a.grouping);
            (with(5, text), a.param.iter().chain([&a.expr]).collect())
        }
        Node::Call { function, args } => (with(6, function.name.to_owned()), args.iter().collect()),
        Node::Vector(_) | Node::Matrix { .. } => (with(7, expr.to_string()), Vec::new()),
        Node::Subquery(s) => {
            let text = format!("{:?} {:?} {:?} {:?}", s.range, s.step, s.offset, s.at);
            (with(8, text), vec![&s.expr])
        }
    }
}

/// The operands of a node from left to right, parameters first.
pub(crate) fn operands(expr: &Expr) -> Vec<&Expr> {
    shape(expr).1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promql::{EngineOptions, parse};

    /// The texts of all nodes that are evaluated once for several places.
    fn check(text: &str, want: &[&str]) {
        let expr = parse(text, &EngineOptions::default()).expect("parses");
        let classes = Classes::new(&expr);
        let (mut got, mut waiting) = (Vec::new(), vec![&expr]);
        while let Some(node) = waiting.pop() {
            if classes.repeated(node).is_some() {
                got.push(node.to_string());
            }
            waiting.extend(operands(node));
        }
        got.sort();
        got.dedup();
        assert_eq!(got, want, "{text}");
    }

    #[test]
    fn parts_that_read_and_occur_again_are_found() {
        check("sum(x) / (sum(x) + 1)", &["sum(x)"]);
        check("x - x offset 1m", &[]);
        check("1 + 1", &[]);
        check("sum by (a) (rate(x[5m])) + sum(rate( x [5m]))", &["rate(x[5m])"]);
        check("abs(x{a=\"1\"}) + abs(x{a=\"2\"})", &[]);
        // The inner part occurs again only inside of the outer one.
        check("1 + abs(abs(x)) + abs(abs(x))", &["abs(abs(x))"]);
        check("1 + max_over_time(x[1h:]) + max_over_time(x[1h:])", &["max_over_time(x[1h:])"]);
        check("max_over_time(x[1h:]) + 1 + max_over_time(x[1h:])", &["max_over_time(x[1h:])"]);
    }
}
