//! One fuzz body for each decoder, run over committed corpora as tests.

pub mod chunks;
pub mod blocks;
