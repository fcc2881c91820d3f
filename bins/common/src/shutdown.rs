//! Signals that end a process, and what they end.

use anyhow::Result;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

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

/// Completes when true is sent, or nobody is left to send it: when the process stops.
pub async fn until(mut stopped: watch::Receiver<bool>) {
    // An error means that the sender is gone, which ends the process as well.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}
