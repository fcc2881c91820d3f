//! The program we are compared with.

use std::{path::Path, process::Command};

use anyhow::{Context, Result, ensure};

/// The command of `THANOSLIB_PEER`.
pub(crate) struct Peer(String);

impl Peer {
    pub(crate) fn from_env() -> Option<Self> {
        std::env::var("THANOSLIB_PEER").ok().filter(|c| !c.is_empty()).map(Self)
    }

    /// Lets the peer do the job; returns its time for an item, in nanoseconds.
    pub(crate) fn run(&self, case: &str, path: &Path, items: u64, sum: u64) -> Result<f64> {
        let out = Command::new(&self.0).arg(case).arg(path).output().context("the peer does not start")?;
        let text = String::from_utf8_lossy(&out.stdout);
        ensure!(out.status.success(), "peer, {case}: {}", String::from_utf8_lossy(&out.stderr).trim());
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [name, ns, their_items, their_sum] = fields[..] else {
            anyhow::bail!("peer, {case}: not a line of four fields: {text}");
        };
        ensure!(name == case, "the peer answers {name} for {case}");
        ensure!(their_items == items.to_string(), "{case}: {items} items, the peer has {their_items}");
        ensure!(their_sum == format!("{sum:016x}"), "{case}: the sum is {sum:016x}, the peer's {their_sum}");
        ns.parse().with_context(|| format!("peer, {case}: {ns}"))
    }
}
