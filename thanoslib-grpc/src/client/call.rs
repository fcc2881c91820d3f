//! What accompanies one request: deadline, tenant, name; and how often it is tried.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock},
    time::Duration,
};

use futures::StreamExt;
use prost::{Message, Name};
use prost_types::FileDescriptorSet;
use thanoslib::{
    Error, Result,
    budget::{Budget, Lease},
    context::{Context, SpanKind},
    query::{MethodConfig, RetryPolicy},
};
use tonic::{Request, Response, Status, Streaming};

use super::{
    charge::BudgetSlot,
    link::{Link, is_lost},
    observe::SpanSlot,
};
use crate::{MESSAGE_MAX_BYTES, REQUEST_ID_METADATA, TENANT_METADATA, TRACE_METADATA, pb, status::to_error};

/// Longest deadline that is told to a peer.
const TIMEOUT_MAX: Duration = Duration::from_secs(99_999_999);

/// Service and method of the calls that a message asks for, by its type.
static CALLS: LazyLock<HashMap<String, (String, String)>> = LazyLock::new(|| {
    let files = FileDescriptorSet::decode(pb::DESCRIPTORS).unwrap_or_default();
    let mut calls = HashMap::new();
    for file in &files.file {
        for service in &file.service {
            let name = format!("{}.{}", file.package(), service.name());
            for method in &service.method {
                let input = method.input_type().trim_start_matches('.').to_owned();
                calls.insert(input, (name.clone(), method.name().to_owned()));
            }
        }
    }
    calls
});

/// What is said of the calls that a message asks for.
fn config<M: Name>(link: &Link) -> MethodConfig {
    let found = CALLS.get(&M::full_name()).and_then(|(service, method)| link.method(service, method));
    found.cloned().unwrap_or_default()
}

/// A request with what the context says, as a span of its own.
fn request<T>(link: &Link, ctx: &Context, timeout: Option<Duration>, message: T) -> Result<Request<T>> {
    let mut request = Request::new(message);
    let (ctx, mut span) = ctx.span("call", SpanKind::Client);
    span.set("peer.address", || link.target());
    if let Some(id) = ctx.span_id().and_then(|id| id.to_string().parse().ok()) {
        request.metadata_mut().insert(TRACE_METADATA, id);
    }
    request.extensions_mut().insert(SpanSlot::new(span));
    request.extensions_mut().insert(BudgetSlot(Arc::clone(ctx.budget())));
    let left = ctx.deadline().map(|d| d.saturating_duration_since(tokio::time::Instant::now()));
    if let Some(left) = left.into_iter().chain(timeout).min() {
        // The wire form has eight digits; the context keeps the deadline in any case.
        request.set_timeout(left.min(TIMEOUT_MAX));
    }
    let tenant = ctx.tenant().parse().map_err(|_| {
        Error::invalid(format!("tenant {:?} cannot be sent: not printable ASCII", ctx.tenant()))
    })?;
    request.metadata_mut().insert(TENANT_METADATA, tenant);
    // A name that cannot be sent is only missed in a log.
    if let Some(id) = ctx.request_id().and_then(|id| id.parse().ok()) {
        request.metadata_mut().insert(REQUEST_ID_METADATA, id);
    }
    Ok(request)
}

/// Makes a call. It is made again when its connection broke before the peer began to answer, and,
/// if the link leads to a group, as its configuration says.
pub(super) async fn call<M, T, F>(
    link: &Link,
    ctx: &Context,
    message: M,
    make: impl Fn(Request<M>) -> F + Send + Sync,
) -> Result<T>
where
    M: Clone + Send + Sync + Name,
    T: Send,
    F: Future<Output = Result<Response<T>, Status>> + Send,
{
    let MethodConfig { timeout, retry } = config::<M>(link);
    for attempt in 1.. {
        let request = request(link, ctx, timeout, message.clone())?;
        let answered = ctx.run(async { Ok(make(request).await) }).await?;
        match answered {
            Ok(response) => return Ok(response.into_inner()),
            // All calls read only, so one whose connection broke is made again at once.
            Err(s) if attempt == 1 && is_lost(&s) => {}
            Err(s) => {
                let again = |r: &&RetryPolicy| attempt < r.attempts && r.codes.contains(&(s.code() as u32));
                let Some(retry) = retry.as_ref().filter(again) else { return Err(to_error(&s)) };
                ctx.run(async {
                    tokio::time::sleep(retry.pause(attempt)).await;
                    Ok(())
                })
                .await?;
            }
        }
    }
    Err(Error::internal("no attempt was made"))
}

/// Longest message that the context's budget could take.
pub(super) fn message_max(ctx: &Context) -> usize {
    left_of(ctx.budget())
}

/// Bytes that a message of a call may have that draws on a budget.
pub(super) fn left_of(budget: &Budget) -> usize {
    let left = budget.limit().saturating_sub(budget.used());
    usize::try_from(left).unwrap_or(usize::MAX).min(MESSAGE_MAX_BYTES)
}

/// The messages of a streamed answer, charged to the context's budget until all are there.
pub(super) async fn collect<T: Message + Default>(
    mut messages: Streaming<T>,
    ctx: &Context,
    mut add: impl FnMut(T) -> Result<()> + Send,
) -> Result<()> {
    let mut lease: Lease = ctx.budget().reserve(0)?;
    while let Some(message) = ctx.run(async { Ok(messages.next().await) }).await? {
        let message = message.map_err(|s| to_error(&s))?;
        // What is empty takes a place all the same.
        lease.grow((message.encoded_len() + size_of::<T>()) as u64)?;
        add(message)?;
    }
    Ok(())
}

/// A client for the context: it takes no message that the budget could not.
macro_rules! client {
    ($client:path, $link:expr, $ctx:expr) => {{
        use $client as Client;
        Client::new($link.clone())
            .max_decoding_message_size($crate::client::call::message_max($ctx))
            .max_encoding_message_size($crate::MESSAGE_MAX_BYTES)
    }};
}

pub(super) use client;
