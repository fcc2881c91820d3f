//! Random queries over what [`fleet`](crate::fleet) scrapes: all functions, aggregations, operators and
//! modifiers of PromQL, most of them with an answer.

/// Decides between so many possibilities.
pub trait Pick {
    /// A number below `n`.
    fn pick(&mut self, n: usize) -> usize;

    /// One of several.
    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.pick(all.len())]
    }

    /// True once in `n` times; the answer of those without decisions left is no.
    fn once_in(&mut self, n: usize) -> bool {
        self.pick(n) == n - 1
    }
}

impl Pick for crate::fleet::Dice {
    fn pick(&mut self, n: usize) -> usize {
        self.below(n)
    }
}

/// Makes texts of queries.
#[derive(Debug)]
pub struct Queries<'a, P> {
    picks: &'a mut P,
    /// A time with data, in seconds.
    at_s: i64,
}

const COUNTERS: &[&str] =
    &["requests_total", "cpu_seconds_total", "latency_seconds_count", "latency_seconds_sum"];
const GAUGES: &[&str] = &["queue_length", "temperature", "odd", "up", "queue_length", "temperature"];
const NATIVE: &[&str] = &["size_bytes", "size_bytes", "load", "delay_seconds", "mixed"];
const LABELS: &[&str] = &["job", "instance", "zone", "code", "sensor", "le", "nosuch", "__name__"];
const RANGES: &[&str] = &["1m", "90s", "2m", "5m", "5m", "5m", "10m", "17m", "1h"];
const NUMBERS: &[&str] =
    &["0", "1", "2", "-1", "0.5", "3", "100", "1e3", "-0.25", "NaN", "Inf", "-Inf", "0x1F", "7"];

/// Functions of floats and histograms over windows.
const OVER_ANY: &[&str] = &[
    "rate",
    "increase",
    "irate",
    "delta",
    "idelta",
    "changes",
    "resets",
    "count_over_time",
    "last_over_time",
    "first_over_time",
    "present_over_time",
    "sum_over_time",
    "avg_over_time",
    "ts_of_first_over_time",
    "ts_of_last_over_time",
];
/// Functions of floats over windows.
const OVER_FLOATS: &[&str] = &[
    "deriv",
    "min_over_time",
    "max_over_time",
    "stddev_over_time",
    "stdvar_over_time",
    "mad_over_time",
    "ts_of_max_over_time",
    "ts_of_min_over_time",
];
const MATH: &[&str] = &[
    "abs", "acos", "acosh", "asin", "asinh", "atan", "atanh", "ceil", "cos", "cosh", "deg", "exp", "floor",
    "ln", "log10", "log2", "rad", "sgn", "sin", "sinh", "sqrt", "tan", "tanh", "round",
];
const DATES: &[&str] =
    &["day_of_month", "day_of_week", "day_of_year", "days_in_month", "hour", "minute", "month", "year"];
const OF_HISTOGRAMS: &[&str] =
    &["histogram_count", "histogram_sum", "histogram_avg", "histogram_stddev", "histogram_stdvar"];
const AGGREGATIONS: &[&str] =
    &["sum", "sum", "avg", "avg", "count", "min", "max", "group", "stddev", "stdvar"];
const ARITHMETIC: &[&str] = &["+", "-", "*", "/", "%", "^", "atan2"];
const COMPARISONS: &[&str] =
    &["==", "!=", ">", "<", ">=", "<=", "== bool", "!= bool", "> bool", "< bool", "<= bool"];

impl<'a, P: Pick> Queries<'a, P> {
    /// Queries that `picks` decides on; `at_s` is a time with data, in seconds.
    pub fn new(picks: &'a mut P, at_s: i64) -> Self {
        Self { picks, at_s }
    }

    /// An instant vector or a scalar, with so many levels of operators at most.
    pub fn query(&mut self, levels: usize) -> String {
        if self.picks.once_in(25) { self.scalar(levels) } else { self.vector(levels) }
    }

    /// Any type, what an instant query may give.
    pub fn instant(&mut self, levels: usize) -> String {
        match self.picks.pick(16) {
            0 => self.window(levels.min(1), None),
            1 => format!("\"{}\"", self.of(&["a", "b c"])),
            2 => {
                let function = self.of(&["sort", "sort_desc", "sort_by_label", "sort_by_label_desc"]);
                let labels = if function.contains("label") { ", \"instance\", \"code\"" } else { "" };
                format!("{function}({}{labels})", self.vector(levels))
            }
            _ => self.query(levels),
        }
    }

    fn of<'t>(&mut self, all: &[&'t str]) -> &'t str {
        self.picks.of(all)
    }

    fn number(&mut self) -> String {
        self.of(NUMBERS).to_owned()
    }

    fn scalar(&mut self, levels: usize) -> String {
        match self.picks.pick(if levels == 0 { 5 } else { 9 }) {
            0 | 1 => self.number(),
            2 => self.of(&["time()", "pi()", "start()", "end()", "step()", "range()"]).to_owned(),
            3 => {
                format!("scalar({})", self.select(&["up{instance=\"i1\"}", "queue_length{instance=\"i0\"}"]))
            }
            4 => format!("max_of({}, {})", self.number(), self.number()),
            5 => format!("-({})", self.scalar(levels - 1)),
            6 => format!("scalar({})", self.vector(levels - 1)),
            7 => {
                let op = self.of(&["+", "-", "*", "/", "%", "^", "atan2", "== bool", "> bool", "<= bool"]);
                format!("({}) {op} ({})", self.scalar(levels - 1), self.scalar(levels - 1))
            }
            _ => format!("min_of({}, {})", self.scalar(levels - 1), self.number()),
        }
    }

    fn metric(&mut self) -> &'static str {
        match self.picks.pick(8) {
            0..3 => self.picks.of(COUNTERS),
            3..5 => self.picks.of(GAUGES),
            5..7 => self.picks.of(NATIVE),
            _ => self.picks.of(&["latency_seconds_bucket", "target_info", "build_info"]),
        }
    }

    fn matcher(&mut self) -> &'static str {
        self.picks.of(&[
            "job=\"api\"",
            "job=~\"api|web\"",
            "job!=\"db\"",
            "zone=\"a\"",
            "instance=~\"i[0-4]\"",
            "instance!~\"i1|i2\"",
            "code=\"500\"",
            "code!=\"404\"",
            "nosuch=\"\"",
            "instance=~\"(?i)I.+\"",
            "job=~\".+\"",
            "instance=\"i3\"",
            "zone!=\"\"",
        ])
    }

    /// A selector without modifiers.
    fn selector(&mut self, metric: Option<&str>) -> String {
        let metric = metric.map_or_else(|| self.metric().to_owned(), str::to_owned);
        let matchers: Vec<_> = (0..[0, 0, 0, 1, 1, 2][self.picks.pick(6)]).map(|_| self.matcher()).collect();
        if !metric.contains('{') && self.picks.once_in(40) {
            return format!("{{__name__=~\"{}|up\",{}}}", metric, self.matcher());
        }
        match matchers.is_empty() || metric.contains('{') {
            true => metric,
            false => format!("{metric}{{{}}}", matchers.join(",")),
        }
    }

    /// Modifiers behind a selector or a subquery.
    fn modifiers(&mut self) -> String {
        let offset = match self.picks.pick(16) {
            0 => " offset 5m",
            1 => {
                self.of(&[" offset -3m", " offset 1h", " offset 7s", " offset (1m + 30s)", " offset step()"])
            }
            _ => "",
        };
        let at = match self.picks.pick(20) {
            0 => self.of(&[" @ start()", " @ end()"]).to_owned(),
            1 => format!(" @ {}", self.at_s + 60 * self.picks.pick(60) as i64),
            _ => String::new(),
        };
        if self.picks.once_in(2) { format!("{at}{offset}") } else { format!("{offset}{at}") }
    }

    fn select(&mut self, of: &[&str]) -> String {
        let metric = self.of(of).to_owned();
        let selector = self.selector(Some(&metric));
        let smoothed = if self.picks.once_in(30) { " smoothed" } else { "" };
        let modifiers = self.modifiers();
        // An operator behind such a duration would be part of it.
        match modifiers.contains("offset (") || modifiers.contains("step()") {
            true => format!("({selector}{smoothed}{modifiers})"),
            false => format!("{selector}{smoothed}{modifiers}"),
        }
    }

    /// A range vector.
    fn window(&mut self, levels: usize, of: Option<&[&str]>) -> String {
        if levels > 0 && self.picks.once_in(6) {
            let step = self.of(&["", "1m", "45s", "30s", "step() * 2", "2m"]);
            let range = self.of(&["5m", "10m", "30m", "10m", "7m"]);
            let inner = match of {
                Some(of) => self.select(of),
                None => self.vector(levels - 1),
            };
            return format!("({inner})[{range}:{step}]{}", self.modifiers());
        }
        let metric = of.map(|of| self.of(of).to_owned());
        let range = match self.picks.pick(24) {
            0 => self.of(&[
                "step() + 1m",
                "2m * 3",
                "max_of(step(), 3m)",
                "min_of(range(), 10m)",
                "1m + 1m30s",
            ]),
            _ => self.of(RANGES),
        };
        format!("{}[{range}]{}", self.selector(metric.as_deref()), self.modifiers())
    }

    fn labels(&mut self, max: usize) -> String {
        let count = self.picks.pick(max + 1);
        (0..count).map(|_| self.of(LABELS)).collect::<Vec<_>>().join(", ")
    }

    fn grouping(&mut self) -> String {
        match self.picks.pick(6) {
            0 => String::new(),
            1 | 2 => format!(" without ({})", self.labels(3)),
            _ => format!(" by ({})", self.labels(2)),
        }
    }

    /// An instant vector.
    fn vector(&mut self, levels: usize) -> String {
        if levels == 0 {
            return match self.picks.pick(3) {
                0 => self.over(0),
                _ => {
                    let metric = self.metric();
                    self.select(&[metric])
                }
            };
        }
        let below = levels - 1;
        match self.picks.pick(32) {
            0 | 1 => {
                let metric = self.metric();
                self.select(&[metric])
            }
            2..8 => self.over(levels),
            8..13 => {
                let (op, grouping) = (self.of(AGGREGATIONS), self.grouping());
                format!("{op}{grouping} ({})", self.vector(below))
            }
            13 | 14 => self.choosing(below),
            15..17 => {
                let function = self.of(MATH);
                format!("{function}({})", self.vector(below))
            }
            17 => self.shaping(below),
            18..20 => self.of_histogram(below),
            20..22 => {
                let op = if self.picks.once_in(3) { self.of(COMPARISONS) } else { self.of(ARITHMETIC) };
                match self.picks.pick(3) {
                    0 => format!("({}) {op} ({})", self.scalar(below.min(1)), self.vector(below)),
                    _ => format!("({}) {op} ({})", self.vector(below), self.scalar(below.min(1))),
                }
            }
            22 => format!("-({})", self.vector(below)),
            23..29 => self.join(below),
            29 => self.relabelling(below),
            30 => self.absence(below),
            _ => {
                let data =
                    self.of(&["", ", {version=~\".+\"}", ", {__name__=\"build_info\"}", ", {branch!=\"\"}"]);
                format!("info({}{data})", self.vector(below.min(1)))
            }
        }
    }

    /// A function over windows.
    fn over(&mut self, levels: usize) -> String {
        let below = levels.saturating_sub(1);
        match self.picks.pick(16) {
            0..7 => {
                let function = self.of(OVER_ANY);
                format!("{function}({})", self.window(below, None))
            }
            7 | 8 => {
                let function = self.of(&["rate", "increase", "irate", "resets", "delta"]);
                format!("{function}({})", self.window(below, Some(NATIVE)))
            }
            9 | 10 => {
                let function = self.of(OVER_FLOATS);
                format!("{function}({})", self.window(below, None))
            }
            11 => format!("quantile_over_time({}, {})", self.scalar(0), self.window(below, None)),
            12 => format!("predict_linear({}, {})", self.window(below, Some(GAUGES)), self.number()),
            13 => {
                let factors = self.of(&["0.5, 0.5", "0.1, 0.9", "0.3, 0.01"]);
                format!("double_exponential_smoothing({}, {factors})", self.window(below, Some(GAUGES)))
            }
            14 => {
                let function = self.of(&["rate", "increase", "delta"]);
                let metric = self.metric();
                let (selector, range) = (self.selector(Some(metric)), self.of(RANGES));
                format!("{function}({selector}[{range}] smoothed{})", self.modifiers())
            }
            _ => {
                let function = self.of(&["rate", "increase", "delta", "changes", "resets"]);
                let metric = self.metric();
                let (selector, range) = (self.selector(Some(metric)), self.of(RANGES));
                format!("{function}({selector}[{range}] anchored{})", self.modifiers())
            }
        }
    }

    /// Aggregations with a parameter.
    fn choosing(&mut self, below: usize) -> String {
        let grouping = self.grouping();
        match self.picks.pick(6) {
            0 | 1 => {
                let op = self.of(&["topk", "bottomk"]);
                let k = match self.picks.pick(6) {
                    0 => format!("scalar({})", self.select(&["up{instance=\"i0\"}"])),
                    _ => self.of(&["1", "2", "3", "0", "5", "-1"]).to_owned(),
                };
                format!("{op}{grouping} ({k}, {})", self.vector(below))
            }
            2 => {
                let q = self.of(&["0.5", "0.9", "0", "1", "-1", "2", "NaN", "0.25"]);
                format!("quantile{grouping} ({q}, {})", self.vector(below))
            }
            3 => {
                let label = self.of(&["v", "job", "__name__"]);
                let of = self.select(&["up", "build_info", "odd", "size_bytes"]);
                format!("count_values{grouping} (\"{label}\", {of})")
            }
            4 => {
                let k = self.of(&["1", "2", "5", "0"]);
                format!("limitk{grouping} ({k}, {})", self.vector(below))
            }
            _ => {
                let ratio = self.of(&["0.3", "-0.5", "1", "0", "1.5", "-1"]);
                format!("limit_ratio{grouping} ({ratio}, {})", self.vector(below))
            }
        }
    }

    /// Functions of values with parameters, and of times.
    fn shaping(&mut self, below: usize) -> String {
        match self.picks.pick(7) {
            0 => format!("clamp({}, {}, {})", self.vector(below), self.number(), self.number()),
            1 => {
                let function = self.of(&["clamp_min", "clamp_max", "round"]);
                format!("{function}({}, {})", self.vector(below), self.scalar(0))
            }
            2 => format!("timestamp({})", self.vector(below)),
            3 => format!("vector({})", self.scalar(below)),
            4 => {
                let function = self.of(DATES);
                format!("{function}({} * 1e9)", self.vector(below))
            }
            5 => {
                let function = self.of(DATES);
                format!("{function}()")
            }
            _ => {
                let metric = self.metric();
                format!("timestamp({})", self.select(&[metric]))
            }
        }
    }

    /// What histograms tell, classic ones and native ones.
    fn of_histogram(&mut self, below: usize) -> String {
        let native = |own: &mut Self| match own.picks.pick(5) {
            0 => own.select(NATIVE),
            1 => {
                let (op, grouping) = (own.of(&["sum", "avg"]), own.grouping());
                format!("{op}{grouping} ({})", own.select(NATIVE))
            }
            2 => {
                let grouping = own.grouping();
                format!("sum{grouping} (rate({}))", own.window(below, Some(NATIVE)))
            }
            3 => {
                let function = own.of(&["rate", "increase", "avg_over_time", "sum_over_time"]);
                format!("{function}({})", own.window(below, Some(NATIVE)))
            }
            _ => own.vector(below),
        };
        let classic = |own: &mut Self| match own.picks.pick(3) {
            0 => own.select(&["latency_seconds_bucket"]),
            1 => format!("rate({})", own.window(0, Some(&["latency_seconds_bucket"]))),
            _ => {
                let by = own.of(&["le", "le, job", "le, zone", "job"]);
                format!("sum by ({by}) (rate({}))", own.window(0, Some(&["latency_seconds_bucket"])))
            }
        };
        let of = if self.picks.once_in(3) { classic(self) } else { native(self) };
        match self.picks.pick(9) {
            0..3 => {
                let q = self.of(&["0.5", "0.9", "0.99", "0", "1", "-1", "2", "NaN", "0.1"]);
                format!("histogram_quantile({q}, {of})")
            }
            3 => {
                let bounds =
                    self.of(&["0, 1", "0.2, 2", "-Inf, 0.5", "-1, +Inf", "1, 0", "NaN, 1", "0.1, 0.1"]);
                format!("histogram_fraction({bounds}, {of})")
            }
            4 => {
                let quantiles = self.of(&["0.5", "0.5, 0.99", "0, 0.1, 1"]);
                format!("histogram_quantiles({of}, \"q\", {quantiles})")
            }
            5 => {
                let op = self.of(&["</", ">/"]);
                let at = self.of(&["1", "0.3", "0", "-0.2", "4", "Inf", "NaN"]);
                format!("({of}) {op} {at}")
            }
            _ => {
                let function = self.of(OF_HISTOGRAMS);
                format!("{function}({of})")
            }
        }
    }

    /// Two vectors.
    fn join(&mut self, below: usize) -> String {
        let set = |own: &mut Self| {
            let op = own.of(&["and", "or", "unless"]);
            let on =
                own.of(&["", "", " on (instance)", " on (job)", " ignoring (code)", " ignoring (code, le)"]);
            format!("{op}{on}")
        };
        let op = |own: &mut Self| {
            if own.picks.once_in(3) { own.of(COMPARISONS) } else { own.of(ARITHMETIC) }.to_owned()
        };
        match self.picks.pick(10) {
            0..3 => {
                let op = set(self);
                format!("({}) {op} ({})", self.vector(below), self.vector(below))
            }
            3..5 => {
                // Equal groups on both sides.
                let label = self.of(&["job", "instance", "zone"]);
                let op = op(self);
                let (l, r) = (self.of(AGGREGATIONS), self.of(AGGREGATIONS));
                format!(
                    "{l} by ({label}) ({}) {op} on ({label}) {r} by ({label}) ({})",
                    self.vector(below),
                    self.vector(below)
                )
            }
            5 => {
                let one = self.select(&["up", "queue_length", "build_info", "target_info", "size_bytes"]);
                let many = self.select(&["requests_total", "up", "size_bytes"]);
                let (include, op) = (self.of(&["", "branch", "version, zone", "code"]), op(self));
                format!("{many} {op} on (instance) group_left ({include}) {one}")
            }
            6 => {
                let one = self.select(&["up", "queue_length", "build_info"]);
                let many =
                    format!("rate({})", self.window(0, Some(&["requests_total", "latency_seconds_bucket"])));
                let op = op(self);
                format!("{one} {op} ignoring (code, le, sensor, branch, version) group_right {many}")
            }
            7 => {
                let fill = self.of(&[
                    "fill (0)",
                    "fill_left (1)",
                    "fill_right (2)",
                    "fill_left (1) fill_right (-1)",
                ]);
                let on = self.of(&[" on (instance)", " ignoring (sensor)"]);
                let op = op(self);
                let one = self.select(&["up", "cpu_seconds_total"]);
                let other = self.select(&["queue_length", "temperature", "up"]);
                format!("{one} {op}{on} {fill} {other}")
            }
            8 => {
                // The same expression twice, or with another window.
                let of = self.vector(below);
                let op = if self.picks.once_in(2) { op(self) } else { set(self) };
                format!("({of}) {op} ({of})")
            }
            _ => {
                let (l, r) = (self.window(below, Some(NATIVE)), self.window(below, Some(NATIVE)));
                let op = self.of(&["+", "-", "*", "/", "==", "!=", ">"]);
                format!("rate({l}) {op} on (instance) increase({r})")
            }
        }
    }

    /// Functions of labels.
    fn relabelling(&mut self, below: usize) -> String {
        let of = self.vector(below);
        match self.picks.pick(4) {
            0 => format!("label_replace({of}, \"x\", \"$1-y\", \"instance\", \"i(.)\")"),
            1 => {
                let (to, from) = (self.of(&["job", "zone", "__name__"]), self.of(&["job", "zone", "nosuch"]));
                format!("label_replace({of}, \"{to}\", \"${{1}}z\", \"{from}\", \"(.*)\")")
            }
            2 => format!("label_join({of}, \"x\", \"-\", \"job\", \"zone\", \"nosuch\")"),
            _ => format!("label_join({of}, \"zone\", \"\", \"nosuch\")"),
        }
    }

    /// What is not there.
    fn absence(&mut self, below: usize) -> String {
        match self.picks.pick(4) {
            0 => format!("absent({})", self.vector(below)),
            1 => format!(
                "absent({})",
                self.select(&["nosuch{job=\"api\"}", "up{instance=\"i1\"}", "up{job=\"x\",a!=\"b\"}"])
            ),
            2 => format!("absent_over_time({})", self.window(below, None)),
            _ => {
                let of = self.of(&["nosuch{a=\"b\"}", "up{instance=\"i2\"}"]).to_owned();
                format!("absent_over_time({})", self.window(0, Some(&[&of])))
            }
        }
    }
}
