//! Requests over HTTP.

use std::{
    sync::PoisonError,
    time::{Instant, SystemTime},
};

use axum::{
    Router,
    extract::{ConnectInfo, Request, State},
    http::{HeaderMap, HeaderValue, header},
    middleware::{self, Next},
    response::Response,
};
use thanoslib::{
    http::{REQUEST_ID, handler_name},
    model::duration::{UnixTime, format_rfc3339},
};
use tracing::Level;

use super::{Requests, TRACE_ID, config::http_name};
use crate::web::Peer;

impl Requests {
    /// The routes of the API with what surrounds its requests.
    pub fn around_http(&self, router: Router) -> Router {
        router.layer(middleware::from_fn_with_state(self.clone(), pass))
    }

    /// The name of a request; one that has none gets one.
    fn name(&self, headers: &mut HeaderMap) -> String {
        let given = text(headers, REQUEST_ID).to_owned();
        if !given.is_empty() {
            return given;
        }
        let id = self.ids.lock().unwrap_or_else(PoisonError::into_inner).next_id().to_string();
        if let Ok(value) = HeaderValue::from_str(&id) {
            headers.insert(REQUEST_ID, value);
        }
        id
    }
}

async fn pass(State(requests): State<Requests>, mut request: Request, next: Next) -> Response {
    let Some(handler) = handler_name(request.uri().path()) else { return next.run(request).await };
    let id = requests.name(request.headers_mut());
    let path = request.uri().path().to_owned();
    let mut traced = requests.span(&path, request.headers_mut());
    if let Some((_, span)) = &mut traced {
        span.set("http.method", || request.method().clone());
        span.set("http.url", || request.uri().clone());
        span.set("http.request_id", || id.clone());
    }
    let rules = &requests.rules.http;
    let logged = || http_name(&request.uri().to_string(), port(request.headers()));
    let (starts, ends) = (rules.starts(logged), rules.ends(logged));
    let method = format!("{} {}", request.method(), request.uri());
    let (begun, remote) = (Instant::now(), remote(&request));
    let agent = text(request.headers(), header::USER_AGENT.as_str()).to_owned();
    if starts {
        tracing::debug!(
            http.start_time = %format_rfc3339(UnixTime::from_ms(now_ms())),
            http.method = method,
            http.request_id = id,
            http.user_agent = agent,
            thanos.method_name = handler,
            "started call"
        );
    }
    let mut response = next.run(request).await;
    let status = response.status().as_u16();
    if ends {
        let ms = begun.elapsed().as_secs_f64() * 1000.0;
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(
                    http.method = method,
                    http.request_id = id,
                    http.user_agent = agent,
                    http.status_code = status,
                    http.time_ms = ms,
                    http.remote_addr = remote,
                    thanos.method_name = handler,
                    "finished call"
                )
            };
        }
        // Compat: what the client did wrong is no error (thanos `pkg/logging/options.go`).
        match status {
            200..500 if rules.shows(Level::DEBUG) => line!(debug),
            200..500 => {}
            _ => line!(error),
        }
    }
    if let Some((id, mut span)) = traced {
        span.set("http.status_code", || status);
        if status >= 500 {
            span.fail(&format_args!("status {status}"));
        }
        if let Ok(value) = format!("{:032x}", id.trace).parse::<HeaderValue>() {
            response.headers_mut().insert(TRACE_ID, value);
        }
    }
    response
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default()
}

/// The port that a client asked for.
fn port(headers: &HeaderMap) -> Option<&str> {
    let (_, port) = text(headers, header::HOST.as_str()).rsplit_once(':')?;
    Some(port).filter(|p| p.bytes().all(|b| b.is_ascii_digit()))
}

/// Who asks: what a proxy says, or the other end of the connection.
fn remote(request: &Request) -> String {
    let forwarded = text(request.headers(), "x-forwarded-for");
    match request.extensions().get::<ConnectInfo<Peer>>() {
        Some(ConnectInfo(peer)) if forwarded.is_empty() => peer.address.to_string(),
        _ => forwarded.to_owned(),
    }
}
