//! Two metric providers of a stranger: one gives rows, the other compressed chunks.

use async_trait::async_trait;
use bytes::Bytes;
use thanoslib::{
    ChunkSink, ChunkSource, Context, Encoding, Error, Interval, Labels, Result, SampleSink, SampleSource, Scan,
    XorAppender, store::ChunkRow,
};

/// Readings of some sensors, one a minute, as rows.
#[derive(Debug)]
pub struct SensorRows {
    /// Names of the sensors.
    pub sensors: Vec<String>,
    /// Times of the readings in ms, both ends inside.
    pub interval: Interval,
}

/// Distance of the readings.
const STEP_MS: i64 = 60_000;

fn labels(sensor: &str) -> Labels {
    Labels::from_pairs([("__name__", "sensor_celsius"), ("sensor", sensor)])
}

fn reading(sensor: &str, t_ms: i64) -> f64 {
    sensor.len() as f64 + (t_ms / STEP_MS % 10) as f64
}

#[async_trait]
impl SampleSource for SensorRows {
    async fn scan(&self, ctx: &Context, scan: &Scan, sink: &mut SampleSink) -> Result<()> {
        // Minute by minute: not in the order of series.
        let mut t_ms = self.interval.mint;
        while t_ms <= self.interval.maxt.min(scan.interval.maxt) {
            ctx.check()?;
            for sensor in &self.sensors {
                sink.sample(&labels(sensor), t_ms, reading(sensor, t_ms))?;
            }
            t_ms += STEP_MS;
        }
        Ok(())
    }

    fn interval(&self) -> Interval {
        self.interval
    }
}

/// The same readings, compressed by the hour.
#[derive(Debug)]
pub struct SensorChunks {
    series: Vec<(Labels, Vec<ChunkRow>)>,
    data: Vec<Bytes>,
    interval: Interval,
}

impl SensorChunks {
    /// Compresses what the rows hold.
    ///
    /// # Errors
    /// Readings that cannot be encoded.
    pub fn new(rows: &SensorRows) -> Result<Self> {
        let (mut series, mut data) = (Vec::new(), Vec::new());
        let times: Vec<i64> = (rows.interval.mint..=rows.interval.maxt).step_by(STEP_MS as usize).collect();
        for sensor in &rows.sensors {
            let mut chunks = Vec::new();
            for hour in times.chunks(60) {
                let (Some(first), Some(last)) = (hour.first(), hour.last()) else { continue };
                let mut chunk = XorAppender::new();
                for t_ms in hour {
                    chunk.append(*t_ms, reading(sensor, *t_ms))?;
                }
                let bytes = Bytes::from(chunk.into_bytes());
                chunks.push(ChunkRow {
                    interval: Interval::new(*first, *last),
                    encoding: Encoding::Xor,
                    id: data.len() as u64,
                    size_bytes: bytes.len() as u32,
                });
                data.push(bytes);
            }
            series.push((labels(sensor), chunks));
        }
        Ok(Self { series, data, interval: rows.interval })
    }
}

#[async_trait]
impl ChunkSource for SensorChunks {
    async fn series(&self, ctx: &Context, _: &Scan, sink: &mut ChunkSink) -> Result<()> {
        for (labels, chunks) in &self.series {
            ctx.check()?;
            sink.series(labels, chunks.iter().copied())?;
        }
        Ok(())
    }

    async fn chunks(&self, _: &Context, ids: &[u64]) -> Result<Vec<Bytes>> {
        let chunk = |id: &u64| self.data.get(*id as usize).cloned();
        ids.iter().map(|id| chunk(id).ok_or_else(|| Error::not_found(format!("no chunk {id}")))).collect()
    }

    fn interval(&self) -> Interval {
        self.interval
    }
}
