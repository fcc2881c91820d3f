//! Asks a Prometheus to reload when its configuration or rules change.
//!
//! What is watched is looked at every second by the names, sizes and times of its files, links resolved,
//! and read whole when one of these changed and in longer intervals; what counts is the content. So it does
//! not matter how a file is replaced, nor whether the file system tells of changes.
//!
//! Invariant: writes one file, the configuration with the environment filled in; decides nothing by its content.

mod content;
mod expand;
mod signal;

use std::{path::PathBuf, sync::Arc, time::Duration};

use reqwest::Method;
use tokio::time::{Instant, sleep};

use super::SidecarMetrics;
use crate::{
    clock::Clock,
    context::Context,
    error::{Error, Result, cannot_write},
    store::prometheus::PrometheusClient,
};

use content::{Digest, Signature};

/// How a reload is asked for.
///
/// See [`ReloaderSettings`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReloadMethod {
    /// By `POST /-/reload`, which the server must allow (`--web.enable-lifecycle`).
    Http,
    /// By SIGHUP to the first process of this name.
    Signal {
        /// Name of the program.
        process_name: String,
    },
}

impl ReloadMethod {
    /// The name that flags and metrics use.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Signal { .. } => "signal",
        }
    }
}

/// What is watched, and how a reload is asked for; nothing is watched by default.
///
/// See [`Settings`](super::Settings).
#[derive(Clone, Debug)]
pub struct ReloaderSettings {
    /// Configuration, plain or compressed by gzip.
    pub config_file: Option<PathBuf>,
    /// Where the configuration goes with `$(NAME)` replaced by the environment.
    pub output_file: Option<PathBuf>,
    /// Folders with rules, all below them included.
    pub rule_dirs: Vec<PathBuf>,
    /// How often everything is read whether it seems changed or not, and how long a reload is tried.
    /// Default: 3 min; zero writes the configuration once and reloads nothing.
    pub watch_interval: Duration,
    /// How soon a reload that failed is tried again. Default: 5 s.
    pub retry_interval: Duration,
    /// How often changes are looked for. Default: 1 s.
    pub poll_interval: Duration,
    /// How a reload is asked for.
    pub method: ReloadMethod,
}

impl Default for ReloaderSettings {
    fn default() -> Self {
        Self {
            config_file: None,
            output_file: None,
            rule_dirs: Vec::new(),
            watch_interval: Duration::from_secs(180),
            retry_interval: Duration::from_secs(5),
            poll_interval: Duration::from_secs(1),
            method: ReloadMethod::Http,
        }
    }
}

impl ReloaderSettings {
    fn watched(&self) -> impl Iterator<Item = &PathBuf> {
        self.config_file.iter().chain(&self.rule_dirs)
    }
}

/// How long one reload may take.
const RELOAD_TIMEOUT: Duration = Duration::from_secs(60);

pub(super) struct Reloader {
    client: PrometheusClient,
    settings: ReloaderSettings,
    clock: Arc<dyn Clock>,
    metrics: Arc<SidecarMetrics>,
    /// Content that was reloaded last.
    reloaded: Option<Digest>,
}

impl Reloader {
    pub(super) fn new(
        client: PrometheusClient,
        settings: ReloaderSettings,
        clock: Arc<dyn Clock>,
        metrics: Arc<SidecarMetrics>,
    ) -> Self {
        Self { client, settings, clock, metrics, reloaded: None }
    }

    /// Watches for ever; an error only of the first look.
    pub(super) async fn run(mut self) -> Result<()> {
        if self.settings.watched().next().is_none() {
            return std::future::pending().await;
        }
        let mut seen = self.look();
        self.apply().await?;
        if self.settings.watch_interval.is_zero() {
            return std::future::pending().await;
        }
        let mut read = Instant::now();
        loop {
            sleep(self.settings.poll_interval).await;
            let now = self.look();
            let changed = now != seen;
            if changed {
                self.metrics.watch_events.add(1);
            }
            if changed || read.elapsed() >= self.settings.watch_interval {
                // Taken before the content is read, so that a change in between is not overlooked.
                seen = now;
                if let Err(e) = self.apply().await {
                    tracing::error!("reading what is watched: {e}");
                }
                read = Instant::now();
            }
        }
    }

    /// Names, sizes and times of all that is watched.
    fn look(&self) -> Option<Signature> {
        match Signature::of(self.settings.watched()) {
            Ok(signature) => {
                self.metrics.watches.set(signature.len() as u64);
                Some(signature)
            }
            Err(e) => {
                self.metrics.watch_errors.add(1);
                tracing::debug!("looking at what is watched: {e}");
                None
            }
        }
    }

    /// Reads what is watched, writes the configuration, and asks for a reload if anything changed.
    ///
    /// A reload that fails is tried until the watch interval has passed, and again next time.
    async fn apply(&mut self) -> Result<()> {
        self.metrics.applies.add(1);
        let digest = match self.write_output().and_then(|()| Digest::of(self.settings.watched())) {
            Ok(digest) => digest,
            Err(e) => {
                self.metrics.applies_failed.add(1);
                return Err(e);
            }
        };
        if self.settings.watch_interval.is_zero() || self.reloaded.as_ref() == Some(&digest) {
            return Ok(());
        }
        let begun = Instant::now();
        loop {
            self.metrics.reloads.add(1);
            match self.trigger().await {
                Ok(()) => {
                    self.metrics.reload_successful.set(1);
                    self.metrics
                        .reload_success_time
                        .set(u64::try_from(self.clock.now_ms() / 1000).unwrap_or(0));
                    self.reloaded = Some(digest);
                    tracing::info!("Prometheus was reloaded");
                    return Ok(());
                }
                Err(e) => {
                    self.metrics.reloads_failed.add(1);
                    self.metrics.reload_successful.set(0);
                    // Forgotten, so that the next look asks again even if all is as it was then.
                    self.reloaded = None;
                    tracing::error!("reloading Prometheus, trying again: {e}");
                }
            }
            if begun.elapsed() + self.settings.retry_interval >= self.settings.watch_interval {
                return Ok(());
            }
            sleep(self.settings.retry_interval).await;
        }
    }

    /// Writes the configuration with the environment filled in.
    fn write_output(&self) -> Result<()> {
        let (Some(input), Some(output)) = (&self.settings.config_file, &self.settings.output_file) else {
            return Ok(());
        };
        let bytes = content::read(input)?;
        let text = expand::unpack(bytes).map_err(|e| e.context(input.display()))?;
        let text = expand::expand(&text, |name| std::env::var(name).ok());
        self.metrics.expansion_errors.set(u64::from(text.is_err()));
        let text = text.map_err(|e| e.context(input.display()))?;
        let mut beside = output.as_os_str().to_owned();
        beside.push(".tmp");
        std::fs::write(&beside, text)
            .and_then(|()| std::fs::rename(&beside, output))
            .map_err(cannot_write(output))
    }

    async fn trigger(&self) -> Result<()> {
        let ctx = Context::default().with_timeout(RELOAD_TIMEOUT);
        match &self.settings.method {
            ReloadMethod::Http => {
                let answer = self.client.send(&ctx, Method::POST, &["-", "reload"], &[], |r| r).await?;
                let status = answer.status();
                if status.as_u16() == 200 {
                    return Ok(());
                }
                let body = answer.error_body(&ctx).await;
                Err(Error::unavailable(format!("received non-200 response: {status}: {}", body.trim_end())))
            }
            ReloadMethod::Signal { process_name } => {
                ctx.run(signal::reload(&self.client, self.clock.as_ref(), &ctx, process_name)).await
            }
        }
    }
}

#[cfg(test)]
mod tests;
