//! `sum` and `avg`, of floats and of histograms.

use crate::{
    error::Result,
    model::{
        CounterReset, FloatHistogram,
        float::Quoted,
        histogram::{HistogramAverage, HistogramSum},
        kahan_add, two_sum,
    },
    promql::{BitSet, Block, scope::Scope},
    wide::{self, Work},
};

use super::{Blame, Group, State, of_group};

/// Steps that are added at a time where all have a value, and how many of the last ones.
const LANES: usize = 16;
const LANES_FEW: usize = 4;
/// The exponent of a float, and its lowest bit.
const EXPONENT: u64 = 0x7ff << 52;
const EXPONENT_ONE: u64 = 1 << 52;

/// Sums or averages of all groups.
#[derive(Debug)]
pub(super) struct Sums {
    steps: usize,
    average: bool,
    groups: Vec<Sum>,
    /// Bytes of histograms that groups hold.
    histogram_bytes: u64,
}

/// Sum or average of one group.
#[derive(Debug)]
struct Sum {
    /// Steps with floats.
    present: BitSet,
    sum: Vec<f64>,
    c: Vec<f64>,
    average: Option<Averages>,
    histograms: Option<Histograms>,
}

/// What an average needs beside the sum.
#[derive(Debug)]
struct Averages {
    counts: Vec<f64>,
    /// Steps whose sum would overflow and was replaced by the mean.
    means: BitSet,
}

/// Histograms of one group.
#[derive(Debug)]
struct Histograms {
    steps: Vec<Held>,
    /// Steps whose histograms do not go together.
    failed: BitSet,
}

#[derive(Debug)]
enum Held {
    Nothing,
    /// A float came first; the step has no result.
    AfterFloat,
    Sum(HistogramSum, Hints),
    Average(HistogramAverage, Hints),
}

/// Which counter reset hints were seen.
#[derive(Clone, Copy, Debug, Default)]
struct Hints {
    reset: bool,
    not_reset: bool,
}

impl Hints {
    fn see(&mut self, h: &FloatHistogram) {
        self.reset |= h.hint == CounterReset::Reset;
        self.not_reset |= h.hint == CounterReset::NotReset;
    }
}

impl Sums {
    pub(super) fn new(steps: usize, average: bool) -> Self {
        Self { steps, average, groups: Vec::new(), histogram_bytes: 0 }
    }
}

impl Sum {
    fn new(steps: usize, average: bool) -> Self {
        let averages = || Averages { counts: vec![0.0; steps], means: BitSet::new(steps) };
        Self {
            present: BitSet::new(steps),
            sum: vec![0.0; steps],
            c: vec![0.0; steps],
            average: average.then(averages),
            histograms: None,
        }
    }

    fn absorb_floats(&mut self, floats: &[f64], present: &BitSet) {
        self.present.union(present);
        let (sum, c) = (&mut self.sum[..], &mut self.c[..]);
        match &mut self.average {
            Some(average) => {
                for i in present.iter() {
                    average.counts[i] += 1.0;
                    (sum[i], c[i]) =
                        mean_add(floats[i], sum[i], c[i], average.counts[i], i, &mut average.means);
                }
            }
            None => wide::run(Adding { floats, present, sum, c }),
        }
    }

    /// Also gives the bytes that are held more than before.
    fn absorb_histograms(&mut self, scope: &mut Scope<'_>, blame: &Blame, block: &Block) -> u64 {
        let (steps, average) = (self.sum.len(), self.average.is_some());
        let mut more = if self.histograms.is_none() { (steps * size_of::<Held>()) as u64 } else { 0 };
        let histograms = self.histograms.get_or_insert_with(|| Histograms {
            steps: (0..steps).map(|_| Held::Nothing).collect(),
            failed: BitSet::new(steps),
        });
        for (i, h) in &block.histograms {
            let i = *i as usize;
            if histograms.failed.contains(i) {
                continue;
            }
            let outcome = match &mut histograms.steps[i] {
                held @ Held::Nothing => {
                    let mut hints = Hints::default();
                    hints.see(h);
                    // The sum and what compensates it.
                    more += 2 * crate::promql::exec::histogram_bytes(h);
                    *held = if self.present.contains(i) {
                        Held::AfterFloat
                    } else if average {
                        Held::Average(HistogramAverage::new(h), hints)
                    } else {
                        Held::Sum(HistogramSum::new(h), hints)
                    };
                    continue;
                }
                Held::AfterFloat => continue,
                Held::Sum(sum, hints) => {
                    hints.see(h);
                    sum.add(h)
                }
                Held::Average(average, hints) => {
                    hints.see(h);
                    average.add(h)
                }
            };
            match outcome {
                Ok(outcome) if outcome.bounds_reconciled => scope
                    .info_at(blame.operand, "mismatched custom buckets were reconciled during aggregation"),
                Ok(_) => {}
                Err(_) => {
                    histograms.failed.insert(i);
                    scope.warn_at(
                        blame.operand,
                        format!(
                            "vector contains a mix of histograms with exponential and custom buckets schemas \
                             for metric name {}",
                            Quoted(block.labels.metric_name())
                        ),
                    );
                }
            }
        }
        more
    }

    fn finish(mut self, scope: &mut Scope<'_>, blame: &Blame, group: Group) -> Block {
        let steps = self.sum.len();
        let mut block = group.block(steps);
        if let Some(histograms) = self.histograms {
            for (i, held) in histograms.steps.into_iter().enumerate() {
                if matches!(held, Held::Nothing) {
                    continue;
                }
                if self.present.contains(i) {
                    self.present.remove(i);
                    scope
                        .warn_at(blame.operand, "encountered a mix of histograms and floats for aggregation");
                    continue;
                }
                let (mut h, hints) = match held {
                    _ if histograms.failed.contains(i) => continue,
                    Held::Sum(sum, hints) => (sum.finish(), hints),
                    Held::Average(average, hints) => (average.finish(), hints),
                    Held::Nothing | Held::AfterFloat => continue,
                };
                if hints.reset && hints.not_reset {
                    scope.warn_at(blame.operand, "conflicting counter resets during histogram aggregation");
                }
                h.compact(0);
                block.histograms.push((i as u32, std::sync::Arc::new(h)));
            }
        }
        match self.average {
            None => self.sum.iter_mut().zip(&self.c).for_each(|(sum, c)| *sum += c),
            Some(average) => {
                for i in self.present.iter() {
                    let (sum, c, n) = (self.sum[i], self.c[i], average.counts[i]);
                    self.sum[i] = if average.means.contains(i) { sum + c } else { sum / n + c / n };
                }
            }
        }
        block.floats = self.sum;
        block.present = self.present;
        block
    }
}

/// Adding the steps of a series that have a value to compensated sums.
struct Adding<'a> {
    floats: &'a [f64],
    present: &'a BitSet,
    sum: &'a mut [f64],
    c: &'a mut [f64],
}

impl Work for Adding<'_> {
    type Done = ();

    #[inline(always)]
    fn run(self) {
        let Self { floats, present, sum, c } = self;
        for (w, word) in present.words().iter().enumerate() {
            let (mut word, base) = (*word, w * 64);
            word = add_present::<LANES>(word, base, floats, sum, c);
            if word != 0 {
                word = add_present::<LANES_FEW>(word, base, floats, sum, c);
            }
            while word != 0 {
                let i = base + word.trailing_zeros() as usize;
                word &= word - 1;
                (sum[i], c[i]) = kahan_add(floats[i], sum[i], c[i]);
            }
        }
    }
}

/// Adds the values of steps from `base` on that are present, as many at a time as there are lanes;
/// gives those that are left.
#[inline(always)]
fn add_present<const N: usize>(
    mut word: u64,
    base: usize,
    floats: &[f64],
    sum: &mut [f64],
    c: &mut [f64],
) -> u64 {
    for part in 0..64 / N {
        let (bits, from) = (((1 << N) - 1) << (part * N), base + part * N);
        if word & bits == bits
            && let Some(floats) = floats.get(from..).and_then(|f| f.first_chunk())
            && let Some(sum) = sum.get_mut(from..).and_then(|s| s.first_chunk_mut())
            && let Some(c) = c.get_mut(from..).and_then(|c| c.first_chunk_mut())
            && add_lanes::<N>(floats, sum, c)
        {
            word &= !bits;
        }
    }
    word
}

/// Adds values to compensated sums; false, with nothing added, unless all is finite.
#[inline(always)]
fn add_lanes<const N: usize>(floats: &[f64; N], sum: &mut [f64; N], c: &mut [f64; N]) -> bool {
    let (mut sums, mut cs, mut any) = ([0.0; N], [0.0; N], 0);
    for i in 0..N {
        let (next, lost) = two_sum(sum[i], floats[i]);
        (sums[i], cs[i]) = (next, c[i] + lost);
        // What is not finite has all bits of the exponent, and with one more the sign.
        any |= ((sums[i] + cs[i]).to_bits() & EXPONENT) + EXPONENT_ONE;
    }
    let finite = any >> 63 == 0;
    if finite {
        (*sum, *c) = (sums, cs);
    }
    finite
}

/// Takes the `count`th value of step `i` into an average: a sum as long as that stays finite,
/// then a mean that moves.
#[inline]
fn mean_add(v: f64, sum: f64, c: f64, count: f64, i: usize, means: &mut BitSet) -> (f64, f64) {
    let (mut mean, mut mean_c) = (sum, c);
    if !means.contains(i) {
        let next = kahan_add(v, sum, c);
        if !next.0.is_infinite() || count == 1.0 {
            return next;
        }
        means.insert(i);
        mean /= count - 1.0;
        mean_c /= count - 1.0;
    }
    let q = (count - 1.0) / count;
    kahan_add(v / count, q * mean, q * mean_c)
}

impl State for Sums {
    fn group_bytes(&self) -> usize {
        // Sums, compensations, and for averages counts; bits of steps.
        let columns = if self.average { 3 } else { 2 };
        self.steps * 8 * columns + self.steps.div_ceil(4)
    }

    fn histogram_bytes(&self) -> u64 {
        self.histogram_bytes
    }

    fn absorb(
        &mut self,
        scope: &mut Scope<'_>,
        blame: &Blame,
        group: usize,
        block: &mut Block,
    ) -> Result<()> {
        let (steps, average) = (self.steps, self.average);
        let sum = of_group(&mut self.groups, group, || Sum::new(steps, average));
        if !block.histograms.is_empty() {
            self.histogram_bytes += sum.absorb_histograms(scope, blame, block);
        }
        match &sum.histograms {
            Some(histograms) => {
                let mut present = block.present.clone();
                present.subtract(&histograms.failed);
                sum.absorb_floats(&block.floats, &present);
            }
            None => sum.absorb_floats(&block.floats, &block.present),
        }
        Ok(())
    }

    fn finish(
        self: Box<Self>,
        scope: &mut Scope<'_>,
        blame: &Blame,
        groups: Vec<Group>,
    ) -> Result<Vec<Block>> {
        Ok(self.groups.into_iter().zip(groups).map(|(sum, group)| sum.finish(scope, blame, group)).collect())
    }
}
