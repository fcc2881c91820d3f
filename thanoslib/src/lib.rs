//! Global view, deduplication and long-term storage for Prometheus metrics, as a library.
//!
//! The modules, lowest layer first:
//!
//! | module | holds |
//! |---|---|
//! | [`model`] | labels, matchers, samples, histograms, times |
//! | [`encoding`] | cursors, bit streams, checksums |
//! | [`chunk`] | chunk encodings |
//! | [`index`] | the index of a block |
//! | [`series`] | columns of samples, batches of series, merges |
//! | [`dedup`] | merging the replicas of an HA pair |
//! | [`downsample`] | downsampling, and reading downsampled aggregates |
//! | `block`, `bucket` (feature `store`) | blocks and where they lie |
//! | `store` (feature `store`) | the Store trait and its implementations |
//! | `promql`, `query` (feature `promql`) | the engine, and queries over stores |
//! | `apis` (feature `promql`) | what endpoints answer beside series |
//! | `discovery` (feature `discovery`) | finding endpoints by DNS, files and configuration |
//! | `remote` (feature `remote`) | messages of Prometheus' remote read |
//! | `sidecar` (feature `sidecar`) | what runs beside a Prometheus |
//! | `tls` (feature `tls`) | TLS of servers and clients |
//! | `tools` (feature `store`) | looking at a bucket's blocks |
//! | `http` (feature `http`) | Prometheus' HTTP API |
//! | `testing` (feature `testing`) | fakes and contract suites |
//!
//! The names that an embedder needs most stand in the root too; everything else has one place, in its
//! module. A query over series in memory:
//!
//! ```
//! use std::sync::Arc;
//! use thanoslib::{Context, Engine, EngineOptions, InstantQuery, Labels, MemoryStore, Pool};
//! use thanoslib::{QueryValue, Result, SelectOptions, StoreQueryable, Value, promql};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<()> {
//! let store = MemoryStore::new(Labels::empty());
//! for (job, up) in [("api", 1.0), ("web", 0.0)] {
//!     store.push(&Labels::from_pairs([("__name__", "up"), ("job", job)]), 15_000, up)?;
//! }
//! let queryable = Arc::new(StoreQueryable::new(Arc::new(store), SelectOptions::default()));
//!
//! let engine = Engine::new(EngineOptions::default(), Arc::new(Pool::new(2)?));
//! let text = "sum(up)";
//! let expr = promql::parse(text, engine.options())?;
//! let query = InstantQuery { expr, text: Arc::from(text), time_ms: 20_000, lookback_ms: None };
//! let answer = engine.instant(&Context::default(), queryable, query).await?;
//! assert!(matches!(&answer.value, QueryValue::Vector(v) if matches!(v[0].value, Value::Float(1.0))));
//! # Ok(())
//! # }
//! ```
//!
//! Without features the crate is sync and small: values, codecs, columns, merges. Features:
//!
//! | feature | default | brings |
//! |---|---|---|
//! | `store` | yes | blocks, buckets, stores; tokio (sync, time), futures, object_store, serde, memmap2 |
//! | `fs` | yes | buckets in local folders |
//! | `promql` | yes | reading and evaluating PromQL, queries over stores |
//! | `promql-parser` | yes | taking over syntax trees of the crate of that name |
//! | `discovery` | no | finding endpoints; hickory-resolver |
//! | `s3` | no | buckets in S3; reqwest, rustls with ring |
//! | `http` | no | the HTTP API; axum |
//! | `remote` | no | messages of Prometheus' remote read |
//! | `prometheus` | no | a live Prometheus as a store; reqwest, rustls with ring |
//! | `sidecar` | no | the sidecar: that store, the other APIs of a Prometheus, uploads, reloads; flate2, rustix |
//! | `tls` | no | TLS of servers and clients; rustls with ring |
//! | `testing` | no | fakes, contracts, the runner of scripts, the judge of recordings |
//! | `e2e` | no | tests that start other programs |
//!
#![doc = include_str!("../docs/ARCHITECTURE.md")]

#[cfg(feature = "promql")]
pub mod apis;
#[cfg(feature = "store")]
pub mod block;
#[cfg(feature = "store")]
pub mod bucket;
pub mod budget;
pub mod chunk;
pub mod clock;
#[cfg(feature = "store")]
pub mod context;
pub mod dedup;
#[cfg(feature = "discovery")]
pub mod discovery;
pub mod downsample;
pub mod encoding;
mod error;
#[cfg(feature = "http")]
pub mod http;
pub mod index;
pub mod metrics;
pub mod model;
#[cfg(feature = "promql")]
pub mod promql;
#[cfg(feature = "promql")]
pub mod query;
#[cfg(feature = "remote")]
pub mod remote;
#[cfg(feature = "store")]
pub mod runtime;
pub mod series;
#[cfg(feature = "sidecar")]
pub mod sidecar;
#[cfg(feature = "store")]
pub mod store;

#[cfg(feature = "testing")]
pub mod testing;
#[cfg(feature = "tls")]
pub mod tls;
#[cfg(feature = "store")]
pub mod tools;
#[cfg(feature = "promql")]
mod wide;

// What an error says to its caller.
pub use error::{DecodeError, Error, ErrorKind, Result};

// Values.
pub use model::{
    FloatHistogram, Histogram, Interval, Labels, LabelsBuilder, MatchOp, Matcher, SampleColumns, Value,
    Warning,
};

// Samples as bytes.
pub use chunk::{Chunk, Encoding, XorAppender};
pub use series::{BatchBuilder, SeriesBatch};

// What an embedder hands in.
pub use budget::Budget;
pub use clock::{Clock, SystemClock};
#[cfg(feature = "store")]
pub use context::Context;
#[cfg(feature = "store")]
pub use object_store;
#[cfg(feature = "store")]
pub use runtime::Pool;

// Blocks and where they lie.
#[cfg(feature = "store")]
pub use block::{Block, BlockId, BlockMeta, BlockWriter, LocalReader};
#[cfg(feature = "store")]
pub use bucket::{Bucket, BucketConfig};

// Stores, and the easy ways to be one.
#[cfg(feature = "store")]
pub use store::{
    BlockSet, BucketSource, ChunkSink, ChunkSource, ChunkStore, Conform, Fanout, FolderSource, Frame,
    LabelNamesRequest, LabelValuesRequest, MemoryStore, SampleSink, SampleSource, Scan, SeriesRequest,
    SeriesStream, SourceStore, Store, StoreInfo,
};

// Queries.
#[cfg(feature = "promql")]
pub use promql::{Engine, EngineOptions, InstantQuery, QueryValue, RangeQuery};
#[cfg(feature = "promql")]
pub use query::{SelectOptions, StoreQueryable};
