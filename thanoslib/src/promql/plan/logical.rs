//! A query that is ready to be planned, as plain data: folded, rewritten, with its times.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    promql::{
        EngineOptions,
        ast::{Expr, ValueType},
        exec,
    },
};

use super::{QueryTimes, constants::constants, fold, propagate::propagate, wire};

/// A query as plain data: what is evaluated at which times, independent of where samples come from.
///
/// [`Engine::plan_range`](crate::Engine::plan_range) makes it, [`Engine::execute`](crate::Engine::execute)
/// runs it, here or elsewhere: its JSON gives an equal plan back.
///
/// ```
/// use std::sync::Arc;
/// use thanoslib::{Engine, EngineOptions, RangeQuery, promql::{LogicalPlan, parse}, runtime::Inline};
/// let engine = Engine::new(EngineOptions::default(), Arc::new(Inline));
/// let text = "sum(rate(x[5m])) * (60 * 60)";
/// let expr = parse(text, engine.options())?;
/// let text = Arc::from(text);
/// let query = RangeQuery { expr, text, start_ms: 0, end_ms: 60_000, step_ms: 15_000, lookback_ms: None };
/// let plan = engine.plan_range(query)?;
/// assert_eq!(plan.expr().to_string(), "sum(rate(x[5m])) * (3600)");
/// assert_eq!(LogicalPlan::from_json(&plan.to_json()?, engine.options())?, plan);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct LogicalPlan {
    pub(super) expr: Expr,
    pub(super) text: Arc<str>,
    pub(super) times: QueryTimes,
    pub(super) lookback_ms: i64,
    pub(super) instant: bool,
}

impl LogicalPlan {
    /// Folds and rewrites an expression; `hidden` are labels that matchers see and series lack.
    ///
    /// # Errors
    /// `Invalid` for durations without a value and for too many levels.
    pub(crate) fn new(
        expr: Expr,
        text: Arc<str>,
        times: QueryTimes,
        lookback_ms: i64,
        instant: bool,
        options: &EngineOptions,
        hidden: &[String],
    ) -> Result<Self> {
        // Trees need not come from the parser, which has this limit too.
        let (depth, depth_max) = (exec::depth(&expr), options.query_depth_max);
        if depth > depth_max {
            return Err(Error::invalid(format!("query nests deeper than {depth_max} levels")));
        }
        let expr = exec::with_room(depth, || {
            let folded = fold(expr, &times)?;
            Ok(match (options.optimize, options.type_and_unit_labels) {
                (false, _) => folded,
                // Functions take more than the name from series, so that some may become equal.
                (true, true) => constants(folded),
                (true, false) => propagate(constants(folded), hidden),
            })
        })?;
        Ok(Self { expr, text, times, lookback_ms, instant })
    }

    /// The expression; its durations and times are numbers.
    pub fn expr(&self) -> &Expr {
        &self.expr
    }

    /// The same query with another expression, whose durations and times are numbers, too.
    #[must_use]
    pub fn with_expr(&self, expr: Expr) -> Self {
        Self { expr, ..self.clone() }
    }

    /// First step, asked end and distance of steps in ms; the distance is 0 for an instant query.
    pub fn times_ms(&self) -> (i64, i64, i64) {
        (self.times.start_ms, self.times.end_ms, self.times.step_ms)
    }

    /// True for a query at one time, whose value need not be a matrix.
    pub fn is_instant(&self) -> bool {
        self.instant
    }

    /// The text of the query, which remarks point into.
    pub(crate) fn text(&self) -> Arc<str> {
        Arc::clone(&self.text)
    }

    pub(crate) fn times(&self) -> QueryTimes {
        self.times
    }

    /// How far selectors look back in ms.
    pub(crate) fn lookback_ms(&self) -> i64 {
        self.lookback_ms
    }

    pub(crate) fn into_expr(self) -> Expr {
        self.expr
    }

    /// Fails where a plan made elsewhere is none that this engine would make.
    ///
    /// # Errors
    /// `Invalid` for too many levels, and for a range query of another type than scalar or vector.
    pub(crate) fn check(&self, options: &EngineOptions) -> Result<()> {
        let depth_max = options.query_depth_max;
        if exec::depth(&self.expr) > depth_max {
            return Err(Error::invalid(format!("query nests deeper than {depth_max} levels")));
        }
        if !self.instant && !matches!(self.expr.value_type(), ValueType::Scalar | ValueType::Vector) {
            return Err(Error::invalid("a range query is a scalar or an instant vector"));
        }
        Ok(())
    }

    /// The plan as JSON.
    ///
    /// # Errors
    /// `Internal` for a duration that was not folded.
    pub fn to_json(&self) -> Result<String> {
        wire::encode(self)
    }

    /// The plan of a JSON text, which may come from anywhere.
    ///
    /// # Errors
    /// `Invalid` for what is no plan or one with wrong types, `Limit` for one that is longer or deeper
    /// than queries may be.
    pub fn from_json(json: &str, options: &EngineOptions) -> Result<Self> {
        wire::decode(json, options)
    }
}
