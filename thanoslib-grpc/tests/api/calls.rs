//! Label calls, deadlines, tenants, and clients that go away.

use std::{sync::atomic::Ordering, time::Duration};

use bytes::Bytes;
use thanoslib::context::AdmissionSettings;
use thanoslib_grpc::{
    TENANT_METADATA,
    pb::thanos::{
        LabelMatcher, LabelNamesRequest, LabelValuesRequest, SeriesRequest, store_client::StoreClient,
    },
    server::Settings,
    tonic::{Code, Request},
};

use super::fixture::{Scripted, Server, Step, scripted, steps};

async fn component(component: &'static str) -> Server {
    let store = Scripted { component, values: vec!["x", "y"], ..Scripted::default() };
    scripted(store, Settings::default()).await
}

/// Waits until the work behind a call was dropped.
async fn dropped(server: &Server) -> bool {
    for _ in 0..500 {
        if server.store.dropped.load(Ordering::Acquire) {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    false
}

#[tokio::test]
async fn an_empty_label_name_is_refused_except_by_a_gateway() {
    for (name, want) in [("sidecar", Some("label name parameter cannot be empty")), ("store", None)] {
        let server = component(name).await;
        let mut client = StoreClient::new(server.channel.clone());
        let answer = client.label_values(LabelValuesRequest::default()).await;
        match (answer, want) {
            (Ok(values), None) => {
                assert_eq!(values.into_inner().message().values, [Bytes::from("x"), Bytes::from("y")]);
            }
            (Err(status), Some(text)) => {
                assert_eq!((status.code(), status.message()), (Code::InvalidArgument, text));
            }
            (got, _) => panic!("{name}: {got:?}"),
        }
        server.stop().await;
    }
}

#[tokio::test]
async fn bad_matchers_of_label_calls_are_refused_in_the_words_of_the_component() {
    let matchers = vec![LabelMatcher { r#type: 9, ..LabelMatcher::default() }];
    let check = |name, want: &'static str| {
        let request = LabelNamesRequest { matchers: matchers.clone(), ..LabelNamesRequest::default() };
        async move {
            let server = component(name).await;
            let mut client = StoreClient::new(server.channel.clone());
            let status = client.label_names(request).await.expect_err("no such matcher");
            assert_eq!((status.code(), status.message()), (Code::InvalidArgument, want));
            server.stop().await;
        }
    };
    check("query", "unrecognized label matcher type 9").await;
    check("store", "translate request labels matchers: unrecognized label matcher type 9").await;
}

#[tokio::test]
async fn label_calls_warn_or_abort() {
    let store = || Scripted {
        component: "sidecar",
        values: vec!["x"],
        warning: Some("one block is missing"),
        steps: vec![Step::Hints("01X")],
        ..Scripted::default()
    };
    let server = scripted(store(), Settings::default()).await;
    let mut client = StoreClient::new(server.channel.clone());
    let answer = client.label_names(LabelNamesRequest::default()).await.expect("a warning").into_inner();
    assert_eq!(answer.names, [Bytes::from("x")]);
    assert_eq!(answer.warnings, [Bytes::from("one block is missing")]);
    let hints = answer.hints.expect("blocks were read");
    assert_eq!(hints.type_url, "type.googleapis.com/hintspb.LabelNamesResponseHints");
    let request = LabelNamesRequest { partial_response_disabled: true, ..LabelNamesRequest::default() };
    let status = client.label_names(request).await.expect_err("not complete");
    assert_eq!((status.code(), status.message()), (Code::Aborted, "one block is missing"));
    server.stop().await;
}

#[tokio::test]
async fn the_tenant_travels_in_metadata() {
    let server = component("sidecar").await;
    let mut client = StoreClient::new(server.channel.clone());
    let mut request = Request::new(LabelNamesRequest::default());
    request.metadata_mut().insert(TENANT_METADATA, "team-a".parse().expect("ASCII"));
    client.label_names(request).await.expect("an answer");
    client.label_names(LabelNamesRequest::default()).await.expect("an answer");
    let tenants = server.store.tenants.lock().expect("no panic holds the lock").clone();
    assert_eq!(tenants, ["team-a", "default-tenant"]);
    server.stop().await;
}

#[tokio::test]
async fn a_deadline_ends_a_call_in_the_middle() {
    let server = steps(vec![Step::Batch(vec![("1", vec![1])]), Step::Hang]).await;
    let mut client = StoreClient::new(server.channel.clone());
    let mut request = Request::new(SeriesRequest::default());
    request.metadata_mut().insert("grpc-timeout", "200m".parse().expect("ASCII"));
    let mut frames = client.series(request).await.expect("the first frame").into_inner();
    assert!(frames.message().await.expect("the first frame").is_some());
    let status = frames.message().await.expect_err("the deadline");
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert!(dropped(&server).await, "the work goes on after the deadline");
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_goes_away_ends_the_work() {
    let server = steps(vec![Step::Batch(vec![("1", vec![1])]), Step::Hang]).await;
    let mut client = StoreClient::new(server.channel.clone());
    let mut frames = client.series(SeriesRequest::default()).await.expect("the first frame").into_inner();
    assert!(frames.message().await.expect("the first frame").is_some());
    assert!(!server.store.dropped.load(Ordering::Acquire));
    drop(frames);
    assert!(dropped(&server).await, "the stream of the store lives on");
    server.stop().await;
}

#[tokio::test]
async fn a_unary_call_ends_with_its_client() {
    let server = steps(vec![Step::Hang]).await;
    let mut client = StoreClient::new(server.channel.clone());
    let call = client.label_names(LabelNamesRequest::default());
    assert!(tokio::time::timeout(Duration::from_millis(300), call).await.is_err());
    assert!(dropped(&server).await, "the call goes on without a client");
    server.stop().await;
}

#[tokio::test]
async fn a_call_too_many_is_refused_until_one_ends() {
    let admission = AdmissionSettings { running_max: 1, waiting_max: 0, ..AdmissionSettings::default() };
    let script = vec![Step::Batch(vec![("1", vec![1])]), Step::Hang];
    let store = Scripted { component: "sidecar", steps: script, ..Scripted::default() };
    let server = scripted(store, Settings { admission, ..Settings::default() }).await;
    let mut client = StoreClient::new(server.channel.clone());
    let first = client.series(SeriesRequest::default()).await.expect("the first frame");
    let status = client.series(SeriesRequest::default()).await.expect_err("one runs");
    assert_eq!((status.code(), status.message()), (Code::Unavailable, "too many queries: 0 wait already"));
    drop(first);
    assert!(dropped(&server).await, "the work of the first stops");
    client.series(SeriesRequest::default()).await.expect("a place is free");
    server.stop().await;
}
