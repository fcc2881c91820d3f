//! Behaviour seen through the public API, one module for each.

mod bad_input;
mod block_cache;
mod block_fetcher;
mod block_set;
mod bucket_contract;
mod bucket_tools;
mod conform;
mod counters;
mod fanout;
mod hostile_stores;
mod http_grafana;
mod http_limits;
mod many_endpoints;
mod memory_store;
mod providers;
mod proxy;
mod proxy_tolerance;
mod query_plans;
mod replica_groups;
mod store_contract;
mod support;
