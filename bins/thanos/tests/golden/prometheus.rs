//! A Prometheus that answers as it was recorded.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use axum::{
    body::Bytes,
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::Value;
use thanoslib_grpc::testing::unhex;
use tokio::{net::TcpListener, task::JoinHandle};

/// What a request is told by: method and path, its parameters in order, and what it reads.
type Key = (String, Vec<(String, String)>, Vec<u8>);

type Answers = BTreeMap<Key, (u16, String, Bytes)>;

/// A Prometheus that answers as it was recorded, until it is dropped.
pub(crate) struct Prometheus {
    pub(crate) address: String,
    server: JoinHandle<()>,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Serves the recorded answers at an address.
pub(crate) async fn prometheus(recording: &Path, address: &str) -> Prometheus {
    let text = std::fs::read_to_string(recording).expect("the recording");
    let mut answers = Answers::new();
    for line in text.lines() {
        let row: Value = serde_json::from_str(line).expect("JSON");
        let (request, response) = (&row["request"], &row["response"]);
        let body = if request["body_hex"].is_null() {
            Bytes::new()
        } else {
            unhex(&request["body_hex"]).expect("hex")
        };
        let method = request["method"].as_str().expect("a method");
        let key = key(method, request["path"].as_str().expect("a path"), &body);
        let answer = match &response["body_text"] {
            Value::String(text) => Bytes::from(text.clone()),
            _ if response["body_hex"].is_null() => Bytes::new(),
            _ => unhex(&response["body_hex"]).expect("hex"),
        };
        let headers = response["headers"].as_object().expect("headers");
        let content_type = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        let content_type = content_type.and_then(|(_, v)| v.as_str()).unwrap_or_default().to_owned();
        let status = response["status"].as_u64().and_then(|s| u16::try_from(s).ok()).expect("a status");
        answers.insert(key, (status, content_type, answer));
    }
    // Asked by our sidecar alone: no series of that Prometheus has such labels.
    for name in ["cluster", "replica"] {
        let none = Bytes::from_static(br#"{"status":"success","data":[]}"#);
        let key = key("GET", &format!("/api/v1/label/{name}/values?limit=1"), &[]);
        answers.insert(key, (200, "application/json".to_owned(), none));
    }
    let listener = TcpListener::bind(address).await.expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    let router = axum::Router::new().fallback(answer).with_state(Arc::new(answers));
    let server = tokio::spawn(async move { axum::serve(listener, router).await.expect("serves") });
    Prometheus { address, server }
}

async fn answer(State(answers): State<Arc<Answers>>, request: Request) -> Response {
    let method = request.method().to_string();
    let path = request.uri().to_string();
    let body = axum::body::to_bytes(request.into_body(), 1 << 20).await.unwrap_or_default();
    let (method, params, body) = key(&method, &path, &body);
    let plain = |params: &[(String, String)]| answers.get(&(method.clone(), params.to_vec(), body.clone()));
    // Whether any series matches is asked with a limit here, which the recording did without.
    let unlimited: Vec<_> = params.iter().filter(|(name, _)| name != "limit").cloned().collect();
    match plain(&params).or_else(|| plain(&unlimited)) {
        Some((status, content_type, body)) => {
            let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let content_type =
                HeaderValue::from_str(content_type).unwrap_or(HeaderValue::from_static("text/plain"));
            (status, [(header::CONTENT_TYPE, content_type)], body.clone()).into_response()
        }
        None => {
            eprintln!("not recorded: {method} {path}");
            (StatusCode::NOT_FOUND, format!("not recorded: {method} {path}")).into_response()
        }
    }
}

/// Parameters in any order, and bodies by what they hold, are the same request.
fn key(method: &str, path: &str, body: &[u8]) -> Key {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let mut params: Vec<(String, String)> = query
        .split('&')
        .filter(|p| !p.is_empty())
        .map(|p| p.split_once('=').unwrap_or((p, "")))
        .map(|(name, value)| (decode(name), decode(value)))
        .collect();
    params.sort();
    let body = snap::raw::Decoder::new().decompress_vec(body).unwrap_or_else(|_| body.to_vec());
    (format!("{method} {}", decode(path)), params, body)
}

/// A part of an address without its escapes.
fn decode(text: &str) -> String {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(b) = bytes.next() {
        match b {
            b'+' => out.push(b' '),
            b'%' => {
                let hex: Vec<u8> = bytes.by_ref().take(2).collect();
                let hex = std::str::from_utf8(&hex).ok().and_then(|h| u8::from_str_radix(h, 16).ok());
                out.push(hex.unwrap_or(b'%'));
            }
            b => out.push(b),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
