//! HTTP connections of a bucket, with the settings of Thanos' `http_config`.
//!
//! There is no limit on the whole of a request, so that a long upload ends when it ends;
//! what is limited is the time without progress.
//!
//! Invariant: each connector has its own client, TLS configuration and connections.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use object_store::{
    ClientConfigKey, ClientOptions,
    client::{
        HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody,
        HttpService,
    },
};
use tokio::{sync::Semaphore, time::sleep_until};

use super::body::{Download, Progress, Upload, http_error, silent};
use crate::{
    error::Result,
    tls::{ClientTlsSettings, TlsVersion},
};

/// Time to reach a server, before the TLS handshake.
const DIAL_TIMEOUT: Duration = Duration::from_secs(30);

/// How a bucket talks HTTP; the defaults are those of Thanos.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct HttpSettings {
    /// How long an unused connection is kept. Default: 90 s; zero keeps it forever.
    pub idle_timeout: Duration,
    /// How long a server may send nothing: after the last byte of a request went out and
    /// between the bytes of its answer. Default: 2 min; zero is no limit.
    pub response_timeout: Duration,
    /// Time for a TLS handshake, added to the 30 s for reaching the server. Default: 10 s.
    pub tls_handshake_timeout: Duration,
    /// Unused connections kept in all. Default: 100; zero is no limit.
    pub idle_conns_max: usize,
    /// Unused connections kept to one host. Default: 100; zero is 2.
    pub idle_conns_per_host_max: usize,
    /// Requests under way at a time. Default: 0, no limit.
    pub conns_per_host_max: usize,
    /// Certificates.
    pub tls: ClientTlsSettings,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            idle_timeout: Duration::from_secs(90),
            response_timeout: Duration::from_secs(120),
            tls_handshake_timeout: Duration::from_secs(10),
            idle_conns_max: 100,
            idle_conns_per_host_max: 100,
            conns_per_host_max: 0,
            tls: ClientTlsSettings { min_version: TlsVersion::Tls12, ..ClientTlsSettings::default() },
        }
    }
}

impl HttpSettings {
    /// A bucket has one host, so the smaller of both limits holds.
    fn idle_conns(&self) -> usize {
        let per_host = if self.idle_conns_per_host_max == 0 { 2 } else { self.idle_conns_per_host_max };
        if self.idle_conns_max == 0 { per_host } else { per_host.min(self.idle_conns_max) }
    }
}

/// Makes the HTTP clients of an object store of the `object_store` crate.
///
/// It needs no process-wide TLS provider, for plain `http` endpoints neither.
#[derive(Clone, Debug)]
pub(crate) struct Connector {
    settings: HttpSettings,
    tls: rustls::ClientConfig,
}

impl Connector {
    /// A connector; certificates are read now.
    ///
    /// # Errors
    /// `Invalid` for certificates or keys that cannot be read or do not fit.
    pub(crate) fn new(settings: &HttpSettings) -> Result<Self> {
        Ok(Self { settings: settings.clone(), tls: settings.tls.config()? })
    }

    /// The store asks for a shorter time where it probes a metadata server.
    fn connect_timeout(&self, options: &ClientOptions) -> Duration {
        let ours = DIAL_TIMEOUT.saturating_add(self.settings.tls_handshake_timeout);
        match options.get_config_value(&ClientConfigKey::ConnectTimeout).as_deref() {
            Some("1s") => Duration::from_secs(1),
            _ => ours,
        }
    }
}

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let http_allowed = options.get_config_value(&ClientConfigKey::AllowHttp).as_deref() == Some("true");
        let idle = self.settings.idle_timeout;
        let client = reqwest::Client::builder()
            .user_agent(concat!("thanoslib/", env!("CARGO_PKG_VERSION")))
            .tls_backend_preconfigured(self.tls.clone())
            .https_only(!http_allowed)
            .connect_timeout(self.connect_timeout(options))
            .pool_idle_timeout((!idle.is_zero()).then_some(idle))
            .pool_max_idle_per_host(self.settings.idle_conns())
            .build()
            .map_err(|e| object_store::Error::Generic { store: "HTTP", source: Box::new(e) })?;
        let silence = self.settings.response_timeout;
        let most = self.settings.conns_per_host_max;
        Ok(HttpClient::new(Service {
            client,
            silence_max: (!silence.is_zero()).then_some(silence),
            slots: (most > 0).then(|| Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)))),
        }))
    }
}

#[derive(Debug)]
struct Service {
    client: reqwest::Client,
    silence_max: Option<Duration>,
    slots: Option<Arc<Semaphore>>,
}

#[async_trait]
impl HttpService for Service {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let permit = match &self.slots {
            Some(slots) => Some(
                Arc::clone(slots)
                    .acquire_owned()
                    .await
                    .map_err(|e| HttpError::new(HttpErrorKind::Unknown, e))?,
            ),
            None => None,
        };
        let (parts, body) = request.into_parts();
        let url = reqwest::Url::parse(&parts.uri.to_string())
            .map_err(|e| HttpError::new(HttpErrorKind::Unknown, e))?;
        let progress = Progress::now();
        let mut request = reqwest::Request::new(parts.method, url);
        *request.headers_mut() = parts.headers;
        *request.body_mut() = Some(match body.content_length() {
            0 => reqwest::Body::from(bytes::Bytes::new()),
            _ => reqwest::Body::wrap(Upload::new(body, Arc::clone(&progress))),
        });
        let response = self.send(request, &progress).await?;
        let (parts, body) = http::Response::<reqwest::Body>::from(response).into_parts();
        let body = Download::new(body, self.silence_max, permit);
        Ok(HttpResponse::from_parts(parts, HttpResponseBody::new(body)))
    }
}

impl Service {
    /// Awaits the head of the response, as long as the request goes out or it is in time.
    async fn send(
        &self,
        request: reqwest::Request,
        progress: &Progress,
    ) -> Result<reqwest::Response, HttpError> {
        let sent = self.client.execute(request);
        let Some(silence_max) = self.silence_max else {
            return sent.await.map_err(http_error);
        };
        tokio::pin!(sent);
        loop {
            let end = progress.last() + silence_max;
            tokio::select! {
                biased;
                response = &mut sent => return response.map_err(http_error),
                () = sleep_until(end) => {
                    if progress.last() + silence_max <= end {
                        return Err(silent(silence_max));
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
