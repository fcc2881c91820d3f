//! Rewriting the newer encodings as those that every StoreAPI peer reads.

use super::{
    Chunk, Encoding, FloatHistogramDecoder, HistogramDecoder, Xor2Decoder, XorAppender, layout::Frame,
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
            let mut decoder = HistogramDecoder::new(chunk.data, true)?;
            let data = histograms(chunk.data, &mut decoder, |d| &mut d.frame, |d| d.read_sample())?;
            Some((Encoding::Histogram, data))
        }
        Encoding::FloatHistogramSt => {
            let mut decoder = FloatHistogramDecoder::new(chunk.data, true)?;
            let data = histograms(chunk.data, &mut decoder, |d| &mut d.frame, |d| d.read_sample())?;
            Some((Encoding::FloatHistogram, data))
        }
        _ => None,
    })
}

fn xor2(data: &[u8]) -> Result<Vec<u8>> {
    let mut samples = FloatColumn::default();
    Xor2Decoder::new(data)?.fill(&mut samples, usize::MAX)?;
    let mut appender = XorAppender::new();
    for (t, v) in samples.ts.iter().zip(&samples.vs) {
        appender.append(*t, *v)?;
    }
    Ok(appender.into_bytes())
}

/// Copies the bits of every sample but those of its start timestamp.
fn histograms<'a, D>(
    data: &'a [u8],
    decoder: &mut D,
    frame: impl Fn(&mut D) -> &mut Frame<'a>,
    read_sample: impl Fn(&mut D) -> Result<(), DecodeError>,
) -> Result<Vec<u8>> {
    let count = frame(decoder).left as u16;
    let mut bytes = Vec::with_capacity(data.len());
    bytes.extend_from_slice(&count.to_be_bytes());
    bytes.push(data[0] & 0b1100_0000);
    let mut w = BitWriter::after(bytes);
    while frame(decoder).left > 0 {
        let from = frame(decoder).r.clone();
        read_sample(decoder)?;
        let bits = frame(decoder).r.position() - from.position();
        copy_bits(from, bits, &mut w)?;
        frame(decoder).read_start()?;
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

    fn hex(s: &str) -> Vec<u8> {
        (0..s.len()).step_by(2).map(|i| u8::from_str_radix(&s[i..i + 2], 16).expect("hex")).collect()
    }

    fn check(from: Encoding, data: &str, to: Encoding, expected: &str) {
        let data = hex(data);
        let got = transcode(Chunk { encoding: from, data: &data }).expect("sound");
        assert_eq!(got, Some((to, hex(expected))));
    }

    #[test]
    fn what_comes_out_equals_what_prometheus_writes_without_start_timestamps() {
        check(
            Encoding::Xor2,
            "00070080a0abfef962402800000000000098755583c003d007bff5f80ea6f011ffc0f7e2b400",
            Encoding::Xor,
            "000780a0abfef9624028000000000000987535838003e00effeb17bfe4400000000001c3a9bc1fe004000000000001dc5680",
        );
        check(
            Encoding::HistogramSt,
            "000482748ca4946317c138862648064cccccccccccd18dd2d08c01f83a98c2c760762bc6236e599999999999991bdfe1676062f7fce000000000003f075300",
            Encoding::Histogram,
            "000400748ca4946317c138862648064cccccccccccd18dd2f83a98c2c760762bc6236e599999999999991bdc62f7fce0000000000020",
        );
        assert!(matches!(transcode(Chunk { encoding: Encoding::Xor, data: &[0, 0] }), Ok(None)));
    }
}
