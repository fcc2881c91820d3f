//! Reloads by signal, and whether they worked.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use tokio::time::sleep;

use crate::{
    clock::Clock,
    context::Context,
    error::{Error, Result},
    model::duration::parse_rfc3339,
    store::prometheus::{PrometheusClient, or_default},
};

/// How often the server is asked whether it has reloaded.
const POLL: Duration = Duration::from_secs(1);
const SECOND_MS: i64 = 1000;
/// What the system keeps of the name of a process.
const NAME_BYTES_MAX: usize = 15;

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RuntimeInfo {
    reload_config_success: bool,
    #[serde(deserialize_with = "or_default")]
    last_config_time: String,
}

/// Sends SIGHUP and waits until the server says that it has read its configuration.
///
/// # Errors
/// `NotFound` without a process of that name, `Unavailable` when the server could not reload; without an
/// answer it waits until `ctx` ends.
pub(super) async fn reload(
    client: &PrometheusClient,
    clock: &dyn Clock,
    ctx: &Context,
    process_name: &str,
) -> Result<()> {
    let pid = find(process_name)?;
    let before = ask(client, ctx).await?;
    // The server tells whole seconds: a reload in the second of the one before could not be seen.
    if let Some(loaded) = parse_rfc3339(&before.last_config_time)
        && (0..SECOND_MS).contains(&(clock.now_ms() - loaded.ms()))
    {
        sleep(POLL).await;
    }
    kill_process(pid, Signal::HUP).map_err(|e| {
        Error::unavailable(format!("cannot signal process {} {process_name:?}: {e}", pid.as_raw_nonzero()))
    })?;
    loop {
        sleep(POLL).await;
        // A server that is busy with its configuration may not answer at once.
        let Ok(now) = ask(client, ctx).await else { continue };
        let later = parse_rfc3339(&now.last_config_time) > parse_rfc3339(&before.last_config_time);
        if now.reload_config_success && later {
            return Ok(());
        }
        if before.reload_config_success && !now.reload_config_success {
            return Err(Error::unavailable("Prometheus says that it cannot read its configuration"));
        }
    }
}

async fn ask(client: &PrometheusClient, ctx: &Context) -> Result<RuntimeInfo> {
    Ok(client.get::<RuntimeInfo>(ctx, &["api", "v1", "status", "runtimeinfo"], &[]).await?.data)
}

/// The first process of a name.
fn find(name: &str) -> Result<Pid> {
    let wanted = name.as_bytes().get(..NAME_BYTES_MAX).unwrap_or(name.as_bytes());
    let unreadable = |e: std::io::Error| Error::unavailable(format!("cannot list processes: {e}"));
    let mut found: Option<i32> = None;
    for entry in std::fs::read_dir("/proc").map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let Some(id) = entry.file_name().to_str().and_then(|n| n.parse::<i32>().ok()) else { continue };
        // A process may have ended in between.
        let Ok(comm) = std::fs::read(entry.path().join("comm")) else { continue };
        if comm.strip_suffix(b"\n").unwrap_or(&comm) == wanted {
            found = Some(found.map_or(id, |f| f.min(id)));
        }
    }
    found.and_then(Pid::from_raw).ok_or_else(|| {
        Error::not_found(format!("there is no process named {name:?}; is the process namespace shared?"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_are_found_by_name() {
        let own = std::fs::read_to_string("/proc/self/comm").expect("this process");
        assert!(find(own.trim_end()).is_ok());
        assert!(find("no such program").is_err());
    }
}
