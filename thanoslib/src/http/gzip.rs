//! Answers compressed with gzip, piece by piece.

use std::{
    io::Write,
    pin::Pin,
    task::{Context, Poll},
};

use axum::{
    body::{Body, Bytes, HttpBody},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use flate2::{Compression, write::GzEncoder};
use http_body::{Frame, SizeHint};

/// Shorter answers are not worth it.
const BYTES_MIN: u64 = 1024;
/// Bytes that are compressed before others have their turn.
const PIECE: usize = 64 << 10;

/// Compresses an answer if the client takes it so.
pub(super) fn compress(request: &HeaderMap, response: Response) -> Response {
    let whole = response.body().size_hint().exact();
    let empty = matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let is_set = response.headers().contains_key(header::CONTENT_ENCODING);
    if empty || is_set || whole.is_some_and(|n| n < BYTES_MIN) || !accepts(request) {
        return response;
    }
    let mut response = response.map(|body| Body::new(Gzip::new(body)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    headers.remove(header::CONTENT_LENGTH);
    response
}

/// True when `Accept-Encoding` names gzip with a weight above zero.
fn accepts(request: &HeaderMap) -> bool {
    let values = request.get_all(header::ACCEPT_ENCODING).iter().filter_map(|v| v.to_str().ok());
    values.flat_map(|v| v.split(',')).any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
        let weight = parts.find_map(|p| p.strip_prefix("q=").or(p.strip_prefix("Q=")));
        named && weight.is_none_or(|q| q.parse::<f64>().is_ok_and(|q| q > 0.0))
    })
}

/// A body, compressed while it is sent: at most 64 KiB of it at a time, quickly rather than well,
/// so that a long answer takes no thread from others.
struct Gzip {
    inner: Body,
    /// What is left of the last frame.
    rest: Bytes,
    /// `None` when the end was written.
    encoder: Option<GzEncoder<Vec<u8>>>,
    trailers: Option<HeaderMap>,
}

impl Gzip {
    fn new(inner: Body) -> Self {
        let encoder = GzEncoder::new(Vec::new(), Compression::fast());
        Self { inner, rest: Bytes::new(), encoder: Some(encoder), trailers: None }
    }
}

impl HttpBody for Gzip {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        let Some(encoder) = &mut this.encoder else {
            return Poll::Ready(this.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))));
        };
        while this.rest.is_empty() {
            match Pin::new(&mut this.inner).poll_frame(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Err(e))) => return Poll::Ready(Some(Err(e))),
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => this.rest = data,
                    Err(frame) => this.trailers = frame.into_trailers().ok(),
                },
                Poll::Ready(None) => {
                    let last = this.encoder.take().map(GzEncoder::finish);
                    return Poll::Ready(last.map(|last| match last {
                        Ok(bytes) => Ok(Frame::data(Bytes::from(bytes))),
                        Err(e) => Err(axum::Error::new(e)),
                    }));
                }
            }
        }
        let piece = this.rest.split_to(this.rest.len().min(PIECE));
        if let Err(e) = encoder.write_all(&piece) {
            return Poll::Ready(Some(Err(axum::Error::new(e))));
        }
        let made = std::mem::take(encoder.get_mut());
        if made.is_empty() {
            // Nothing to send yet; it goes on when others had their turn.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Some(Ok(Frame::data(Bytes::from(made)))))
    }

    fn is_end_stream(&self) -> bool {
        self.encoder.is_none() && self.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use axum::{body::to_bytes, response::IntoResponse};
    use futures::stream;

    use super::*;

    #[test]
    fn gzip_is_taken_when_it_is_named() {
        let check = |value: &str, want: bool| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, value.parse().expect("a header"));
            assert_eq!(accepts(&headers), want, "{value}");
        };
        check("gzip", true);
        check("deflate, GZIP;q=0.5, br", true);
        check("gzip;q=0", false);
        check("gzip; q=0.0", false);
        check("identity", false);
        check("*", false);
        assert!(!accepts(&HeaderMap::new()));
    }

    #[tokio::test]
    async fn long_answers_come_back_whole_whatever_their_pieces() {
        let mut request = HeaderMap::new();
        request.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        let text: Vec<u8> = (0..500_000u32).flat_map(|i| i.wrapping_mul(i).to_le_bytes()).collect();
        for piece in [1000, 70_000, text.len()] {
            let pieces: Vec<_> =
                text.chunks(piece).map(|p| Ok::<_, std::io::Error>(Bytes::copy_from_slice(p))).collect();
            let body = Body::from_stream(stream::iter(pieces));
            let answer = compress(&request, body.into_response());
            assert_eq!(answer.headers()[header::CONTENT_ENCODING], "gzip");
            let bytes = to_bytes(answer.into_body(), usize::MAX).await.expect("a body");
            let mut plain = Vec::new();
            flate2::read::GzDecoder::new(&bytes[..]).read_to_end(&mut plain).expect("gzip");
            assert!(plain == text, "pieces of {piece}");
        }
        let short = compress(&request, "x".repeat(1000).into_response());
        assert!(!short.headers().contains_key(header::CONTENT_ENCODING));
        let plain = compress(&HeaderMap::new(), "x".repeat(5000).into_response());
        assert!(!plain.headers().contains_key(header::CONTENT_ENCODING));
    }
}
