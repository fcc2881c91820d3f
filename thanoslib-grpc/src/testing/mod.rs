//! Recorded gRPC calls, made again to a server.
//!
//! [`judge`] makes the call of one row and compares the answer; [`run`] does so with all rows of
//! a file. What a row looks like is told in the README of the recordings.
//!
//! Invariant: only tests name it.

mod call;
mod compare;

use bytes::Bytes;
use serde_json::Value;
use thanoslib::testing::golden::{Check, Golden, Suite, Verdict};
use tokio::runtime::Runtime;
use tonic::{
    Code,
    service::Routes,
    transport::{Channel, Endpoint},
};

pub use call::{Outcome, call, call_before};
pub use compare::answer;

/// A server that is judged.
#[derive(Clone, Debug)]
pub struct Target {
    /// The way to it.
    pub channel: Channel,
    /// Its services without a connection, for deadlines that no connection would meet; without
    /// them such rows are called over the channel.
    pub routes: Option<Routes>,
    /// False when the recording does not tell whether an answer was one header frame.
    pub tells_trailers: bool,
}

impl Target {
    /// The server at an address, host and port.
    ///
    /// # Panics
    /// When nobody listens there.
    pub async fn at(address: &str) -> Self {
        let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("host and port");
        let channel = endpoint.connect().await.expect("a server listens");
        Self { channel, routes: None, tells_trailers: true }
    }
}

/// Runs the rows of a recorded file against a server. The component's name in rows stays what it
/// was in the recording.
pub fn run(golden: &mut Golden, runtime: &Runtime, label: &str, path: &str, target: Option<&Target>) {
    run_with(golden, label, path, &|_, row| match target {
        Some(target) => runtime.block_on(judge(target, row)),
        None => Err("there is no server".to_owned()),
    });
}

/// Runs the rows of a recorded file, each judged by `check`.
pub fn run_with(golden: &mut Golden, label: &str, path: &str, check: &Check<'_>) {
    golden.run(&Suite {
        label,
        path,
        inputs: &["id", "component", "method", "note", "request_metadata", "request_hex"],
        expected: &["n_responses", "responses_hex", "trailers_only", "code", "code_name", "message"],
        ignored: &[
            ("request_json", "the same as request_hex"),
            ("deterministic", "tells whether two recordings agreed"),
        ],
        rows: None,
        check,
    });
}

/// Makes the call of one row.
///
/// # Errors
/// Where the answer differs.
pub async fn judge(target: &Target, row: &Value) -> Verdict {
    let method = row["method"].as_str().ok_or("no method")?;
    let request = unhex(&row["request_hex"])?;
    let got = match &target.routes {
        Some(routes) if row["note"] == "client deadline 1us" => {
            call_before(routes, method, request, "1u").await
        }
        _ => call(&target.channel, method, request).await,
    };
    let differ =
        |what: &str, got: &dyn std::fmt::Debug| Err(format!("{what}: got {got:?}, want {}", row[what]));
    if row["code"] != got.code as i32 {
        return Err(format!("code: got {:?} {:?}, want {}", got.code, got.message, row["code_name"]));
    }
    if row["code_name"] != got.code_name() {
        return differ("code_name", &got.code_name());
    }
    // The recording client ended this call itself, so words and frames are not the server's.
    let by_client = got.code == Code::DeadlineExceeded;
    let message = if by_client { "context deadline exceeded" } else { got.message.as_str() };
    if row["message"] != message {
        return differ("message", &message);
    }
    let trailers_only = row["trailers_only"].as_bool().unwrap_or_default();
    if target.tells_trailers && !by_client && trailers_only != got.trailers_only {
        return differ("trailers_only", &got.trailers_only);
    }
    if !got.header.is_empty() || !got.trailer.is_empty() {
        return Err(format!("metadata that Thanos does not send: {:?} {:?}", got.header, got.trailer));
    }
    let want = responses(row)?;
    if row["n_responses"] != want.len() {
        return Err(format!("n_responses: {} for {} responses", row["n_responses"], want.len()));
    }
    answer(method, &got.frames, &want)
}

/// The recorded messages of a row.
///
/// # Errors
/// What is not hexadecimal.
pub fn responses(row: &Value) -> Result<Vec<Bytes>, String> {
    row["responses_hex"].as_array().ok_or("no responses")?.iter().map(unhex).collect()
}

/// Bytes of a hexadecimal text.
///
/// # Errors
/// What is not hexadecimal.
pub fn unhex(hex: &Value) -> Result<Bytes, String> {
    let hex = hex.as_str().ok_or("not a string")?;
    let pairs = hex.as_bytes().chunks(2);
    let byte = |pair: &[u8]| {
        let text = std::str::from_utf8(pair).ok().filter(|t| t.len() == 2);
        text.and_then(|t| u8::from_str_radix(t, 16).ok()).ok_or_else(|| format!("not hex: {hex}"))
    };
    pairs.map(byte).collect::<Result<Vec<u8>, String>>().map(Bytes::from)
}
