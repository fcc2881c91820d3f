//! Settings of the engine.

/// How queries are evaluated.
///
/// ```
/// use thanoslib::{EngineOptions, promql::parse};
/// let options = EngineOptions { experimental_functions: true, ..EngineOptions::default() };
/// assert!(parse("mad_over_time(up[5m])", &options).is_ok());
/// assert!(parse("mad_over_time(up[5m])", &EngineOptions::default()).is_err());
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct EngineOptions {
    /// How far an instant selector looks back, in ms.
    pub lookback_ms: i64,
    /// Step of subqueries that name none, in ms.
    pub subquery_step_ms: i64,
    /// Most samples that a query may hold at a time; a histogram counts by its size.
    pub samples_max: u64,
    /// Functions and aggregations marked experimental.
    pub experimental_functions: bool,
    /// Metadata labels fall at the end of a query instead of at each operation.
    pub delayed_name_removal: bool,
    /// `fill`, `fill_left`, `fill_right`.
    pub fill_modifiers: bool,
    /// `__type__` and `__unit__` are metadata labels.
    pub type_and_unit_labels: bool,
    /// rate, irate, increase and resets look at start timestamps.
    pub start_timestamps: bool,
    /// `anchored` and `smoothed`.
    pub extended_range_selectors: bool,
    /// `xrate`, `xincrease` and `xdelta`, which Thanos adds; unknown otherwise.
    pub x_functions: bool,
    /// Plans are rewritten so that less is read and computed, for the same answers.
    pub optimize: bool,
    /// Statistics tell the samples of each step, too.
    pub per_step_stats: bool,
    /// Longest query text in bytes.
    pub query_bytes_max: usize,
    /// Deepest nesting of a query.
    pub query_depth_max: usize,
}

impl Default for EngineOptions {
    /// The defaults of a Prometheus server.
    fn default() -> Self {
        Self {
            lookback_ms: 300_000,
            subquery_step_ms: 60_000,
            samples_max: 50_000_000,
            experimental_functions: false,
            delayed_name_removal: false,
            fill_modifiers: false,
            type_and_unit_labels: false,
            start_timestamps: false,
            extended_range_selectors: false,
            x_functions: false,
            optimize: true,
            per_step_stats: false,
            query_bytes_max: 1 << 20,
            query_depth_max: 512,
        }
    }
}
