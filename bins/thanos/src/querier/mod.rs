//! What all commands share that answer queries over other stores.
//!
//! Invariant: flags in, settings and components out; decides nothing about data.

pub(crate) mod clients;
pub(crate) mod endpoints;
pub(crate) mod flags;
pub(crate) mod node;
pub(crate) mod own;
pub(crate) mod serve;
pub(crate) mod settings;
