//! Prometheus' remote read over HTTP: what is asked, and both forms of the answer.
//!
//! A request goes out as one snappy block ([`encode_read_request`]). The answer is a stream of
//! frames with compressed chunks ([`FrameReader`], [`ChunkedFrame`]), or one snappy block with
//! samples ([`SampledAnswer`]). A server reads a [`ReadRequest`] and writes either form with
//! [`put_chunked_frame`] or [`SampledWriter`].
//!
//! Invariant: works on byte slices; knows no connection and no store.

mod chunked;
mod frames;
mod request;
mod respond;
mod sampled;
mod wire;

pub use chunked::{ChunkedFrame, ChunkedSeries, RemoteChunk};
pub use frames::{FRAME_BYTES_MAX, FrameReader};
pub use request::encode_read_request;
pub use respond::{ReadQuery, ReadRequest, SampledWriter, put_chunked_frame};
pub use sampled::{SampledAnswer, SampledSeries};
