//! Opening ports.

use std::io::ErrorKind;

use anyhow::{Result, anyhow};
use tokio::net::TcpListener;

/// Listens on `address`, such as `127.0.0.1:10902`.
///
/// # Errors
/// One line that says what to do, with the flag that sets the address.
pub async fn listen(flag: &str, address: &str) -> Result<TcpListener> {
    // Upstream accepts `:10902` for all interfaces.
    let full = if address.starts_with(':') { format!("0.0.0.0{address}") } else { address.to_owned() };
    TcpListener::bind(&full).await.map_err(|e| match e.kind() {
        ErrorKind::AddrInUse => {
            anyhow!(
                "port of {address} is in use: stop the other program or give another address with --{flag}"
            )
        }
        ErrorKind::PermissionDenied => {
            anyhow!("not allowed to listen on {address}: take a port above 1023 with --{flag}")
        }
        _ => anyhow!("cannot listen on {address} (--{flag}): {e}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_in_use_is_told_with_its_flag() {
        let first = listen("http-address", "127.0.0.1:0").await.expect("a free port");
        let address = first.local_addr().expect("bound").to_string();
        let e = listen("http-address", &address).await.expect_err("in use").to_string();
        assert!(e.contains("in use") && e.contains("--http-address"), "{e}");
    }
}
