//! Rows of an SQLite table as a metric provider: one trait, then HTTP and gRPC.
//!
//! `cargo run -p thanoslib-examples --bin sqlite_provider` (`-- --once`: one query, then it ends)

use std::{future::pending, sync::Arc, sync::Mutex};

use axum::{body::Body, body::to_bytes, http::Request};
use rusqlite::{Connection, params};
use thanoslib::{Budget, Clock, Context, Engine, EngineOptions, Error, Labels, Pool, Result, SystemClock};
use thanoslib::{SampleSink, SampleSource, Scan, SourceStore, Store, http, testing::store_contract};
use thanoslib_grpc::server;
use tokio::net::TcpListener;
use tower::ServiceExt;

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
}

/// A store over a table of two rooms, each with a reading a minute for two hours up to `end_ms`.
pub(crate) fn provider(end_ms: i64) -> anyhow::Result<Arc<dyn Store>> {
    let db = Connection::open_in_memory()?;
    db.execute("CREATE TABLE readings (room TEXT, at_ms INTEGER, celsius REAL)", [])?;
    for i in 0..240 {
        let (room, t) = (["kitchen", "attic"][i % 2], end_ms - (i as i64 / 2) * 60_000);
        let row = params![room, t, 20.0 + (i % 17) as f64 / 4.0];
        db.execute("INSERT INTO readings VALUES (?1, ?2, ?3)", row)?;
    }
    let site = Labels::from_pairs([("site", "home")]);
    Ok(SourceStore::conforming(Arc::new(Readings(Mutex::new(db))), site))
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let store = provider(SystemClock.now_ms())?;
    store_contract(&store).await?;
    println!("the provider keeps the store contract");

    let engine = Engine::new(EngineOptions::default(), Arc::new(Pool::new(2)?));
    let budget = Budget::new("process memory", 1 << 30);
    let served = http::Served { budget, ..http::Served::new(engine, Arc::clone(&store)) };
    let api = http::router(http::Api::new(http::Settings::default(), served));
    let query = "/api/v1/query?query=max_over_time(room_celsius[1h])";
    if std::env::args().any(|a| a == "--once") {
        let answer = api.oneshot(Request::get(query).body(Body::empty())?).await?;
        println!("{}", str::from_utf8(&to_bytes(answer.into_body(), 1 << 20).await?)?);
        return Ok(());
    }
    let (http, grpc) =
        (TcpListener::bind("127.0.0.1:10912").await?, TcpListener::bind("127.0.0.1:10911").await?);
    println!("HTTP: curl -g 'http://127.0.0.1:10912{query}'");
    println!("gRPC: thanos query --endpoint=127.0.0.1:10911");
    let (http, grpc) = tokio::join!(
        axum::serve(http, api),
        server::serve(store, server::Settings::default(), grpc, pending())
    );
    http?;
    Ok(grpc?)
}
