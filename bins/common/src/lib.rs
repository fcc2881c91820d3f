//! What the thanos commands share.

pub mod env;
pub mod objstore;
