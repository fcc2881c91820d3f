//! One fuzz body for each decoder, run over committed corpora as tests.

pub mod blocks;
pub mod chunks;
pub mod promql;
pub mod values;
