//! The syntax tree of PromQL: plain data, independent of the front end that made it.

use super::functions::Function;
use crate::model::Matcher;

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
    /// A number; a duration literal counts seconds.
    Number(f64),
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
        /// Window length in ms, above 0.
        range_ms: i64,
    },
    /// `expr[range:step]`.
    Subquery(Box<Subquery>),
}

/// An instant selector with its modifiers.
///
/// See [`Expr`].
#[derive(Clone, Debug, PartialEq)]
pub struct VectorSelector {
    /// The metric name written before the braces.
    pub name: Option<String>,
    /// All matchers; that of `name` stands last.
    pub matchers: Vec<Matcher>,
    /// `offset`, negative for the future.
    pub offset_ms: i64,
    /// `@`.
    pub at: Option<At>,
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
    /// Window length in ms, above 0.
    pub range_ms: i64,
    /// Inner step in ms; `None` takes the default evaluation interval.
    pub step_ms: Option<i64>,
    /// `offset`, negative for the future.
    pub offset_ms: i64,
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
}

/// Operator of a [`Binary`].
///
/// See [`Expr`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BinaryOp {
    /// `+`
    Add,
    /// `-`
    Sub,
    /// `*`
    Mul,
    /// `/`
    Div,
    /// `%`
    Mod,
    /// `^`
    Pow,
    /// `atan2`
    Atan2,
    /// `==`
    Eq,
    /// `!=`
    Ne,
    /// `<`
    Lt,
    /// `<=`
    Le,
    /// `>`
    Gt,
    /// `>=`
    Ge,
    /// `</`: keeps the part of a histogram below a value.
    TrimUpper,
    /// `>/`: keeps the part of a histogram above a value.
    TrimLower,
    /// `and`
    And,
    /// `or`
    Or,
    /// `unless`
    Unless,
}

impl BinaryOp {
    /// The operator as written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Sub => "-",
            Self::Mul => "*",
            Self::Div => "/",
            Self::Mod => "%",
            Self::Pow => "^",
            Self::Atan2 => "atan2",
            Self::Eq => "==",
            Self::Ne => "!=",
            Self::Lt => "<",
            Self::Le => "<=",
            Self::Gt => ">",
            Self::Ge => ">=",
            Self::TrimUpper => "</",
            Self::TrimLower => ">/",
            Self::And => "and",
            Self::Or => "or",
            Self::Unless => "unless",
        }
    }

    /// True for `== != < <= > >=`.
    pub const fn is_comparison(self) -> bool {
        matches!(self, Self::Eq | Self::Ne | Self::Lt | Self::Le | Self::Gt | Self::Ge)
    }

    /// True for `and or unless`.
    pub const fn is_set(self) -> bool {
        matches!(self, Self::And | Self::Or | Self::Unless)
    }

    /// True for `</` and `>/`.
    pub const fn is_trim(self) -> bool {
        matches!(self, Self::TrimUpper | Self::TrimLower)
    }
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

/// Operator of an [`Aggregate`].
///
/// See [`Expr`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AggregateOp {
    /// `sum`
    Sum,
    /// `avg`
    Avg,
    /// `count`
    Count,
    /// `min`
    Min,
    /// `max`
    Max,
    /// `group`
    Group,
    /// `stddev`
    Stddev,
    /// `stdvar`
    Stdvar,
    /// `topk`
    Topk,
    /// `bottomk`
    Bottomk,
    /// `count_values`
    CountValues,
    /// `quantile`
    Quantile,
    /// `limitk`
    Limitk,
    /// `limit_ratio`
    LimitRatio,
}

impl AggregateOp {
    /// The operator as written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Avg => "avg",
            Self::Count => "count",
            Self::Min => "min",
            Self::Max => "max",
            Self::Group => "group",
            Self::Stddev => "stddev",
            Self::Stdvar => "stdvar",
            Self::Topk => "topk",
            Self::Bottomk => "bottomk",
            Self::CountValues => "count_values",
            Self::Quantile => "quantile",
            Self::Limitk => "limitk",
            Self::LimitRatio => "limit_ratio",
        }
    }
}

/// Type of a value or expression.
///
/// ```
/// use thanoslib::promql::{EngineOptions, ast::ValueType, parse};
/// let type_of = |text| parse(text, &EngineOptions::default()).map(|expr| expr.value_type());
/// assert_eq!(type_of("1 + 1")?, ValueType::Scalar);
/// assert_eq!(type_of("up[5m]")?, ValueType::Matrix);
/// # Ok::<(), thanoslib::promql::ParseError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ValueType {
    /// One float.
    Scalar,
    /// One string.
    String,
    /// A sample for each series.
    Vector,
    /// A range of samples for each series.
    Matrix,
}

impl ValueType {
    /// The name that errors use: `instant vector` and so on.
    pub const fn documented(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::String => "string",
            Self::Vector => "instant vector",
            Self::Matrix => "range vector",
        }
    }

    /// The name that the HTTP API uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::String => "string",
            Self::Vector => "vector",
            Self::Matrix => "matrix",
        }
    }
}

impl Expr {
    /// A node without position.
    pub fn new(node: Node) -> Self {
        Self { node, span: None }
    }

    /// The type of the value that the expression gives.
    pub fn value_type(&self) -> ValueType {
        match &self.node {
            Node::Number(_) => ValueType::Scalar,
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

    /// The expression without parentheses around it.
    pub fn unparen(&self) -> &Expr {
        match &self.node {
            Node::Paren(e) => e.unparen(),
            _ => self,
        }
    }
}
