//! One Series answer from a server to a client over loopback.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Result;
use futures::StreamExt;
use thanoslib::{
    context::Context,
    model::{Interval, Matcher},
    series::SeriesBatch,
    store::{Frame, SeriesRequest, Store},
};
use thanoslib_grpc::{client, server};
use tokio::{
    net::TcpListener,
    runtime::{Builder, Runtime},
};

use super::{
    Make,
    merge::{Prepared, batches},
};
use crate::{
    Case,
    generate::{CHUNK, SHAPES, floats},
};

/// Series of the answer.
const SERIES: usize = 20_000;

pub(super) fn cases() -> Vec<(&'static str, Make)> {
    vec![
        ("grpc_hop/batches", Box::new(|_| Ok(Box::new(Hop::new(64)?)))),
        ("grpc_hop/singles", Box::new(|_| Ok(Box::new(Hop::new(1)?)))),
    ]
}

struct Hop {
    /// Server and client take turns on one thread.
    runtime: Runtime,
    client: Arc<dyn Store>,
    /// Series in one frame.
    per_frame: usize,
    interval: Interval,
    file: Vec<u8>,
    sent: Vec<SeriesBatch>,
    copied: Vec<u8>,
}

impl Hop {
    fn new(per_frame: usize) -> Result<Self> {
        let columns: Vec<_> = (0..64).map(|i| floats(SHAPES[i % 4], i as u64, CHUNK)).collect();
        let interval = Interval::new(columns[0].ts[0], columns[0].ts[CHUNK - 1]);
        let mut file = 1u32.to_le_bytes().to_vec();
        file.extend_from_slice(&(SERIES as u32).to_le_bytes());
        let ids: Vec<usize> = (0..SERIES).collect();
        let sent = batches(&ids, &columns, interval, &mut file);
        let store: Arc<dyn Store> = Arc::new(Prepared { batches: sent.clone(), interval });
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let client = runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let address = listener.local_addr()?.to_string();
            // Ends with the runtime.
            tokio::spawn(server::serve(store, server::Settings::default(), listener, std::future::pending()));
            anyhow::Ok(client::connect(&address).await?)
        })?;
        Ok(Self { runtime, client, per_frame, interval, file, sent, copied: Vec::new() })
    }

    fn answer(&self, mut each: impl FnMut(SeriesBatch)) {
        let matcher = Matcher::equal("job", "frontend");
        let request = SeriesRequest {
            batch_series: self.per_frame,
            ..SeriesRequest::new(self.interval, vec![matcher])
        };
        self.runtime.block_on(async {
            let mut frames = self.client.series(&Context::default(), request).await.expect("a stream");
            while let Some(frame) = frames.next().await {
                if let Frame::Batch(batch) = frame.expect("a frame") {
                    each(batch);
                }
            }
        });
    }
}

impl Case for Hop {
    fn write(&self, dir: &Path) -> Result<PathBuf> {
        let path = dir.join("stores");
        fs::write(&path, &self.file)?;
        Ok(path)
    }

    fn items(&self) -> u64 {
        SERIES as u64
    }

    fn checksum(&mut self) -> u64 {
        let (mut sum, mut i) = (0u64, 0u64);
        self.answer(|batch| {
            for series in batch.iter() {
                i += 1;
                sum = sum.wrapping_add(i * series.chunks().len() as u64);
                for label in series.labels().iter() {
                    sum = sum.wrapping_add(label.name.len() as u64 + label.value.len() as u64 * 3);
                }
            }
        });
        sum
    }

    fn run(&mut self) {
        let mut series = 0;
        self.answer(|batch| series += batch.len());
        assert_eq!(series, SERIES);
    }

    fn bare(&mut self) {
        // The bytes of labels and chunks are copied once.
        let mut copied = std::mem::take(&mut self.copied);
        copied.clear();
        for series in self.sent.iter().flat_map(|b| b.iter()) {
            copied.extend_from_slice(series.labels().as_bytes());
            series.chunks().for_each(|c| copied.extend_from_slice(c.data()));
        }
        assert!(copied.len() > SERIES);
        self.copied = copied;
    }
}
