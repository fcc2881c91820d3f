//! A querier inside another service: its own series in memory, PromQL as one of its routes.
//!
//! `cargo run -p thanoslib-examples --bin embedded_querier`

use std::sync::Arc;

use axum::{
    Router,
    extract::{Query, State},
    http::StatusCode,
    routing::get,
};
use thanoslib::{
    Conform, Context, Encoding, Engine, EngineOptions, InstantQuery, Interval, Labels, MemoryStore, Pool,
    QueryValue, Result, SelectOptions, Store, StoreQueryable, XorAppender, promql,
};

/// What the service's routes share.
struct Service {
    engine: Engine,
    queryable: Arc<StoreQueryable>,
}

/// One hour of a queue's length, a sample every ten seconds.
fn own_series() -> Result<Arc<dyn Store>> {
    let store = MemoryStore::new(Labels::empty());
    let labels = Labels::from_pairs([("__name__", "queue_length"), ("queue", "mail")]);
    let mut chunk = XorAppender::new();
    for i in 0..360i64 {
        chunk.append(i * 10_000, (i % 50) as f64)?;
    }
    let held = Interval::new(0, 3_590_000);
    store.append(&labels, held, Encoding::Xor, chunk.into_bytes().into())?;
    Ok(Arc::new(Conform::new(Arc::new(store), Labels::empty())))
}

impl Service {
    fn new() -> Result<Self> {
        let engine = Engine::new(EngineOptions::default(), Arc::new(Pool::new(1)?));
        let queryable = Arc::new(StoreQueryable::new(own_series()?, SelectOptions::default()));
        Ok(Self { engine, queryable })
    }

    /// The values of a query at a time.
    async fn ask(&self, text: &str, time_ms: i64) -> Result<Vec<String>> {
        let expr = promql::parse(text, self.engine.options())?;
        let query = InstantQuery { expr, text: Arc::from(text), time_ms, lookback_ms: None };
        let queryable = Arc::clone(&self.queryable);
        let answer = self.engine.instant(&Context::default(), queryable, query).await?;
        Ok(match answer.value {
            QueryValue::Scalar { v, .. } => vec![v.to_string()],
            QueryValue::Vector(samples) => {
                samples.iter().map(|s| format!("{} {:?}", s.labels, s.value)).collect()
            }
            other => vec![format!("{other:?}")],
        })
    }
}

#[derive(serde::Deserialize)]
struct Ask {
    q: String,
}

async fn ask(
    State(service): State<Arc<Service>>,
    Query(ask): Query<Ask>,
) -> Result<String, (StatusCode, String)> {
    let answer = service.ask(&ask.q, 3_590_000).await;
    answer.map(|lines| lines.join("\n")).map_err(|e| (StatusCode::BAD_REQUEST, e.to_string()))
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let service = Arc::new(Service::new()?);
    println!("{:?}", service.ask("max_over_time(queue_length[10m])", 3_590_000).await?);
    if std::env::args().any(|a| a == "--once") {
        return Ok(());
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:10913").await?;
    println!("curl 'http://127.0.0.1:10913/ask?q=avg_over_time(queue_length[5m])'");
    let router = Router::new().route("/ask", get(ask)).with_state(service);
    Ok(axum::serve(listener, router).await?)
}
