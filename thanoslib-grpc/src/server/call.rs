//! What accompanies one call: its deadline, its tenant, and that it ends with the client.

use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, stream::BoxStream};
use thanoslib::{
    context::{Context, SpanId},
    model::Warnings,
    store::PartialResponse,
};
use tokio_util::sync::DropGuard;
use tonic::{Response, Status, metadata::MetadataMap};

use super::unknown::Empty;
use crate::{REQUEST_ID_METADATA, TENANT_METADATA, TRACE_METADATA};

/// Our answer to a deadline must leave before the transport gives up with the wrong code.
const HEAD_START: Duration = Duration::from_millis(5);

/// The context of one call; its work is cancelled when the guard is dropped.
pub(super) fn context(base: &Context, metadata: &MetadataMap) -> (Context, DropGuard) {
    let (mut ctx, guard) = base.child();
    if let Some(timeout) = metadata.get("grpc-timeout").and_then(|t| timeout(t.as_bytes())) {
        ctx = ctx.with_timeout(timeout - HEAD_START.min(timeout / 10));
    }
    let tenant = metadata.get(TENANT_METADATA).and_then(|t| t.to_str().ok());
    if let Some(tenant) = tenant.filter(|t| !t.is_empty()) {
        ctx = ctx.with_tenant(tenant);
    }
    let id = metadata.get(REQUEST_ID_METADATA).and_then(|id| id.to_str().ok());
    if let Some(id) = id.filter(|id| !id.is_empty()) {
        ctx = ctx.with_request_id(id);
    }
    let span = metadata.get(TRACE_METADATA).and_then(|t| SpanId::parse(t.to_str().ok()?));
    if let Some(span) = span {
        ctx = ctx.with_parent_span(span);
    }
    (ctx, guard)
}

/// The messages of an answer, as tonic sends them.
pub(super) type Messages<T> = BoxStream<'static, Result<T, Status>>;

/// An answer of messages that are there already.
pub(super) fn messages<T: Send + 'static>(all: Vec<T>) -> Response<Messages<T>> {
    let empty = all.is_empty();
    let mut response = Response::new(futures::stream::iter(all.into_iter().map(Ok)).boxed());
    if empty {
        response.extensions_mut().insert(Empty);
    }
    response
}

/// The warnings of an answer as messages, or the failure of a call that must be complete.
pub(super) fn warnings<T>(
    partial: PartialResponse,
    warnings: &Warnings,
    message: impl Fn(Bytes) -> T,
) -> Result<Vec<T>, Status> {
    complete(partial, warnings)?;
    Ok(warnings.iter().map(|w| message(Bytes::from(w.to_string()))).collect())
}

/// Fails a call that must be complete but is not.
pub(super) fn complete(partial: PartialResponse, warnings: &Warnings) -> Result<(), Status> {
    match warnings.iter().next() {
        Some(warning) if partial == PartialResponse::Abort => Err(Status::aborted(warning.to_string())),
        _ => Ok(()),
    }
}

/// Up to eight digits and a unit.
///
/// Source: gRPC `doc/PROTOCOL-HTTP2.md`.
fn timeout(text: &[u8]) -> Option<Duration> {
    let (unit, digits) = text.split_last()?;
    if digits.is_empty() || digits.len() > 8 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let n: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some(match unit {
        b'H' => Duration::from_secs(n * 3600),
        b'M' => Duration::from_secs(n * 60),
        b'S' => Duration::from_secs(n),
        b'm' => Duration::from_millis(n),
        b'u' => Duration::from_micros(n),
        b'n' => Duration::from_nanos(n),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read_in_all_units() {
        let check = |text: &str, want| assert_eq!(timeout(text.as_bytes()), want, "{text}");
        check("1H", Some(Duration::from_secs(3600)));
        check("2M", Some(Duration::from_secs(120)));
        check("3S", Some(Duration::from_secs(3)));
        check("99999999m", Some(Duration::from_millis(99_999_999)));
        check("1u", Some(Duration::from_micros(1)));
        check("0n", Some(Duration::ZERO));
        for bad in ["", "S", "1", "1x", "-1S", "999999999S", "1.5S"] {
            check(bad, None);
        }
    }

    #[test]
    fn tenant_deadline_and_name_come_from_metadata() {
        let mut metadata = MetadataMap::new();
        let (ctx, _guard) = context(&Context::default(), &metadata);
        assert_eq!((ctx.tenant(), ctx.deadline()), (thanoslib::context::DEFAULT_TENANT, None));
        metadata.insert(TENANT_METADATA, "team-a".parse().expect("ASCII"));
        metadata.insert("grpc-timeout", "1S".parse().expect("ASCII"));
        let (ctx, _guard) = context(&Context::default(), &metadata);
        assert_eq!((ctx.tenant(), ctx.deadline().is_some(), ctx.request_id()), ("team-a", true, None));
        metadata.insert(REQUEST_ID_METADATA, "01X".parse().expect("ASCII"));
        let (ctx, guard) = context(&ctx, &metadata);
        assert_eq!(ctx.request_id(), Some("01X"));
        drop(guard);
        assert!(ctx.check().is_err());
    }
}
