//! Sending a batch of spans, over HTTP or gRPC.

use std::{io::Write, pin::Pin};

use anyhow::{Context as _, Result};
use axum::body::HttpBody as _;
use flate2::{Compression, write::GzEncoder};
use reqwest::{
    Client, Method,
    header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, TE},
};
use thanoslib::tls::{ClientTls, ClientTlsSettings, TlsVersion};
use tokio_rustls::rustls::ClientConfig;

use super::config::{Config, Tls};

/// Most bytes of an answer that are read.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// What sends batches to one collector.
#[derive(Debug)]
pub(super) struct Sender {
    client: Client,
    url: String,
    grpc: bool,
    gzip: bool,
}

/// Why a batch was not taken.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) why: String,
    /// It may be taken later.
    pub(super) again: bool,
}

impl Sender {
    /// # Errors
    /// Which key of the configuration is wrong.
    pub(super) fn new(config: &Config) -> Result<Self> {
        let mut headers = HeaderMap::new();
        for (name, value) in &config.headers {
            let named = || format!("config.headers.{name}");
            let header: HeaderName = name.parse().with_context(named)?;
            headers.insert(header, HeaderValue::from_str(value).with_context(named)?);
        }
        let builder = Client::builder()
            .timeout(config.timeout)
            .default_headers(headers)
            .no_proxy()
            .tls_backend_preconfigured(tls(&config.tls, config.grpc)?);
        let builder = match (config.grpc, config.url.starts_with("http:")) {
            (true, true) => builder.http2_prior_knowledge(),
            _ => builder,
        };
        let client = builder.build().context("HTTP client")?;
        Ok(Self { client, url: config.url.clone(), grpc: config.grpc, gzip: config.gzip })
    }

    /// Sends one request of spans.
    pub(super) async fn send(&self, message: &[u8]) -> Result<(), Refused> {
        let lost = |e: reqwest::Error| Refused { why: chain(&e), again: true };
        let body = if self.gzip { compressed(message) } else { message.to_vec() };
        let request = self.client.request(Method::POST, &self.url);
        if !self.grpc {
            let request = request.header(CONTENT_TYPE, "application/x-protobuf");
            let request = if self.gzip { request.header(CONTENT_ENCODING, "gzip") } else { request };
            let status = request.body(body).send().await.map_err(lost)?.status();
            let again = matches!(status.as_u16(), 429 | 502 | 503 | 504);
            return match status.is_success() {
                true => Ok(()),
                false => Err(Refused { why: format!("status {status}"), again }),
            };
        }
        let mut frame = vec![u8::from(self.gzip)];
        frame.extend_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes());
        frame.extend_from_slice(&body);
        let request = request.header(CONTENT_TYPE, "application/grpc").header(TE, "trailers");
        let request = if self.gzip { request.header("grpc-encoding", "gzip") } else { request };
        let response = request.body(frame).send().await.map_err(lost)?;
        if !response.status().is_success() {
            return Err(Refused { why: format!("status {}", response.status()), again: true });
        }
        let (head, mut body) = axum::http::Response::<reqwest::Body>::from(response).into_parts();
        let (mut headers, mut read) = (head.headers, 0);
        while let Some(frame) = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            let frame = frame.map_err(lost)?;
            read += frame.data_ref().map_or(0, |data| data.len());
            if let Ok(trailers) = frame.into_trailers() {
                headers.extend(trailers);
            }
            if read > ANSWER_BYTES_MAX {
                return Err(Refused { why: "the answer is too long".to_owned(), again: false });
            }
        }
        let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default();
        match text("grpc-status") {
            "0" => Ok(()),
            // Cancelled, deadline exceeded, resource exhausted, aborted, out of range, unavailable, data loss.
            code => Err(Refused {
                why: format!("gRPC code {code}: {}", text("grpc-message")),
                again: matches!(code, "1" | "4" | "8" | "10" | "11" | "14" | "15"),
            }),
        }
    }
}

/// An error with what lies behind it.
fn chain(e: &dyn std::error::Error) -> String {
    let mut text = e.to_string();
    let mut source = e.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

fn compressed(message: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    // Writing to a vector does not fail.
    let _ = encoder.write_all(message);
    encoder.finish().unwrap_or_default()
}

fn tls(tls: &Tls, grpc: bool) -> Result<ClientConfig> {
    let settings = ClientTlsSettings {
        ca_file: tls.ca_file.clone(),
        cert_file: tls.cert_file.clone(),
        key_file: tls.key_file.clone(),
        server_name: Some(tls.server_name.clone()).filter(|name| !name.is_empty()),
        insecure_skip_verify: tls.insecure_skip_verify,
        min_version: TlsVersion::Tls12,
    };
    let protocols: &[&str] = if grpc { &["h2"] } else { &["h2", "http/1.1"] };
    let made = ClientTls::new(settings, protocols).context("config.tls_config")?;
    Ok(ClientConfig::clone(&made.config()))
}
