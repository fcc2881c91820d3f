//! How messages are framed: prost, with the error texts of Go peers.
//!
//! Invariant: knows no message type.

use std::marker::PhantomData;

use bytes::Buf;
use prost::Message;
use tonic::{
    Status,
    codec::{BufferSettings, DecodeBuf},
};
use tonic_prost::{ProstDecoder, ProstEncoder};

/// The codec of all services and clients of this crate.
#[derive(Clone, Copy, Debug)]
pub struct Codec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for Codec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> tonic::codec::Codec for Codec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = Decoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstEncoder::new(BufferSettings::default())
    }

    fn decoder(&mut self) -> Self::Decoder {
        Decoder(ProstDecoder::new(BufferSettings::default()))
    }
}

/// How prost names what Go calls an unexpected end.
const CUT: [&str; 2] = ["buffer underflow", "delimited length exceeded"];

/// Decodes one message.
#[derive(Clone, Debug)]
pub struct Decoder<U>(ProstDecoder<U>);

impl<U: Message + Default> tonic::codec::Decoder for Decoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, buf: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        self.0.decode(buf).map_err(|e| {
            // Compat: the words of grpc-go `rpc_util.go`, and of Go for a message cut short.
            let cut = !buf.has_remaining() || CUT.iter().any(|text| e.message().ends_with(text));
            let cause = if cut { "unexpected EOF" } else { e.message() };
            Status::new(e.code(), format!("grpc: failed to unmarshal the received message: {cause}"))
        })
    }

    fn buffer_settings(&self) -> BufferSettings {
        self.0.buffer_settings()
    }
}
