//! The connection to a server.

use std::{path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url, header};
use serde::de::DeserializeOwned;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{config::HttpClientConfig, json};
use crate::{
    context::Context,
    error::{Error, ErrorKind, Result},
};

pub(crate) use json::Answer;

/// Name that the client gives itself.
const USER_AGENT: &str = concat!("Thanos/", env!("CARGO_PKG_VERSION"), " (thanoslib)");
/// Bytes of a failed answer that go into the error.
const ERROR_BYTES_MAX: usize = 64 << 10;

/// A connection to the HTTP API of a Prometheus; cheap to clone.
///
/// It needs no process-wide TLS provider. Paths are put behind that of the base address.
///
/// ```
/// use thanoslib::store::prometheus::{HttpClientConfig, PrometheusClient};
/// let client = PrometheusClient::new("http://localhost:9090/prom/", &HttpClientConfig::default())?;
/// assert_eq!(client.address(), "http://localhost:9090/prom");
/// assert!(PrometheusClient::new("localhost:9090", &HttpClientConfig::default()).is_err());
/// # Ok::<(), thanoslib::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct PrometheusClient(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    base: Url,
    http: reqwest::Client,
    config: HttpClientConfig,
    head_timeout: Option<Duration>,
    slots: Option<Arc<Semaphore>>,
}

/// An answer whose body is not read yet, and the place that it holds among the connections.
#[derive(Debug)]
pub(crate) struct Incoming {
    response: Response,
    _slot: Option<OwnedSemaphorePermit>,
}

impl PrometheusClient {
    /// A client of the server at `base`, such as `http://localhost:9090`; certificates are read now.
    ///
    /// # Errors
    /// `Invalid` for an address that is no `http` or `https` URL, and for unusable certificates.
    pub fn new(base: &str, config: &HttpClientConfig) -> Result<Self> {
        let mut url = Url::parse(base).map_err(|e| Error::invalid(format!("bad address {base:?}: {e}")))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(Error::invalid(format!(
                "bad address {base:?}: want http://host:port or https://host:port"
            )));
        }
        url.set_query(None);
        url.set_fragment(None);
        let transport = &config.transport_config;
        let mut builder = reqwest::Client::builder()
            .user_agent(USER_AGENT)
            .tls_backend_preconfigured(config.tls().config()?)
            .pool_max_idle_per_host(transport.idle_conns())
            .pool_idle_timeout(positive(transport.idle_conn_timeout));
        if let Some(timeout) = transport.connect_timeout() {
            builder = builder.connect_timeout(timeout);
        }
        if !config.proxy_url.is_empty() {
            let proxy = reqwest::Proxy::all(&config.proxy_url)
                .map_err(|e| Error::invalid(format!("proxy_url: {e}")))?;
            builder = builder.proxy(proxy);
        }
        let http = builder.build().map_err(|e| Error::invalid("HTTP client").with_source(e))?;
        let slots = transport.max_conns_per_host;
        Ok(Self(Arc::new(Inner {
            base: url,
            http,
            config: config.clone(),
            head_timeout: positive(transport.response_header_timeout),
            slots: (slots > 0).then(|| Arc::new(Semaphore::new(slots.min(Semaphore::MAX_PERMITS)))),
        })))
    }

    /// The address of the server, without credentials and slash at the end.
    pub fn address(&self) -> String {
        let mut shown = self.0.base.clone();
        // Only addresses without a host refuse this, and they were refused before.
        let _ = shown.set_username("").and_then(|()| shown.set_password(None));
        shown.as_str().trim_end_matches('/').to_owned()
    }

    /// The address of a path with parameters, which go out in the order given.
    fn url(&self, path: &[&str], params: &[(&str, String)]) -> Result<Url> {
        let mut url = self.0.base.clone();
        {
            let mut segments =
                url.path_segments_mut().map_err(|()| Error::internal("an http address has a path"))?;
            segments.pop_if_empty().extend(path);
        }
        if !params.is_empty() {
            url.query_pairs_mut().extend_pairs(params.iter().map(|(name, value)| (name, value.as_str())));
        }
        Ok(url)
    }

    /// Asks for data of the API at `path`, such as `["api", "v1", "rules"]`.
    ///
    /// # Errors
    /// What the status of a failed answer says; `Unavailable` when the server is not reached.
    pub(crate) async fn get<T: DeserializeOwned + Default>(
        &self,
        ctx: &Context,
        path: &[&str],
        params: &[(&str, String)],
    ) -> Result<Answer<T>> {
        let incoming = self.send(ctx, Method::GET, path, params, |r| r).await?;
        if incoming.status() == StatusCode::NO_CONTENT {
            return Ok(Answer::default());
        }
        let incoming = incoming.success(ctx).await?;
        let mut body = Vec::new();
        // What is parsed is charged by whoever keeps it.
        let mut lease = ctx.budget().reserve(0)?;
        incoming
            .each(ctx, |piece| {
                lease.grow(piece.len() as u64)?;
                body.extend_from_slice(&piece);
                Ok(true)
            })
            .await?;
        json::parse(&body)
    }

    /// Sends a request and awaits the head of the answer.
    ///
    /// # Errors
    /// `Unavailable` when the server is not reached, and the errors of `ctx`.
    pub(crate) async fn send(
        &self,
        ctx: &Context,
        method: Method,
        path: &[&str],
        params: &[(&str, String)],
        make: impl FnOnce(RequestBuilder) -> RequestBuilder + Send,
    ) -> Result<Incoming> {
        let url = self.url(path, params)?;
        let asked = format!("perform {method} request against {}", self.shown(&url));
        let request = make(self.authorized(self.0.http.request(method, url))?);
        let work = async {
            let slot = match &self.0.slots {
                Some(slots) => Arc::clone(slots).acquire_owned().await.ok(),
                None => None,
            };
            let sent = request.send();
            let response = match self.0.head_timeout {
                None => sent.await,
                Some(limit) => tokio::time::timeout(limit, sent).await.map_err(|_| {
                    Error::unavailable(format!("{asked}: no answer within {} ms", limit.as_millis()))
                })?,
            };
            let response = response.map_err(|e| unreachable(&asked, e))?;
            Ok(Incoming { response, _slot: slot })
        };
        ctx.run(work).await
    }

    /// Secrets in files are read anew for each request, so that they can change.
    fn authorized(&self, request: RequestBuilder) -> Result<RequestBuilder> {
        let config = &self.0.config;
        let auth = &config.basic_auth;
        if !config.bearer_token.0.is_empty() {
            return Ok(request.bearer_auth(&config.bearer_token.0));
        }
        if !config.bearer_token_file.as_os_str().is_empty() {
            return Ok(request.bearer_auth(secret(&config.bearer_token_file)?));
        }
        if !auth.password_file.as_os_str().is_empty() {
            return Ok(request.basic_auth(&auth.username, Some(secret(&auth.password_file)?)));
        }
        if !auth.username.is_empty() || !auth.password.0.is_empty() {
            return Ok(request.basic_auth(&auth.username, Some(&auth.password.0)));
        }
        Ok(request)
    }

    fn shown(&self, url: &Url) -> String {
        let mut shown = url.clone();
        // As in `address`.
        let _ = shown.set_username("").and_then(|()| shown.set_password(None));
        shown.to_string()
    }
}

impl Incoming {
    pub(crate) fn status(&self) -> StatusCode {
        self.response.status()
    }

    pub(crate) fn content_type(&self) -> &str {
        let value = self.response.headers().get(header::CONTENT_TYPE);
        value.and_then(|v| v.to_str().ok()).unwrap_or_default()
    }

    /// The next piece of the body.
    pub(crate) async fn piece(&mut self, ctx: &Context) -> Result<Option<Bytes>> {
        ctx.run(self.next_piece()).await
    }

    /// The same for callers that look after the context themselves. Nothing is lost when it is dropped.
    pub(crate) async fn next_piece(&mut self) -> Result<Option<Bytes>> {
        self.response.chunk().await.map_err(|e| unreachable("read body", e))
    }

    /// Hands every piece of the body on until it says that it has enough.
    pub(crate) async fn each(
        mut self,
        ctx: &Context,
        mut take: impl FnMut(Bytes) -> Result<bool> + Send,
    ) -> Result<()> {
        while let Some(piece) = self.piece(ctx).await? {
            if !take(piece)? {
                break;
            }
        }
        Ok(())
    }

    /// The same answer if it is one of success.
    ///
    /// # Errors
    /// What the status says, with the body.
    pub(crate) async fn success(self, ctx: &Context) -> Result<Self> {
        let status = self.status();
        if status.is_success() {
            return Ok(self);
        }
        let body = self.error_body(ctx).await;
        // Compat: the words of Thanos, which its own queriers show (`pkg/promclient/promclient.go`).
        let message = format!("expected 2xx response, got {}. Body: {body}", status.as_u16());
        Err(Error::new(json::kind(status.as_u16()), message))
    }

    /// What a failed answer says, as far as it can be read.
    pub(crate) async fn error_body(self, ctx: &Context) -> String {
        let mut body = Vec::new();
        let read = self.each(ctx, |piece| {
            let room = ERROR_BYTES_MAX - body.len();
            body.extend_from_slice(piece.get(..room.min(piece.len())).unwrap_or_default());
            Ok(body.len() < ERROR_BYTES_MAX)
        });
        if let Err(e) = read.await {
            return format!("(cannot be read: {e})");
        }
        String::from_utf8_lossy(&body).into_owned()
    }
}

/// Greatest time of the API in whole seconds; beyond it a server overflows and finds nothing.
const MAX_TIME_MS: i64 = 9_223_309_901_257_974_000;

/// A time in ms as a parameter: seconds, with as many decimals as are needed.
pub(crate) fn seconds(t_ms: i64) -> String {
    (t_ms.clamp(-MAX_TIME_MS, MAX_TIME_MS) as f64 / 1000.0).to_string()
}

fn positive(time: Duration) -> Option<Duration> {
    (!time.is_zero()).then_some(time)
}

fn secret(path: &Path) -> Result<String> {
    let text = std::fs::read_to_string(path)
        .map_err(|e| Error::new(ErrorKind::Denied, format!("cannot read {}: {e}", path.display())))?;
    Ok(text.trim().to_owned())
}

/// The causes of a failed exchange; the address stands in front already.
fn unreachable(asked: &str, e: reqwest::Error) -> Error {
    let e = e.without_url();
    let mut text = format!("{asked}: {e}");
    let mut cause = std::error::Error::source(&e);
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    Error::unavailable(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_keep_their_path_and_parameters_their_order() {
        let check = |base: &str, path: &[&str], params: &[(&str, &str)], want: &str| {
            let client = PrometheusClient::new(base, &HttpClientConfig::default()).expect("an address");
            let params: Vec<_> = params.iter().map(|(n, v)| (*n, (*v).to_owned())).collect();
            assert_eq!(client.url(path, &params).expect("an address").as_str(), want);
        };
        check("http://h:9090", &["api", "v1", "read"], &[], "http://h:9090/api/v1/read");
        check("http://h/prom", &["-", "reload"], &[], "http://h/prom/-/reload");
        let params = [("end", "1"), ("match[]", "{a=\"b c\"}")];
        check(
            "http://h/prom/",
            &["metrics"],
            &params,
            "http://h/prom/metrics?end=1&match%5B%5D=%7Ba%3D%22b+c%22%7D",
        );
        check("http://h?x=1", &["label", "a/b?c", "values"], &[], "http://h/label/a%2Fb%3Fc/values");
        for bad in ["", "h:9090", "ftp://h", "http://"] {
            assert!(PrometheusClient::new(bad, &HttpClientConfig::default()).is_err(), "{bad:?}");
        }
        let client =
            PrometheusClient::new("http://u:p@h:1/", &HttpClientConfig::default()).expect("an address");
        assert_eq!(client.address(), "http://h:1");
    }

    #[test]
    fn times_are_seconds() {
        let check = |t_ms: i64, want: &str| assert_eq!(seconds(t_ms), want);
        check(1_700_013_600_000, "1700013600");
        check(1_500, "1.5");
        check(i64::MAX, "9223309901257974");
        check(i64::MIN, "-9223309901257974");
        check(0, "0");
        check(-1, "-0.001");
    }
}
