//! A body whose messages are inflated or deflated on the way.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http_body::{Body, Frame};
use tonic::{Code, Status};

use super::{deflate, inflate};

/// Bytes of a flag and a length before each message.
const HEAD: usize = 5;

/// What is done to messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Inflate,
    Deflate,
}

/// A body with its messages rewritten.
#[derive(Debug)]
pub(crate) struct Recoded<B> {
    inner: B,
    direction: Direction,
    /// Longest message, in bytes.
    max: usize,
    read: BytesMut,
    /// What is sent once the messages before it are.
    trailers: Option<Frame<Bytes>>,
    ended: bool,
}

impl<B> Recoded<B> {
    pub(crate) fn new(inner: B, direction: Direction, max: usize) -> Self {
        Self { inner, direction, max, read: BytesMut::new(), trailers: None, ended: false }
    }

    /// Rewrites all messages that are complete.
    fn messages(&mut self) -> Result<Bytes, Status> {
        let mut out = BytesMut::new();
        while let Some(head) = self.read.first_chunk::<HEAD>() {
            let len = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
            if len > self.max {
                let (what, max) = ("grpc: received message larger than max", self.max);
                return Err(Status::new(Code::ResourceExhausted, format!("{what} ({len} vs. {max})")));
            }
            let (flag, len) = (head[0], len);
            if self.read.len() - HEAD < len {
                break;
            }
            self.read.advance(HEAD);
            let message = self.read.split_to(len);
            match (self.direction, flag) {
                (Direction::Inflate, 1) => {
                    let inflated = inflate(&message, self.max).map_err(|e| {
                        Status::internal(format!("grpc: failed to decompress the received message: {e}"))
                    })?;
                    put(&mut out, 0, &inflated);
                }
                (Direction::Deflate, 0) => {
                    let mut deflated = Vec::with_capacity(message.len() / 2);
                    deflate(&message, &mut deflated)
                        .map_err(|e| Status::internal(format!("grpc: error while compressing: {e}")))?;
                    put(&mut out, 1, &deflated);
                }
                _ => put(&mut out, flag, &message),
            }
        }
        Ok(out.freeze())
    }
}

fn put(out: &mut BytesMut, flag: u8, message: &[u8]) {
    out.reserve(HEAD + message.len());
    out.put_u8(flag);
    // Streams do not grow messages beyond what fits: inflated ones are limited, and deflated
    // ones that grow were far from it.
    out.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    out.put_slice(message);
}

impl<B> Body for Recoded<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        loop {
            if let Some(trailers) = self.trailers.take() {
                return Poll::Ready(Some(Ok(trailers)));
            }
            if self.ended {
                return Poll::Ready(None);
            }
            match ready!(Pin::new(&mut self.inner).poll_frame(cx)) {
                None => {
                    self.ended = true;
                    // A message that was cut short is for tonic to complain about.
                    if !self.read.is_empty() {
                        let rest = self.read.split().freeze();
                        return Poll::Ready(Some(Ok(Frame::data(rest))));
                    }
                }
                Some(Err(e)) => return Poll::Ready(Some(Err(e.into()))),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => {
                        self.read.put(data);
                        match self.messages() {
                            Ok(out) if out.is_empty() => {}
                            Ok(out) => return Poll::Ready(Some(Ok(Frame::data(out)))),
                            Err(status) => {
                                self.ended = true;
                                self.read.clear();
                                return Poll::Ready(Some(Err(Box::new(status))));
                            }
                        }
                    }
                    Err(trailers) => self.trailers = Some(trailers),
                },
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        (self.ended || self.inner.is_end_stream()) && self.trailers.is_none() && self.read.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use http_body::Body as _;

    use super::*;

    /// A body of pieces.
    struct Pieces(std::vec::IntoIter<Bytes>);

    impl Body for Pieces {
        type Data = Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
            Poll::Ready(self.0.next().map(|b| Ok(Frame::data(b))))
        }
    }

    fn run(input: &[u8], piece: usize, direction: Direction, max: usize) -> Result<Vec<u8>, String> {
        let pieces: Vec<_> = input.chunks(piece).map(Bytes::copy_from_slice).collect();
        let mut body = Recoded::new(Pieces(pieces.into_iter()), direction, max);
        let mut out = Vec::new();
        let mut cx = Context::from_waker(std::task::Waker::noop());
        loop {
            match Pin::new(&mut body).poll_frame(&mut cx) {
                Poll::Ready(None) => return Ok(out),
                Poll::Ready(Some(Ok(frame))) => out.extend_from_slice(frame.data_ref().expect("data")),
                Poll::Ready(Some(Err(e))) => return Err(e.to_string()),
                Poll::Pending => panic!("pieces are there"),
            }
        }
    }

    #[test]
    fn messages_are_rewritten_however_they_are_cut() {
        let plain = [&[0, 0, 0, 0, 3][..], b"abc", &[0, 0, 0, 0, 0], &[0, 0, 0, 1, 0], &[9; 256]].concat();
        for piece in [1, 3, 7, 1000] {
            let deflated = run(&plain, piece, Direction::Deflate, 1000).expect("our own");
            assert_eq!((deflated[0], &deflated[5..15]), (1, &b"\xff\x06\x00\x00sNaPpY"[..]));
            assert_eq!(run(&deflated, piece, Direction::Inflate, 1000).expect("our own"), plain);
            // What is not deflated passes.
            assert_eq!(run(&plain, piece, Direction::Inflate, 1000).expect("plain"), plain);
        }
    }

    #[test]
    fn bad_messages_are_refused() {
        let long = [1, 0, 0, 4, 0];
        let error = run(&long, 5, Direction::Inflate, 1000).expect_err("too long");
        assert!(error.contains("grpc: received message larger than max (1024 vs. 1000)"), "{error}");
        let broken = [&[1, 0, 0, 0, 3][..], b"abc"].concat();
        let error = run(&broken, 5, Direction::Inflate, 1000).expect_err("no stream");
        assert!(error.contains("failed to decompress"), "{error}");
        // An end in the middle is passed on for the decoder to see.
        assert_eq!(run(&[0, 0, 0, 0, 3, 1], 5, Direction::Inflate, 1000), Ok(vec![0, 0, 0, 0, 3, 1]));
    }
}
