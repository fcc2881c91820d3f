//! The syntax tree of PromQL: plain data, independent of the front end that made it.

mod duration;
pub(super) mod function;
mod operator;

use crate::model::Matcher;

pub use duration::{Duration, DurationExpr, DurationNode};
pub(crate) use function::{Function, Id as FunctionId, find as find_function};
pub use operator::{AggregateOp, BinaryOp, ValueType};

/// A node with its place in the query text.
///
/// ```
/// use thanoslib::promql::{EngineOptions, ast::Node, parse};
/// let expr = parse("sum by (job) (rate(up[5m]))", &EngineOptions::default())?;
/// let Node::Aggregate(sum) = &expr.node else { panic!("an aggregation") };
/// assert_eq!((sum.op.as_str(), sum.expr.to_string().as_str()), ("sum", "rate(up[5m])"));
/// # Ok::<(), thanoslib::promql::ParseError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Expr {
    /// What it is.
    pub node: Node,
    /// Byte range in the original text; `None` when the front end gives no positions.
    pub span: Option<(u32, u32)>,
}

/// What a node is.
///
/// See [`Expr`].
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    /// A number.
    Number {
        /// The value; a duration literal counts seconds.
        value: f64,
        /// True when it was written as a duration.
        is_duration: bool,
    },
    /// A string, any bytes.
    String(Vec<u8>),
    /// An expression in parentheses.
    Paren(Box<Expr>),
    /// A sign in front of an expression.
    Unary {
        /// True for `-`.
        negative: bool,
        /// Operand.
        expr: Box<Expr>,
    },
    /// Two operands.
    Binary(Box<Binary>),
    /// An aggregation over series.
    Aggregate(Box<Aggregate>),
    /// A function call.
    Call {
        /// The function.
        function: &'static Function,
        /// Arguments as written.
        args: Vec<Expr>,
    },
    /// `name{matchers}`.
    Vector(VectorSelector),
    /// `selector[range]`.
    Matrix {
        /// The selector, its modifiers included.
        selector: VectorSelector,
        /// Window length, above 0.
        range: Duration,
    },
    /// `expr[range:step]`.
    Subquery(Box<Subquery>),
}

/// An instant selector with its modifiers.
///
/// See [`Expr`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VectorSelector {
    /// The metric name written before the braces.
    pub name: Option<String>,
    /// All matchers; that of `name` stands last.
    pub matchers: Vec<Matcher>,
    /// `offset`, negative for the future.
    pub offset: Duration,
    /// `@`.
    pub at: Option<At>,
    /// `anchored` or `smoothed`.
    pub extension: Option<Extension>,
}

/// How a selector treats the edges of its windows, other than by leaving out what lies beyond.
///
/// See [`Expr`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Extension {
    /// `anchored`: the sample before a window stands for its left edge.
    Anchored,
    /// `smoothed`: values at the edges lie on lines between the samples around them.
    Smoothed,
}

impl Extension {
    /// The modifier as written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Anchored => "anchored",
            Self::Smoothed => "smoothed",
        }
    }
}

/// The `@` modifier.
///
/// See [`Expr`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// A time in ms.
    Time(i64),
    /// `@ start()`.
    Start,
    /// `@ end()`.
    End,
}

/// `expr[range:step]` with its modifiers.
///
/// See [`Expr`].
#[derive(Clone, Debug, PartialEq)]
pub struct Subquery {
    /// Evaluated at every inner step.
    pub expr: Expr,
    /// Window length, above 0.
    pub range: Duration,
    /// Inner step, above 0; `None` takes the default evaluation interval.
    pub step: Option<Duration>,
    /// `offset`, negative for the future.
    pub offset: Duration,
    /// `@`.
    pub at: Option<At>,
}

/// Two operands and their operator.
///
/// See [`Expr`].
#[derive(Clone, Debug, PartialEq)]
pub struct Binary {
    /// Operator.
    pub op: BinaryOp,
    /// Left operand.
    pub lhs: Expr,
    /// Right operand.
    pub rhs: Expr,
    /// `bool` after a comparison.
    pub return_bool: bool,
    /// How series are paired; also present, empty, when nothing was written between two vectors.
    pub matching: Matching,
    /// Byte range of the operator with its modifiers; `None` when the front end gives no positions.
    pub op_span: Option<(u32, u32)>,
}

/// How the series of two vectors are paired.
///
/// See [`Expr`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Matching {
    /// One or many series on each side.
    pub cardinality: Cardinality,
    /// True for `on`, false for `ignoring` or nothing.
    pub on: bool,
    /// Labels of `on` or `ignoring`.
    pub labels: Vec<String>,
    /// Labels of `group_left` or `group_right`.
    pub include: Vec<String>,
    /// Value that stands for a missing left series.
    pub fill_left: Option<f64>,
    /// Value that stands for a missing right series.
    pub fill_right: Option<f64>,
}

/// How many series of each side share a match group.
///
/// See [`Expr`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cardinality {
    /// One on both sides.
    #[default]
    OneToOne,
    /// `group_left`: many on the left.
    ManyToOne,
    /// `group_right`: many on the right.
    OneToMany,
    /// Set operators.
    ManyToMany,
}

/// An aggregation over series.
///
/// See [`Expr`].
#[derive(Clone, Debug, PartialEq)]
pub struct Aggregate {
    /// Operator.
    pub op: AggregateOp,
    /// What is aggregated.
    pub expr: Expr,
    /// Parameter of `topk`, `quantile`, `count_values` and such.
    pub param: Option<Expr>,
    /// The label clause.
    pub grouping: Option<crate::store::Grouping>,
}

impl Expr {
    /// A node without position.
    pub fn new(node: Node) -> Self {
        Self { node, span: None }
    }

    /// A number without position.
    pub fn number(value: f64) -> Self {
        Self::new(Node::Number { value, is_duration: false })
    }

    /// The type of the value that the expression gives.
    pub fn value_type(&self) -> ValueType {
        match &self.node {
            Node::Number { .. } => ValueType::Scalar,
            Node::String(_) => ValueType::String,
            Node::Paren(e) => e.value_type(),
            Node::Unary { expr, .. } => expr.value_type(),
            Node::Binary(b) => match (b.lhs.value_type(), b.rhs.value_type()) {
                (ValueType::Scalar, ValueType::Scalar) => ValueType::Scalar,
                _ => ValueType::Vector,
            },
            Node::Aggregate(_) | Node::Vector(_) => ValueType::Vector,
            Node::Call { function, .. } => function.returns,
            Node::Matrix { .. } | Node::Subquery(_) => ValueType::Matrix,
        }
    }

    /// Hands every selector to `change`, in the order in which they are written.
    ///
    /// ```
    /// use thanoslib::{EngineOptions, Matcher, promql};
    /// let mut expr = promql::parse("rate(up[5m]) / on() max(jobs)", &EngineOptions::default())?;
    /// expr.change_selectors(&mut |s| s.matchers.insert(0, Matcher::equal("tenant", "a")));
    /// assert_eq!(expr.to_string(), r#"rate(up{tenant="a"}[5m]) / on () max(jobs{tenant="a"})"#);
    /// # Ok::<(), thanoslib::promql::ParseError>(())
    /// ```
    pub fn change_selectors(&mut self, change: &mut impl FnMut(&mut VectorSelector)) {
        match &mut self.node {
            Node::Number { .. } | Node::String(_) => {}
            Node::Paren(e) | Node::Unary { expr: e, .. } => e.change_selectors(change),
            Node::Binary(b) => {
                b.lhs.change_selectors(change);
                b.rhs.change_selectors(change);
            }
            Node::Aggregate(a) => {
                if let Some(param) = &mut a.param {
                    param.change_selectors(change);
                }
                a.expr.change_selectors(change);
            }
            Node::Call { args, .. } => args.iter_mut().for_each(|a| a.change_selectors(change)),
            Node::Vector(selector) | Node::Matrix { selector, .. } => change(selector),
            Node::Subquery(s) => s.expr.change_selectors(change),
        }
    }

    /// The expression without parentheses around it.
    pub fn unparen(&self) -> &Expr {
        match &self.node {
            Node::Paren(e) => e.unparen(),
            _ => self,
        }
    }
}
