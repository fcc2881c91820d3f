//! What surrounds the requests of a process: their names, their lines in the log, their spans.
//!
//! Invariant: answers nothing and changes no answer but for headers that name the request.

mod config;
mod grpc;
mod http;

use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result};
use axum::http::HeaderMap;
use ring::rand::{SecureRandom, SystemRandom};
use thanoslib::{
    block::BlockIdGenerator,
    clock::SystemClock,
    context::{Span, SpanId, SpanSink},
    http::TRACEPARENT,
};

use crate::env::TextPair;
use config::Rules;

/// Header with which a client wants its trace kept.
const FORCE: &str = "x-thanos-force-tracing";
/// Header that names the trace of an answer.
const TRACE_ID: &str = "x-thanos-trace-id";

/// How requests are logged and traced.
#[derive(Clone, Debug)]
pub struct Requests {
    rules: Arc<Rules>,
    /// Makes the names of requests that have none.
    ids: Arc<Mutex<BlockIdGenerator>>,
    spans: Option<Arc<dyn SpanSink>>,
}

impl Requests {
    /// Reads what `--request.logging-config` and its file say; spans go to a sink, if there is one.
    ///
    /// # Errors
    /// Which key of the configuration is wrong.
    pub fn new(config: &str, file: &str, spans: Option<Arc<dyn SpanSink>>) -> Result<Self> {
        let pair = TextPair { flag: "request.logging-config", text: Some(config), file: Some(file.as_ref()) };
        let rules = match pair.get()? {
            None => Rules::default(),
            Some(yaml) => Rules::parse(&yaml).context("fix --request.logging-config")?,
        };
        let mut seed = [0; 8];
        SystemRandom::new().fill(&mut seed).map_err(|_| anyhow::anyhow!("no random numbers"))?;
        let ids = BlockIdGenerator::new(Arc::new(SystemClock), u64::from_le_bytes(seed));
        Ok(Self { rules: Arc::new(rules), ids: Arc::new(Mutex::new(ids)), spans })
    }

    /// The span of a request that came, which its headers name from now on.
    fn span(&self, name: &str, headers: &mut HeaderMap) -> Option<(SpanId, Span)> {
        let sink = self.spans.as_ref()?;
        let parent = headers.get(TRACEPARENT).and_then(|v| SpanId::parse(v.to_str().ok()?));
        let keep = headers.get(FORCE).is_some_and(|v| !v.is_empty());
        let (id, span) = Span::server(sink, name, parent, keep);
        if let Ok(value) = id.to_string().parse() {
            headers.insert(TRACEPARENT, value);
        }
        Some((id, span))
    }
}
