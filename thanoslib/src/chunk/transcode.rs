//! Rewriting the newer encodings as those that every StoreAPI peer reads.

use super::{
    Chunk, Encoding, FloatHistogramDecoder, HistogramDecoder, Xor2Decoder, XorAppender, sink::SampleReader,
};
use crate::{
    encoding::{BitReader, BitWriter},
    error::{DecodeError, Result},
    model::FloatColumn,
};

/// Rewrites a chunk with start timestamps as one without, if it is one.
///
/// XOR2 becomes XOR, the newer histogram encodings become the older ones, start timestamps are
/// dropped. `Ok(None)` for every other encoding: its bytes can be handed on as they are. The
/// result may hold more samples or bytes than a writer would put in one chunk.
///
/// # Errors
/// The chunk does not decode.
pub fn transcode(chunk: Chunk<'_>) -> Result<Option<(Encoding, Vec<u8>)>> {
    Ok(match chunk.encoding {
        Encoding::Xor2 => Some((Encoding::Xor, xor2(chunk.data)?)),
        Encoding::HistogramSt => {
            let data = histograms(chunk.data, HistogramDecoder::new(chunk.data, true)?)?;
            Some((Encoding::Histogram, data))
        }
        Encoding::FloatHistogramSt => {
            let data = histograms(chunk.data, FloatHistogramDecoder::new(chunk.data, true)?)?;
            Some((Encoding::FloatHistogram, data))
        }
        _ => None,
    })
}

fn xor2(data: &[u8]) -> Result<Vec<u8>> {
    let mut samples = FloatColumn::default();
    Xor2Decoder::new(data)?.fill(&mut samples, usize::MAX)?;
    let mut appender = XorAppender::new();
    appender.extend(&samples.ts, &samples.vs)?;
    Ok(appender.into_bytes())
}

/// Copies the bits of every sample but those of its start timestamp.
fn histograms<'a>(data: &[u8], mut decoder: impl SampleReader<'a>) -> Result<Vec<u8>> {
    let count = decoder.frame().left as u16;
    let mut bytes = Vec::with_capacity(data.len());
    bytes.extend_from_slice(&count.to_be_bytes());
    bytes.push(data[0] & 0b1100_0000);
    let mut w = BitWriter::after(bytes);
    while decoder.frame().left > 0 {
        let from = decoder.frame().r.bits();
        decoder.read_sample()?;
        let bits = decoder.frame().r.bit - from.position();
        copy_bits(from, bits, &mut w)?;
        decoder.frame().read_start()?;
    }
    Ok(w.into_bytes())
}

fn copy_bits(mut r: BitReader<'_>, mut bits: usize, w: &mut BitWriter) -> Result<(), DecodeError> {
    while bits > 0 {
        let n = bits.min(56) as u32;
        w.bits(r.bits(n)?, n);
        bits -= n as usize;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        chunk::{HistogramAppender, HistogramKind, Xor2Appender},
        model::{CounterReset, HistogramColumn, HistogramLayout, Span, stale_nan},
    };

    fn check(from: Encoding, data: &[u8], to: Encoding, expected: &[u8]) {
        let got = transcode(Chunk { encoding: from, data }).expect("sound");
        assert_eq!(got, Some((to, expected.to_vec())));
    }

    /// A column of `n` samples of one bucket, the last a stale marker.
    fn histograms<K: HistogramKind>(
        n: u32,
        number: impl Fn(u32) -> (K::Count, K),
    ) -> HistogramColumn<K::Count, K> {
        let layout = HistogramLayout {
            zero_threshold: 0.001,
            positive_spans: vec![Span { offset: 2, length: 1 }],
            positive_len: 1,
            ..HistogramLayout::default()
        };
        let (empty, mut column) = (HistogramLayout::default(), HistogramColumn::default());
        for i in 0..n {
            let stale = i + 1 == n;
            let (count, bucket) = number(if stale { 0 } else { i * i });
            let id = column.layout_id(if stale { &empty } else { &layout });
            column.ts.push(i64::from(i) * 1000 + i64::from(i % 7));
            column.hints.push(CounterReset::Unknown);
            column.counts.push(count);
            column.zero_counts.push(number(0).0);
            column.sums.push(if stale { stale_nan() } else { f64::from(i) });
            column.layout_ids.push(id);
            column.buckets.extend((!stale).then_some(bucket));
            column.bucket_ends.push(column.buckets.len() as u32);
            column.set_last_start(i64::from(i / 10));
        }
        column
    }

    fn check_histograms<K: HistogramKind>(column: &HistogramColumn<K::Count, K>) {
        let [plain, with_start] = [false, true].map(|with_start| {
            let mut appender = HistogramAppender::<K>::new(with_start);
            for i in 0..column.len() {
                appender.append_again(CounterReset::Reset, column, i).expect("it grows");
            }
            (appender.encoding(), appender.finish())
        });
        check(with_start.0, &with_start.1, plain.0, &plain.1);
    }

    #[test]
    fn what_comes_out_is_what_is_written_without_start_timestamps() {
        check_histograms::<i64>(&histograms(200, |i| (u64::from(i), i64::from(i))));
        check_histograms::<f64>(&histograms(200, |i| (f64::from(i), f64::from(i))));
        // More samples and bytes than a writer would put in one chunk.
        let (mut xor, mut xor2) = (XorAppender::new(), Xor2Appender::new());
        for i in 0..700u32 {
            let (t, v) = (i64::from(i) * 1000, if i % 50 == 9 { stale_nan() } else { f64::from(i).sqrt() });
            xor.append(t, v).expect("room");
            xor2.append(i64::from(i / 100), t, v).expect("room");
        }
        assert!(xor.bytes().len() > 1024);
        check(Encoding::Xor2, xor2.bytes(), Encoding::Xor, xor.bytes());
        assert!(matches!(transcode(Chunk { encoding: Encoding::Xor, data: &[0, 0] }), Ok(None)));
    }
}
