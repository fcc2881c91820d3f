//! Signals that end a process, and what they end.

use anyhow::Result;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

/// Completes at the first SIGINT or SIGTERM; SIGHUP does not end the process.
///
/// Compat: Thanos dispatches SIGHUP to its commands, of which only the ruler listens
/// (`cmd/thanos/main.go`); configurations of endpoints are read again when their files change.
///
/// # Errors
/// When the system does not let handlers be installed.
pub fn signals() -> Result<impl Future<Output = ()> + Send + 'static> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(async move {
        loop {
            tokio::select! {
                _ = interrupt.recv() => return,
                _ = terminate.recv() => return,
                Some(()) = hangup.recv() => tracing::info!("caught signal. Reloading."),
            }
        }
    })
}

/// Completes when true is sent, or nobody is left to send it: when the process stops.
pub async fn until(mut stopped: watch::Receiver<bool>) {
    // An error means that the sender is gone, which ends the process as well.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

#[cfg(test)]
mod tests {
    use std::{process::Command, time::Duration};

    use super::*;

    fn send(signal: &str) {
        let pid = std::process::id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().expect("kill runs").success());
    }

    #[tokio::test]
    async fn a_hangup_ends_nothing() {
        let mut ended = Box::pin(signals().expect("handlers"));
        send("-HUP");
        let early = tokio::time::timeout(Duration::from_millis(200), &mut ended).await;
        assert!(early.is_err(), "it goes on");
        send("-TERM");
        ended.await;
    }
}
