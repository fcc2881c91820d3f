//! The way to a peer: one connection, or several that take turns.

use std::{
    fmt,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use futures::{FutureExt, future::BoxFuture};
use thanoslib::{
    Result,
    query::{Balancing, MethodConfig, ServiceConfig},
    tls::ClientTls,
};
use tonic::{
    Code, Status,
    body::Body,
    codegen::{
        Service,
        http::{Request, Response},
    },
    transport::Channel,
};

use super::{
    call::left_of,
    charge::BudgetSlot,
    connect,
    observe::{ClientMetrics, SpanSlot},
};
use crate::{MESSAGE_MAX_BYTES, snappy};

/// Compression of messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Compression {
    /// None, the default of Thanos.
    #[default]
    None,
    /// The framed snappy stream of Go peers.
    Snappy,
}

/// Tells the addresses that the name of a group stands for.
pub trait GroupMembers: fmt::Debug + Send + Sync + 'static {
    /// Host and port of each member as of now; called for every request.
    fn members(&self, group: &str) -> Arc<[String]>;
}

/// How long a member that failed is passed over while there are others.
const REST: Duration = Duration::from_secs(5);

/// The way to a peer; clones share their connections.
#[derive(Clone)]
pub struct Link {
    members: Members,
    compression: Compression,
    /// What it leads to, for who reads spans.
    target: Arc<str>,
    metrics: Arc<ClientMetrics>,
}

#[derive(Clone)]
enum Members {
    /// The address is for texts.
    One {
        channel: Channel,
        address: Arc<str>,
    },
    Group(Arc<Group>),
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let members = match &self.members {
            Members::One { .. } => "one".to_owned(),
            Members::Group(group) => group.name.clone(),
        };
        f.debug_struct("Link").field("members", &members).field("compression", &self.compression).finish()
    }
}

impl From<Channel> for Link {
    fn from(channel: Channel) -> Self {
        let (target, metrics): (Arc<str>, _) = (Arc::from(""), Arc::default());
        let members = Members::One { channel, address: Arc::clone(&target) };
        Self { members, compression: Compression::None, target, metrics }
    }
}

impl Link {
    /// One address.
    pub(super) fn to(address: &str, tls: Option<Arc<ClientTls>>, compression: Compression) -> Result<Self> {
        let (channel, target) = (connect::channel(address, tls)?, Arc::<str>::from(address));
        let members = Members::One { channel, address: Arc::clone(&target) };
        Ok(Self { members, compression, target, metrics: Arc::default() })
    }

    /// The addresses of a group, in turn.
    pub(super) fn group(
        name: &str,
        resolver: Arc<dyn GroupMembers>,
        tls: Option<Arc<ClientTls>>,
        compression: Compression,
        config: ServiceConfig,
    ) -> Self {
        let group = Group {
            name: name.to_owned(),
            resolver,
            tls,
            config,
            began: Instant::now(),
            next: AtomicUsize::new(0),
            known: RwLock::new(Known { addresses: Arc::from([]), members: Arc::from([]) }),
        };
        let members = Members::Group(Arc::new(group));
        Self { members, compression, target: Arc::from(name), metrics: Arc::default() }
    }

    /// The same way, whose calls are counted together with others.
    pub(super) fn counted(self, metrics: Arc<ClientMetrics>) -> Self {
        Self { metrics, ..self }
    }

    /// What it leads to: an address, the name of a group, or nothing that is known.
    pub(super) fn target(&self) -> &str {
        &self.target
    }

    /// What is said of the calls of a method; nothing of those to one address.
    pub(super) fn method(&self, service: &str, method: &str) -> Option<&MethodConfig> {
        match &self.members {
            Members::One { .. } => None,
            Members::Group(group) => group.config.method(service, method),
        }
    }
}

/// Members of a group.
struct Group {
    name: String,
    resolver: Arc<dyn GroupMembers>,
    tls: Option<Arc<ClientTls>>,
    config: ServiceConfig,
    began: Instant,
    /// Who is next.
    next: AtomicUsize,
    known: RwLock<Known>,
}

/// The addresses of a group, and the members made of them.
#[derive(Clone)]
struct Known {
    addresses: Arc<[String]>,
    members: Arc<[Arc<Member>]>,
}

struct Member {
    address: String,
    channel: Channel,
    /// Milliseconds since the group began until which it is passed over.
    rests_until: AtomicU64,
}

impl Group {
    fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The members as of now; those whose address stays keep their connection.
    fn members(&self) -> Result<Arc<[Arc<Member>]>> {
        let wanted = self.resolver.members(&self.name);
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner).clone();
        if known.addresses == wanted {
            return Ok(known.members);
        }
        let member = |address: &String| {
            if let Some(old) = known.members.iter().find(|m| m.address == *address) {
                return Ok(Arc::clone(old));
            }
            let channel = connect::channel(address, self.tls.clone())?;
            Ok(Arc::new(Member { address: address.clone(), channel, rests_until: AtomicU64::new(0) }))
        };
        let members: Arc<[Arc<Member>]> = wanted.iter().map(member).collect::<Result<_>>()?;
        let mut state = self.known.write().unwrap_or_else(PoisonError::into_inner);
        *state = Known { addresses: wanted, members: Arc::clone(&members) };
        Ok(members)
    }

    /// The member whose turn it is; those that failed just now are passed over.
    fn pick(&self) -> Result<Arc<Member>, Status> {
        let members = self.members().map_err(|e| Status::unavailable(e.to_string()))?;
        let start = match self.config.balancing {
            Balancing::PickFirst => 0,
            Balancing::RoundRobin => self.next.fetch_add(1, Ordering::Relaxed),
        };
        let now = self.now_ms();
        let turn = |i: usize| members.get(start.wrapping_add(i) % members.len());
        let awake =
            (0..members.len()).filter_map(turn).find(|m| m.rests_until.load(Ordering::Relaxed) <= now);
        match awake.or_else(|| members.first().and_then(|_| turn(0))) {
            Some(member) => Ok(Arc::clone(member)),
            None => Err(Status::unavailable(format!("group {} has no addresses", self.name))),
        }
    }
}

impl Service<Request<Body>> for Link {
    type Response = Response<Body>;
    type Error = Status;
    type Future = BoxFuture<'static, Result<Response<Body>, Status>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        // The channel is waited for in `call`, since a group chooses it only then.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        if self.compression == Compression::Snappy {
            request = snappy::deflate_request(request);
        }
        snappy::accept_answers(request.headers_mut());
        let members = self.members.clone();
        let budget = request.extensions_mut().remove::<BudgetSlot>();
        let inflated_max = budget.as_ref().map_or(MESSAGE_MAX_BYTES, |slot| left_of(&slot.0));
        let mut span = request.extensions_mut().remove::<SpanSlot>().unwrap_or_default().take();
        span.rename(request.uri().path());
        let mut counted = self.metrics.start(request.uri().path(), span);
        async move {
            let answer = async {
                let response = match members {
                    Members::One { channel, address } => send(channel, &address, request).await?,
                    Members::Group(group) => {
                        let member = group.pick()?;
                        let answer = send(member.channel.clone(), &member.address, request).await;
                        if answer.as_ref().is_err_and(|s| s.code() == Code::Unavailable) {
                            let until = group.now_ms().saturating_add(REST.as_millis() as u64);
                            member.rests_until.store(until, Ordering::Relaxed);
                        }
                        answer?
                    }
                };
                Ok(snappy::inflate_response(response, inflated_max))
            };
            match answer.await {
                Ok(response) => Ok(counted.answered(response, budget)),
                Err(status) => {
                    counted.failed(&status);
                    Err(status)
                }
            }
        }
        .boxed()
    }
}

async fn send(mut channel: Channel, address: &str, request: Request<Body>) -> Result<Response<Body>, Status> {
    let failed = |e| failed(e, address);
    std::future::poll_fn(|cx| channel.poll_ready(cx)).await.map_err(failed)?;
    channel.call(request).await.map_err(failed)
}

/// The connection was there and broke before the peer began to answer, as when the peer has asked
/// its clients to connect anew.
#[derive(Debug)]
struct Lost;

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection was lost")
    }
}

impl std::error::Error for Lost {}

/// True when a request was not answered because its connection broke.
pub(super) fn is_lost(status: &Status) -> bool {
    std::error::Error::source(status).is_some_and(|cause| cause.is::<Lost>())
}

/// What a connection's failure means: nobody is there, or the connection broke.
///
/// Compat: that nobody listens is told in the words of grpc-go, which people search for.
fn failed(error: tonic::transport::Error, address: &str) -> Status {
    let mut text = error.to_string();
    let (mut nobody, mut late, mut refused) = (false, false, false);
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        nobody |= cause.is::<tonic::ConnectError>();
        late |= cause.is::<tonic::TimeoutExpired>();
        let io = cause.downcast_ref::<std::io::Error>();
        refused |= io.is_some_and(|e| e.kind() == std::io::ErrorKind::ConnectionRefused);
        source = cause.source();
    }
    if late {
        return Status::deadline_exceeded("context deadline exceeded");
    }
    if nobody && refused && !address.is_empty() {
        let dialing = format!("Error while dialing: dial tcp {address}: connect: connection refused");
        return Status::unavailable(format!("connection error: desc = \"transport: {dialing}\""));
    }
    let status = Status::from_error(Box::new(error));
    // What tonic cannot tell apart: a connection that could not be made, was lost, or is none
    // of this protocol, as with a server that wants TLS.
    let broken = status.code() == Code::Internal && text.contains("connection error");
    if !broken && !matches!(status.code(), Code::Unknown | Code::Unavailable | Code::Cancelled) {
        return Status::new(status.code(), text);
    }
    let mut status = Status::unavailable(text);
    if !nobody && !broken {
        status.set_source(Arc::new(Lost));
    }
    status
}
