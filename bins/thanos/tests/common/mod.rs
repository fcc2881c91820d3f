//! Starting the command and asking it over HTTP.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

/// Time in which the command must do what is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn thanos() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_thanos"));
    command.stdin(Stdio::null());
    command
}

/// Runs the command to its end.
pub(crate) fn run(args: &[&str]) -> Output {
    thanos().args(args).output().expect("the command starts")
}

pub(crate) fn testdata(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../thanoslib/testdata").join(path)
}

/// A running `thanos standalone` on free ports.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    log: Receiver<String>,
    /// Lines of the log up to the one that says it is ready.
    pub(crate) started: Vec<String>,
    /// Lines on standard output.
    pub(crate) out: Receiver<String>,
    /// Address of the HTTP API.
    pub(crate) http: String,
}

impl Server {
    pub(crate) fn start(args: &[&str]) -> Self {
        let mut child = thanos()
            .args(["standalone", "--http-address=127.0.0.1:0", "--grpc-address=127.0.0.1:0"])
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the command starts");
        let out = lines(child.stdout.take().expect("piped"));
        let log = lines(child.stderr.take().expect("piped"));
        let mut started = Vec::new();
        let http = loop {
            let Ok(line) = log.recv_timeout(PATIENCE) else {
                let _ = child.kill();
                panic!("it does not get ready: {started:#?}");
            };
            let address = line.split(" http=").nth(1).and_then(|rest| rest.split(' ').next());
            let address = address.filter(|_| line.contains("msg=ready")).map(str::to_owned);
            started.push(line);
            if let Some(address) = address {
                break address;
            }
        };
        Self { child, log, started, out, http }
    }

    /// Its process.
    #[allow(dead_code, reason = "not every test looks at the process")]
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Status and body of a path with parameters that are not encoded yet.
    pub(crate) fn get(&self, path: &str, params: &[(&str, &str)]) -> (u16, String) {
        get(&self.http, path, params)
    }

    /// The answer of the Prometheus API.
    pub(crate) fn ask(&self, path: &str, params: &[(&str, &str)]) -> Value {
        let (status, body) = self.get(path, params);
        let answer: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!((status, answer["status"].as_str()), (200, Some("success")), "{answer}");
        answer
    }

    /// Ends it with SIGTERM; the log from the ready line on.
    pub(crate) fn stop(mut self) -> (ExitStatus, Vec<String>) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status().expect("kill runs");
        assert!(sent.success());
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return (status, self.log.iter().collect());
            }
            assert!(begin.elapsed() < PATIENCE, "SIGTERM does not end it");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Status and body of a path at an address; see [`Server::get`].
pub(crate) fn get(http: &str, path: &str, params: &[(&str, &str)]) -> (u16, String) {
    let query: Vec<String> = params.iter().map(|(k, v)| format!("{k}={}", encode(v))).collect();
    let mut stream = TcpStream::connect(http).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket option");
    write!(stream, "GET {path}?{} HTTP/1.0\r\nHost: {http}\r\n\r\n", query.join("&")).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).expect("a status");
    (status, body.to_owned())
}

impl Drop for Server {
    fn drop(&mut self) {
        // Gone already when the test ended it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines(from: impl Read + Send + 'static) -> Receiver<String> {
    let (send, receive) = channel();
    thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            if send.send(line).is_err() {
                return;
            }
        }
    });
    receive
}

fn encode(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~".contains(&b);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}
