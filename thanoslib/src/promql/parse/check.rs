//! What a query must satisfy beyond its grammar: types, arity, matchers that match.

use crate::{
    model::{LABEL_NAME, Matcher, float::Quoted},
    promql::ast::{
        AggregateOp, Binary, Cardinality, Expr, Function, FunctionId as Id, Node, ValueType, VectorSelector,
    },
};

use super::error::ParseError;

/// Checks a tree, operands before their node; visits each once and needs no stack.
///
/// # Errors
/// The first violation, in upstream's words.
pub(crate) fn check(expr: &Expr, text: &[u8]) -> Result<(), ParseError> {
    Checker { text }.tree(expr)
}

/// Checks that a selector names its metric once.
///
/// # Errors
/// Both names.
pub(crate) fn check_name(expr: &Expr, selector: &VectorSelector, text: &[u8]) -> Result<(), ParseError> {
    Checker { text }.name(expr, selector)
}

struct Checker<'a> {
    text: &'a [u8],
}

impl Checker<'_> {
    fn fail(&self, at: &Expr, message: impl Into<String>) -> Result<(), ParseError> {
        self.fail_at(at.span, message)
    }

    fn fail_at(&self, span: Option<(u32, u32)>, message: impl Into<String>) -> Result<(), ParseError> {
        Err(match span {
            Some(span) => ParseError::at(message, self.text, span),
            None => ParseError::new(message),
        })
    }

    fn tree(&self, expr: &Expr) -> Result<(), ParseError> {
        let mut visits = vec![Visit::new(expr)];
        // The type of the operand that was left.
        let mut left: Option<ValueType> = None;
        while let Some(visit) = visits.last_mut() {
            match left.take() {
                Some(kind) => {
                    self.operand(visit.expr, visit.next - 1, kind)?;
                    visit.kinds = [visit.kinds[1], Some(kind)];
                }
                None => self.enter(visit.expr)?,
            }
            match visit.operand() {
                Some(operand) => {
                    visit.next += 1;
                    visits.push(Visit::new(operand));
                }
                None => {
                    left = Some(self.leave(visit.expr, visit.kinds)?);
                    visits.pop();
                }
            }
        }
        Ok(())
    }

    /// What is judged before the operands are.
    fn enter(&self, e: &Expr) -> Result<(), ParseError> {
        match &e.node {
            Node::Call { function, args } => self.arguments(e, function, args),
            _ => Ok(()),
        }
    }

    /// What is judged when the `i`th operand was visited.
    fn operand(&self, e: &Expr, i: usize, got: ValueType) -> Result<(), ParseError> {
        match &e.node {
            Node::Aggregate(a) if i == 0 => {
                self.expect(&a.expr, ValueType::Vector, got, "aggregation expression")
            }
            Node::Aggregate(a) => {
                let want =
                    if a.op == AggregateOp::CountValues { ValueType::String } else { ValueType::Scalar };
                self.expect(a.param.as_ref().unwrap_or(e), want, got, "aggregation parameter")
            }
            Node::Call { function, args } => match function.args.get(i).or(function.args.last()) {
                Some(want) if *want != got => {
                    self.expect(&args[i], *want, got, &format!("call to function {:?}", function.name))
                }
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }

    /// What is judged behind all operands, of which `kinds` are the last two; gives the type.
    fn leave(&self, e: &Expr, kinds: [Option<ValueType>; 2]) -> Result<ValueType, ParseError> {
        let last = kinds[1].unwrap_or(ValueType::Vector);
        match &e.node {
            Node::Paren(_) => return Ok(last),
            Node::Unary { .. } => {
                if !matches!(last, ValueType::Scalar | ValueType::Vector) {
                    let what =
                        "unary expression only allowed on expressions of type scalar or instant vector";
                    self.fail(e, format!("{what}, got {:?}", last.documented()))?;
                }
                return Ok(last);
            }
            Node::Binary(b) => {
                let first = kinds[0].unwrap_or(ValueType::Vector);
                self.binary(e, b, first, last)?;
                if (first, last) != (ValueType::Scalar, ValueType::Scalar) {
                    return Ok(ValueType::Vector);
                }
                return Ok(ValueType::Scalar);
            }
            Node::Subquery(_) if last != ValueType::Vector => {
                let got = last.as_str();
                self.fail(e, format!("subquery is only allowed on instant vector, got {got} instead"))?;
            }
            Node::Vector(selector) | Node::Matrix { selector, .. } => {
                self.name(e, selector)?;
                if selector.matchers.iter().all(Matcher::matches_empty) {
                    self.fail(e, "vector selector must contain at least one non-empty matcher")?;
                }
            }
            _ => {}
        }
        // The type of these does not depend on operands.
        Ok(e.value_type())
    }

    fn name(&self, e: &Expr, selector: &VectorSelector) -> Result<(), ParseError> {
        let Some((name, (_, others))) = selector.name.as_ref().zip(selector.matchers.split_last()) else {
            return Ok(());
        };
        match others.iter().find(|m| m.name() == LABEL_NAME) {
            Some(other) => {
                let (name, other) = (Quoted::text(name), Quoted(other.value()));
                self.fail(e, format!("metric name must not be set twice: {name} or {other}"))
            }
            None => Ok(()),
        }
    }

    fn binary(&self, e: &Expr, b: &Binary, left: ValueType, right: ValueType) -> Result<(), ParseError> {
        use ValueType::{Scalar, Vector};
        let op = b.op.as_str();
        let m = &b.matching;
        // Compat: one byte short at the end (promql/parser/parse.go checkAST).
        let op_span = b.op_span.map(|(start, end)| (start, end.saturating_sub(1)));
        if b.return_bool && !b.op.is_comparison() {
            return self.fail_at(op_span, "bool modifier can only be used on comparison operators");
        }
        if b.op.is_comparison() && !b.return_bool && left == Scalar && right == Scalar {
            return self.fail_at(op_span, "comparisons between scalars must use BOOL modifier");
        }
        if m.on
            && let Some(label) = m.labels.iter().find(|l| m.include.contains(l))
        {
            let label = Quoted::text(label);
            let message = format!("label {label} must not occur in ON and GROUP clause at once");
            return self.fail_at(op_span, message);
        }
        for (operand, kind) in [(&b.lhs, left), (&b.rhs, right)] {
            if !matches!(kind, Scalar | Vector) {
                return self
                    .fail(operand, "binary expression must contain only scalar and instant vector types");
            }
        }
        if (left, right) != (Vector, Vector) {
            if !m.labels.is_empty() {
                return self.fail(e, "vector matching only allowed between instant vectors");
            }
            if m.fill_left.is_some() || m.fill_right.is_some() {
                return self.fail(e, "filling in missing series only allowed between instant vectors");
            }
            if b.op.is_set() {
                return self.fail(e, format!("set operator {op:?} not allowed in binary scalar expression"));
            }
        } else if b.op.is_set() {
            if matches!(m.cardinality, Cardinality::OneToMany | Cardinality::ManyToOne) {
                return self.fail(e, format!("no grouping allowed for {op:?} operation"));
            }
            if m.cardinality != Cardinality::ManyToMany {
                return self.fail(e, "set operations must always be many-to-many");
            }
            if m.fill_left.is_some() || m.fill_right.is_some() {
                return self.fail(e, "filling in missing series not allowed for set operators");
            }
        }
        Ok(())
    }

    /// How many arguments there are, and the second of `info`.
    fn arguments(&self, e: &Expr, function: &Function, args: &[Expr]) -> Result<(), ParseError> {
        let (name, count, declared) = (function.name, args.len(), function.args.len());
        if function.variadic == 0 {
            if count != declared {
                return self
                    .fail(e, format!("expected {declared} argument(s) in call to {name:?}, got {count}"));
            }
        } else {
            let least = declared.saturating_sub(1);
            if count < least {
                return self.fail(
                    e,
                    format!("expected at least {least} argument(s) in call to {name:?}, got {count}"),
                );
            }
            let most = usize::try_from(function.variadic).map_or(usize::MAX, |v| least + v);
            if count > most {
                return self.fail(
                    e,
                    format!("expected at most {most} argument(s) in call to {name:?}, got {count}"),
                );
            }
        }
        match args.get(1) {
            Some(arg) if function.id == Id::Info => self.info_selector(e, arg),
            _ => Ok(()),
        }
    }

    /// The second argument of `info`: braces without a name.
    fn info_selector(&self, call: &Expr, arg: &Expr) -> Result<(), ParseError> {
        let got = arg.value_type();
        if got != ValueType::Vector {
            let got = got.documented();
            return self
                .fail(call, format!("expected type instant vector in call to function \"info\", got {got}"));
        }
        match &arg.node {
            Node::Vector(selector) if selector.name.is_none() => Ok(()),
            Node::Vector(_) => self.fail(arg, "expected label selectors only, got vector selector instead"),
            _ => self.fail(arg, "expected label selectors only"),
        }
    }

    fn expect(&self, e: &Expr, want: ValueType, got: ValueType, place: &str) -> Result<(), ParseError> {
        if got == want {
            return Ok(());
        }
        self.fail(e, format!("expected type {} in {place}, got {}", want.documented(), got.documented()))
    }
}

/// A node whose operands are being visited.
struct Visit<'e> {
    expr: &'e Expr,
    /// Number of the next operand.
    next: usize,
    /// Types of the last two operands.
    kinds: [Option<ValueType>; 2],
}

impl<'e> Visit<'e> {
    fn new(expr: &'e Expr) -> Self {
        Self { expr, next: 0, kinds: [None; 2] }
    }

    /// The next operand, in the order in which errors are found.
    fn operand(&self) -> Option<&'e Expr> {
        let first = |e: &'e Expr| (self.next == 0).then_some(e);
        match &self.expr.node {
            Node::Number { .. } | Node::String(_) | Node::Vector(_) | Node::Matrix { .. } => None,
            Node::Paren(e) | Node::Unary { expr: e, .. } => first(e),
            Node::Subquery(s) => first(&s.expr),
            Node::Binary(b) => [&b.lhs, &b.rhs].get(self.next).copied(),
            Node::Aggregate(a) => [Some(&a.expr), a.param.as_ref()].get(self.next).copied().flatten(),
            // The second argument of `info` may match every series.
            Node::Call { function, .. } if function.id == Id::Info && self.next == 1 => None,
            Node::Call { args, .. } => args.get(self.next),
        }
    }
}
