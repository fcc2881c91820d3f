//! Names and signatures of all functions.

use super::ValueType::{self, Matrix, Scalar, String, Vector};

/// Name and signature of a function.
///
/// ```
/// use thanoslib::promql::find_function;
/// let rate = find_function("rate").expect("a function of PromQL");
/// assert_eq!((rate.args.len(), rate.experimental), (1, false));
/// ```
#[derive(Debug, PartialEq, Eq)]
pub struct Function {
    /// Which one it is.
    pub(crate) id: Id,
    /// Name as written.
    pub name: &'static str,
    /// Types of the arguments; those beyond have the last type.
    pub args: &'static [ValueType],
    /// 0: exactly `args`; n > 0: the last n arguments are optional, of which the last may
    /// not be repeated; -1: the last argument may be absent or repeated.
    pub variadic: i8,
    /// Type of the result.
    pub returns: ValueType,
    /// True when it must be enabled.
    pub experimental: bool,
}

macro_rules! functions {
    ($($id:ident $name:literal [$($arg:ident)*] $variadic:literal $returns:ident $experimental:literal;)*) => {
        /// Identity of a function.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub(crate) enum Id {
            $(#[doc = concat!("`", $name, "`")] $id,)*
        }

        impl Id {
            /// The name as written.
            pub(crate) fn name(self) -> &'static str {
                match self {
                    $(Self::$id => $name,)*
                }
            }
        }

        static FUNCTIONS: &[Function] = &[$(Function {
            id: Id::$id,
            name: $name,
            args: &[$($arg),*],
            variadic: $variadic,
            returns: $returns,
            experimental: $experimental,
        },)*];
    };
}

functions! {
    Abs "abs" [Vector] 0 Vector false;
    Absent "absent" [Vector] 0 Vector false;
    AbsentOverTime "absent_over_time" [Matrix] 0 Vector false;
    Acos "acos" [Vector] 0 Vector false;
    Acosh "acosh" [Vector] 0 Vector false;
    Asin "asin" [Vector] 0 Vector false;
    Asinh "asinh" [Vector] 0 Vector false;
    Atan "atan" [Vector] 0 Vector false;
    Atanh "atanh" [Vector] 0 Vector false;
    AvgOverTime "avg_over_time" [Matrix] 0 Vector false;
    Ceil "ceil" [Vector] 0 Vector false;
    Changes "changes" [Matrix] 0 Vector false;
    Clamp "clamp" [Vector Scalar Scalar] 0 Vector false;
    ClampMax "clamp_max" [Vector Scalar] 0 Vector false;
    ClampMin "clamp_min" [Vector Scalar] 0 Vector false;
    Cos "cos" [Vector] 0 Vector false;
    Cosh "cosh" [Vector] 0 Vector false;
    CountOverTime "count_over_time" [Matrix] 0 Vector false;
    DayOfMonth "day_of_month" [Vector] 1 Vector false;
    DayOfWeek "day_of_week" [Vector] 1 Vector false;
    DayOfYear "day_of_year" [Vector] 1 Vector false;
    DaysInMonth "days_in_month" [Vector] 1 Vector false;
    Deg "deg" [Vector] 0 Vector false;
    Delta "delta" [Matrix] 0 Vector false;
    Deriv "deriv" [Matrix] 0 Vector false;
    DoubleExponentialSmoothing "double_exponential_smoothing" [Matrix Scalar Scalar] 0 Vector true;
    End "end" [] 0 Scalar true;
    Exp "exp" [Vector] 0 Vector false;
    FirstOverTime "first_over_time" [Matrix] 0 Vector false;
    Floor "floor" [Vector] 0 Vector false;
    HistogramAvg "histogram_avg" [Vector] 0 Vector false;
    HistogramCount "histogram_count" [Vector] 0 Vector false;
    HistogramFraction "histogram_fraction" [Scalar Scalar Vector] 0 Vector false;
    HistogramQuantile "histogram_quantile" [Scalar Vector] 0 Vector false;
    HistogramQuantiles "histogram_quantiles" [Vector String Scalar Scalar] 9 Vector true;
    HistogramStddev "histogram_stddev" [Vector] 0 Vector false;
    HistogramStdvar "histogram_stdvar" [Vector] 0 Vector false;
    HistogramSum "histogram_sum" [Vector] 0 Vector false;
    Hour "hour" [Vector] 1 Vector false;
    Idelta "idelta" [Matrix] 0 Vector false;
    Increase "increase" [Matrix] 0 Vector false;
    Info "info" [Vector Vector] 1 Vector true;
    Irate "irate" [Matrix] 0 Vector false;
    LabelJoin "label_join" [Vector String String String] -1 Vector false;
    LabelReplace "label_replace" [Vector String String String String] 0 Vector false;
    LastOverTime "last_over_time" [Matrix] 0 Vector false;
    Ln "ln" [Vector] 0 Vector false;
    Log10 "log10" [Vector] 0 Vector false;
    Log2 "log2" [Vector] 0 Vector false;
    MadOverTime "mad_over_time" [Matrix] 0 Vector true;
    MaxOf "max_of" [Scalar Scalar] 0 Scalar true;
    MaxOverTime "max_over_time" [Matrix] 0 Vector false;
    MinOf "min_of" [Scalar Scalar] 0 Scalar true;
    MinOverTime "min_over_time" [Matrix] 0 Vector false;
    Minute "minute" [Vector] 1 Vector false;
    Month "month" [Vector] 1 Vector false;
    Pi "pi" [] 0 Scalar false;
    PredictLinear "predict_linear" [Matrix Scalar] 0 Vector false;
    PresentOverTime "present_over_time" [Matrix] 0 Vector false;
    QuantileOverTime "quantile_over_time" [Scalar Matrix] 0 Vector false;
    Rad "rad" [Vector] 0 Vector false;
    Range "range" [] 0 Scalar true;
    Rate "rate" [Matrix] 0 Vector false;
    Resets "resets" [Matrix] 0 Vector false;
    Round "round" [Vector Scalar] 1 Vector false;
    ScalarOf "scalar" [Vector] 0 Scalar false;
    Sgn "sgn" [Vector] 0 Vector false;
    Sin "sin" [Vector] 0 Vector false;
    Sinh "sinh" [Vector] 0 Vector false;
    Sort "sort" [Vector] 0 Vector false;
    SortByLabel "sort_by_label" [Vector String] -1 Vector true;
    SortByLabelDesc "sort_by_label_desc" [Vector String] -1 Vector true;
    SortDesc "sort_desc" [Vector] 0 Vector false;
    Sqrt "sqrt" [Vector] 0 Vector false;
    Start "start" [] 0 Scalar true;
    StartTimestamp "start_timestamp" [Vector] 0 Vector true;
    StddevOverTime "stddev_over_time" [Matrix] 0 Vector false;
    StdvarOverTime "stdvar_over_time" [Matrix] 0 Vector false;
    Step "step" [] 0 Scalar true;
    SumOverTime "sum_over_time" [Matrix] 0 Vector false;
    Tan "tan" [Vector] 0 Vector false;
    Tanh "tanh" [Vector] 0 Vector false;
    Time "time" [] 0 Scalar false;
    Timestamp "timestamp" [Vector] 0 Vector false;
    TsOfFirstOverTime "ts_of_first_over_time" [Matrix] 0 Vector true;
    TsOfLastOverTime "ts_of_last_over_time" [Matrix] 0 Vector true;
    TsOfMaxOverTime "ts_of_max_over_time" [Matrix] 0 Vector true;
    TsOfMinOverTime "ts_of_min_over_time" [Matrix] 0 Vector true;
    VectorOf "vector" [Scalar] 0 Vector false;
    Xdelta "xdelta" [Matrix] 0 Vector false;
    Xincrease "xincrease" [Matrix] 0 Vector false;
    Xrate "xrate" [Matrix] 0 Vector false;
    Year "year" [Vector] 1 Vector false;
}

impl Id {
    /// True for the functions of Thanos, which must be enabled.
    pub(crate) fn is_x_function(self) -> bool {
        matches!(self, Self::Xdelta | Self::Xincrease | Self::Xrate)
    }
}

/// The function of this name.
pub fn find(name: &str) -> Option<&'static Function> {
    // The table is in order of names.
    FUNCTIONS.binary_search_by(|f| f.name.cmp(name)).ok().map(|i| &FUNCTIONS[i])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_is_found_by_its_name() {
        for f in FUNCTIONS {
            assert_eq!(find(f.name), Some(f));
        }
        assert_eq!(find("integral"), None);
    }
}
