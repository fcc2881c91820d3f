//! A scripted store and a server for it.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, stream};
use thanoslib::{
    Error, ErrorKind, Result,
    apis::Apis,
    chunk::Encoding,
    context::Context,
    model::{Aggr, Interval, Labels, Warning},
    query::{Connect, EndpointSpec, Peer},
    series::BatchBuilder,
    store::{
        Abilities, Frame, Hints, LabelNames, LabelNamesRequest, LabelValues, LabelValuesRequest,
        SeriesRequest, SeriesStream, Store, StoreInfo, TsdbInfo,
    },
};
use thanoslib_grpc::{
    client::{ClientSettings, Connector, StoreClient},
    server::{Readiness, Services, Settings, TransportSettings, transport},
    tonic::transport::{Channel, Endpoint},
};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};
use tokio_stream::wrappers::TcpListenerStream;

/// One step of a scripted answer.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// A batch of series, each with the sizes of its chunks.
    Batch(Vec<(&'static str, Vec<usize>)>),
    /// A gap.
    Warning(&'static str),
    /// The blocks that were read.
    Hints(&'static str),
    /// A failure.
    Error(ErrorKind, &'static str),
    /// Nothing more, ever.
    Hang,
    /// A bug.
    Panic,
}

/// A store that answers as it is told and remembers how it was asked.
#[derive(Debug, Default)]
pub(crate) struct Scripted {
    pub(crate) component: &'static str,
    pub(crate) steps: Vec<Step>,
    pub(crate) values: Vec<&'static str>,
    pub(crate) warning: Option<&'static str>,
    pub(crate) tenants: Mutex<Vec<String>>,
    pub(crate) dropped: Arc<AtomicBool>,
}

impl Scripted {
    fn asked(&self, ctx: &Context) {
        self.tenants.lock().expect("no panic holds the lock").push(ctx.tenant().to_owned());
    }
}

/// Says when it is dropped.
struct Guard(Arc<AtomicBool>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

#[async_trait]
impl Store for Scripted {
    fn info(&self) -> StoreInfo {
        let labels = Labels::from_pairs([("cluster", "eu1"), ("replica", "A")]);
        let interval = Interval::new(10, 20);
        StoreInfo {
            component: self.component,
            label_sets: vec![labels.clone()],
            interval: Some(interval),
            tsdbs: vec![TsdbInfo { labels, interval }],
            abilities: Abilities {
                without_replica_labels: true,
                sharding: true,
                external_labels: true,
                limit: false,
                projection: false,
            },
            blocks_hash: None,
        }
    }

    async fn series(&self, ctx: &Context, _request: SeriesRequest) -> Result<SeriesStream> {
        self.asked(ctx);
        let guard = Guard(Arc::clone(&self.dropped));
        let steps = stream::iter(self.steps.clone()).then(move |step| {
            let _held = &guard;
            frame(step)
        });
        Ok(steps.boxed())
    }

    async fn label_names(&self, ctx: &Context, _request: LabelNamesRequest) -> Result<LabelNames> {
        self.asked(ctx);
        let values = self.values(ctx).await?;
        Ok(LabelNames {
            names: values.values.iter().map(str::to_owned).collect(),
            warnings: values.warnings,
            queried_blocks: values.queried_blocks,
        })
    }

    async fn label_values(&self, ctx: &Context, _request: LabelValuesRequest) -> Result<LabelValues> {
        self.asked(ctx);
        self.values(ctx).await
    }
}

impl Scripted {
    async fn values(&self, _ctx: &Context) -> Result<LabelValues> {
        let guard = Guard(Arc::clone(&self.dropped));
        let mut answer = LabelValues::default();
        for step in &self.steps {
            match frame(step.clone()).await? {
                Frame::Hints(hints) => answer.queried_blocks = hints.queried_blocks,
                Frame::Warning(warning) => answer.warnings.push(warning),
                other => panic!("no label call answers {other:?}"),
            }
        }
        drop(guard);
        answer.values = self.values.iter().collect();
        answer.warnings.extend(self.warning.map(Warning::new));
        Ok(answer)
    }
}

async fn frame(step: Step) -> Result<Frame> {
    Ok(match step {
        Step::Batch(series) => {
            let mut builder = BatchBuilder::default();
            for (name, sizes) in series {
                builder.series(Labels::from_pairs([("a", name)]).view());
                for (i, size) in sizes.into_iter().enumerate() {
                    let at = Interval::new(i as i64, i as i64);
                    builder.chunk(at, Aggr::Raw, Encoding::Xor, true, Bytes::from(vec![i as u8; size]));
                }
            }
            Frame::Batch(builder.finish())
        }
        Step::Warning(text) => Frame::Warning(Warning::new(text)),
        Step::Hints(block) => {
            let mut hints = Hints::default();
            hints.queried_blocks.push(block.to_owned());
            Frame::Hints(hints)
        }
        Step::Error(kind, text) => return Err(Error::new(kind, text)),
        Step::Hang => std::future::pending().await,
        Step::Panic => panic!("a bug"),
    })
}

/// A server on a free port that ends when it is dropped.
pub(crate) struct Server {
    pub(crate) channel: Channel,
    pub(crate) readiness: Readiness,
    pub(crate) store: Arc<Scripted>,
    stop: Option<oneshot::Sender<()>>,
    task: Option<JoinHandle<()>>,
}

impl Server {
    pub(crate) async fn client(&self) -> StoreClient {
        StoreClient::connect(self.channel.clone()).await.expect("the server is ready")
    }

    /// Ends the server and waits for it.
    pub(crate) async fn stop(mut self) {
        drop(self.stop.take());
        if let Some(task) = self.task.take() {
            task.abort();
            // An aborted task is the only way this can fail.
            let _ = task.await;
        }
    }
}

/// Serves any store; the address, its readiness, and how to end it.
pub(crate) async fn serve(
    store: Arc<dyn Store>,
    settings: Settings,
) -> (SocketAddr, Readiness, oneshot::Sender<()>, JoinHandle<()>) {
    let (routes, readiness) = Services::new(store, settings).build().await.expect("services");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let (stop, stopped) = oneshot::channel::<()>();
    let task = tokio::spawn(async move {
        let server = transport(&TransportSettings::default()).add_routes(routes);
        let incoming = TcpListenerStream::new(listener);
        let ended = async { drop(stopped.await) };
        server.serve_with_incoming_shutdown(incoming, ended).await.expect("the server runs");
    });
    (address, readiness, stop, task)
}

pub(crate) async fn channel(address: SocketAddr) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address");
    endpoint.connect().await.expect("the server listens")
}

/// A ready server over a scripted store.
pub(crate) async fn scripted(store: Scripted, settings: Settings) -> Server {
    let store = Arc::new(store);
    let dynamic: Arc<dyn Store> = Arc::<Scripted>::clone(&store);
    let (address, readiness, stop, task) = serve(dynamic, settings).await;
    readiness.set(true).await;
    Server { channel: channel(address).await, readiness, store, stop: Some(stop), task: Some(task) }
}

/// A ready server over a store that answers Series with these steps.
pub(crate) async fn steps(steps: Vec<Step>) -> Server {
    scripted(Scripted { component: "sidecar", steps, ..Scripted::default() }, Settings::default()).await
}

/// Serves APIs on a free port until the sender is dropped; the address, and the server's end.
pub(crate) async fn serve_apis(
    apis: Apis,
    settings: Settings,
) -> (String, oneshot::Sender<()>, JoinHandle<Result<()>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    let (stop, stopped) = oneshot::channel::<()>();
    let ended = async { drop(stopped.await) };
    let task = tokio::spawn(thanoslib_grpc::server::serve(apis, settings, listener, ended));
    (address, stop, task)
}

/// The peer at an address.
pub(crate) async fn peer(address: &str, settings: ClientSettings) -> Arc<dyn Peer> {
    let connector = Connector::new(settings).expect("sound settings");
    connector.connect(&EndpointSpec::new(address)).await.expect("a peer")
}
