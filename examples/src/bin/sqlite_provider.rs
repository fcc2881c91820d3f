//! Rows of an SQLite table as a metric provider: one trait, then HTTP and gRPC.
//!
//! `cargo run -p thanoslib-examples --bin sqlite_provider`

use std::{
    future::pending,
    sync::{Arc, Mutex},
};

use rusqlite::{Connection, params};
use thanoslib::{
    Error, Result,
    budget::Budget,
    clock::SystemClock,
    context::Context,
    http::{self, Api},
    model::{Interval, Labels},
    promql::{Engine, EngineOptions},
    runtime::Pool,
    store::{SampleSink, SampleSource, Scan, SourceStore, Store},
    testing::store_contract,
};
use thanoslib_grpc::server;

/// A table `readings(room, at_ms, celsius)`.
#[derive(Debug)]
struct Readings(Mutex<Connection>);

#[async_trait::async_trait]
impl SampleSource for Readings {
    async fn scan(&self, ctx: &Context, scan: &Scan, sink: &mut SampleSink) -> Result<()> {
        let db = self.0.lock().map_err(|_| Error::internal("a reader panicked"))?;
        let failed = |e: rusqlite::Error| Error::unavailable("cannot read the table").with_source(e);
        let sql = "SELECT room, at_ms, celsius FROM readings WHERE at_ms BETWEEN ?1 AND ?2";
        let mut statement = db.prepare(sql).map_err(failed)?;
        let mut rows = statement.query(params![scan.interval.mint, scan.interval.maxt]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            ctx.check()?;
            let room: String = row.get(0).map_err(failed)?;
            let labels = Labels::from_pairs([("__name__", "room_celsius"), ("room", &room)]);
            sink.sample(&labels, row.get(1).map_err(failed)?, row.get(2).map_err(failed)?)?;
        }
        Ok(())
    }

    fn interval(&self) -> Interval {
        let db = self.0.lock().expect("no reader panicked");
        let ends =
            db.query_row("SELECT min(at_ms), max(at_ms) FROM readings", [], |r| Ok((r.get(0)?, r.get(1)?)));
        ends.map_or(Interval::new(i64::MAX, i64::MIN), |(mint, maxt)| Interval::new(mint, maxt))
    }
}

/// Two rooms, a reading a minute for two hours up to `end_ms`.
fn table(end_ms: i64) -> rusqlite::Result<Connection> {
    let db = Connection::open_in_memory()?;
    db.execute("CREATE TABLE readings (room TEXT, at_ms INTEGER, celsius REAL)", [])?;
    for i in 0..240 {
        let (room, t) = (["kitchen", "attic"][i % 2], end_ms - (i as i64 / 2) * 60_000);
        let row = params![room, t, 20.0 + (i % 17) as f64 / 4.0];
        db.execute("INSERT INTO readings VALUES (?1, ?2, ?3)", row)?;
    }
    Ok(db)
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let end_ms = thanoslib::clock::Clock::now_ms(&SystemClock);
    let site = Labels::from_pairs([("site", "home")]);
    let store: Arc<dyn Store> = SourceStore::conforming(Arc::new(Readings(Mutex::new(table(end_ms)?))), site);
    store_contract(&store).await?;
    println!("the provider keeps the store contract");

    let engine = Engine::new(EngineOptions::default(), Arc::new(Pool::new(2)?));
    let budget = Budget::new("process memory", 1 << 30);
    let api = Api::new(http::Settings::default(), engine, Arc::clone(&store), Arc::new(SystemClock), budget);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:10912").await?;
    println!("HTTP: curl 'http://127.0.0.1:10912/api/v1/query?query=max_over_time(room_celsius[1h])'");
    println!("gRPC: thanos query --endpoint=127.0.0.1:10911");
    let grpc = tokio::net::TcpListener::bind("127.0.0.1:10911").await?;
    let (routes, ready) = server::Services::new(store, server::Settings::default()).build().await?;
    ready.set(true).await;
    let served =
        tokio::join!(server::serve(routes, grpc, pending()), axum::serve(listener, http::router(api)));
    served.0?;
    Ok(served.1?)
}
