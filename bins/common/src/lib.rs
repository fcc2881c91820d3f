//! What the thanos commands share: logging, signals, listeners.
//!
//! Invariant: translates between the system and the library; decides nothing about data.

pub mod listen;
pub mod logging;
pub mod shutdown;
