//! Errors of the API: type, status, text.

use axum::{
    body::Body,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};

use super::json;
use crate::error::{Error, ErrorKind};

/// An error as the API reports it.
#[derive(Debug)]
pub(super) struct ApiError {
    kind: ApiErrorKind,
    message: String,
}

/// `errorType` of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ApiErrorKind {
    BadData,
    Execution,
    Canceled,
    Timeout,
    Unavailable,
    NotFound,
    Internal,
}

impl ApiErrorKind {
    fn name(self) -> &'static str {
        match self {
            Self::BadData => "bad_data",
            Self::Execution => "execution",
            Self::Canceled => "canceled",
            Self::Timeout => "timeout",
            Self::Unavailable => "unavailable",
            Self::NotFound => "not_found",
            Self::Internal => "internal",
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Self::BadData => StatusCode::BAD_REQUEST,
            Self::Execution => StatusCode::UNPROCESSABLE_ENTITY,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Canceled | Self::Timeout | Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl ApiError {
    /// A wrong parameter.
    pub(super) fn bad_data(message: impl Into<String>) -> Self {
        Self { kind: ApiErrorKind::BadData, message: message.into() }
    }

    /// The server takes no more work now.
    pub(super) fn unavailable(message: impl Into<String>) -> Self {
        Self { kind: ApiErrorKind::Unavailable, message: message.into() }
    }

    /// What a request names is not there.
    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self { kind: ApiErrorKind::NotFound, message: message.into() }
    }

    /// What upstream reports as a failure of the server.
    pub(super) fn internal(message: impl Into<String>) -> Self {
        Self { kind: ApiErrorKind::Internal, message: message.into() }
    }

    /// A call for something else than series that failed.
    pub(super) fn beside_series(what: &str, e: &Error) -> Self {
        let kind = match e.kind() {
            ErrorKind::Cancelled => ApiErrorKind::Canceled,
            ErrorKind::Timeout => ApiErrorKind::Timeout,
            _ => ApiErrorKind::Internal,
        };
        Self { kind, message: format!("{what}: {}", e.message()) }
    }

    /// A query that was not let in.
    pub(super) fn admission(e: &Error) -> Self {
        // Compat: the texts of promql/engine.go.
        let (kind, message) = match e.kind() {
            ErrorKind::Unavailable => return Self::unavailable(e.message()),
            ErrorKind::Cancelled => (ApiErrorKind::Canceled, "query was canceled in query queue"),
            ErrorKind::Timeout => (ApiErrorKind::Timeout, "query timed out in query queue"),
            _ => return Self::execution(e),
        };
        Self { kind, message: message.to_owned() }
    }

    /// A query or select that failed while it ran.
    ///
    /// Compat: a failing query is 422 whatever failed, 503 when it was cancelled or timed out
    /// (thanos `pkg/api/query/v1.go`).
    pub(super) fn execution(e: &Error) -> Self {
        let kind = match e.kind() {
            ErrorKind::Cancelled => ApiErrorKind::Canceled,
            ErrorKind::Timeout => ApiErrorKind::Timeout,
            _ => ApiErrorKind::Execution,
        };
        Self { kind, message: e.message().to_owned() }
    }

    /// What went wrong.
    pub(super) fn message(&self) -> &str {
        &self.message
    }

    pub(super) fn into_response(self) -> Response {
        let mut out = String::from(r#"{"status":"error","errorType":"#);
        json::text(&mut out, self.kind.name());
        out.push_str(r#","error":"#);
        json::html_safe_text(&mut out, &self.message);
        out.push('}');
        let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
        (self.kind.status(), headers, Body::from(out)).into_response()
    }
}
