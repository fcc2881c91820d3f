//! The configuration as its files are now.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use anyhow::{Context as _, Result, bail};
use tokio_rustls::rustls::ServerConfig;

use super::{config::WebConfig, tls};

/// When a file was written and how long it is; `None` when it cannot be seen.
type Stamp = Option<(SystemTime, u64)>;

/// What a configuration gives.
#[derive(Clone, Debug)]
pub(super) struct Loaded {
    pub(super) config: Arc<WebConfig>,
    /// `None` serves in clear text.
    pub(super) tls: Option<Arc<ServerConfig>>,
}

/// A configuration that is read again when one of its files has changed.
#[derive(Debug)]
pub(super) struct Reloaded {
    path: Option<PathBuf>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    stamps: Vec<Stamp>,
    loaded: Loaded,
}

impl Reloaded {
    /// The configuration of a file; without one, what serves everybody in clear text.
    ///
    /// # Errors
    /// Which key or file is wrong.
    pub(super) fn open(path: &str) -> Result<Self> {
        let path = (!path.is_empty()).then(|| PathBuf::from(path));
        let (stamps, loaded) = match &path {
            None => (Vec::new(), Loaded { config: Arc::default(), tls: None }),
            Some(path) => load(path)?,
        };
        Ok(Self { path, state: Mutex::new(State { stamps, loaded }) })
    }

    /// What the files give now, or gave when they could be used last.
    pub(super) fn get(&self) -> Loaded {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(path) = &self.path {
            let now = stamps(path, &state.loaded.config);
            if now != state.stamps {
                state.stamps = now;
                match load(path).and_then(|(stamps, loaded)| Ok((stamps, same_kind(&state.loaded, loaded)?)))
                {
                    Ok((stamps, loaded)) => {
                        tracing::info!(file = %path.display(), "web configuration read again");
                        *state = State { stamps, loaded };
                    }
                    Err(e) => {
                        tracing::error!(file = %path.display(), "changed web configuration is not taken: {e:#}");
                    }
                }
            }
        }
        state.loaded.clone()
    }
}

/// Fails for a change between TLS and clear text, which clients of the port would not understand.
fn same_kind(old: &Loaded, new: Loaded) -> Result<Loaded> {
    if old.tls.is_some() != new.tls.is_some() {
        bail!("tls_server_config: it comes or goes only with a restart");
    }
    Ok(new)
}

fn load(path: &Path) -> Result<(Vec<Stamp>, Loaded)> {
    let yaml = fs::read_to_string(path)
        .with_context(|| format!("--http.config must name a readable file: {}", path.display()))?;
    let dir = path.parent().unwrap_or(Path::new(""));
    let named = || format!("fix --http.config {}", path.display());
    let config = WebConfig::parse(&yaml, dir).with_context(named)?;
    // Seen before they are read, so that a change in between is noticed.
    let stamps = stamps(path, &config);
    let tls = config.tls.as_ref().map(|tls| tls::server_config(tls, config.http2)).transpose();
    let tls = tls.with_context(named)?.map(Arc::new);
    Ok((stamps, Loaded { config: Arc::new(config), tls }))
}

fn stamps(path: &Path, config: &WebConfig) -> Vec<Stamp> {
    let stamp = |path: PathBuf| {
        let meta = fs::metadata(path).ok()?;
        Some((meta.modified().ok()?, meta.len()))
    };
    std::iter::once(path.to_owned()).chain(config.files()).map(stamp).collect()
}
