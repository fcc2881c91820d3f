//! The jobs that are compared.

mod block;
mod histogram;
mod hop;
mod json;
mod merge;
mod postings;
mod promql;
mod rewrite;
mod xor;

use std::path::Path;

use anyhow::Result;

use crate::Case;

/// Makes the input of a case; files that it keeps open lie below the folder.
pub type Make = Box<dyn Fn(&Path) -> Result<Box<dyn Case>>>;

/// Every case with its name, `group/shape`.
pub fn all() -> Vec<(&'static str, Make)> {
    let mut all = Vec::new();
    all.extend(xor::cases());
    all.extend(histogram::cases());
    all.extend(block::cases());
    all.extend(postings::cases());
    all.extend(merge::cases());
    all.extend(hop::cases());
    all.extend(rewrite::cases());
    all.extend(promql::cases());
    all.extend(json::cases());
    all
}
