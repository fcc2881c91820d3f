//! How a server stops, and what it survives.

use std::{sync::Arc, time::Duration};

use thanoslib::{
    ErrorKind,
    context::Context,
    store::{Store, StoreLimits},
};
use thanoslib_grpc::{
    REQUEST_ID_METADATA, client,
    pb::thanos::{LabelNamesRequest, SeriesRequest, store_client::StoreClient},
    server::{Services, Settings, TransportSettings, serve_routes},
    tonic::{Code, Request},
};
use tokio::{net::TcpListener, sync::oneshot};

use super::{
    fixture::{Scripted, Step, channel, scripted, serve_apis},
    old_peers::read,
};

fn batch(name: &'static str, chunks: usize) -> Step {
    Step::Batch(vec![(name, vec![1; chunks])])
}

#[tokio::test]
async fn calls_under_way_are_answered_to_their_end_or_the_grace_period_ends() {
    let store: Arc<dyn Store> =
        Arc::new(Scripted { steps: vec![batch("1", 1), Step::Hang], ..Scripted::default() });
    let transport = TransportSettings { grace: Duration::from_millis(200), ..TransportSettings::default() };
    let (address, stop, task) = serve_apis(store.into(), Settings { transport, ..Settings::default() }).await;
    let address = address.parse().expect("an address");
    let mut client = StoreClient::new(channel(address).await);
    let mut frames = client.series(SeriesRequest::default()).await.expect("the first frame").into_inner();
    assert!(frames.message().await.expect("the first frame").is_some());
    drop(stop);
    let ended = tokio::time::timeout(Duration::from_secs(20), task).await;
    ended.expect("it ends").expect("no panic").expect("a clean end");
    assert!(frames.message().await.is_err(), "the connection was closed");
}

#[tokio::test]
async fn a_panic_fails_its_call_alone_and_is_counted() {
    let check = async |steps: Vec<Step>, want: usize| {
        let store: Arc<dyn Store> = Arc::new(Scripted { component: "sidecar", steps, ..Scripted::default() });
        let services = Services::new(store, Settings::default());
        let metrics = Arc::clone(&services.metrics);
        let (routes, ready) = services.build().await.expect("services");
        ready.set(true).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address").to_string();
        let (_stop, stopped) = oneshot::channel::<()>();
        let settings = TransportSettings::default();
        tokio::spawn(async move {
            serve_routes(routes, &settings, listener, async { drop(stopped.await) }).await
        });
        let store = client::connect(&address).await.expect("a store");
        for n in 1..3 {
            let error = read(&*store, &Context::default()).await.expect_err("a bug");
            assert_eq!(error.kind(), ErrorKind::Internal);
            assert_eq!(error.message(), "rpc error: code = Internal desc = panic: a bug");
            assert!(metrics.render().contains(&format!("grpc_req_panics_recovered_total {n}\n")));
        }
        let labels = r#"grpc_method="Series",grpc_service="thanos.Store",grpc_type="server_stream""#;
        let text = metrics.render();
        for line in [
            format!(r#"grpc_server_handled_total{{grpc_code="Internal",{labels}}} 2"#),
            format!("grpc_server_started_total{{{labels}}} 2"),
            format!("grpc_server_msg_received_total{{{labels}}} 2"),
            format!("grpc_server_msg_sent_total{{{labels}}} {want}"),
        ] {
            assert!(text.lines().any(|l| l == line), "no {line} in {text}");
        }
    };
    check(vec![Step::Panic], 0).await;
    check(vec![batch("1", 1), Step::Warning("gap"), Step::Panic], 4).await;
}

#[tokio::test]
async fn a_call_that_sends_too_much_is_ended() {
    let steps = || vec![batch("1", 2), batch("2", 1)];
    let check = async |series_max, samples_max, want: Result<usize, &str>| {
        let limits = StoreLimits { series_max, samples_max };
        let store = Scripted { steps: steps(), component: "query", ..Scripted::default() };
        let server = scripted(store, Settings { limits, ..Settings::default() }).await;
        let got = read(&server.client().await, &Context::default()).await;
        assert_eq!(got.map(|all| all.len()).map_err(|e| e.to_string()), want.map_err(str::to_owned));
        server.stop().await;
    };
    check(2, 360, Ok(2)).await;
    let series = "rpc error: code = Unknown desc = failed to send series: limit 1 violated (got 2)";
    check(1, 0, Err(series)).await;
    let samples = "rpc error: code = Unknown desc = failed to send samples: limit 300 violated (got 360)";
    check(0, 300, Err(samples)).await;
}

#[tokio::test]
async fn the_name_of_a_request_comes_back() {
    let store = Scripted { component: "sidecar", ..Scripted::default() };
    let server = scripted(store, Settings::default()).await;
    let mut client = StoreClient::new(server.channel.clone());
    let mut request = Request::new(LabelNamesRequest::default());
    request.metadata_mut().insert(REQUEST_ID_METADATA, "01X".parse().expect("ASCII"));
    let answer = client.label_names(request).await.expect("an answer");
    assert_eq!(answer.metadata().get(REQUEST_ID_METADATA).map(|v| v.as_bytes()), Some(&b"01X"[..]));
    let answer = client.label_names(LabelNamesRequest::default()).await.expect("an answer");
    assert!(answer.metadata().get(REQUEST_ID_METADATA).is_none());
    let request = LabelNamesRequest { partial_response_strategy: 7, ..Default::default() };
    assert_eq!(client.label_names(request).await.expect_err("no such").code(), Code::InvalidArgument);
    server.stop().await;
}

#[tokio::test]
async fn clients_follow_when_they_are_asked_to_connect_anew() {
    let store: Arc<dyn Store> = Arc::new(Scripted { steps: vec![batch("1", 1)], ..Scripted::default() });
    let transport =
        TransportSettings { connection_age_max: Duration::from_millis(20), ..TransportSettings::default() };
    let (address, _stop, _) = serve_apis(store.into(), Settings { transport, ..Settings::default() }).await;
    let store = client::connect(&address).await.expect("a store");
    for _ in 0..60 {
        assert_eq!(read(&*store, &Context::default()).await.expect("an answer"), [r#"{a="1"} 1"#]);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
