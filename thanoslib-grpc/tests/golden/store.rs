//! The store gateway: `grpc/store.jsonl` of `query` and of `query_seams`, over the blocks beside.

use std::{path::Path, sync::Arc};

use bytes::Bytes;
use serde_json::Value;
use thanoslib::{
    context::Context,
    model::Labels,
    store::{BlockSet, FolderSource, Store},
    testing::golden::{Golden, Suite, Verdict},
};
use thanoslib_grpc::{
    server::{Services, Settings, TransportSettings, transport},
    tonic::{
        Code,
        service::Routes,
        transport::{Channel, Endpoint},
    },
};
use tokio::{net::TcpListener, runtime::Runtime};
use tokio_stream::wrappers::TcpListenerStream;

use super::{call, compare};

pub(crate) fn run(golden: &mut Golden) {
    let runtime = Runtime::new().expect("a runtime");
    for area in ["query", "query_seams"] {
        let bucket = golden.root().join(area).join("bucket");
        let server = bucket.is_dir().then(|| runtime.block_on(serve(&bucket)));
        golden.run(&Suite {
            label: &format!("{area}/grpc"),
            path: &format!("{area}/grpc/store.jsonl"),
            inputs: &["id", "component", "method", "note", "request_metadata", "request_hex"],
            expected: &["n_responses", "responses_hex", "trailers_only", "code", "code_name", "message"],
            ignored: &[
                ("request_json", "the same as request_hex"),
                ("deterministic", "tells whether two recordings agreed"),
            ],
            rows: None,
            check: &|_, row| {
                let server = server.as_ref().ok_or("the bucket is missing")?;
                // The recording of seams does not tell how answers without frames end.
                runtime.block_on(check(server, row, area == "query"))
            },
        });
    }
}

/// A running server.
struct Server {
    channel: Channel,
    routes: Routes,
}

async fn serve(bucket: &Path) -> Server {
    let services = Services::new(store_over(bucket).await, Settings::default());
    let (routes, readiness) = services.build().await.expect("services");
    readiness.set(true).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let server = transport(&TransportSettings::default()).add_routes(routes.clone());
    // The runtime ends the server when the run is over.
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address");
    Server { channel: endpoint.connect().await.expect("the server listens"), routes }
}

async fn store_over(bucket: &Path) -> Arc<dyn Store> {
    let source = FolderSource::new(bucket, Labels::empty()).expect("the bucket is a folder");
    let blocks = BlockSet::new("bucket", Arc::new(source));
    let report = blocks.sync(&Context::default()).await.expect("the bucket can be listed");
    assert!(report.gaps.is_empty(), "{:?}", report.gaps);
    Arc::new(blocks)
}

async fn check(server: &Server, row: &Value, tells_trailers: bool) -> Verdict {
    let method = row["method"].as_str().ok_or("no method")?;
    let request = unhex(&row["request_hex"])?;
    let got = if row["note"] == "client deadline 1us" {
        call::call_before(&server.routes, method, request, "1u").await
    } else {
        call::call(&server.channel, method, request).await
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
    if tells_trailers && !by_client && trailers_only != got.trailers_only {
        return differ("trailers_only", &got.trailers_only);
    }
    if !got.header.is_empty() || !got.trailer.is_empty() {
        return Err(format!("metadata that Thanos does not send: {:?} {:?}", got.header, got.trailer));
    }
    if row["n_responses"] != got.frames.len() {
        return differ("n_responses", &got.frames.len());
    }
    let want = row["responses_hex"].as_array().ok_or("no responses")?;
    if want.len() != got.frames.len() {
        return differ("responses_hex", &got.frames.len());
    }
    for (i, (got, want)) in got.frames.iter().zip(want).enumerate() {
        compare::message(method, got, &unhex(want)?).map_err(|e| format!("response {i}: {e}"))?;
    }
    Ok(())
}

fn unhex(hex: &Value) -> Result<Bytes, String> {
    let hex = hex.as_str().ok_or("not a string")?;
    let pairs = hex.as_bytes().chunks(2);
    let byte = |pair: &[u8]| {
        let text = std::str::from_utf8(pair).ok().filter(|t| t.len() == 2);
        text.and_then(|t| u8::from_str_radix(t, 16).ok()).ok_or_else(|| format!("not hex: {hex}"))
    };
    pairs.map(byte).collect::<Result<Vec<u8>, String>>().map(Bytes::from)
}
