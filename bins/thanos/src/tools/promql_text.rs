//! `thanos tools promql format` and `parse`: queries as text and as trees.

use std::{io::Read as _, path::Path};

use anyhow::{Context as _, Result};
use thanoslib::{
    http::syntax_tree,
    promql::{EngineOptions, ast::Expr, parse},
};

/// Flags of `promql format` and `promql parse`.
#[derive(Debug, clap::Args)]
pub(crate) struct TextFlags {
    /// A query, a file that holds one, or - for standard input.
    #[arg(value_name = "FILE|EXPR", allow_hyphen_values = true)]
    query: String,
}

/// Prints the query indented, lines up to 100 bytes long where it can be.
pub(super) fn format(flags: &TextFlags) -> Result<()> {
    println!("{}", read(flags)?.prettify());
    Ok(())
}

/// Prints the syntax tree as JSON, in the form of Prometheus' `/api/v1/parse_query`.
pub(super) fn tree(flags: &TextFlags) -> Result<()> {
    println!("{}", syntax_tree(&read(flags)?));
    Ok(())
}

impl TextFlags {
    /// The text of the query.
    pub(super) fn read(&self) -> Result<String> {
        text(&self.query)
    }
}

/// Every feature of the language.
pub(super) fn options() -> EngineOptions {
    EngineOptions {
        experimental_functions: true,
        extended_range_selectors: true,
        fill_modifiers: true,
        ..EngineOptions::default()
    }
}

fn read(flags: &TextFlags) -> Result<Expr> {
    Ok(parse(flags.read()?.trim_end(), &options())?)
}

fn text(query: &str) -> Result<String> {
    if query == "-" {
        let mut text = String::new();
        let most = EngineOptions::default().query_bytes_max as u64 + 1;
        std::io::stdin().take(most).read_to_string(&mut text).context("cannot read standard input")?;
        return Ok(text);
    }
    if Path::new(query).is_file() {
        return std::fs::read_to_string(query).with_context(|| format!("cannot read {query}"));
    }
    Ok(query.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_come_from_files_and_arguments() {
        let check = |query: &str, want: Option<&str>| {
            let flags = TextFlags { query: query.to_owned() };
            assert_eq!(read(&flags).map(|e| e.to_string()).ok().as_deref(), want, "{query}");
        };
        check("sum(up)by(job)", Some("sum by (job) (up)"));
        check("-up", Some("-up"));
        check("up[", None);
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("query");
        std::fs::write(&file, "rate(up[5m]\nanchored)\n").expect("a file");
        check(&file.display().to_string(), Some("rate(up[5m] anchored)"));
    }
}
