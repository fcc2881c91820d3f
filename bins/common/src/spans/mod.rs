//! Spans of requests, sent to a collector that speaks OTLP.
//!
//! Invariant: never makes a request wait; what cannot be sent is dropped and counted.

mod config;
mod message;
mod send;
mod worker;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use anyhow::{Context as _, Result};
use thanoslib::context::SpanSink;

use crate::env::TextPair;
use config::Config;
pub use worker::{Spans, SpansTask};

/// Reads `--tracing.config` and its file, and gives what takes spans, with the work of sending them;
/// `component` is the name of the service where the configuration gives none. Nothing configured gives none.
///
/// # Errors
/// Which key of the configuration is wrong or cannot be met.
pub fn open(config: &str, file: &str, component: &str) -> Result<Option<(Arc<Spans>, SpansTask)>> {
    let pair = TextPair { flag: "tracing.config", text: Some(config), file: Some(file.as_ref()) };
    let Some(yaml) = pair.get()? else { return Ok(None) };
    let config = Config::parse(&yaml, component).context("fix --tracing.config")?;
    Ok(Some(worker::new(config).context("fix --tracing.config")?))
}

/// The sink as components take it.
pub fn sink(spans: Option<&Arc<Spans>>) -> Option<Arc<dyn SpanSink>> {
    spans.map(|spans| Arc::clone(spans) as _)
}
