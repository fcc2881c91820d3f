//! Chunks of every encoding, and merges of what they hold.

use std::collections::BTreeSet;

use thanoslib::{
    chunk::{
        AGGREGATES, AggrChunk, Chunk, Encoding, FloatHistogramDecoder, HistogramDecoder, Xor2Decoder,
        XorAppender, XorDecoder, transcode,
    },
    dedup::{Algorithm, Counters, DedupRequest, Deduplicator, SeriesChunk},
    model::{FloatColumn, FloatHistogramColumn, IntHistogramColumn, Interval, SampleColumns},
};

/// An XOR chunk: pieces equal the whole, and what decodes encodes and decodes again.
pub fn xor(data: &[u8]) {
    let mut whole = FloatColumn::default();
    let result = XorDecoder::new(data).and_then(|mut d| d.fill(&mut whole, usize::MAX));
    assert_eq!(whole.ts.len(), whole.vs.len());
    assert!(whole.len() <= data.len() * 8);
    let mut pieces = FloatColumn::default();
    if let Ok(mut decoder) = XorDecoder::new(data) {
        while decoder.fill(&mut pieces, 7).is_ok_and(|left| left > 0) {}
    }
    assert_eq!(bits(&pieces), bits(&whole));
    if result.is_err() {
        return;
    }
    let mut appender = XorAppender::new();
    for (t, v) in whole.ts.iter().zip(&whole.vs) {
        assert!(appender.append(*t, *v).is_ok());
    }
    let mut again = FloatColumn::default();
    let left = XorDecoder::new(appender.bytes()).and_then(|mut d| d.fill(&mut again, usize::MAX));
    assert_eq!(left, Ok(0));
    assert_eq!(bits(&again), bits(&whole));
    if let Ok(mut reopened) = XorAppender::reopen(data.to_vec())
        && reopened.append(1, 2.0).is_ok()
    {
        let mut longer = FloatColumn::default();
        let left = XorDecoder::new(reopened.bytes()).and_then(|mut d| d.fill(&mut longer, usize::MAX));
        assert_eq!(left, Ok(0));
        whole.push(1, 2.0);
        assert_eq!(bits(&longer), bits(&whole));
    }
}

/// An XOR2 chunk: pieces equal the whole.
pub fn xor2(data: &[u8]) {
    let mut whole = FloatColumn::default();
    let _ = Xor2Decoder::new(data).and_then(|mut d| d.fill(&mut whole, usize::MAX));
    assert!(whole.len() <= data.len() * 8);
    let mut pieces = FloatColumn::default();
    if let Ok(mut decoder) = Xor2Decoder::new(data) {
        while decoder.fill(&mut pieces, 7).is_ok_and(|left| left > 0) {}
    }
    assert_eq!((bits(&pieces), pieces.st), (bits(&whole), whole.st));
    transcoded(Encoding::Xor2, data);
}

/// A chunk of integer histograms, without start timestamps.
pub fn histogram(data: &[u8]) {
    int_histograms(data, false);
}

/// A chunk of integer histograms, with start timestamps.
pub fn histogram_st(data: &[u8]) {
    int_histograms(data, true);
    transcoded(Encoding::HistogramSt, data);
}

/// A chunk of float histograms, without start timestamps.
pub fn float_histogram(data: &[u8]) {
    float_histograms(data, false);
}

/// A chunk of float histograms, with start timestamps.
pub fn float_histogram_st(data: &[u8]) {
    float_histograms(data, true);
    transcoded(Encoding::FloatHistogramSt, data);
}

fn int_histograms(data: &[u8], with_start: bool) {
    let mut ints = IntHistogramColumn::default();
    let mut floats = FloatHistogramColumn::default();
    let a = HistogramDecoder::new(data, with_start).and_then(|mut d| d.fill(&mut ints, usize::MAX));
    let b = HistogramDecoder::new(data, with_start).and_then(|mut d| d.fill_floats(&mut floats, usize::MAX));
    assert_eq!(a, b);
    assert_eq!((&ints.ts, &ints.st, &ints.hints), (&floats.ts, &floats.st, &floats.hints));
    assert_eq!(ints.bucket_ends, floats.bucket_ends);
    assert!(ints.buckets.len() <= data.len() * 8 * 2);
    for i in 0..ints.len() {
        assert_eq!(ints.get(i).positive_deltas.len(), floats.get(i).positive_buckets.len());
    }
}

fn float_histograms(data: &[u8], with_start: bool) {
    let mut whole = FloatHistogramColumn::default();
    let _ = FloatHistogramDecoder::new(data, with_start).and_then(|mut d| d.fill(&mut whole, usize::MAX));
    assert!(whole.buckets.len() <= data.len() * 8);
    let mut pieces = FloatHistogramColumn::default();
    if let Ok(mut decoder) = FloatHistogramDecoder::new(data, with_start) {
        while decoder.fill(&mut pieces, 3).is_ok_and(|left| left > 0) {}
    }
    assert_eq!((pieces.ts, pieces.bucket_ends), (whole.ts, whole.bucket_ends));
}

/// A chunk with start timestamps transcodes to the same samples, or does not decode either.
fn transcoded(encoding: Encoding, data: &[u8]) {
    let mut from = SampleColumns::default();
    let decoded = Chunk { encoding, data }.decode_into(&mut from);
    let result = transcode(Chunk { encoding, data });
    assert_eq!(decoded.is_ok(), result.is_ok());
    let Ok(Some((encoding, data))) = result else { return };
    let mut to = SampleColumns::default();
    assert_eq!(Chunk { encoding, data: &data }.decode_into(&mut to), Ok(()));
    assert_eq!(bits(&to.floats), bits(&from.floats));
    assert_eq!(to.histograms.ts, from.histograms.ts);
    assert_eq!(raw(&to.histograms.buckets), raw(&from.histograms.buckets));
    assert_eq!(raw(&to.histograms.sums), raw(&from.histograms.sums));
}

/// A downsampled chunk: parts that are found encode to the bytes they came from.
pub fn aggregates(data: &[u8]) {
    let chunk = AggrChunk::new(data);
    let parts = AGGREGATES.map(|aggr| chunk.get(aggr).ok());
    let _ = chunk.num_samples();
    for part in parts.iter().flatten() {
        let _ = part.decode_into(&mut SampleColumns::default());
    }
    let mut again = Vec::new();
    AggrChunk::encode(&parts, &mut again);
    if parts.iter().all(Option::is_some) {
        assert_eq!(AGGREGATES.map(|aggr| AggrChunk::new(&again).get(aggr).ok()), parts);
    }
}

/// Replicas whose samples follow from `data`: times ascend, and each comes from a replica.
pub fn dedup(data: &[u8]) {
    let Some((head, steps)) = data.split_first() else { return };
    let count = usize::from(head % 4) + 1;
    let mut replicas: Vec<Vec<(i64, f64)>> = vec![Vec::new(); count];
    for (i, step) in steps.iter().enumerate() {
        let replica = &mut replicas[i % count];
        let last = replica.last().map_or(0, |s| s.0);
        let t = last + 1 + i64::from(step >> 3) * 1000;
        let v = replica.last().map_or(10.0, |s| if step & 7 == 0 { 0.0 } else { s.1 + f64::from(step & 7) });
        replica.push((t, v));
    }
    replicas.retain(|r| !r.is_empty());
    let times: BTreeSet<i64> = replicas.iter().flatten().map(|s| s.0).collect();
    let chunks: Vec<Vec<u8>> = replicas.iter().map(|r| encode(r)).collect();
    let series: Vec<[SeriesChunk<'_>; 1]> = replicas
        .iter()
        .zip(&chunks)
        .map(|(r, data)| {
            let interval = Interval::new(r[0].0, r[r.len() - 1].0);
            [SeriesChunk::raw(interval, Chunk { encoding: Encoding::Xor, data })]
        })
        .collect();
    let members: Vec<&[SeriesChunk<'_>]> = series.iter().map(|s| &s[..]).collect();
    for algorithm in [Algorithm::Penalty, Algorithm::Chain] {
        for counters in [Counters::Prometheus, Counters::Thanos] {
            for function in ["", "rate"] {
                let request = DedupRequest { algorithm, counters, function, interval: Interval::ALL };
                let mut out = SampleColumns::default();
                assert!(Deduplicator::new(request).dedup(&members, &mut out).is_ok());
                assert!(out.floats.ts.is_sorted_by(|a, b| a < b));
                assert!(out.floats.ts.iter().all(|t| times.contains(t)));
                assert_eq!(out.is_empty(), times.is_empty());
                if algorithm == Algorithm::Chain {
                    assert_eq!(out.floats.len(), times.len());
                }
            }
        }
    }
}

fn encode(samples: &[(i64, f64)]) -> Vec<u8> {
    let mut appender = XorAppender::new();
    for (t, v) in samples {
        if appender.append(*t, *v).is_err() {
            break;
        }
    }
    appender.into_bytes()
}

fn bits(column: &FloatColumn) -> Vec<(i64, u64)> {
    column.ts.iter().zip(&column.vs).map(|(t, v)| (*t, v.to_bits())).collect()
}

fn raw(values: &[f64]) -> Vec<u64> {
    values.iter().map(|v| v.to_bits()).collect()
}
