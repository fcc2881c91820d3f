//! What a process counts of itself, in the view of a Thanos querier: one trait and one call.
//!
//! `cargo run -p thanoslib-examples --bin process_provider` (`-- --once`: one query, then it ends)

use std::{collections::VecDeque, future::pending, sync::Arc, sync::Mutex, time::Duration};

use thanoslib::{
    Clock, Context, Error, Labels, Result, SampleSink, SampleSource, Scan, SourceStore, SystemClock,
};
use thanoslib_grpc::{client, server};
use tokio::net::TcpListener;

/// The requests that this process has answered, as it saw them once a second for an hour.
#[derive(Debug, Default)]
struct Requests(Mutex<VecDeque<(i64, f64)>>);

impl Requests {
    fn push(&self, at_ms: i64, total: f64) -> Result<()> {
        let mut seen = self.0.lock().map_err(|_| Error::internal("a reader panicked"))?;
        if seen.len() == 3600 {
            seen.pop_front();
        }
        seen.push_back((at_ms, total));
        Ok(())
    }
}

#[async_trait::async_trait]
impl SampleSource for Requests {
    async fn scan(&self, _ctx: &Context, scan: &Scan, sink: &mut SampleSink) -> Result<()> {
        let labels = Labels::from_pairs([("__name__", "app_requests_total")]);
        let seen = self.0.lock().map_err(|_| Error::internal("a writer panicked"))?;
        for (at_ms, total) in seen.iter().filter(|(at_ms, _)| scan.interval.contains(*at_ms)) {
            sink.sample(&labels, *at_ms, *total)?;
        }
        Ok(())
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let requests = Arc::new(Requests::default());
    let store = SourceStore::conforming(Arc::clone(&requests) as _, Labels::from_pairs([("app", "shop")]));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    println!("thanos query --endpoint={address}");
    let serving = server::serve(store, server::Settings::default(), listener, pending());
    let counting = async {
        for total in 0.. {
            requests.push(SystemClock.now_ms(), f64::from(total))?;
            if std::env::args().any(|a| a == "--once") {
                println!("{:?}", client::connect(&address).await?.info().label_sets);
                return Ok(());
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        Ok(())
    };
    tokio::select! {
        ended = serving => Ok(ended?),
        ended = counting => ended,
    }
}
