//! The queue of spans, and who empties it.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::Result;
use ring::rand::{SecureRandom, SystemRandom};
use thanoslib::{
    context::{EndedSpan, SpanId, SpanSink},
    metrics::{Collect, Counter, Kind, TextWriter},
};
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};

use super::{
    config::{Config, Sampler},
    message,
    send::Sender,
};
use crate::shutdown::until;

/// Spans that wait to be sent.
const QUEUE_MAX: usize = 4096;
/// Spans of one request.
const BATCH_MAX: usize = 512;
/// How long a span waits for others.
const LINGER: Duration = Duration::from_secs(2);
/// How long what is left is sent when the process stops.
const LAST: Duration = Duration::from_secs(5);

/// Takes spans, and drops those that nobody can send in time.
pub struct Spans {
    queue: mpsc::Sender<EndedSpan>,
    sampler: Sampler,
    /// State of the numbers, which come from the system's at first.
    random: AtomicU64,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    dropped: Counter,
    sent: Counter,
    failed: Counter,
}

impl fmt::Debug for Spans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spans").field("sampler", &self.sampler).finish_non_exhaustive()
    }
}

/// The work of sending; see [`run`](Self::run).
#[derive(Debug)]
pub struct SpansTask {
    queue: mpsc::Receiver<EndedSpan>,
    config: Config,
    sender: Sender,
    counts: Arc<Counts>,
}

pub(super) fn new(config: Config) -> Result<(Arc<Spans>, SpansTask)> {
    let mut seed = [0; 8];
    SystemRandom::new().fill(&mut seed).map_err(|_| anyhow::anyhow!("no random numbers"))?;
    let (queue, receiver) = mpsc::channel(QUEUE_MAX);
    let counts = Arc::new(Counts::default());
    let spans = Spans {
        queue,
        sampler: config.sampler,
        random: AtomicU64::new(u64::from_le_bytes(seed)),
        counts: Arc::clone(&counts),
    };
    let sender = Sender::new(&config)?;
    Ok((Arc::new(spans), SpansTask { queue: receiver, config, sender, counts }))
}

impl SpanSink for Spans {
    fn random(&self) -> u64 {
        // SplitMix64.
        let state = self.random.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        let mut z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)).max(1)
    }

    fn samples(&self, trace: u128, parent: Option<SpanId>) -> bool {
        match parent {
            Some(parent) if self.sampler.by_parent => parent.sampled,
            // The low half decides, so that every process decides alike.
            _ => ((trace as u64 >> 1) as f64) < self.sampler.ratio * (1u64 << 63) as f64,
        }
    }

    fn ended(&self, span: EndedSpan) {
        if self.queue.try_send(span).is_err() {
            self.counts.dropped.add(1);
        }
    }
}

impl Collect for Spans {
    fn collect(&self, out: &mut TextWriter) {
        let Counts { dropped, sent, failed } = &*self.counts;
        for (name, help, count) in [
            ("thanoslib_tracing_spans_sent_total", "Spans that the collector took.", sent),
            ("thanoslib_tracing_spans_failed_total", "Spans that could not be sent.", failed),
            ("thanoslib_tracing_spans_dropped_total", "Spans for which the queue had no room.", dropped),
        ] {
            out.single(name, help, Kind::Counter, count.get() as f64);
        }
    }
}

impl SpansTask {
    /// Sends spans until `stopped` says so, and then for a few seconds what is left.
    pub async fn run(mut self, stopped: watch::Receiver<bool>) {
        let stop = || until(stopped.clone());
        let mut batch = Vec::new();
        loop {
            tokio::select! {
                () = stop() => break,
                first = self.queue.recv() => match first {
                    Some(first) => batch.push(first),
                    None => break,
                },
            }
            let end = Instant::now() + LINGER;
            while batch.len() < BATCH_MAX {
                tokio::select! {
                    () = stop() => break,
                    () = tokio::time::sleep_until(end) => break,
                    n = self.queue.recv_many(&mut batch, BATCH_MAX - 1) => if n == 0 { break },
                }
            }
            let late = async {
                stop().await;
                tokio::time::sleep(LAST).await;
            };
            tokio::select! {
                () = self.send(&batch) => {}
                () = late => self.counts.failed.add(batch.len() as u64),
            }
            batch.clear();
        }
        self.queue.close();
        let rest = async {
            while !batch.is_empty() || self.queue.recv_many(&mut batch, BATCH_MAX).await > 0 {
                self.send(&batch).await;
                batch.clear();
            }
        };
        // What is still there then is lost, as when a process is killed.
        let _ = tokio::time::timeout(LAST, rest).await;
    }

    async fn send(&self, batch: &[EndedSpan]) {
        let retry = self.config.retry;
        let message = message::request(&self.config, batch);
        let (begun, mut pause) = (Instant::now(), retry.initial);
        let n = batch.len() as u64;
        loop {
            let Err(refused) = self.sender.send(&message).await else {
                self.counts.sent.add(n);
                return;
            };
            if !refused.again || !retry.enabled || begun.elapsed() + pause > retry.elapsed_max {
                self.counts.failed.add(n);
                tracing::warn!(spans = n, "spans are not sent: {}", refused.why);
                return;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(retry.max);
        }
    }
}
