//! `thanos tools promql test`: scripts in Prometheus' test language.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use thanoslib::testing::promqltest::{RunOptions, run_script};

/// Flags of `promql test`.
#[derive(Debug, clap::Args)]
pub(crate) struct TestFlags {
    /// Scripts, or folders whose `.test` files are run.
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
}

/// Runs every evaluation of every script; fails when one does.
pub(super) async fn run(flags: TestFlags) -> Result<()> {
    let mut failed = 0;
    let mut options = RunOptions::default();
    // Scripts may use what Thanos adds, as they may use all that Prometheus has behind flags.
    options.engine.x_functions = true;
    for path in &flags.paths {
        for file in scripts(path)? {
            let text =
                std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
            let name = file.display().to_string();
            let outcomes = run_script(&name, &text, &options).await;
            for outcome in &outcomes {
                if let Err(why) = &outcome.result {
                    failed += 1;
                    println!("FAILED {name}:{} {}\n  {why}", outcome.line, outcome.query);
                }
            }
            let passed = outcomes.iter().filter(|o| o.result.is_ok()).count();
            println!("{name}: {passed} of {}", outcomes.len());
        }
    }
    if failed > 0 {
        bail!("{failed} evaluations failed");
    }
    Ok(())
}

fn scripts(path: &Path) -> Result<Vec<PathBuf>> {
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = std::fs::read_dir(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut files: Vec<PathBuf> =
        entries.flatten().map(|e| e.path()).filter(|p| p.extension().is_some_and(|e| e == "test")).collect();
    if files.is_empty() {
        bail!("no .test file in {}", path.display());
    }
    files.sort();
    Ok(files)
}
