//! Sample chunks: encodings, appenders and decoders into columns.
//!
//! Invariant: works on byte slices; knows no files, no labels, no clock.

mod encoding;

pub use encoding::Encoding;
