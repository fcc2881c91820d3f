//! How messages are framed: prost for most, by hand for the frames of Series and the answers to
//! LabelValues, with the error texts of Go peers.
//!
//! Invariant: knows bytes and batches of series; no service, no channel.

mod encode;
mod frame;
mod label_values;
mod read;
#[cfg(test)]
mod tests;
mod wire;

use std::marker::PhantomData;

use bytes::Buf;
use prost::Message;
use tonic::{
    Status,
    codec::{BufferSettings, DecodeBuf, EncodeBuf},
};

pub use frame::{FrameBuilder, SeriesFrame};
pub use label_values::LabelValuesFrame;
pub use read::{FrameReader, Received};

/// What travels as a message of a call.
///
/// Every protobuf message does, and the frames of Series and the answers to LabelValues, which are
/// read and written by hand.
pub trait Wire: Sized + Send + 'static {
    /// First size of the buffer that such messages are collected in, in bytes.
    const BUFFER_BYTES: usize = 8 << 10;

    /// Appends the encoded message.
    ///
    /// # Errors
    /// A message that cannot be encoded.
    fn write(self, out: &mut EncodeBuf<'_>) -> Result<(), Status>;

    /// Reads the message, which takes all that remains.
    ///
    /// # Errors
    /// Bytes that are no such message; the status says why in the words of Go peers.
    fn read(buf: &mut DecodeBuf<'_>) -> Result<Self, Status>;
}

impl<M: Message + Default + 'static> Wire for M {
    fn write(self, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        let len = self.encoded_len();
        out.reserve(len);
        self.encode(out).map_err(|e| Status::internal(format!("encode {len} bytes: {e}")))
    }

    fn read(buf: &mut DecodeBuf<'_>) -> Result<Self, Status> {
        M::decode(&mut *buf).map_err(|e| malformed(&e.to_string(), !buf.has_remaining()))
    }
}

/// How prost names what Go calls an unexpected end.
const CUT: [&str; 2] = ["buffer underflow", "delimited length exceeded"];

/// Compat: the words of grpc-go `rpc_util.go`, and of Go for a message cut short.
fn malformed(cause: &str, at_end: bool) -> Status {
    let cut = at_end || CUT.iter().any(|text| cause.ends_with(text));
    let cause = if cut { "unexpected EOF" } else { cause };
    Status::internal(format!("grpc: failed to unmarshal the received message: {cause}"))
}

/// Bytes at which an encoded answer is handed to the connection.
const YIELD_BYTES: usize = 32 << 10;

/// The codec of all services and clients of this crate.
#[derive(Clone, Copy, Debug)]
pub struct Codec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for Codec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T: Wire, U: Wire> tonic::codec::Codec for Codec<T, U> {
    type Encode = T;
    type Decode = U;
    type Encoder = Encoder<T>;
    type Decoder = Decoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        Encoder(PhantomData)
    }

    fn decoder(&mut self) -> Self::Decoder {
        Decoder(PhantomData)
    }
}

/// Encodes messages.
#[derive(Clone, Copy, Debug)]
pub struct Encoder<T>(PhantomData<T>);

impl<T: Wire> tonic::codec::Encoder for Encoder<T> {
    type Item = T;
    type Error = Status;

    fn encode(&mut self, item: T, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        item.write(out)
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(T::BUFFER_BYTES, YIELD_BYTES)
    }
}

/// Decodes messages.
#[derive(Clone, Copy, Debug)]
pub struct Decoder<U>(PhantomData<U>);

impl<U: Wire> tonic::codec::Decoder for Decoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, buf: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        U::read(buf).map(Some)
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(U::BUFFER_BYTES, YIELD_BYTES)
    }
}
