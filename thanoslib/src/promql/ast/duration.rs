//! Lengths of time as queries write them: literals, or arithmetic over the times of the query.

use super::BinaryOp;

/// Length of a window, step or offset.
///
/// Folding a query turns every form into [`Duration::Ms`].
///
/// ```
/// use thanoslib::promql::{EngineOptions, ast::{Duration, Node}, parse};
/// let expr = parse("up offset -1m", &EngineOptions::default())?;
/// let Node::Vector(up) = &expr.node else { panic!("a selector") };
/// assert_eq!(up.offset, Duration::Ms(-60_000));
/// # Ok::<(), thanoslib::promql::ParseError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub enum Duration {
    /// A written length in ms.
    Ms(i64),
    /// Arithmetic, evaluated with the times of a query.
    Expr(Box<DurationExpr>),
}

impl Duration {
    /// No length: the offset of a selector without `offset`.
    pub const ZERO: Self = Self::Ms(0);

    /// The length in ms, if it does not depend on the query.
    pub fn ms(&self) -> Option<i64> {
        match self {
            Self::Ms(ms) => Some(*ms),
            Self::Expr(_) => None,
        }
    }
}

impl Default for Duration {
    fn default() -> Self {
        Self::ZERO
    }
}

/// A node of an arithmetic over lengths of time, with its place in the query text.
///
/// See [`Duration`].
#[derive(Clone, Debug, PartialEq)]
pub struct DurationExpr {
    /// What it is.
    pub node: DurationNode,
    /// Byte range in the original text; `None` when the front end gives no positions.
    pub span: Option<(u32, u32)>,
}

/// What a node of an arithmetic over lengths is; all values are seconds.
///
/// See [`Duration`].
#[derive(Clone, Debug, PartialEq)]
pub enum DurationNode {
    /// A literal.
    Literal {
        /// Seconds.
        seconds: f64,
        /// True when it was written with units.
        is_duration: bool,
    },
    /// `step()`: the step of the query, 0 for an instant query.
    Step,
    /// `range()`: from the start of the query to its end.
    Range,
    /// The smaller of two.
    MinOf(Box<DurationExpr>, Box<DurationExpr>),
    /// The greater of two.
    MaxOf(Box<DurationExpr>, Box<DurationExpr>),
    /// An arithmetic in parentheses.
    Paren(Box<DurationExpr>),
    /// A sign in front.
    Sign {
        /// True for `-`.
        negative: bool,
        /// Operand.
        expr: Box<DurationExpr>,
    },
    /// Two operands.
    Binary {
        /// One of `+ - * / % ^`.
        op: BinaryOp,
        /// Left operand.
        lhs: Box<DurationExpr>,
        /// Right operand.
        rhs: Box<DurationExpr>,
    },
}
