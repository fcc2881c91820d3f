//! The SQLite provider keeps the contract and appears in queriers.

#[path = "../src/bin/sqlite_provider.rs"]
#[expect(dead_code, reason = "only the provider is tested, not its program")]
mod sqlite_provider;

#[path = "../src/bin/federated_querier.rs"]
#[expect(dead_code, reason = "only the query is tested, not its program")]
mod federated_querier;

use std::sync::Arc;

use thanoslib::{
    context::Context,
    model::Value,
    promql::{self, Engine, EngineOptions, InstantQuery, QueryValue},
    query::{SelectOptions, StoreQueryable},
    runtime::Inline,
    store::Store,
    testing::store_contract,
};
use thanoslib_grpc::{
    client::connect,
    server::{Settings, serve},
};
use tokio::{net::TcpListener, sync::oneshot};

const END_MS: i64 = 1_700_000_000_000;

/// The values of a query, by room.
async fn ask(store: Arc<dyn Store>, text: &str) -> Vec<(String, f64)> {
    let engine = Engine::new(EngineOptions::default(), Arc::new(Inline));
    let expr = promql::parse(text, engine.options()).expect("a sound query");
    let query = InstantQuery { expr, text: Arc::from(text), time_ms: END_MS, lookback_ms: None };
    let queryable = Arc::new(StoreQueryable::new(store, SelectOptions::default()));
    let answer = engine.instant(&Context::default(), queryable, query).await.expect("an answer");
    assert!(answer.warnings.is_empty(), "{:?}", answer.warnings);
    let QueryValue::Vector(samples) = answer.value else { panic!("no vector: {:?}", answer.value) };
    samples
        .iter()
        .map(|s| match &s.value {
            Value::Float(v) => (s.labels.to_string(), *v),
            other => panic!("no float: {other:?}"),
        })
        .collect()
}

#[tokio::test]
async fn the_provider_appears_in_a_querier() {
    let store = sqlite_provider::provider(END_MS).expect("a table");
    store_contract(&store).await.expect("the contract");

    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let (stop, stopped) = oneshot::channel::<()>();
    let server = tokio::spawn(serve(Arc::clone(&store), Settings::default(), listener, async {
        let _ = stopped.await;
    }));
    let peer = connect(&address.to_string()).await.expect("a peer");
    store_contract(&peer).await.expect("the contract over gRPC");
    assert_eq!(peer.info().label_sets[0].to_string(), r#"{site="home"}"#);

    let query = "count_over_time(room_celsius[30m])";
    let got = ask(Arc::clone(&peer), query).await;
    let labels = |room: &str| format!(r#"{{room="{room}", site="home"}}"#);
    assert_eq!(got, [(labels("attic"), 30.0), (labels("kitchen"), 30.0)]);
    assert_eq!(got, ask(store, query).await);

    drop(peer);
    stop.send(()).expect("the server runs");
    server.await.expect("no panic").expect("a clean end");
}

#[tokio::test]
async fn a_federated_querier_asks_all_endpoints() {
    let now_ms = thanoslib::Clock::now_ms(&thanoslib::SystemClock);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    let store = sqlite_provider::provider(now_ms).expect("a table");
    let (stop, stopped) = oneshot::channel::<()>();
    let server = tokio::spawn(serve(store, Settings::default(), listener, async {
        let _ = stopped.await;
    }));
    let got = federated_querier::ask("count(room_celsius)", &[address]).await.expect("an answer");
    assert_eq!(got, ["{} Float(2.0)"]);
    stop.send(()).expect("the server runs");
    server.await.expect("no panic").expect("a clean end");
}
