//! The command as processes on a loopback address of their own, at the ports of the recordings.

use std::{
    io::{Read, Write},
    net::TcpStream,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;
use thanoslib::testing::answers::form;

/// Time in which a process must do what is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// The loopback address of one run, so that runs beside each other do not meet.
#[derive(Clone, Debug)]
pub(crate) struct Host(String);

impl Host {
    pub(crate) fn new() -> Self {
        let id = std::process::id();
        Self(format!("127.{}.{}.{}", 1 + id % 200, (id / 200) % 250, 1 + (id / 50_000) % 250))
    }

    /// An address of this host.
    pub(crate) fn at(&self, port: u16) -> String {
        format!("{}:{port}", self.0)
    }

    /// A recorded text with our address in place of the recorded one.
    pub(crate) fn here(&self, text: &str) -> String {
        let mut text = text.replace("127.0.0.1:21", &format!("{}:21", self.0));
        // Targets that were scraped stand in the data.
        for target in [21_012, 21_098, 21_099] {
            text = text.replace(&self.at(target), &format!("127.0.0.1:{target}"));
        }
        text
    }

    /// A recorded value with our address in place of the recorded one.
    pub(crate) fn here_in(&self, value: &Value) -> Value {
        serde_json::from_str(&self.here(&value.to_string())).expect("still JSON")
    }
}

/// A process that ends with the run.
pub(crate) struct Process {
    child: Child,
    pub(crate) http: String,
}

/// What a process answered.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> String {
        let found = self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
        found.map(|(_, v)| v.clone()).unwrap_or_default()
    }
}

impl Process {
    /// Starts the command with its ports, HTTP and gRPC, and waits until it is ready.
    pub(crate) fn start(host: &Host, (http, grpc): (u16, u16), args: &[String]) -> Self {
        let process = Self::start_only(host, (http, grpc), args);
        process.wait("/-/ready", |answer| answer.status == 200);
        process
    }

    /// Starts the command and does not wait.
    pub(crate) fn start_only(host: &Host, (http, grpc): (u16, u16), args: &[String]) -> Self {
        let (role, rest) = args.split_first().expect("a subcommand");
        let child = Command::new(env!("CARGO_BIN_EXE_thanos"))
            .args([role, "--log.level=error"])
            .arg(format!("--http-address={}", host.at(http)))
            .arg(format!("--grpc-address={}", host.at(grpc)))
            .args(rest)
            .stdin(Stdio::null())
            .spawn()
            .expect("the command starts");
        Self { child, http: host.at(http) }
    }

    /// Asks a path until the answer is as wanted.
    pub(crate) fn wait(&self, path: &str, wanted: impl Fn(&Answer) -> bool) {
        let begin = Instant::now();
        while !self.get(path).is_ok_and(|a| wanted(&a)) {
            assert!(begin.elapsed() < PATIENCE, "{path} of {} does not become what it should", self.http);
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args([&format!("-{name}"), &pid]).status().expect("kill runs");
        assert!(sent.success());
    }

    pub(crate) fn get(&self, path: &str) -> Result<Answer, String> {
        exchange(&self.http, &format!("GET {path} HTTP/1.0\r\nhost: {}\r\n\r\n", self.http))
    }

    /// Makes a recorded request.
    pub(crate) fn ask(&self, request: &Value) -> Result<Answer, String> {
        let method = request["method"].as_str().unwrap_or("GET");
        let path = request["path"].as_str().unwrap_or_default();
        let form = form(request);
        let mut head = String::new();
        for (name, value) in request["headers"].as_object().into_iter().flatten() {
            head.push_str(&format!("{name}: {}\r\n", value.as_str().unwrap_or_default()));
        }
        let host = &self.http;
        let text = if method == "POST" {
            let kind = request["content_type"].as_str().unwrap_or("application/x-www-form-urlencoded");
            let body = request["raw_body"].as_str().unwrap_or(&form);
            format!(
                "POST {path} HTTP/1.0\r\nhost: {host}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n{head}\r\n{body}",
                body.len()
            )
        } else {
            let uri = if form.is_empty() { path.to_owned() } else { format!("{path}?{form}") };
            format!("{method} {uri} HTTP/1.0\r\nhost: {host}\r\n{head}\r\n")
        };
        exchange(host, &text)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn exchange(address: &str, request: &str) -> Result<Answer, String> {
    let failed = |e: std::io::Error| format!("{address}: {e}");
    let mut stream = TcpStream::connect(address).map_err(failed)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
    stream.write_all(request.as_bytes()).map_err(failed)?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).map_err(failed)?;
    let end =
        bytes.windows(4).position(|w| w == b"\r\n\r\n").ok_or_else(|| format!("{address}: no answer"))?;
    let (head, body) = bytes.split_at(end);
    let head = String::from_utf8_lossy(head);
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|l| l.split(' ').nth(1)?.parse().ok()).ok_or("no status")?;
    let headers: Vec<(String, String)> =
        lines.filter_map(|l| l.split_once(": ")).map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
    let mut answer = Answer { status, headers, body: String::new() };
    let mut plain = body[4..].to_vec();
    if answer.header("content-encoding") == "gzip" {
        plain.clear();
        flate2::read::GzDecoder::new(&body[4..]).read_to_end(&mut plain).map_err(failed)?;
    }
    answer.body = String::from_utf8_lossy(&plain).into_owned();
    Ok(answer)
}
