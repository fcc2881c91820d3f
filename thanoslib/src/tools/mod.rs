//! What an operator does with a bucket: look at its blocks.
//!
//! Invariant: text goes to a writer that is handed in; knows no flags and no terminal.

mod inspect;
mod ls;
mod template;
mod text;
mod verify;

pub use inspect::{Column, InspectSettings, TableFormat, inspect};
pub use ls::{LsOutput, LsSettings, ls};
pub use template::Template;
pub use text::{Zone, parse_time};
pub use verify::{BucketVerifySettings, Issue, Overlap, VerifiedBucket, verify_bucket};
