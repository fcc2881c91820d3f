//! Peers that are older or newer than we are.

use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;
use prost::Message;
use thanoslib::{
    ErrorKind,
    context::Context,
    model::Interval,
    query::Peer,
    store::{Frame, SeriesRequest, Store},
};
use thanoslib_grpc::{
    codec::{LabelValuesFrame, SeriesFrame},
    pb::thanos::{
        AggrChunk, Chunk, Label, LabelNamesRequest, LabelNamesResponse, LabelValuesRequest, Series,
        SeriesResponse,
        info::{InfoRequest, InfoResponse, StoreInfo, info_server},
        series_response::Result as Content,
        store_server,
    },
    tonic::{Request, Response, Status, async_trait, transport::Server},
};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;

use super::fixture::peer;

/// A peer that says and sends what it is told, as messages.
#[derive(Clone, Debug, Default)]
pub(crate) struct Foreign {
    pub(crate) info: InfoResponse,
    pub(crate) frames: Vec<Bytes>,
    /// Sends the frames again and again.
    pub(crate) endless: bool,
}

#[async_trait]
impl info_server::Info for Foreign {
    async fn info(&self, _request: Request<InfoRequest>) -> Result<Response<InfoResponse>, Status> {
        Ok(Response::new(self.info.clone()))
    }
}

#[async_trait]
impl store_server::Store for Foreign {
    type SeriesStream = futures::stream::BoxStream<'static, Result<SeriesFrame, Status>>;

    async fn series(
        &self,
        _request: Request<thanoslib_grpc::pb::thanos::SeriesRequest>,
    ) -> Result<Response<Self::SeriesStream>, Status> {
        let times = if self.endless { usize::MAX } else { 1 };
        let frames = self.frames.clone();
        let frames = (0..times).flat_map(move |_| frames.clone()).map(|b| Ok(SeriesFrame::from_encoded(b)));
        Ok(Response::new(Box::pin(futures::stream::iter(frames))))
    }

    async fn label_names(
        &self,
        _request: Request<LabelNamesRequest>,
    ) -> Result<Response<LabelNamesResponse>, Status> {
        let names = vec![Bytes::from("b"), Bytes::from("a"), Bytes::from_static(b"\xff"), Bytes::from("a")];
        Ok(Response::new(LabelNamesResponse { names, ..Default::default() }))
    }

    async fn label_values(
        &self,
        _request: Request<LabelValuesRequest>,
    ) -> Result<Response<LabelValuesFrame>, Status> {
        Err(Status::unimplemented("older than label values"))
    }
}

/// Serves a foreign peer with or without Info; its address.
pub(crate) async fn serve(foreign: Foreign, info: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    let store = store_server::StoreServer::new(foreign.clone()).max_encoding_message_size(usize::MAX);
    let router = Server::builder().add_service(store);
    let router = if info { router.add_service(info_server::InfoServer::new(foreign)) } else { router };
    // Ends with the runtime of the test.
    tokio::spawn(router.serve_with_incoming(TcpListenerStream::new(listener)));
    address
}

pub(crate) async fn foreign(foreign: Foreign) -> Arc<dyn Peer> {
    peer(&serve(foreign, true).await, Default::default()).await
}

pub(crate) fn info(store: StoreInfo) -> InfoResponse {
    InfoResponse { component_type: "sidecar".to_owned(), store: Some(store), ..Default::default() }
}

pub(crate) fn series(value: &'static [u8], data: Bytes) -> Series {
    let label = Label { name: Bytes::from("a"), value: Bytes::from_static(value) };
    let chunk = Chunk { data, ..Default::default() };
    let window = AggrChunk { min_time: 1, max_time: 2, raw: Some(chunk), ..Default::default() };
    Series { labels: vec![label], chunks: vec![window] }
}

pub(crate) fn frame(content: Content) -> Bytes {
    Bytes::from(SeriesResponse { result: Some(content) }.encode_to_vec())
}

/// Every series of an answer.
pub(crate) async fn read(store: &dyn Store, ctx: &Context) -> thanoslib::Result<Vec<String>> {
    ask(store, ctx, SeriesRequest::new(Interval::ALL, Vec::new())).await
}

/// Every series of the answer to a request.
pub(crate) async fn ask(
    store: &dyn Store,
    ctx: &Context,
    request: SeriesRequest,
) -> thanoslib::Result<Vec<String>> {
    let frames: Vec<Frame> = store.series(ctx, request).await?.try_collect().await?;
    let mut out = Vec::new();
    for frame in frames {
        match frame {
            Frame::Batch(batch) => {
                out.extend(batch.iter().map(|s| format!("{} {}", s.labels(), s.chunk_count())));
            }
            other => out.push(format!("{other:?}")),
        }
    }
    Ok(out)
}

#[tokio::test]
async fn what_an_old_peer_does_not_say_is_assumed_least() {
    let old = Foreign {
        info: info(StoreInfo { min_time: 5, max_time: 9, ..Default::default() }),
        frames: vec![
            frame(Content::Series(series(b"1", Bytes::from("x")))),
            frame(Content::Series(series(b"2", Bytes::from("x")))),
        ],
        endless: false,
    };
    let peer = foreign(old).await;
    let ctx = Context::default();
    let info = peer.info(&ctx).await.expect("an answer");
    let store = info.store.expect("a store");
    assert_eq!((store.interval, store.tsdbs.len()), (Some(Interval::new(5, 9)), 0));
    let able = store.abilities;
    assert!(!able.sharding && !able.without_replica_labels && !able.projection && !able.limit);
    let store = peer.apis().store.expect("a client");
    // It was asked for frames of 64 series and sends single ones.
    assert_eq!(read(&*store, &ctx).await.expect("an answer"), [r#"{a="1"} 1"#, r#"{a="2"} 1"#]);
    let request = thanoslib::store::LabelNamesRequest::new(Interval::ALL, Vec::new());
    let names = store.label_names(&ctx, request).await.expect("names");
    assert_eq!((names.names, names.warnings.iter().count()), (vec!["a".to_owned(), "b".to_owned()], 1));
    let request = thanoslib::store::LabelValuesRequest::new("a", Interval::ALL, Vec::new());
    let error = store.label_values(&ctx, request).await.expect_err("it cannot");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

#[tokio::test]
async fn a_peer_without_info_is_named() {
    let peer = peer(&serve(Foreign::default(), false).await, Default::default()).await;
    let error = peer.info(&Context::default()).await.expect_err("no Info");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    let text = "cannot obtain metadata: neither info nor store client found: ";
    assert!(error.message().starts_with(text), "{error}");
    // A strict endpoint is asked all the same, and may hold anything.
    let store = peer.apis().store.expect("a client").info();
    assert_eq!((store.interval, store.label_sets.len()), (Some(Interval::ALL), 0));
}

#[tokio::test]
async fn what_a_newer_peer_says_beyond_is_passed_over() {
    let unknown = [0xfa, 0x01, 3, 1, 2, 3];
    let known = frame(Content::Batch(thanoslib_grpc::pb::thanos::SeriesBatch {
        series: vec![series(b"1", Bytes::from("x"))],
    }));
    let newer = Foreign {
        info: info(StoreInfo::default()),
        frames: vec![
            Bytes::from([&known[..], &unknown].concat()),
            Bytes::copy_from_slice(&unknown),
            Bytes::new(),
            frame(Content::Series(series(b"2\xff", Bytes::from("x")))),
        ],
        endless: false,
    };
    let peer = foreign(newer).await;
    let got = read(&*peer.apis().store.expect("a client"), &Context::default()).await.expect("an answer");
    assert_eq!(got, [r#"{a="1"} 1"#, r#"{a="2\xff"} 1"#]);
}
