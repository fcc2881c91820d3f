//! What a query must satisfy beyond its grammar: features, arity, types.

use crate::model::{Matcher, float::Quoted};

use super::{
    EngineOptions,
    ast::{Aggregate, AggregateOp, Binary, Cardinality, Expr, Node, ValueType},
    functions::{Function, Id},
    parse::ParseError,
};

/// Checks a tree: first what must be enabled, in reading order, then types, operands before
/// their node.
///
/// # Errors
/// The first violation, in upstream's words.
pub(crate) fn check(expr: &Expr, text: &str, options: &EngineOptions) -> Result<(), ParseError> {
    let checker = Checker { text, options };
    checker.features(expr)?;
    checker.types(expr)
}

struct Checker<'a> {
    text: &'a str,
    options: &'a EngineOptions,
}

impl Checker<'_> {
    fn fail(&self, at: &Expr, message: impl Into<String>) -> Result<(), ParseError> {
        Err(match at.span {
            Some((start, _)) => ParseError::at(message, self.text, start as usize),
            None => ParseError::new(message),
        })
    }

    fn features(&self, e: &Expr) -> Result<(), ParseError> {
        match &e.node {
            Node::Number { .. } | Node::String(_) | Node::Vector(_) | Node::Matrix { .. } => Ok(()),
            Node::Paren(inner) | Node::Unary { expr: inner, .. } => self.features(inner),
            Node::Subquery(s) => self.features(&s.expr),
            Node::Binary(b) => {
                self.features(&b.lhs)?;
                self.features(&b.rhs)?;
                let filled = b.matching.fill_left.is_some() || b.matching.fill_right.is_some();
                if filled && !self.options.fill_modifiers {
                    return Err(ParseError::new("binop fill modifiers are experimental and not enabled"));
                }
                Ok(())
            }
            Node::Aggregate(a) => {
                if let Some(param) = &a.param {
                    self.features(param)?;
                }
                self.features(&a.expr)?;
                let experimental = matches!(a.op, AggregateOp::Limitk | AggregateOp::LimitRatio);
                if experimental && !self.options.experimental_functions {
                    let name = a.op.as_str();
                    return self.fail(
                        e,
                        format!(
                            "{name}() is experimental and must be enabled with --enable-feature=promql-experimental-functions"
                        ),
                    );
                }
                Ok(())
            }
            Node::Call { function, args } => {
                args.iter().try_for_each(|arg| self.features(arg))?;
                if function.experimental && !self.options.experimental_functions {
                    return self.fail(e, format!("function {:?} is not enabled", function.name));
                }
                Ok(())
            }
        }
    }

    fn types(&self, e: &Expr) -> Result<(), ParseError> {
        match &e.node {
            Node::Number { .. } | Node::String(_) => Ok(()),
            Node::Paren(inner) => self.types(inner),
            Node::Unary { expr, .. } => {
                self.types(expr)?;
                match expr.value_type() {
                    ValueType::Scalar | ValueType::Vector => Ok(()),
                    other => self.fail(
                        e,
                        format!(
                            "unary expression only allowed on expressions of type scalar or instant vector, got {:?}",
                            other.documented()
                        ),
                    ),
                }
            }
            Node::Subquery(s) => {
                self.types(&s.expr)?;
                match s.expr.value_type() {
                    ValueType::Vector => Ok(()),
                    other => self.fail(
                        e,
                        format!("subquery is only allowed on instant vector, got {} instead", other.as_str()),
                    ),
                }
            }
            Node::Binary(b) => {
                self.types(&b.lhs)?;
                self.types(&b.rhs)?;
                self.binary(e, b)
            }
            Node::Aggregate(a) => self.aggregate(a),
            Node::Call { function, args } => self.call(e, function, args),
            Node::Vector(selector) | Node::Matrix { selector, .. } => {
                if selector.matchers.iter().all(Matcher::matches_empty) {
                    return self.fail(e, "vector selector must contain at least one non-empty matcher");
                }
                Ok(())
            }
        }
    }

    fn binary(&self, e: &Expr, b: &Binary) -> Result<(), ParseError> {
        use ValueType::{Scalar, Vector};
        let (left, right) = (b.lhs.value_type(), b.rhs.value_type());
        let op = b.op.as_str();
        let m = &b.matching;
        if b.return_bool && !b.op.is_comparison() {
            return self.fail(e, "bool modifier can only be used on comparison operators");
        }
        if b.op.is_comparison() && !b.return_bool && left == Scalar && right == Scalar {
            return self.fail(e, "comparisons between scalars must use BOOL modifier");
        }
        if m.on
            && let Some(label) = m.labels.iter().find(|l| m.include.contains(l))
        {
            return self.fail(
                e,
                format!("label {} must not occur in ON and GROUP clause at once", Quoted::text(label)),
            );
        }
        for operand in [&b.lhs, &b.rhs] {
            if !matches!(operand.value_type(), Scalar | Vector) {
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

    fn aggregate(&self, a: &Aggregate) -> Result<(), ParseError> {
        self.types(&a.expr)?;
        self.expect(&a.expr, ValueType::Vector, "aggregation expression")?;
        if let Some(param) = &a.param {
            self.types(param)?;
            let want = if a.op == AggregateOp::CountValues { ValueType::String } else { ValueType::Scalar };
            self.expect(param, want, "aggregation parameter")?;
        }
        Ok(())
    }

    fn call(&self, e: &Expr, function: &Function, args: &[Expr]) -> Result<(), ParseError> {
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
        for (i, arg) in args.iter().enumerate() {
            if function.id == Id::Info && i == 1 {
                self.info_selector(e, arg)?;
                continue;
            }
            self.types(arg)?;
            if let Some(want) = function.args.get(i).or(function.args.last()) {
                self.expect(arg, *want, &format!("call to function {name:?}"))?;
            }
        }
        Ok(())
    }

    /// The second argument of `info`: braces without a name.
    fn info_selector(&self, call: &Expr, arg: &Expr) -> Result<(), ParseError> {
        match &arg.node {
            Node::Vector(selector) if selector.name.is_none() => Ok(()),
            Node::Vector(_) => self.fail(arg, "expected label selectors only, got vector selector instead"),
            _ => {
                self.types(arg)?;
                let got = arg.value_type();
                if got == ValueType::Vector {
                    return self.fail(arg, "expected label selectors only");
                }
                self.fail(
                    call,
                    format!(
                        "expected type instant vector in call to function \"info\", got {}",
                        got.documented()
                    ),
                )
            }
        }
    }

    fn expect(&self, e: &Expr, want: ValueType, place: &str) -> Result<(), ParseError> {
        let got = e.value_type();
        if got == want {
            return Ok(());
        }
        self.fail(e, format!("expected type {} in {place}, got {}", want.documented(), got.documented()))
    }
}
