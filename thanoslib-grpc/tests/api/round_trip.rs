//! The client over a server gives what the store gives.

use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use thanoslib::{
    ErrorKind,
    budget::Budget,
    chunk::Encoding,
    context::Context,
    model::{Interval, Labels, Matcher},
    store::{Conform, Frame, LabelNamesRequest, LabelValuesRequest, MemoryStore, SeriesRequest, Store},
};
use thanoslib_grpc::{client::StoreClient, server::Settings};

use super::fixture::{Scripted, Step, channel, scripted, serve, steps};

const AT: Interval = Interval::new(0, 100);

/// Every series with its chunks, then what else came.
async fn read(store: &dyn Store, ctx: &Context, request: SeriesRequest) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let mut stream = match store.series(ctx, request).await {
        Ok(stream) => stream,
        Err(e) => return vec![format!("error {e}")],
    };
    let mut last = None;
    while let Some(frame) = stream.next().await {
        match frame {
            Ok(Frame::Batch(batch)) => {
                for series in batch.iter() {
                    let labels = series.labels().to_labels();
                    if last.as_ref() != Some(&labels) {
                        out.push(labels.to_string());
                    }
                    last = Some(labels);
                    for chunk in series.chunks() {
                        out.push(format!(
                            "{} {:?} {} bytes",
                            chunk.meta.interval,
                            chunk.meta.encoding,
                            chunk.data().len()
                        ));
                    }
                }
            }
            Ok(Frame::Warning(w)) => out.push(format!("warning {w}")),
            Ok(Frame::Hints(h)) => out.push(format!("hints {:?}", h.queried_blocks)),
            Ok(other) => panic!("{other:?}"),
            Err(e) => out.push(format!("error {e}")),
        }
    }
    out
}

fn memory() -> Arc<dyn Store> {
    let external = Labels::from_pairs([("cluster", "eu1")]);
    let store = MemoryStore::new(external.clone());
    for i in 0..300 {
        let labels = Labels::from_pairs([("__name__", "up"), ("n", &format!("{i:03}"))]);
        for t in 0..i % 4 {
            let data = Bytes::from(vec![0, 1, i as u8, t as u8]);
            store.append(&labels, Interval::new(t, t + 1), Encoding::Xor, data).expect("appends");
        }
    }
    Arc::new(Conform::new(Arc::new(store), external))
}

#[tokio::test]
async fn a_client_answers_as_the_store_behind_the_server() {
    let store = memory();
    let (address, readiness, stop, task) = serve(Arc::clone(&store), Settings::default()).await;
    readiness.set(true).await;
    let client = StoreClient::connect(channel(address).await).await.expect("ready");
    let (there, here) = (store.info(), client.info());
    assert_eq!((here.label_sets, here.tsdbs, here.interval), (there.label_sets, there.tsdbs, there.interval));
    let ctx = Context::default();
    for matcher in [Matcher::equal("__name__", "up"), Matcher::equal("n", "007"), Matcher::equal("n", "x")] {
        for batch_series in [0, 1, 7, 64, 1000] {
            let request = SeriesRequest { batch_series, ..SeriesRequest::new(AT, vec![matcher.clone()]) };
            let want = read(&*store, &ctx, request.clone()).await;
            assert_eq!(read(&client, &ctx, request).await, want);
        }
        let request = LabelNamesRequest::new(AT, vec![matcher.clone()]);
        let want = store.label_names(&ctx, request.clone()).await.expect("names").names;
        assert_eq!(client.label_names(&ctx, request).await.expect("names").names, want);
        let request = LabelValuesRequest::new("n", AT, vec![matcher]);
        let want = store.label_values(&ctx, request.clone()).await.expect("values").values;
        assert_eq!(client.label_values(&ctx, request).await.expect("values").values, want);
    }
    drop(stop);
    drop(client);
    task.await.expect("the server ends");
}

#[tokio::test]
async fn warnings_hints_and_errors_reach_the_client_in_order() {
    let script = vec![
        Step::Batch(vec![("1", vec![3]), ("2", vec![5])]),
        Step::Warning("gap"),
        Step::Hints("01X"),
        Step::Batch(vec![("2", vec![7])]),
        Step::Error(ErrorKind::Limit, "too many"),
    ];
    let store = Scripted { component: "query", steps: script, ..Scripted::default() };
    let server = scripted(store, Settings { series_hints: true, ..Settings::default() }).await;
    let client = server.client().await;
    let got = read(&client, &Context::default(), SeriesRequest::new(AT, Vec::new())).await;
    assert_eq!(
        got,
        [
            r#"{a="1"}"#,
            "[0, 0] Xor 3 bytes",
            r#"{a="2"}"#,
            "[0, 0] Xor 5 bytes",
            "warning gap",
            "hints [\"01X\"]",
            "[0, 0] Xor 7 bytes",
            "error rpc error: code = ResourceExhausted desc = too many",
        ]
    );
    server.stop().await;
}

#[tokio::test]
async fn a_split_series_is_one_series_again() {
    let server = steps(vec![Step::Batch(vec![("1", vec![700 << 10; 5]), ("2", vec![1])])]).await;
    let client = server.client().await;
    for batch_series in [1, 64] {
        let request = SeriesRequest { batch_series, ..SeriesRequest::new(AT, Vec::new()) };
        let got = read(&client, &Context::default(), request).await;
        assert_eq!((got.len(), got[0].as_str(), got[6].as_str()), (8, r#"{a="1"}"#, r#"{a="2"}"#));
    }
    server.stop().await;
}

#[tokio::test]
async fn series_out_of_order_are_an_error() {
    let server = steps(vec![Step::Batch(vec![("2", vec![1]), ("1", vec![1])])]).await;
    let client = server.client().await;
    let got = read(&client, &Context::default(), SeriesRequest::new(AT, Vec::new())).await;
    assert_eq!(got.last().map(String::as_str), Some(r#"error series out of order: {a="1"} after {a="2"}"#));
    server.stop().await;
}

#[tokio::test]
async fn the_budget_of_the_caller_is_charged() {
    let server = steps(vec![Step::Batch(vec![("1", vec![5000])])]).await;
    let client = server.client().await;
    let ctx = Context::new(Budget::new("query", 1000));
    let got = read(&client, &ctx, SeriesRequest::new(AT, Vec::new())).await;
    assert!(got.len() == 1 && got[0].starts_with("error "), "{got:?}");
    server.stop().await;
}

#[tokio::test]
async fn a_cancelled_context_ends_the_stream() {
    let server = steps(vec![Step::Batch(vec![("1", vec![1])]), Step::Hang]).await;
    let client = server.client().await;
    let ctx = Context::default();
    let mut stream = client
        .series(&ctx, SeriesRequest { batch_series: 1, ..SeriesRequest::new(AT, Vec::new()) })
        .await
        .expect("a stream");
    assert!(matches!(stream.next().await, Some(Ok(Frame::Batch(_)))));
    ctx.cancel();
    let error = stream.next().await.expect("an item").expect_err("cancelled");
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    assert!(stream.next().await.is_none());
    server.stop().await;
}

#[tokio::test]
async fn an_endpoint_that_is_not_ready_cannot_be_connected() {
    let server = steps(Vec::new()).await;
    server.readiness.set(false).await;
    let error = StoreClient::connect(server.channel.clone()).await.expect_err("not ready");
    assert_eq!(error.to_string(), "rpc error: code = Unknown desc = Not ready");
    server.readiness.set(true).await;
    let client = server.client().await;
    client.refresh().await.expect("ready");
    assert_eq!(client.info().component, "sidecar");
    server.stop().await;
}
