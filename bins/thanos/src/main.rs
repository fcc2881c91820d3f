//! The `thanos` command: one subcommand for each role.

#[cfg(feature = "jemalloc")]
mod allocator;
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

use std::{ffi::OsString, path::Path, process::ExitCode, sync::Arc};

use clap::{Parser, Subcommand};
use thanoslib_bins_common::{
    kingpin::{self, Parsed},
    logging::{self, LogFlags},
    spans::{self, Spans, SpansTask},
};

/// Global view and long-term storage for Prometheus.
#[derive(Debug, Parser)]
#[command(name = "thanos", version = VERSION, arg_required_else_help = true)]
struct Command {
    #[command(flatten)]
    log: LogFlags,
    #[command(flatten)]
    process: ProcessFlags,
    #[command(subcommand)]
    role: Role,
}

/// Flags of upstream that concern the process as a whole.
#[derive(Clone, Debug, clap::Args)]
struct ProcessFlags {
    /// Name of the process; has no effect.
    #[arg(long = "debug.name", default_value = "", hide = true, global = true)]
    debug_name: String,
    /// File with the configuration of traces (YAML): type OTLP over gRPC or HTTP.
    #[arg(long = "tracing.config-file", value_name = "file-path", default_value = "", global = true)]
    tracing_file: String,
    /// Configuration of traces (YAML), in place of a file.
    #[arg(long = "tracing.config", value_name = "content", default_value = "", global = true)]
    tracing: String,
    /// Has no effect: memory is limited by budgets.
    #[arg(long = "enable-auto-gomemlimit", global = true)]
    auto_gomemlimit: bool,
    /// Has no effect: memory is limited by budgets.
    #[arg(long = "auto-gomemlimit.ratio", default_value_t = 0.9, global = true)]
    auto_gomemlimit_ratio: f64,
}

impl ProcessFlags {
    /// Where spans of a component go.
    #[cfg(any(feature = "query", feature = "sidecar", feature = "standalone"))]
    fn spans(&self, component: &str) -> anyhow::Result<Option<(Arc<Spans>, SpansTask)>> {
        spans::open(&self.tracing, &self.tracing_file, component)
    }

    /// Says which flags are given and do nothing.
    fn warn(&self) {
        if self.auto_gomemlimit || self.auto_gomemlimit_ratio != 0.9 || !self.debug_name.is_empty() {
            tracing::warn!(
                "--enable-auto-gomemlimit, --auto-gomemlimit.ratio and --debug.name have no effect"
            );
        }
    }
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
        command.process.warn();
        #[cfg(feature = "s3")]
        {
            // Only a binary decides for the whole process; a second provider is no error here.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        let process = &command.process;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(async {
            match command.role {
                #[cfg(feature = "standalone")]
                Role::Standalone(flags) => standalone::run(*flags, shown, process.spans("standalone")?).await,
                #[cfg(feature = "query")]
                Role::Query(flags) => query::run(*flags, shown, process.spans("query")?).await,
                #[cfg(feature = "sidecar")]
                Role::Sidecar(flags) => sidecar::run(*flags, process.spans("sidecar")?).await,
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

#[cfg(all(test, feature = "query", feature = "sidecar"))]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn every_flag_of_a_command_has_its_own_name() {
        Command::command().debug_assert();
    }

    /// The arguments of all containers with our image.
    fn our_arguments(manifest: &serde_json::Value, out: &mut Vec<Vec<String>>) {
        match manifest {
            serde_json::Value::Object(fields) => {
                let ours =
                    |image: &serde_json::Value| image.as_str().is_some_and(|i| i.contains("thanoslib"));
                if fields.get("image").is_some_and(ours) {
                    let args = fields["args"].as_array().expect("a list").iter();
                    out.push(args.map(|a| a.as_str().expect("a text").to_owned()).collect());
                }
                fields.values().for_each(|field| our_arguments(field, out));
            }
            serde_json::Value::Array(items) => items.iter().for_each(|item| our_arguments(item, out)),
            _ => {}
        }
    }

    #[test]
    fn the_arguments_of_the_manifests_are_taken() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/kubernetes");
        let mut all = Vec::new();
        for entry in std::fs::read_dir(dir).expect("the folder is there") {
            let text = std::fs::read_to_string(entry.expect("readable").path()).expect("a text");
            let manifests: Vec<serde_json::Value> = serde_saphyr::from_multiple(&text).expect("YAML");
            manifests.iter().for_each(|manifest| our_arguments(manifest, &mut all));
        }
        assert_eq!(all.len(), 2, "the sidecar and the querier");
        for arguments in all {
            let line = std::iter::once("thanos".to_owned()).chain(arguments);
            let parsed = kingpin::parse::<Command>(line.map(OsString::from));
            assert!(parsed.is_ok_and(|p| matches!(p.command.role, Role::Sidecar(_) | Role::Query(_))));
        }
    }
}
