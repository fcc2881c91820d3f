//! Compression of messages in both directions.

use bytes::{BufMut, Bytes, BytesMut};
use thanoslib::{context::Context, store::Store};
use thanoslib_grpc::{
    client::{ClientSettings, Compression},
    server::Settings,
    tonic::{
        Code, Status,
        body::Body,
        codegen::{Body as HttpBody, Service, http},
        transport::Endpoint,
    },
};

use super::{
    fixture::{Scripted, Server, Step, peer, scripted, serve_apis},
    old_peers::read,
};

fn script() -> Scripted {
    let series = vec![("1", vec![3; 4]), ("2", vec![90_000])];
    Scripted {
        component: "sidecar",
        steps: vec![Step::Batch(series)],
        values: vec!["x"],
        ..Scripted::default()
    }
}

#[tokio::test]
async fn a_compressed_conversation_says_the_same() {
    let store: std::sync::Arc<dyn Store> = std::sync::Arc::new(script());
    let (address, _stop, _) = serve_apis(store.into(), Settings::default()).await;
    let ctx = Context::default();
    let mut answers = Vec::new();
    for compression in [Compression::None, Compression::Snappy] {
        let peer = peer(&address, ClientSettings { compression, ..Default::default() }).await;
        let info = peer.info(&ctx).await.expect("an answer");
        assert_eq!(info.component, "sidecar");
        answers.push(read(&*peer.apis().store.expect("a client"), &ctx).await.expect("an answer"));
    }
    assert_eq!(answers[0], [r#"{a="1"} 4"#, r#"{a="2"} 1"#]);
    assert_eq!(answers[0], answers[1]);
}

/// Sends a body as it is; the head of the answer, and its bytes.
async fn raw(
    server: &Server,
    encoding: Option<&str>,
    message: &[u8],
    flag: u8,
) -> (http::HeaderMap, Vec<u8>) {
    let mut body = BytesMut::new();
    body.put_u8(flag);
    body.put_u32(message.len() as u32);
    body.put_slice(message);
    let request =
        http::Request::post("http://peer/thanos.Store/LabelNames").header("content-type", "application/grpc");
    let request = match encoding {
        Some(encoding) => request.header("grpc-encoding", encoding),
        None => request,
    };
    let request = request.body(Body::new(Whole(Some(body.freeze())))).expect("a request");
    let mut channel = server.channel.clone();
    std::future::poll_fn(|cx| channel.poll_ready(cx)).await.expect("connected");
    let (head, mut body) = channel.call(request).await.expect("an answer").into_parts();
    let (mut bytes, mut headers) = (Vec::new(), head.headers);
    while let Some(frame) = std::future::poll_fn(|cx| std::pin::Pin::new(&mut body).poll_frame(cx)).await {
        match frame.expect("no error").into_data() {
            Ok(data) => bytes.extend_from_slice(&data),
            Err(trailers) => headers.extend(trailers.into_trailers().expect("trailers")),
        }
    }
    (headers, bytes)
}

/// A body of one piece.
struct Whole(Option<Bytes>);

impl HttpBody for Whole {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Status>>> {
        std::task::Poll::Ready(self.0.take().map(|b| Ok(http_body::Frame::data(b))))
    }
}

#[tokio::test]
async fn the_server_answers_in_kind_only_if_it_is_asked_so() {
    let server = scripted(Scripted { steps: Vec::new(), ..script() }, Settings::default()).await;
    let code = |headers: &http::HeaderMap| Status::from_header_map(headers).expect("a status").code();
    // Plain.
    let (headers, bytes) = raw(&server, None, b"", 0).await;
    assert_eq!((code(&headers), headers.get("grpc-encoding")), (Code::Ok, None));
    assert_eq!(bytes, [&[0, 0, 0, 0, 3][..], &[0x0a, 1, b'x']].concat());
    // The framed stream of an empty message as Go writes it: its identifier alone, or nothing.
    for message in [&b"\xff\x06\x00\x00sNaPpY"[..], b""] {
        let (headers, bytes) = raw(&server, Some("snappy"), message, 1).await;
        assert_eq!(code(&headers), Code::Ok);
        assert_eq!(headers.get("grpc-encoding").map(|v| v.as_bytes()), Some(&b"snappy"[..]));
        assert_eq!((bytes[0], &bytes[5..15]), (1, &b"\xff\x06\x00\x00sNaPpY"[..]));
        // Stored as it is, or compressed; the checksum is that of the message.
        assert!(bytes[15] <= 1, "{bytes:x?}");
    }
    // Garbage, and a codec that nobody has.
    let (headers, _) = raw(&server, Some("snappy"), b"garbage", 1).await;
    assert_eq!(code(&headers), Code::Internal);
    let (headers, _) = raw(&server, Some("brotli"), b"", 1).await;
    assert_eq!(code(&headers), Code::Unimplemented);
    server.stop().await;
}

#[tokio::test]
async fn a_channel_of_tonic_is_a_link_as_well() {
    let server = scripted(script(), Settings::default()).await;
    assert_eq!(read(&server.client().await, &Context::default()).await.expect("an answer").len(), 2);
    let endpoint = Endpoint::from_static("http://127.0.0.1:1");
    let lost = thanoslib_grpc::client::StoreClient::connect(endpoint.connect_lazy()).await;
    assert_eq!(lost.expect_err("nobody").kind(), thanoslib::ErrorKind::Unavailable);
    server.stop().await;
}
