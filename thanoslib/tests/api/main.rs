//! Behaviour seen through the public API, one module for each.

mod bucket_contract;
