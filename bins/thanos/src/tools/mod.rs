//! `thanos tools …`: what operators do by hand.
//!
//! Invariant: flags in, settings out; what the tools do is in the library.

mod block_dump;
mod bucket_inspect;
mod bucket_ls;
mod bucket_verify;
mod promql_explain;
mod promql_test;
mod promql_text;

use chrono::{Local, Offset, TimeZone};
use clap::{Args, Subcommand};
use thanoslib::tools::Zone;
use thanoslib_bins_common::objstore::ObjstoreFlags;

/// The tools.
#[derive(Debug, Subcommand)]
pub(crate) enum ToolsCommand {
    /// Looks at the blocks of a bucket.
    Bucket(BucketFlags),
    /// Looks into one block.
    #[command(subcommand)]
    Block(BlockCommand),
    /// Works on PromQL.
    #[command(subcommand)]
    Promql(PromqlCommand),
}

/// `thanos tools block …`
#[derive(Debug, Subcommand)]
pub(crate) enum BlockCommand {
    /// Prints the series of a block with their chunks or samples.
    Dump(block_dump::DumpFlags),
}

/// `thanos tools promql …`
#[derive(Debug, Subcommand)]
pub(crate) enum PromqlCommand {
    /// Prints a query indented.
    Format(promql_text::TextFlags),
    /// Prints the syntax tree of a query as JSON.
    Parse(promql_text::TextFlags),
    /// Prints how a query is evaluated: operators, reads, hints.
    Explain(promql_explain::ExplainFlags),
    /// Runs scripts in Prometheus' test language.
    Test(promql_test::TestFlags),
}

/// `thanos tools bucket …`
#[derive(Debug, Args)]
pub(crate) struct BucketFlags {
    #[command(flatten)]
    objstore: ObjstoreFlags,
    #[command(subcommand)]
    command: BucketCommand,
}

#[derive(Debug, Subcommand)]
enum BucketCommand {
    /// Lists the blocks.
    Ls(bucket_ls::LsFlags),
    /// Shows the blocks in a table.
    Inspect(bucket_inspect::InspectFlags),
    /// Looks for blocks that are damaged or overlap.
    Verify(bucket_verify::VerifyFlags),
}

/// Runs a tool; what it shows goes to standard output.
///
/// # Errors
/// Those of the tool.
pub(crate) async fn run(command: ToolsCommand) -> anyhow::Result<()> {
    match command {
        ToolsCommand::Block(BlockCommand::Dump(flags)) => block_dump::run(flags).await,
        ToolsCommand::Promql(PromqlCommand::Format(flags)) => promql_text::format(&flags),
        ToolsCommand::Promql(PromqlCommand::Parse(flags)) => promql_text::tree(&flags),
        ToolsCommand::Promql(PromqlCommand::Explain(flags)) => promql_explain::run(&flags),
        ToolsCommand::Promql(PromqlCommand::Test(flags)) => promql_test::run(flags).await,
        ToolsCommand::Bucket(flags) => {
            let bucket = flags.objstore.bucket()?;
            match flags.command {
                BucketCommand::Ls(ls) => bucket_ls::run(&bucket, ls).await,
                BucketCommand::Inspect(inspect) => bucket_inspect::run(&bucket, inspect).await,
                BucketCommand::Verify(verify) => bucket_verify::run(&bucket, verify).await,
            }
        }
    }
}

/// The zone of this machine.
fn local_zone() -> Zone {
    Zone::new(|secs| Local.timestamp_opt(secs, 0).single().map_or(0, |t| t.offset().fix().local_minus_utc()))
}

/// Reads a duration of a flag, not negative.
fn timeout(text: &str) -> Result<std::time::Duration, String> {
    let ns = thanoslib::model::duration::parse_flag(text).map_err(|e| e.to_string())?;
    u64::try_from(ns).map(std::time::Duration::from_nanos).map_err(|_| format!("{text} is negative"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(subcommand)]
        tools: ToolsCommand,
    }

    fn parse(args: &[&str]) -> Result<ToolsCommand, clap::Error> {
        Command::try_parse_from(["tools"].iter().chain(args)).map(|c| c.tools)
    }

    #[test]
    fn flags_of_the_bucket_are_taken_before_and_after_the_tool() {
        assert!(parse(&["bucket", "--objstore.config=x", "ls", "-o", "wide"]).is_ok());
        assert!(parse(&["bucket", "ls", "--objstore.config-file", "x", "--exclude-delete"]).is_ok());
        let all =
            ["bucket", "inspect", "-l", "a=\"b\"", "--sort-by=FROM", "--sort-by=#SERIES", "--output=tsv"];
        assert!(parse(&all).is_ok());
        assert!(parse(&["bucket", "ls", "--min-time=yesterday"]).is_err());
        assert!(parse(&["bucket", "ls", "--min-time=-2w", "--max-time=2030-01-01T00:00:00Z"]).is_ok());
        assert!(parse(&["bucket", "inspect", "--sort-by=NAME"]).is_err());
        assert!(parse(&["bucket", "inspect", "-l", "a=b"]).is_err());
        assert!(parse(&["bucket", "inspect", "--output=html"]).is_err());
        assert!(parse(&["bucket", "ls", "--timeout=-5m"]).is_err());
        assert!(parse(&["bucket", "verify", "-r", "-i", "index_known_issues", "--delete-delay=1h"]).is_ok());
        assert!(parse(&["bucket", "verify", "--id=01M82CCJ63Q7Y59TX0CVD4PNZB"]).is_ok());
        assert!(parse(&["bucket", "verify", "--id=x"]).is_err());
    }

    #[tokio::test]
    async fn a_tool_needs_a_bucket_and_runs_on_one() {
        let without = run(parse(&["bucket", "ls"]).expect("flags")).await.expect_err("no bucket");
        assert!(without.to_string().contains("objstore.config is required"), "{without}");
        let dir = tempfile::tempdir().expect("tempdir");
        let yaml = format!("--objstore.config={{type: FILESYSTEM, config: {{directory: {:?}}}}}", dir.path());
        for tool in ["ls", "inspect", "verify"] {
            run(parse(&["bucket", tool, &yaml]).expect("flags")).await.expect(tool);
        }
    }
}
