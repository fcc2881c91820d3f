//! One call with messages as bytes.

use bytes::{Buf, BufMut, Bytes};
use tonic::{
    Code, Request, Status,
    body::Body,
    client::{Grpc, GrpcService},
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    codegen::{Body as HttpBody, StdError, http::uri::PathAndQuery},
    metadata::MetadataMap,
    service::Routes,
    transport::Channel,
};

use crate::status::code_name;

/// Sends and receives messages as they are.
#[derive(Clone, Copy, Debug, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buf: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buf.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buf: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buf.copy_to_bytes(buf.remaining())))
    }
}

/// All that a client sees of a call.
#[derive(Debug)]
pub struct Outcome {
    /// Messages in order.
    pub frames: Vec<Bytes>,
    /// How the call ended.
    pub code: Code,
    /// The words of the end.
    pub message: String,
    /// True when the answer was one header frame.
    pub trailers_only: bool,
    /// Metadata before and after the messages, without what every call has.
    pub header: Vec<(String, String)>,
    /// As `header`.
    pub trailer: Vec<(String, String)>,
}

impl Outcome {
    /// Name of the code as Go prints it.
    pub fn code_name(&self) -> &'static str {
        code_name(self.code)
    }

    fn failed(frames: Vec<Bytes>, status: &Status, trailers_only: bool) -> Self {
        let (header, trailer) = (Vec::new(), own(status.metadata()));
        let message = status.message().to_owned();
        Self { frames, code: status.code(), message, trailers_only, header, trailer }
    }
}

/// Calls a method, unary or streaming.
///
/// # Panics
/// On a path that is none, or when the service cannot be reached.
pub async fn call(channel: &Channel, path: &str, message: Bytes) -> Outcome {
    over(channel.clone(), path, Request::new(message)).await
}

/// Calls a method with a deadline such as `1u`, without a connection: a client that has one would end
/// the call by its own clock.
///
/// # Panics
/// As [`call`].
pub async fn call_before(routes: &Routes, path: &str, message: Bytes, timeout: &str) -> Outcome {
    let mut request = Request::new(message);
    request.metadata_mut().insert("grpc-timeout", timeout.parse().expect("ASCII"));
    over(routes.clone(), path, request).await
}

async fn over<T>(service: T, path: &str, request: Request<Bytes>) -> Outcome
where
    T: GrpcService<Body>,
    T::Error: std::fmt::Debug,
    T::ResponseBody: HttpBody<Data = Bytes> + Send + 'static,
    <T::ResponseBody as HttpBody>::Error: Into<StdError>,
{
    let mut grpc = Grpc::new(service).max_decoding_message_size(usize::MAX);
    grpc.ready().await.expect("the service is ready");
    let path: PathAndQuery = path.parse().expect("a recorded path");
    let answer = match grpc.server_streaming(request, path, Raw).await {
        Ok(answer) => answer,
        Err(status) => return Outcome::failed(Vec::new(), &status, true),
    };
    let trailers_only = answer.metadata().contains_key("grpc-status");
    let header = own(answer.metadata());
    let mut stream = answer.into_inner();
    let mut frames = Vec::new();
    loop {
        match stream.message().await {
            Ok(Some(frame)) => frames.push(frame),
            Ok(None) => break,
            Err(status) => return Outcome::failed(frames, &status, false),
        }
    }
    let trailer = stream.trailers().await.expect("the stream ended well");
    let trailer = trailer.as_ref().map(own).unwrap_or_default();
    Outcome { frames, code: Code::Ok, message: String::new(), trailers_only, header, trailer }
}

fn own(metadata: &MetadataMap) -> Vec<(String, String)> {
    let headers = metadata.clone().into_headers();
    let kept = headers.iter().filter(|(name, _)| {
        !matches!(name.as_str(), "content-type" | "date" | "content-length")
            && !name.as_str().starts_with("grpc-")
    });
    kept.map(|(n, v)| (n.to_string(), String::from_utf8_lossy(v.as_bytes()).into_owned())).collect()
}
