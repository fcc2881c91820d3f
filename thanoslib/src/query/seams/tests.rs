use super::*;
use crate::{
    chunk::{AggrChunk, Chunk, Encoding, Fit, FloatHistogramAppender, XorAppender},
    downsample::{AggrChunks, RawDownsampler},
    model::{FloatHistogram, FloatHistogramColumn, Interval, Span},
    promql::Select,
    query::{ResolutionSeams, SelectOptions},
    series::Aggr,
    store::SelectHints,
};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
/// Scrapes come that long after full minutes.
const OFFSET: i64 = 3_000;

/// The bytes of the chunks of a series.
#[derive(Default)]
struct Stored {
    raw: Vec<(Interval, Encoding, Vec<u8>)>,
    windows: Vec<AggrChunks>,
}

fn scrapes(from: i64, to: i64) -> impl Iterator<Item = i64> {
    (from / MINUTE..to / MINUTE).map(|i| i * MINUTE + OFFSET)
}

impl Stored {
    /// Scraped floats from one time up to another.
    fn raw(mut self, from: i64, to: i64, of: impl Fn(i64) -> f64) -> Self {
        let mut chunk = XorAppender::new();
        scrapes(from, to).for_each(|t| chunk.append(t, of(t)).expect("in order"));
        let at = Interval::new(from + OFFSET, to - MINUTE + OFFSET);
        self.raw.push((at, Encoding::Xor, chunk.bytes().to_vec()));
        self
    }

    /// The same downsampled to 5m.
    fn windows(mut self, from: i64, to: i64, of: impl Fn(i64) -> f64) -> Self {
        let (ts, vs): (Vec<i64>, Vec<f64>) = scrapes(from, to).map(|t| (t, of(t))).unzip();
        let mut out = AggrChunks::default();
        let mut downsampler = RawDownsampler::new(5 * MINUTE).expect("a resolution");
        downsampler.floats(&ts, &vs, &mut out).expect("in order");
        downsampler.finish(&mut out).expect("in order");
        self.windows.push(out);
        self
    }

    /// What `function` over ranges sees of it.
    fn read(&self, function: &str, dedup: bool) -> (SampleColumns, Grain) {
        let mut chunks: Vec<SeriesChunk<'_>> = self
            .raw
            .iter()
            .map(|(at, encoding, data)| SeriesChunk::raw(*at, Chunk { encoding: *encoding, data }))
            .collect();
        for (at, chunk) in self.windows.iter().flat_map(AggrChunks::iter) {
            let parts = AggrChunk::new(chunk.data);
            let aggregates = [Aggr::Count, Aggr::Sum, Aggr::Min, Aggr::Max, Aggr::Counter];
            let mut window = SeriesChunk::empty(at);
            for aggr in aggregates {
                if let Ok(part) = parts.get(aggr) {
                    window = window.with(aggr, part);
                }
            }
            chunks.push(window);
        }
        chunks.sort_by_key(|c| (c.interval.mint, c.interval.maxt));
        let options = SelectOptions {
            dedup,
            replica_labels: vec!["replica".to_owned()],
            max_resolution_ms: HOUR,
            seams: ResolutionSeams::Right,
            ..SelectOptions::default()
        };
        let hints = SelectHints { func: function.to_owned(), range_ms: HOUR, ..SelectHints::default() };
        let select = Select { interval: Interval::new(0, 20 * HOUR), matchers: Vec::new(), hints };
        let (mut out, mut grain) = (SampleColumns::default(), Grain::default());
        read(&Selection::new(&options, &select), &chunks, &mut out, &mut grain).expect("sound");
        (out, grain)
    }
}

/// A counter that grows by one a second and restarts at a time.
fn restarting(at: i64) -> impl Fn(i64) -> f64 {
    move |t| ((if t < at { t + 5_000_000 } else { t - at }) / 1000) as f64
}

#[test]
fn scrapes_are_counted_once() {
    let count = |stored: &Stored| {
        let (_, grain) = stored.read("count_over_time", true);
        grain.float_counts.iter().sum::<f64>()
    };
    let line = |t: i64| t as f64;
    assert_eq!(count(&Stored::default().windows(0, 4 * HOUR, line).raw(4 * HOUR, 6 * HOUR, line)), 360.0);
    assert_eq!(count(&Stored::default().raw(0, 4 * HOUR, line).windows(4 * HOUR, 6 * HOUR, line)), 360.0);
    // Where both lie over each other, and with a hole in the scrapes.
    assert_eq!(count(&Stored::default().windows(0, 5 * HOUR, line).raw(3 * HOUR, 6 * HOUR, line)), 360.0);
    let hole = Stored::default().raw(0, HOUR, line).raw(2 * HOUR, 4 * HOUR, line).windows(0, 3 * HOUR, line);
    assert_eq!(count(&hole), 240.0);
}

#[test]
fn resolutions_and_their_distances_are_told() {
    let line = |t: i64| t as f64;
    let (_, grain) =
        Stored::default().windows(0, 4 * HOUR, line).raw(4 * HOUR, 5 * HOUR, line).read("rate", true);
    let seam = 4 * HOUR - MINUTE + OFFSET;
    let lag_ms = MINUTE - OFFSET - 1;
    let windows = Stretch { until_ms: seam, interval_ms: 5 * MINUTE, window_ms: 5 * MINUTE, lag_ms };
    let raw = Stretch { until_ms: 5 * HOUR - MINUTE + OFFSET, interval_ms: MINUTE, window_ms: 0, lag_ms: 0 };
    assert_eq!(grain.stretches, [windows, raw]);
    let (out, grain) = Stored::default().raw(0, HOUR, line).windows(HOUR, 2 * HOUR, line).read("", true);
    assert_eq!((out.len(), grain.stretches.len()), (72, 2));
}

#[test]
fn counters_are_carried_over_seams() {
    // Growth between two times, less what falls between the last scrape and a restart.
    let check = |stored: Stored, want: f64| {
        let (out, _) = stored.read("increase", true);
        let (first, last) = (out.floats.vs[0], out.floats.vs[out.floats.len() - 1]);
        assert!(out.floats.vs.is_sorted(), "a reset is left in {:?}", out.floats);
        assert_eq!(last - first, want);
    };
    let seam = 4 * HOUR;
    for restart in [seam - 2 * HOUR, seam - 10 * MINUTE, seam, seam + 10 * MINUTE] {
        let of = restarting(restart);
        // From the first scrape at 3 s to the last at 5:59:03, less the 57 s before the restart.
        let want = (6 * HOUR - MINUTE) as f64 / 1000.0 - 57.0;
        check(Stored::default().windows(0, seam, &of).raw(seam, 6 * HOUR, &of), want);
        check(Stored::default().raw(0, seam, &of).windows(seam, 6 * HOUR, &of), want);
        check(Stored::default().windows(0, seam, &of).raw(3 * HOUR, 6 * HOUR, &of), want);
        check(Stored::default().windows(0, seam, &of).windows(seam, 6 * HOUR, &of), want);
    }
}

#[test]
fn averages_stand_in_the_middle_for_slopes() {
    let line = |t: i64| t as f64;
    let stored = Stored::default().windows(0, 4 * HOUR, line).raw(4 * HOUR, 5 * HOUR, line);
    let (out, _) = stored.read("deriv", true);
    // Scrapes of a window have their middle a little before that of the window.
    let off = |(t, v): (&i64, &f64)| (*t as f64 - v).abs();
    assert!(out.floats.ts.iter().zip(&out.floats.vs).all(|p| off(p) < MINUTE as f64 / 2.0));
    let (out, _) = stored.read("last_over_time", true);
    assert_eq!(out.floats.ts[0], 5 * MINUTE - 1);
}

#[test]
fn replicas_are_merged_inside_of_a_resolution() {
    let line = |t: i64| t as f64;
    // One replica scraped all the time, the other is there as windows first.
    let stored =
        Stored::default().raw(0, 6 * HOUR, line).windows(0, 4 * HOUR, line).raw(4 * HOUR, 6 * HOUR, line);
    let (out, grain) = stored.read("count_over_time", true);
    assert_eq!((out.len(), grain.stretches.len()), (360, 1));
    assert_eq!(stored.read("rate", false).0.len(), 360);
}

fn histogram(count: f64) -> FloatHistogram {
    FloatHistogram {
        count,
        sum: count,
        positive_spans: vec![Span { offset: 0, length: 1 }],
        positive_buckets: vec![count],
        ..FloatHistogram::default()
    }
}

/// A histogram counter that grows by one a minute and restarts at a time.
fn histograms(from: i64, to: i64, restart: i64) -> FloatHistogramColumn {
    let mut out = FloatHistogramColumn::default();
    for t in scrapes(from, to) {
        let since = if t < restart { -10 * HOUR } else { restart };
        out.push(t, &histogram(((t - since) / MINUTE) as f64));
    }
    out
}

#[test]
fn histogram_counters_count_once() {
    let seam = 4 * HOUR;
    for restart in [seam - 2 * HOUR, seam - 10 * MINUTE, seam + 10 * MINUTE] {
        let mut windows = AggrChunks::default();
        let mut downsampler = RawDownsampler::new(5 * MINUTE).expect("a resolution");
        downsampler.histograms(&histograms(0, seam, restart), &mut windows).expect("in order");
        downsampler.finish(&mut windows).expect("in order");
        let mut stored = Stored { windows: vec![windows], ..Stored::default() };
        // A chunk ends where the counter falls.
        let cut = restart.clamp(seam, 6 * HOUR);
        for (from, to) in [(seam, cut), (cut, 6 * HOUR)].into_iter().filter(|(from, to)| from < to) {
            let raw = histograms(from, to, restart);
            let mut chunk = FloatHistogramAppender::new(false);
            for i in 0..raw.len() {
                assert!(!matches!(chunk.append(&raw, i).expect("sound"), Fit::NewChunk(_)));
            }
            let at = Interval::new(from + OFFSET, to - MINUTE + OFFSET);
            stored.raw.push((at, chunk.encoding(), chunk.bytes().to_vec()));
        }
        let (out, _) = stored.read("increase", true);
        // What PromQL makes of the line.
        let mut grown = 0.0;
        for i in 1..out.histograms.len() {
            let (h, before) = (out.histograms.get(i), out.histograms.get(i - 1));
            grown += if h.detect_reset(&before) { h.count } else { h.count - before.count };
        }
        // The first window of 5m is a sample, all that comes after is growth.
        let want = (6 * 60 - 5) as f64;
        assert!((grown - want).abs() <= 1.0, "restart at {restart}: {grown}, not {want}");
    }
}
