//! Signals that end a process.

use anyhow::Result;
use tokio::signal::unix::{SignalKind, signal};

/// Completes at the first SIGINT or SIGTERM.
///
/// # Errors
/// When the system does not let handlers be installed.
pub fn signals() -> Result<impl Future<Output = ()> + Send + 'static> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}
