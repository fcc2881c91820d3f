//! Downsampling: what was counted stays counted, whatever the samples and chunks.

use thanoslib::{
    chunk::{AggrChunk, Chunk, Encoding},
    downsample::{AggrChunks, AggrDownsampler, RawDownsampler},
    model::{Aggr, Interval, SampleColumns},
};

/// Windows of raw samples, and of those.
const WINDOWS: [(i64, i64); 4] = [(300_000, 3_600_000), (1, 7), (60_000, 180_000), (1 << 40, 1 << 42)];

/// Float columns made of any bytes: no sample is lost that counts, minima are below maxima.
///
/// The first byte chooses the windows and how samples are written: as 16 bytes for any time and
/// value, or as two for a step and a small value. The column comes in two parts.
pub fn downsample_floats(data: &[u8]) {
    let Some((head, rest)) = data.split_first() else { return };
    let (from_ms, to_ms) = WINDOWS[usize::from(head % 4)];
    let (mut ts, mut vs) = (Vec::new(), Vec::new());
    if head & 0x80 == 0 {
        for sample in rest.chunks_exact(16) {
            let word = |at: usize| sample[at..at + 8].try_into().map_or(0, u64::from_le_bytes);
            ts.push(word(0) as i64);
            vs.push(f64::from_bits(word(8)));
        }
    } else {
        let mut t = 0i64;
        for sample in rest.chunks_exact(2) {
            t += (i64::from(sample[0]) - 8) * 20_000;
            ts.push(t);
            vs.push(if sample[1] == 255 { f64::NAN } else { f64::from(sample[1]) });
        }
    }
    let Ok(mut raw) = RawDownsampler::new(from_ms) else { return };
    let mut out = AggrChunks::default();
    let (mut kept, mut last) = (0, i64::MIN);
    let cut = ts.len() / 2;
    for part in [0..cut, cut..ts.len()] {
        if raw.floats(&ts[part.clone()], &vs[part.clone()], &mut out).is_err() {
            return;
        }
        let mut before = i64::MIN;
        for i in part {
            if ts[i] >= before && vs[i].to_bits() != STALE {
                before = ts[i];
                kept += usize::from(!vs[i].is_nan());
            }
        }
        assert!(before == i64::MIN || before >= last);
        last = last.max(before);
    }
    assert!(raw.finish(&mut out).is_ok());
    assert_eq!(counted(&out), kept as f64);
    let longer = longer(&out, from_ms, to_ms);
    for level in [Some(&out), longer.as_ref()].into_iter().flatten() {
        check_floats(level, kept);
    }
}

/// The bits of a stale marker.
const STALE: u64 = 0x7ff0_0000_0000_0002;

fn check_floats(chunks: &AggrChunks, kept: usize) {
    assert_eq!(counted(chunks), kept as f64);
    let mut end = i64::MIN;
    for (interval, chunk) in chunks.iter() {
        let parts =
            [Aggr::Count, Aggr::Sum, Aggr::Min, Aggr::Max, Aggr::Counter].map(|aggr| decoded(chunk, aggr));
        let [count, sum, min, max, counter] = parts.map(|p| p.floats);
        assert_eq!((&count.ts, &count.ts, &count.ts), (&sum.ts, &min.ts, &max.ts));
        assert_eq!(count.ts, counter.ts[1..counter.len() - 1]);
        assert_eq!((count.ts.first(), count.ts.last()), (Some(&interval.mint), Some(&interval.maxt)));
        assert!(count.ts.is_sorted() && end <= interval.mint);
        assert!(min.vs.iter().zip(&max.vs).all(|(min, max)| min <= max));
        end = interval.maxt;
    }
}

/// One aggregate of a chunk that was just written.
fn decoded(chunk: Chunk<'_>, aggr: Aggr) -> SampleColumns {
    let mut out = SampleColumns::default();
    if let Ok(part) = AggrChunk::new(chunk.data).get(aggr) {
        assert_eq!(part.decode_into(&mut out), Ok(()));
    }
    out
}

fn counted(chunks: &AggrChunks) -> f64 {
    chunks.iter().flat_map(|(_, chunk)| decoded(chunk, Aggr::Count).floats.vs).sum()
}

/// The same in longer windows, unless some sum is no number any more.
fn longer(chunks: &AggrChunks, from_ms: i64, to_ms: i64) -> Option<AggrChunks> {
    let mut aggr = AggrDownsampler::new(from_ms, to_ms).ok()?;
    let mut out = AggrChunks::default();
    for (interval, chunk) in chunks.iter() {
        assert!(aggr.chunk(interval, chunk, &mut out).is_ok());
    }
    assert!(aggr.finish(&mut out).is_ok());
    let finite = |chunk: Chunk<'_>| {
        [Aggr::Sum, Aggr::Counter].iter().all(|a| decoded(chunk, *a).floats.vs.iter().all(|v| v.is_finite()))
    };
    chunks.iter().all(|(_, chunk)| finite(chunk)).then_some(out)
}

/// Any bytes as chunks of histograms: as many are counted as have a sum.
///
/// The first byte chooses the encoding.
pub fn downsample_histograms(data: &[u8]) {
    let Some((head, data)) = data.split_first() else { return };
    let encodings =
        [Encoding::Histogram, Encoding::FloatHistogram, Encoding::HistogramSt, Encoding::FloatHistogramSt];
    let chunk = Chunk { encoding: encodings[usize::from(head % 4)], data };
    let Ok(mut raw) = RawDownsampler::new(300_000) else { return };
    let mut out = AggrChunks::default();
    let mut samples = SampleColumns::default();
    if raw.chunk(chunk, &mut out).is_err() || chunk.decode_into(&mut samples).is_err() {
        return;
    }
    let (mut kept, mut before) = (0, i64::MIN);
    for (t, sum) in samples.histograms.ts.iter().zip(&samples.histograms.sums) {
        if *t >= before && sum.to_bits() != STALE {
            before = *t;
            kept += usize::from(!sum.is_nan());
        }
    }
    if raw.finish(&mut out).is_err() {
        return;
    }
    assert_eq!(counted(&out), kept as f64);
    for (_, chunk) in out.iter() {
        let times = |aggr| decoded(chunk, aggr).histograms.ts;
        let counts = decoded(chunk, Aggr::Count).floats.ts;
        assert_eq!((&counts, &counts), (&times(Aggr::Sum), &times(Aggr::Counter)));
    }
    let Ok(mut aggr) = AggrDownsampler::new(300_000, 3_600_000) else { return };
    let mut hours = AggrChunks::default();
    let all = out.iter().try_for_each(|(interval, chunk)| aggr.chunk(interval, chunk, &mut hours));
    if all.and_then(|()| aggr.finish(&mut hours)).is_ok() {
        assert_eq!(counted(&hours), kept as f64);
    }
}

/// Any bytes as chunks of aggregates, whole and in two halves.
pub fn downsample_aggregates(data: &[u8]) {
    let Ok(mut aggr) = AggrDownsampler::new(300_000, 3_600_000) else { return };
    let (a, b) = data.split_at(data.len() / 2);
    for pieces in [&[data][..], &[data, data], &[a, b]] {
        let mut out = AggrChunks::default();
        let mut result = Ok(());
        for (piece, i) in pieces.iter().zip(0..) {
            let chunk = Chunk { encoding: Encoding::Aggr, data: piece };
            result =
                result.and_then(|()| aggr.chunk(Interval::new(i * 1000, i * 1000 + 999), chunk, &mut out));
        }
        let result = result.and_then(|()| aggr.finish(&mut out));
        aggr.reset();
        for (_, chunk) in out.iter() {
            assert!(chunk.num_samples().is_ok());
        }
        if result.is_err() {
            continue;
        }
        for (_, chunk) in out.iter() {
            for aggr in [Aggr::Count, Aggr::Sum, Aggr::Min, Aggr::Max, Aggr::Counter] {
                let _ = decoded(chunk, aggr);
            }
        }
    }
}
