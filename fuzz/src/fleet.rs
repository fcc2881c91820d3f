//! A small fleet and what was scraped of it: every kind of sample that queries may meet.
//!
//! Counters that restart, gauges with NaN and infinities, classic histograms, native ones
//! (exponential of changing resolution, custom bounds, as counters and as gauges, with integer
//! and with float counts), series that change from floats to histograms, info series; with
//! jitter, gaps and stale marks.

use std::sync::Arc;

use thanoslib::model::{CounterReset, FloatHistogram, Labels, Span, Value, stale_nan};

/// Decisions that follow from a number; equal numbers give equal decisions.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// Decisions that follow from `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub fn any(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        (self.any() % n.max(1) as u64) as usize
    }

    /// True once in `n` times.
    pub fn once_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// A number from 0 up to 1.
    pub fn unit(&mut self) -> f64 {
        (self.any() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Size and times of a fleet.
#[derive(Clone, Copy, Debug)]
pub struct FleetSpec {
    /// Equal seeds give equal fleets.
    pub seed: u64,
    /// Instances that are scraped.
    pub instances: usize,
    /// Time of the first scrape in ms.
    pub start_ms: i64,
    /// Distance of scrapes in ms.
    pub step_ms: i64,
    /// Scrapes.
    pub scrapes: usize,
}

/// A series with its samples in time order.
#[derive(Clone, Debug)]
pub struct FleetSeries {
    /// Labels.
    pub labels: Labels,
    /// Times in ms and values.
    pub samples: Vec<(i64, Value)>,
    /// Histograms have whole numbers of observations.
    pub whole: bool,
}

/// What is measured.
#[derive(Clone, Copy)]
enum Kind {
    Counter(f64),
    Gauge,
    Odd,
    Up,
    Classic(usize),
    ClassicCount,
    ClassicSum,
    Native {
        gauge: bool,
        whole: bool,
    },
    Custom {
        gauge: bool,
    },
    /// Floats in the first part, histograms in the second.
    Mixed,
    One,
    Info,
}

const BOUNDS: [(&str, f64); 5] = [("0.1", 0.1), ("0.5", 0.3), ("1", 0.6), ("5", 0.9), ("+Inf", 1.0)];

/// Scraped series in label order.
pub fn fleet(spec: &FleetSpec) -> Vec<FleetSeries> {
    let mut all = Vec::new();
    for i in 0..spec.instances {
        let job = ["api", "web", "db"][i % 3];
        let (instance, zone) = (format!("i{i}"), ["a", "b"][i / 3 % 2]);
        let own = [("instance", instance.as_str()), ("job", job), ("zone", zone)];
        let mut add = |name: &str, more: &[(&str, &str)], kind: Kind| {
            let pairs = own.iter().chain(more).copied().chain([("__name__", name)]);
            let labels = Labels::from_pairs(pairs.collect::<Vec<_>>());
            let samples = samples(spec, i, &labels, kind);
            let whole = matches!(kind, Kind::Native { whole: true, .. });
            all.push(FleetSeries { labels, samples, whole });
        };
        for (code, pace) in [("200", 30.0), ("404", 3.0), ("500", 0.2)] {
            add("requests_total", &[("code", code)], Kind::Counter(pace));
        }
        add("cpu_seconds_total", &[], Kind::Counter(0.37));
        add("queue_length", &[], Kind::Gauge);
        add("temperature", &[("sensor", ["x", "y"][i % 2])], Kind::Gauge);
        add("odd", &[], Kind::Odd);
        add("up", &[], Kind::Up);
        for (n, (le, _)) in BOUNDS.iter().enumerate() {
            // One instance has a malformed bound, one lacks the last.
            let le = if i == 4 && n == 2 { "one" } else { le };
            if i != 5 || n != 4 {
                add("latency_seconds_bucket", &[("le", le)], Kind::Classic(n));
            }
        }
        add("latency_seconds_count", &[], Kind::ClassicCount);
        add("latency_seconds_sum", &[], Kind::ClassicSum);
        add("size_bytes", &[], Kind::Native { gauge: false, whole: i % 2 == 0 });
        add("load", &[], Kind::Native { gauge: true, whole: i % 3 == 0 });
        add("delay_seconds", &[], Kind::Custom { gauge: i % 5 == 4 });
        let kind = match i % 4 {
            0 => Kind::Mixed,
            1 => Kind::Native { gauge: false, whole: false },
            2 => Kind::Counter(2.0),
            _ => Kind::Custom { gauge: false },
        };
        add("mixed", &[], kind);
        add("target_info", &[("version", ["1", "2", "3"][i % 3])], Kind::Info);
        add("build_info", &[("branch", ["main", "next"][i % 2])], Kind::One);
    }
    all.sort_by(|a, b| a.labels.cmp(&b.labels));
    all
}

/// The samples of one series.
fn samples(spec: &FleetSpec, instance: usize, labels: &Labels, kind: Kind) -> Vec<(i64, Value)> {
    // Restarts and gaps are those of the instance, values are those of the series.
    let mut world = Dice::new(spec.seed.wrapping_mul(31).wrapping_add(instance as u64));
    let mut own = Dice::new(spec.seed ^ labels.stable_hash());
    let offset = world.below(spec.step_ms.unsigned_abs() as usize) as i64;
    let jitter = [0, 0, 40][world.below(3)];
    let (born, dies) = match world.below(5) {
        0 => (world.below(spec.scrapes), spec.scrapes),
        1 => (0, world.below(spec.scrapes)),
        _ => (0, spec.scrapes),
    };
    let slow = own.once_in(6);
    let mut state = State::new(&mut own, kind);
    let mut out: Vec<(i64, Value)> = Vec::new();
    let mut gap = 0;
    for n in 0..spec.scrapes {
        let restarts = world.once_in(150);
        if world.once_in(90) {
            gap = [1, 2, 5, 17, 40][world.below(5)];
        }
        let moved = world.below(2 * jitter + 1) as i64 - jitter as i64;
        state.advance(&mut own, restarts);
        let missed = gap > 0 || n < born || n > dies || (slow && n % 4 != 0);
        gap = gap.max(1) - 1;
        let t_ms = spec.start_ms + offset + n as i64 * spec.step_ms + moved;
        let after = out.last().is_none_or(|(t, _)| *t < t_ms);
        if missed {
            // The first scrape that is missed leaves a mark, mostly.
            let ends = out.last().is_some_and(|(t, v)| t_ms - t < 2 * spec.step_ms && !is_mark(v));
            if after && ends && !slow && !own.once_in(3) {
                let mark = state.mark();
                out.push((t_ms, mark));
            }
        } else if after {
            out.push((t_ms, state.value(&mut own, n * 2 > spec.scrapes)));
        }
    }
    out
}

fn is_mark(value: &Value) -> bool {
    match value {
        Value::Float(v) => thanoslib::model::is_stale(*v),
        Value::Histogram(h) => thanoslib::model::is_stale(h.sum),
    }
}

/// What an instance holds of one series.
struct State {
    kind: Kind,
    total: f64,
    sum: f64,
    histogram: FloatHistogram,
    last_is_float: bool,
}

impl State {
    fn new(dice: &mut Dice, kind: Kind) -> Self {
        let mut state =
            Self { kind, total: 0.0, sum: 0.0, histogram: FloatHistogram::default(), last_is_float: true };
        state.begin(dice);
        state
    }

    /// As after a start of the instance.
    fn begin(&mut self, dice: &mut Dice) {
        (self.total, self.sum) = (0.0, 0.0);
        let hint = match self.kind {
            Kind::Native { gauge: true, .. } | Kind::Custom { gauge: true } => CounterReset::Gauge,
            _ => CounterReset::Unknown,
        };
        self.histogram = match self.kind {
            Kind::Custom { .. } => {
                let bounds: &[f64] =
                    [&[0.1, 0.5, 1.0, 5.0][..], &[0.1, 1.0, 5.0], &[-1.0, 0.5, 2.0]][dice.below(3)];
                FloatHistogram {
                    hint,
                    schema: -53,
                    positive_spans: vec![Span { offset: 0, length: bounds.len() as u32 + 1 }],
                    positive_buckets: vec![0.0; bounds.len() + 1],
                    custom_values: bounds.to_vec(),
                    ..FloatHistogram::default()
                }
            }
            _ => {
                let (mut spans, mut buckets) = (vec![Span { offset: 0, length: 4 }], 4);
                if dice.once_in(2) {
                    spans.push(Span { offset: 2 + dice.below(3) as i32, length: 2 });
                    buckets += 2;
                }
                let negative = if dice.once_in(3) { 2 } else { 0 };
                FloatHistogram {
                    hint,
                    schema: [0, 1, 2, 3][dice.below(4)],
                    zero_threshold: [0.001, 0.001, 0.25, 0.0][dice.below(4)],
                    positive_spans: spans,
                    positive_buckets: vec![0.0; buckets],
                    negative_spans: if negative > 0 {
                        vec![Span { offset: 1, length: 2 }]
                    } else {
                        Vec::new()
                    },
                    negative_buckets: vec![0.0; negative],
                    ..FloatHistogram::default()
                }
            }
        };
    }

    fn advance(&mut self, dice: &mut Dice, restarts: bool) {
        if restarts {
            self.begin(dice);
        }
        match self.kind {
            Kind::Counter(pace) => {
                let more = if dice.once_in(3) { 0.0 } else { dice.unit() * 2.0 * pace };
                self.total += if pace > 1.0 { more.floor() } else { more };
            }
            Kind::Gauge => self.total += (dice.unit() - 0.5) * 8.0,
            Kind::Odd => {
                let choice = dice.below(40);
                self.total = match choice {
                    0 => f64::NAN,
                    1 => f64::INFINITY,
                    2 => f64::NEG_INFINITY,
                    3 => -0.0,
                    4 => 1e300,
                    5..12 => self.total,
                    _ => (dice.below(9) as f64 - 4.0) / 2.0,
                };
            }
            Kind::Up => self.total = if dice.once_in(40) { 0.0 } else { 1.0 },
            Kind::Classic(_) | Kind::ClassicCount => self.total += dice.below(9) as f64,
            Kind::ClassicSum => self.total += dice.unit() * 4.0,
            Kind::Native { gauge, .. } | Kind::Custom { gauge } => self.observe(dice, gauge),
            Kind::Mixed => self.observe(dice, false),
            Kind::One | Kind::Info => self.total = 1.0,
        }
    }

    /// Adds observations, or makes others of them.
    fn observe(&mut self, dice: &mut Dice, gauge: bool) {
        let h = &mut self.histogram;
        let mut total = 0.0;
        for bucket in h.positive_buckets.iter_mut().chain(&mut h.negative_buckets) {
            *bucket = match gauge {
                true => dice.below(7) as f64,
                false => *bucket + [0.0, 0.0, 1.0, 2.0, 5.0][dice.below(5)],
            };
            total += *bucket;
        }
        if h.schema != -53 && h.zero_threshold > 0.0 {
            h.zero_count = if gauge { dice.below(3) as f64 } else { h.zero_count + dice.below(2) as f64 };
            total += h.zero_count;
        }
        h.count = total;
        h.sum = if gauge { dice.unit() * 30.0 - 10.0 } else { h.sum + dice.unit() * 5.0 };
    }

    fn value(&mut self, dice: &mut Dice, late: bool) -> Value {
        let float = |v: f64| Value::Float(v);
        self.last_is_float = true;
        match self.kind {
            Kind::Classic(n) => float((self.total * BOUNDS[n].1).floor() + n as f64),
            Kind::Native { whole, .. } => {
                self.last_is_float = false;
                let mut h = self.histogram.clone();
                if !whole {
                    h.mul(0.5);
                }
                // Observations of NaN.
                if dice.once_in(400) {
                    h.sum = f64::NAN;
                }
                Value::Histogram(Arc::new(h))
            }
            Kind::Custom { .. } => {
                self.last_is_float = false;
                Value::Histogram(Arc::new(self.histogram.clone()))
            }
            Kind::Mixed if late => {
                self.last_is_float = false;
                Value::Histogram(Arc::new(self.histogram.clone()))
            }
            Kind::Mixed => float(self.histogram.count),
            _ => float(self.total),
        }
    }

    /// The mark that the series ends.
    fn mark(&self) -> Value {
        match self.last_is_float {
            true => Value::Float(stale_nan()),
            false => Value::Histogram(Arc::new(FloatHistogram { sum: stale_nan(), ..Default::default() })),
        }
    }
}
