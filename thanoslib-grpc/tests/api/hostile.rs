//! Peers that send nonsense: an error, no panic, and no more memory than the budget allows; over a
//! proxy a warning that names the peer, and the series of the others.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use thanoslib::{
    ErrorKind,
    budget::Budget,
    context::Context,
    model::{Interval, Matcher},
    store::{PartialResponse, Proxy, ProxyMember, ProxySettings, SeriesRequest, Store},
};
use thanoslib_grpc::{
    client,
    pb::thanos::{AggrChunk, Chunk, Series, series_response::Result as Content},
};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::old_peers::{Foreign, ask, frame, info, read, series, serve};

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
    check(giant.clone(), &ctx, Err((ErrorKind::Limit, "message of 8388640 bytes: query budget used up")))
        .await;
    check(giant, &Context::default(), Ok(1)).await;
}

/// Passes on what a peer sends, up to so many bytes, then breaks both connections; its address.
async fn cut(to: String, after: u64) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let to = to.clone();
            tokio::spawn(async move {
                let mut far = tokio::net::TcpStream::connect(to).await.expect("the peer listens");
                let (mut near_read, mut near_write) = near.into_split();
                let (mut far_read, mut far_write) = far.split();
                let back = async {
                    let (mut buf, mut left) = ([0; 1024], after);
                    loop {
                        let n = far_read.read(&mut buf).await.unwrap_or(0);
                        let Some(rest) = left.checked_sub(n as u64).filter(|_| n > 0) else { return };
                        left = rest;
                        if near_write.write_all(&buf[..n]).await.is_err() {
                            return;
                        }
                    }
                };
                tokio::select! {
                    () = back => {}
                    _ = tokio::io::copy(&mut near_read, &mut far_write) => {}
                }
            });
        }
    });
    address
}

/// A member of a proxy at an address.
async fn member(address: &str) -> ProxyMember {
    let store = client::connect(address).await.expect("a store");
    let info = Arc::new(store.info());
    ProxyMember::remote(address, store, info)
}

#[tokio::test]
async fn over_a_proxy_the_peer_is_named_and_the_others_answer() {
    let sound = frames(vec![one(b"sound", 100), one(b"z", 100)]);
    let sound = serve(Foreign { info: info(Default::default()), ..sound }, true).await;
    let endless = |frame| Foreign { frames: vec![frame], endless: true, ..Foreign::default() };
    let many: Vec<Bytes> = (0..2000).map(|i| one(format!("{i:04}").leak().as_bytes(), 1000)).collect();
    let chunk = Chunk { r#type: 7, ..Default::default() };
    let window = AggrChunk { raw: Some(chunk), ..Default::default() };
    let unknown = frame(Content::Series(Series { labels: Vec::new(), chunks: vec![window] }));
    let text = frame(Content::Warning(Bytes::from_static(b"\xff is no text")));
    // What the peer sends, where its connection breaks, and part of the warning.
    let cases: Vec<(Foreign, u64, &str)> = vec![
        (frames(vec![one(b"1", 10)]), u64::MAX, ""),
        (frames(vec![one(b"\xff\xfe", 10)]), u64::MAX, ""),
        (frames(vec![text]), u64::MAX, "is no text"),
        (frames(vec![Bytes::from_static(&[0xff; 20])]), u64::MAX, "@: frame: invalid varint"),
        (frames(vec![Bytes::from_static(&[0x0a, 5, 1])]), u64::MAX, "@: frame: value is longer"),
        (frames(vec![one(b"2", 1), one(b"1", 1)]), u64::MAX, "@: series out of order"),
        (frames(vec![unknown]), u64::MAX, "unknown chunk encoding 7"),
        (frames(vec![one(b"1", 8 << 20)]), u64::MAX, "@: rpc error: code = ResourceExhausted"),
        (endless(Bytes::new()), u64::MAX, "@: 10000 frames without a series"),
        (endless(one(b"1", 1000)), u64::MAX, "came 1000 times"),
        (endless(frame(Content::Warning(Bytes::from_static(b"gone")))), u64::MAX, "gone"),
        (
            frames(many),
            100_000,
            "@: rpc error: code = Unavailable desc = error reading from server: unexpected EOF",
        ),
    ];
    for (foreign, after, want) in cases {
        let peer = serve(Foreign { info: info(Default::default()), ..foreign }, true).await;
        let hostile = if after < u64::MAX { cut(peer, after).await } else { peer };
        let members = vec![member(&hostile).await, member(&sound).await];
        let settings =
            ProxySettings { response_timeout: Some(Duration::from_secs(20)), ..ProxySettings::default() };
        let proxy = Proxy::new(Arc::new(members), settings);
        for strategy in [PartialResponse::Warn, PartialResponse::Abort] {
            let ctx = Context::new(Budget::new("query", 4 << 20));
            let request = SeriesRequest {
                partial_response: strategy,
                ..SeriesRequest::new(Interval::ALL, vec![Matcher::equal("a", "1")])
            };
            let got = ask(&proxy, &ctx, request).await;
            assert_eq!(ctx.budget().used(), 0, "all is given back");
            let name = format!("Addr: {hostile} MinTime: 0 MaxTime: 0");
            let text = want.replace('@', &name);
            match got {
                Ok(rows) => {
                    assert!(text.is_empty() || strategy == PartialResponse::Warn, "{text}");
                    let warned = rows.iter().any(|row| row.starts_with("Warning") && row.contains(&text));
                    assert_eq!(warned, !text.is_empty(), "{text}: {rows:?}");
                    let sound = [r#"{a="sound"} 1"#, r#"{a="z"} 1"#];
                    assert!(sound.iter().all(|row| rows.iter().any(|r| r == row)), "{text}: {rows:?}");
                }
                Err(e) => {
                    assert_eq!(strategy, PartialResponse::Abort, "{e}");
                    assert!(!text.is_empty() && e.message().contains(&text), "{e}");
                }
            }
        }
    }
}

/// A peer that says that its message is long, and sends little of it.
#[tokio::test]
async fn a_message_is_charged_when_its_head_comes() {
    let address =
        serve(Foreign { info: info(Default::default()), ..frames(vec![one(b"1", 3 << 20)]) }, true).await;
    let slow = cut(address.clone(), 1 << 20).await;
    let store = client::connect(&slow).await.expect("a store");
    let budget = Budget::new("query", 4 << 20);
    let ctx = Context::new(Arc::clone(&budget));
    let error = read(&*store, &ctx).await.expect_err("it breaks");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(budget.peak() >= 3 << 20, "{}", budget.peak());
    assert_eq!(budget.used(), 0);
    // Where it does not fit it is refused by its head, however little came of it.
    let store = client::connect(&cut(address, 1 << 20).await).await.expect("a store");
    let held = budget.reserve(2 << 20).expect("free");
    let error = read(&*store, &ctx).await.expect_err("no room");
    assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
    drop(held);
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
