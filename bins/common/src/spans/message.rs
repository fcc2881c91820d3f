//! The messages of OTLP, as far as spans need them, written field by field.

use thanoslib::context::{EndedSpan, SpanKind};

use super::config::Config;

/// What the spans come from.
const SCOPE: &str = "thanoslib";

/// An `ExportTraceServiceRequest`.
///
/// Source: opentelemetry-proto `collector/trace/v1/trace_service.proto`, `trace/v1/trace.proto`.
pub(super) fn request(config: &Config, spans: &[EndedSpan]) -> Vec<u8> {
    let mut resource = Vec::new();
    for (name, value) in &config.resource {
        bytes(&mut resource, 1, &attribute(name, value));
    }
    let mut scope = Vec::new();
    bytes(&mut scope, 1, SCOPE.as_bytes());
    bytes(&mut scope, 2, env!("CARGO_PKG_VERSION").as_bytes());
    let mut of_scope = Vec::new();
    bytes(&mut of_scope, 1, &scope);
    for one in spans {
        bytes(&mut of_scope, 2, &span(one));
    }
    let mut of_resource = Vec::new();
    bytes(&mut of_resource, 1, &resource);
    bytes(&mut of_resource, 2, &of_scope);
    let mut out = Vec::new();
    bytes(&mut out, 1, &of_resource);
    out
}

fn span(span: &EndedSpan) -> Vec<u8> {
    let mut out = Vec::new();
    bytes(&mut out, 1, &span.id.trace.to_be_bytes());
    bytes(&mut out, 2, &span.id.span.to_be_bytes());
    if let Some(parent) = span.parent {
        bytes(&mut out, 4, &parent.to_be_bytes());
    }
    bytes(&mut out, 5, span.name.as_bytes());
    let kind = match span.kind {
        SpanKind::Internal => 1,
        SpanKind::Server => 2,
        SpanKind::Client => 3,
    };
    number(&mut out, 6, kind);
    let ns = |time: std::time::Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    fixed64(&mut out, 7, ns(span.begun));
    fixed64(&mut out, 8, ns(span.begun.saturating_add(span.took)));
    for (name, value) in &span.attributes {
        bytes(&mut out, 9, &attribute(name, value));
    }
    if let Some(error) = &span.error {
        let mut status = Vec::new();
        bytes(&mut status, 2, error.as_bytes());
        // The code of an error.
        number(&mut status, 3, 2);
        bytes(&mut out, 15, &status);
    }
    out
}

fn attribute(name: &str, value: &str) -> Vec<u8> {
    let mut any = Vec::new();
    bytes(&mut any, 1, value.as_bytes());
    let mut out = Vec::new();
    bytes(&mut out, 1, name.as_bytes());
    bytes(&mut out, 2, &any);
    out
}

fn varint(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

fn number(out: &mut Vec<u8>, field: u64, n: u64) {
    varint(out, field << 3);
    varint(out, n);
}

fn fixed64(out: &mut Vec<u8>, field: u64, n: u64) {
    varint(out, field << 3 | 1);
    out.extend_from_slice(&n.to_le_bytes());
}

fn bytes(out: &mut Vec<u8>, field: u64, value: &[u8]) {
    varint(out, field << 3 | 2);
    varint(out, value.len() as u64);
    out.extend_from_slice(value);
}
