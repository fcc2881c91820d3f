//! The HTTP side of a process: its port, TLS, passwords, headers and limits from a web configuration.
//!
//! The file is the one that Prometheus and its exporters take (`--http.config`). It is read again
//! when it or a file that it names has changed; what cannot be used then is told in the log, and
//! the settings before stay.
//!
//! Invariant: knows no route and no command; decides who gets in and what surrounds an answer.

mod auth;
mod config;
mod guard;
mod limit;
mod listener;
mod reload;
mod server;
mod tls;

#[cfg(test)]
mod tests;

pub use listener::Peer;
pub use server::WebServer;
