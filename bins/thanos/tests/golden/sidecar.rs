//! The sidecar: `query/grpc/sidecar.jsonl`, over a Prometheus that answers as it was recorded.

use std::{path::Path, process::Child, time::Duration};

use thanoslib::testing::golden::Golden;
use thanoslib_grpc::testing::{self, Target};
use tokio::runtime::Runtime;

use crate::prometheus::{Prometheus, prometheus};

pub(crate) fn run(golden: &mut Golden) {
    let runtime = Runtime::new().expect("a runtime");
    let recording = golden.root().join("query/sidecar_prometheus/conversation.jsonl");
    let sidecar = recording.is_file().then(|| runtime.block_on(start(&recording)));
    let target = sidecar.as_ref().map(|(_, _, target)| target);
    testing::run(golden, &runtime, "query/grpc/sidecar", "query/grpc/sidecar.jsonl", target);
}

/// A process that ends with the run.
struct Sidecar(Child);

impl Drop for Sidecar {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn start(recording: &Path) -> (Prometheus, Sidecar, Target) {
    let prometheus = prometheus(recording, "127.0.0.1:0").await;
    let (http, grpc) = (free_port(), free_port());
    let child = std::process::Command::new(env!("CARGO_BIN_EXE_thanos"))
        .args(["sidecar", "--log.level=error"])
        .arg(format!("--prometheus.url=http://{}", prometheus.address))
        .arg(format!("--http-address={http}"))
        .arg(format!("--grpc-address={grpc}"))
        .spawn()
        .expect("the command starts");
    let sidecar = Sidecar(child);
    for _ in 0..600 {
        if ready(&http).await {
            return (prometheus, sidecar, Target::at(&grpc).await);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the sidecar is not ready");
}

fn free_port() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("bound").to_string()
}

/// Whether `/-/ready` says so.
async fn ready(address: &str) -> bool {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let Ok(mut socket) = tokio::net::TcpStream::connect(address).await else { return false };
    let request = format!("GET /-/ready HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    let mut answer = String::new();
    socket.write_all(request.as_bytes()).await.is_ok()
        && socket.read_to_string(&mut answer).await.is_ok()
        && answer.starts_with("HTTP/1.1 200")
}
