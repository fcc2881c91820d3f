//! The `thanos` command: one subcommand for each role.

#[cfg(any(feature = "query", feature = "standalone"))]
mod querier;
#[cfg(feature = "query")]
mod query;
#[cfg(feature = "sidecar")]
mod sidecar;
#[cfg(feature = "standalone")]
mod standalone;
#[cfg(feature = "tools")]
mod tools;

use std::{ffi::OsString, path::Path, process::ExitCode};

use clap::{Parser, Subcommand};
use thanoslib_bins_common::{
    kingpin::{self, Parsed},
    logging::{self, LogFlags},
};

#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Global view and long-term storage for Prometheus.
#[derive(Debug, Parser)]
#[command(name = "thanos", version = VERSION, arg_required_else_help = true)]
struct Command {
    #[command(flatten)]
    log: LogFlags,
    #[command(subcommand)]
    role: Role,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// Everything in one process: blocks of buckets and local folders, asked over HTTP and gRPC.
    #[cfg(feature = "standalone")]
    Standalone(Box<standalone::StandaloneFlags>),
    /// Query node exposing PromQL enabled Query API with data retrieved from multiple store nodes.
    #[cfg(feature = "query")]
    Query(Box<query::QueryFlags>),
    /// Sidecar for Prometheus server.
    #[cfg(feature = "sidecar")]
    Sidecar(Box<sidecar::SidecarFlags>),
    /// Looks into buckets and blocks.
    #[cfg(feature = "tools")]
    #[command(subcommand)]
    Tools(tools::ToolsCommand),
}

/// What `--version` says behind the name of the command.
const VERSION: &str = concat!("(thanoslib ", env!("CARGO_PKG_VERSION"), ")");

fn main() -> ExitCode {
    let Parsed { command, shown } = match kingpin::parse::<Command>(arguments()) {
        Ok(parsed) => parsed,
        Err(code) => return code,
    };
    // Only queriers show their flags.
    #[cfg(not(any(feature = "query", feature = "standalone")))]
    drop(shown);
    let run = || {
        logging::init(&command.log)?;
        #[cfg(feature = "s3")]
        {
            // Only a binary decides for the whole process; a second provider is no error here.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(async {
            match command.role {
                #[cfg(feature = "standalone")]
                Role::Standalone(flags) => standalone::run(*flags, shown).await,
                #[cfg(feature = "query")]
                Role::Query(flags) => query::run(*flags, shown).await,
                #[cfg(feature = "sidecar")]
                Role::Sidecar(flags) => sidecar::run(*flags).await,
                #[cfg(feature = "tools")]
                Role::Tools(tools) => tools::run(tools).await,
            }
        })
    };
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            let e: anyhow::Error = e;
            eprintln!("thanos: {e:#}");
            ExitCode::FAILURE
        }
    }
}

/// The command line; called as `thanos-query`, it begins with `thanos query`.
fn arguments() -> Vec<OsString> {
    let mut args: Vec<OsString> = std::env::args_os().collect();
    let name = args.first().and_then(|a| Path::new(a).file_name()?.to_str().map(str::to_owned));
    if let Some(role) = name.as_deref().and_then(|n| n.strip_prefix("thanos-")) {
        args.splice(..1, ["thanos".into(), role.into()]);
    }
    args
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn every_flag_of_a_command_has_its_own_name() {
        Command::command().debug_assert();
    }
}
