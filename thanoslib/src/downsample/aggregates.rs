//! Which aggregates a PromQL function is computed from.

use crate::series::Aggr;

/// The aggregates that a selector under `function` needs of downsampled data.
///
/// `function` is the innermost function or aggregation around the selector, empty for none.
/// Two aggregates, count and sum, stand for the average of each window.
///
/// Source: Thanos `pkg/query/querier.go`. Compat: a prefix decides, so `count_values` gets
/// counts; plain `sum` gets averages.
pub fn aggregates_for(function: &str) -> &'static [Aggr] {
    match function {
        "increase" | "rate" | "irate" | "resets" | "xincrease" | "xrate" => &[Aggr::Counter],
        f if f == "min" || f.starts_with("min_") => &[Aggr::Min],
        f if f == "max" || f.starts_with("max_") => &[Aggr::Max],
        f if f == "count" || f.starts_with("count_") => &[Aggr::Count],
        f if f.starts_with("sum_") => &[Aggr::Sum],
        _ => &[Aggr::Count, Aggr::Sum],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(functions: &[&str], expected: &[Aggr]) {
        for f in functions {
            assert_eq!(aggregates_for(f), expected, "{f}");
        }
    }

    #[test]
    fn the_function_decides() {
        check(&["min", "min_over_time"], &[Aggr::Min]);
        check(&["max", "max_over_time"], &[Aggr::Max]);
        check(&["count", "count_over_time", "count_values"], &[Aggr::Count]);
        check(&["sum_over_time"], &[Aggr::Sum]);
        check(&["increase", "rate", "irate", "resets", "xincrease", "xrate"], &[Aggr::Counter]);
        check(
            &["", "sum", "avg_over_time", "delta", "minute", "quantile_over_time"],
            &[Aggr::Count, Aggr::Sum],
        );
    }
}
