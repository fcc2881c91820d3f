//! Bodies that show whether bytes still flow.
//!
//! Invariant: passes every byte on unchanged.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use object_store::client::{HttpError, HttpErrorKind, HttpRequestBody};
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, Sleep, sleep_until},
};

/// The connection takes a body in pieces of this size, so that each shows progress.
const PIECE_BYTES: usize = 64 * 1024;

/// When the connection last took bytes of a request.
#[derive(Debug)]
pub(super) struct Progress(Mutex<Instant>);

impl Progress {
    pub(super) fn now() -> Arc<Self> {
        Arc::new(Self(Mutex::new(Instant::now())))
    }

    pub(super) fn last(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn moved(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }
}

/// A request's body that notes each piece the connection takes.
#[derive(Debug)]
pub(super) struct Upload {
    inner: HttpRequestBody,
    rest: Bytes,
    left: u64,
    progress: Arc<Progress>,
}

impl Upload {
    pub(super) fn new(inner: HttpRequestBody, progress: Arc<Progress>) -> Self {
        let left = inner.content_length() as u64;
        Self { inner, rest: Bytes::new(), left, progress }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        while self.rest.is_empty() {
            match ready!(Pin::new(&mut self.inner).poll_frame(cx)) {
                None => return Poll::Ready(None),
                Some(Err(e)) => return Poll::Ready(Some(Err(e))),
                // Anything but data would be trailers, which no request has.
                Some(Ok(frame)) => self.rest = frame.into_data().unwrap_or_default(),
            }
        }
        self.progress.moved();
        let piece = self.rest.len().min(PIECE_BYTES);
        self.left = self.left.saturating_sub(piece as u64);
        let piece = self.rest.split_to(piece);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// A response's body that fails when the server sends nothing for a while.
#[derive(Debug)]
pub(super) struct Download {
    inner: reqwest::Body,
    silence_max: Option<Duration>,
    timer: Option<Pin<Box<Sleep>>>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Download {
    pub(super) fn new(
        inner: reqwest::Body,
        silence_max: Option<Duration>,
        permit: Option<OwnedSemaphorePermit>,
    ) -> Self {
        Self { inner, silence_max, timer: None, _permit: permit }
    }
}

impl Body for Download {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        if let Poll::Ready(item) = Pin::new(&mut self.inner).poll_frame(cx) {
            self.timer = None;
            return Poll::Ready(item.map(|frame| frame.map_err(http_error)));
        }
        let Some(silence_max) = self.silence_max else { return Poll::Pending };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + silence_max)));
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(Some(Err(silent(silence_max))))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// The error of a server that has sent nothing for `limit`.
pub(super) fn silent(limit: Duration) -> HttpError {
    let e = std::io::Error::new(
        std::io::ErrorKind::TimedOut,
        format!("the server has sent nothing for {limit:?}"),
    );
    HttpError::new(HttpErrorKind::Timeout, e)
}

/// Tells the caller of a failed request whether another try may help.
pub(super) fn http_error(e: reqwest::Error) -> HttpError {
    let kind = if e.is_timeout() {
        HttpErrorKind::Timeout
    } else if e.is_connect() {
        HttpErrorKind::Connect
    } else if e.is_decode() {
        HttpErrorKind::Decode
    } else if e.is_request() || e.is_body() {
        HttpErrorKind::Interrupted
    } else {
        HttpErrorKind::Unknown
    };
    HttpError::new(kind, e.without_url())
}
