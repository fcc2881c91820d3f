//! Behaviour seen through the public API, one module for each.

mod block_fetcher;
mod bucket_contract;
mod bucket_tools;
