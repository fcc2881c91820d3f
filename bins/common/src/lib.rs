//! What the thanos commands share: configuration, logging, signals, listeners.
//!
//! Invariant: translates between the system and the library; decides nothing about data.

pub mod env;
pub mod listen;
pub mod logging;
pub mod objstore;
pub mod shutdown;
