//! Peers that send nonsense: an error, no panic, and no more memory than the budget allows.

use bytes::Bytes;
use thanoslib::{ErrorKind, budget::Budget, context::Context, store::Store};
use thanoslib_grpc::{
    client,
    pb::thanos::{AggrChunk, Chunk, Series, series_response::Result as Content},
};

use super::old_peers::{Foreign, frame, info, read, series, serve};

async fn check(foreign: Foreign, ctx: &Context, want: Result<usize, (ErrorKind, &str)>) {
    let foreign = Foreign { info: info(Default::default()), ..foreign };
    let store = client::connect(&serve(foreign, true).await).await.expect("a store");
    let got = read(&*store, ctx).await.map(|all| all.len());
    match (got, want) {
        (Ok(got), Ok(want)) => assert_eq!(got, want),
        (Err(e), Err((kind, text))) => {
            assert_eq!(e.kind(), kind, "{e}");
            assert!(e.to_string().contains(text), "{e}");
        }
        (got, want) => panic!("{got:?} instead of {want:?}"),
    }
    assert_eq!(ctx.budget().used(), 0, "all is given back");
}

fn frames(frames: Vec<Bytes>) -> Foreign {
    Foreign { frames, ..Foreign::default() }
}

fn one(value: &'static [u8], bytes: usize) -> Bytes {
    frame(Content::Series(series(value, Bytes::from(vec![7; bytes]))))
}

#[tokio::test]
async fn nonsense_is_an_error_and_emptiness_is_not() {
    let ctx = Context::default();
    check(frames(vec![Bytes::new(); 100]), &ctx, Ok(0)).await;
    check(frames(vec![Bytes::from_static(&[0x0a, 0])]), &ctx, Ok(1)).await;
    let corrupt = |text| Err((ErrorKind::Corrupt, text));
    check(frames(vec![Bytes::from_static(&[0xff; 20])]), &ctx, corrupt("frame: invalid varint")).await;
    check(frames(vec![Bytes::from_static(&[0x0a, 5, 1])]), &ctx, corrupt("frame: value is longer")).await;
    check(frames(vec![one(b"2", 1), one(b"1", 1)]), &ctx, corrupt("series out of order")).await;
    let chunk = Chunk { r#type: 7, ..Default::default() };
    let window = AggrChunk { raw: Some(chunk), ..Default::default() };
    let unknown = frame(Content::Series(Series { labels: Vec::new(), chunks: vec![window] }));
    let want = Err((ErrorKind::Unsupported, "{}: chunks[0]: raw.type: unknown chunk encoding 7"));
    check(frames(vec![unknown]), &ctx, want).await;
}

#[tokio::test]
async fn what_does_not_end_meets_the_budget() {
    let ctx = Context::new(Budget::new("query", 4 << 20));
    let endless = |frame| Foreign { frames: vec![frame], endless: true, ..Foreign::default() };
    check(endless(one(b"1", 1000)), &ctx, Err((ErrorKind::Limit, "query budget used up"))).await;
    check(endless(one(b"1", 0)), &ctx, Err((ErrorKind::Limit, "query budget used up"))).await;
    assert!(ctx.budget().peak() <= 4 << 20);
}

#[tokio::test]
async fn a_frame_larger_than_the_budget_is_refused_by_its_head() {
    let ctx = Context::new(Budget::new("query", 1 << 20));
    let giant = frames(vec![one(b"1", 8 << 20)]);
    check(giant.clone(), &ctx, Err((ErrorKind::Limit, "message length too large"))).await;
    check(giant, &Context::default(), Ok(1)).await;
}

#[tokio::test]
async fn nobody_there_is_unavailable() {
    let error = client::connect("127.0.0.1:1").await.expect_err("nobody listens");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let text = error.to_string();
    assert!(text.starts_with("rpc error: code = Unavailable desc = ") && text.contains("refused"), "{text}");
}

#[tokio::test]
async fn a_connection_that_is_lost_is_made_again() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let store = || -> std::sync::Arc<dyn Store> {
        std::sync::Arc::new(thanoslib::MemoryStore::new(thanoslib::Labels::empty()))
    };
    let settings = thanoslib_grpc::server::Settings::default;
    let serve = |listener| {
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let ended = async { drop(stopped.await) };
        (stop, tokio::spawn(thanoslib_grpc::server::serve(store(), settings(), listener, ended)))
    };
    let (stop, task) = serve(listener);
    let client = client::connect(&address.to_string()).await.expect("a store");
    drop(stop);
    task.await.expect("no panic").expect("a clean end");
    assert!(read(&*client, &Context::default()).await.is_err());
    let listener = tokio::net::TcpListener::bind(address).await.expect("the same port");
    let (_stop, _task) = serve(listener);
    assert_eq!(read(&*client, &Context::default()).await.expect("again"), Vec::<String>::new());
}
