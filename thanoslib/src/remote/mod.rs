//! Prometheus' remote read over HTTP: what is asked, and both forms of the answer.
//!
//! A request goes out as one snappy block ([`encode_read_request`]). The answer is a stream of
//! frames with compressed chunks ([`FrameReader`], [`ChunkedFrame`]), or one snappy block with
//! samples ([`SampledAnswer`]).
//!
//! Invariant: works on byte slices; knows no connection and no store.

mod chunked;
mod frames;
mod request;
mod sampled;
mod wire;

pub use chunked::{ChunkedFrame, ChunkedSeries, RemoteChunk};
pub use frames::{FRAME_BYTES_MAX, FrameReader};
pub use request::encode_read_request;
pub use sampled::{SampledAnswer, SampledSeries};
