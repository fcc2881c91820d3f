//! The `thanos` command: one subcommand for each role.

#[cfg(feature = "standalone")]
mod standalone;
#[cfg(feature = "tools")]
mod tools;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use thanoslib_bins_common::logging::{self, LogFlags};

#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Global view and long-term storage for Prometheus.
#[derive(Debug, Parser)]
#[command(name = "thanos", version, arg_required_else_help = true)]
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
    /// Looks into buckets and blocks.
    #[cfg(feature = "tools")]
    #[command(subcommand)]
    Tools(tools::ToolsCommand),
}

fn main() -> ExitCode {
    let command = Command::parse();
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
                Role::Standalone(flags) => standalone::run(*flags).await,
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
