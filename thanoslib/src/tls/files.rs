//! Files that are read again when they change.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::SystemTime,
};

use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use super::{FromFiles, invalid};
use crate::error::{Error, Result};

/// When a file was written and how long it is; `None` when it cannot be seen.
type Stamp = Option<(SystemTime, u64)>;

/// What was made of files, kept until one of them changes.
///
/// Files that cannot be used when they have changed leave what there was: certificates are
/// often written one after the other.
pub(super) struct Reloaded<F: FromFiles> {
    from: F,
    state: Mutex<State<F::Made>>,
}

struct State<T> {
    stamps: Vec<Stamp>,
    made: T,
}

impl<F: FromFiles> fmt::Debug for Reloaded<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reloaded").field("files", &self.from.files()).finish_non_exhaustive()
    }
}

impl<F: FromFiles> Reloaded<F> {
    /// # Errors
    /// `Invalid` when the files cannot be used.
    pub(super) fn new(from: F) -> Result<Self> {
        let stamps = stamps(&from.files());
        let made = from.make()?;
        Ok(Self { from, state: Mutex::new(State { stamps, made }) })
    }

    /// What the files give now, or gave when they could be used last.
    pub(super) fn get(&self) -> F::Made {
        let stamps = stamps(&self.from.files());
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if stamps != state.stamps {
            match self.from.make() {
                Ok(made) => state.made = made,
                Err(e) => {
                    tracing::warn!(error = %e, "changed TLS files cannot be used, the old ones are kept")
                }
            }
            state.stamps = stamps;
        }
        state.made.clone()
    }
}

fn stamps(files: &[PathBuf]) -> Vec<Stamp> {
    let stamp = |path: &PathBuf| {
        let meta = fs::metadata(path).ok()?;
        Some((meta.modified().ok()?, meta.len()))
    };
    files.iter().map(stamp).collect()
}

/// The certificates of a PEM file, at least one.
pub(super) fn certificates(setting: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let all = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(invalid(named(setting, path)))?;
    match all.is_empty() {
        true => Err(Error::invalid(format!("tls: no certificate in {}", named(setting, path)))),
        false => Ok(all),
    }
}

/// The key of a PEM file.
pub(super) fn key(setting: &str, path: &Path) -> Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_file(path).map_err(invalid(named(setting, path)))
}

/// The authorities of a PEM file.
pub(super) fn authorities(setting: &str, path: &Path) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(setting, path)? {
        roots.add(certificate).map_err(invalid(named(setting, path)))?;
    }
    Ok(roots)
}

/// A setting with the file that it names.
fn named(setting: &str, path: &Path) -> String {
    format!("{setting} {}", path.display())
}
