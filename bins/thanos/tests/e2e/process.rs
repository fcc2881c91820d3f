//! Programs that run for a test, and how they are asked.

use std::{
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::sleep,
};

/// Time in which what is waited for must come about.
const PATIENCE: Duration = Duration::from_secs(90);

/// A process that ends with the test.
pub(super) struct Process(pub(super) Child);

impl Process {
    pub(super) fn start(command: &mut Command) -> Self {
        Self(command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("the program starts"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An address of a port that nobody listens on. It lies below those that the system gives to
/// connections, one of which could take it before the server of the test does.
pub(super) fn free_port() -> String {
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    let begin = (std::process::id() % 100) as u16 * 200;
    let mut ports =
        std::iter::repeat_with(|| 10_000 + (begin + TAKEN.fetch_add(1, Ordering::Relaxed)) % 20_000);
    let port = ports.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).expect("a free port");
    format!("127.0.0.1:{port}")
}

/// Status and body of an answer.
pub(super) async fn ask(address: &str, path: &str) -> Option<(u16, String)> {
    let mut socket = TcpStream::connect(address).await.ok()?;
    let request = format!("GET {path} HTTP/1.0\r\nhost: {address}\r\n\r\n");
    socket.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, body.to_owned()))
}

/// Body of an answer of success.
pub(super) async fn get(address: &str, path: &str) -> Option<String> {
    ask(address, path).await.filter(|(status, _)| *status == 200).map(|(_, body)| body)
}

/// Waits until something holds.
#[expect(clippy::future_not_send, reason = "the test awaits it where it is")]
pub(super) async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while !holds().await {
            sleep(Duration::from_millis(100)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("{what}: not within {PATIENCE:?}"));
}

/// A Prometheus with a data folder and a folder of rules.
pub(super) struct Prometheus {
    pub(super) dir: PathBuf,
    pub(super) address: String,
}

impl Prometheus {
    pub(super) fn start(&self) -> Process {
        Process::start(&mut self.command())
    }

    pub(super) fn command(&self) -> Command {
        let program = std::env::var("THANOSLIB_PROMETHEUS").unwrap_or_else(|_| "prometheus".to_owned());
        let at = |name: &str| self.dir.join(name).display().to_string();
        let mut command = Command::new(program);
        command
            .arg(format!("--config.file={}", at("prometheus.yml")))
            .arg(format!("--storage.tsdb.path={}", at("data")))
            .arg(format!("--web.listen-address={}", self.address))
            .args(["--web.enable-lifecycle", "--storage.tsdb.retention.time=10y"])
            .args(["--storage.tsdb.min-block-duration=2h", "--storage.tsdb.max-block-duration=2h"])
            .arg("--log.level=error");
        command
    }
}
