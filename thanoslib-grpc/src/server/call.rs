//! What accompanies one call: its deadline, its tenant, and that it ends with the client.

use std::{future::Future, panic::AssertUnwindSafe, time::Duration};

use futures::FutureExt;
use thanoslib::context::Context;
use tokio_util::sync::DropGuard;
use tonic::{Status, metadata::MetadataMap};

use crate::TENANT_METADATA;

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
    (ctx, guard)
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

/// Awaits `work`; a panic inside fails this call alone.
pub(super) async fn guarded<T>(work: impl Future<Output = Result<T, Status>> + Send) -> Result<T, Status> {
    match AssertUnwindSafe(work).catch_unwind().await {
        Ok(out) => out,
        Err(panic) => {
            let text = panic.downcast_ref::<&str>().copied();
            let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
            Err(Status::internal(format!("panic: {}", text.unwrap_or("without a message"))))
        }
    }
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

    #[tokio::test]
    async fn a_panic_is_an_error_of_the_call() {
        let status = guarded::<()>(async { panic!("number {}", 7) }).await.expect_err("a panic");
        assert_eq!((status.code(), status.message()), (tonic::Code::Internal, "panic: number 7"));
    }

    #[test]
    fn tenant_and_deadline_come_from_metadata() {
        let mut metadata = MetadataMap::new();
        let (ctx, _guard) = context(&Context::default(), &metadata);
        assert_eq!((ctx.tenant(), ctx.deadline()), (thanoslib::context::DEFAULT_TENANT, None));
        metadata.insert(TENANT_METADATA, "team-a".parse().expect("ASCII"));
        metadata.insert("grpc-timeout", "1S".parse().expect("ASCII"));
        let (ctx, guard) = context(&Context::default(), &metadata);
        assert_eq!((ctx.tenant(), ctx.deadline().is_some()), ("team-a", true));
        drop(guard);
        assert!(ctx.check().is_err());
    }
}
