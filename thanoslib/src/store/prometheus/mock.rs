//! A server that answers as a test says.

use std::sync::{Arc, Mutex};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: String,
    /// Path with parameters.
    pub(crate) target: String,
    /// Head in lower case.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

/// An answer, its body in pieces that go out one by one.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) content_type: &'static str,
    pub(crate) pieces: Vec<Vec<u8>>,
    /// The connection ends before the last piece.
    pub(crate) cut: bool,
}

impl Reply {
    pub(crate) fn json(text: &str) -> Self {
        Self::new(200, "application/json", text.as_bytes())
    }

    pub(crate) fn new(status: u16, content_type: &'static str, body: &[u8]) -> Self {
        Self { status, content_type, pieces: vec![body.to_vec()], cut: false }
    }
}

type Answer = dyn Fn(&Asked) -> Reply + Send + Sync;

/// A running server.
pub(crate) struct Mock {
    pub(crate) address: String,
    pub(crate) asked: Arc<Mutex<Vec<Asked>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Mock {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Mock {
    pub(crate) async fn start(answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = format!("http://{}", listener.local_addr().expect("bound"));
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let (answer, seen): (Arc<Answer>, _) = (Arc::new(answer), Arc::clone(&asked));
        let task = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(serve(socket, Arc::clone(&answer), Arc::clone(&seen)));
            }
        });
        Self { address, asked, task }
    }

    /// Paths with parameters of all requests so far.
    pub(crate) fn targets(&self) -> Vec<String> {
        self.asked.lock().expect("no panic holds the lock").iter().map(|a| a.target.clone()).collect()
    }
}

async fn serve(mut socket: TcpStream, answer: Arc<Answer>, seen: Arc<Mutex<Vec<Asked>>>) {
    let mut buffer = Vec::new();
    while let Some(asked) = request(&mut socket, &mut buffer).await {
        seen.lock().expect("no panic holds the lock").push(asked.clone());
        let reply = answer(&asked);
        let head = format!(
            "HTTP/1.1 {} X\r\ncontent-type: {}\r\ntransfer-encoding: chunked\r\n\r\n",
            reply.status, reply.content_type
        );
        let mut sent = socket.write_all(head.as_bytes()).await;
        let last = reply.pieces.len().saturating_sub(1);
        for (i, piece) in reply.pieces.iter().enumerate() {
            if reply.cut && i == last {
                return;
            }
            if !piece.is_empty() && sent.is_ok() {
                let chunk = [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat();
                sent = socket.write_all(&chunk).await;
                tokio::task::yield_now().await;
            }
        }
        if sent.is_err() || socket.write_all(b"0\r\n\r\n").await.is_err() {
            return;
        }
    }
}

async fn request(socket: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Asked> {
    loop {
        if let Some(end) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
            });
            let whole = end + 4 + length.unwrap_or(0);
            if buffer.len() >= whole {
                let body = buffer[end + 4..whole].to_vec();
                buffer.drain(..whole);
                let mut words = head.split_whitespace();
                return Some(Asked {
                    method: words.next()?.to_owned(),
                    target: words.next()?.to_owned(),
                    head: head.to_ascii_lowercase(),
                    body,
                });
            }
        }
        if socket.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}
