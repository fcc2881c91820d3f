//! What stands before every request: the limit, the password; and the headers of every answer.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use axum::{
    body::Body,
    extract::{ConnectInfo, Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::{auth::Passwords, config::WebConfig, limit::Limiter, listener::Peer, reload::Reloaded};

/// Who gets in.
#[derive(Debug)]
pub(super) struct Guard {
    reloaded: Arc<Reloaded>,
    passwords: Passwords,
    /// The limiter of the configuration as it is.
    limiter: Mutex<Option<Limiter>>,
}

impl Guard {
    pub(super) fn new(reloaded: Arc<Reloaded>) -> anyhow::Result<Self> {
        Ok(Self { reloaded, passwords: Passwords::new()?, limiter: Mutex::default() })
    }

    fn allows(&self, config: &WebConfig) -> bool {
        let now = Instant::now();
        let mut limiter = self.limiter.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(limit) = config.rate_limit else {
            *limiter = None;
            return true;
        };
        if limiter.as_ref().is_none_or(|l| !l.is(limit)) {
            *limiter = Some(Limiter::new(limit, now));
        }
        limiter.as_ref().is_none_or(|l| l.allows(now))
    }
}

/// Lets a request pass, or answers it.
pub(super) async fn pass(State(guard): State<Arc<Guard>>, mut request: Request, next: Next) -> Response {
    let config = guard.reloaded.get().config;
    let mut response = if !guard.allows(&config) {
        refused(StatusCode::TOO_MANY_REQUESTS, "Too Many Requests\n")
    } else if !config.users.is_empty()
        && !guard.passwords.admits(&config, request.headers().get(header::AUTHORIZATION)).await
    {
        let mut response = refused(StatusCode::UNAUTHORIZED, "Unauthorized\n");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic"));
        response
    } else {
        let peer = request.extensions().get::<ConnectInfo<Peer>>();
        if let Some(certificate) = peer.and_then(|peer| peer.0.certificate.clone()) {
            request.extensions_mut().insert(certificate);
        }
        next.run(request).await
    };
    for (name, value) in &config.headers {
        response.headers_mut().insert(name, value.clone());
    }
    response
}

fn refused(status: StatusCode, text: &'static str) -> Response {
    let headers =
        [(header::CONTENT_TYPE, "text/plain; charset=utf-8"), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")];
    (status, headers, Body::from(text)).into_response()
}
