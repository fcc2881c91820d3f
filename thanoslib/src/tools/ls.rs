//! Lists the blocks of a bucket.
//!
//! Invariant: blocks come in order of their ids.

use std::{io, time::Duration};

use super::{Template, Zone};
use crate::{
    block::{BlockFilter, BlockMeta, MetaFetcher},
    bucket::Bucket,
    context::Context,
    error::{Error, Result},
    model::{Interval, duration::format_go},
};

/// How [`ls`] shows a block.
///
/// See [`LsSettings`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum LsOutput {
    /// Its id.
    #[default]
    Ids,
    /// Its description as JSON, indented by tabs.
    Json,
    /// A line of its most important facts.
    Wide,
    /// A text with its fields.
    Template(Template),
}

impl LsOutput {
    /// Reads a flag: empty, `json`, `wide`, or else a template.
    ///
    /// # Errors
    /// Those of [`Template::parse`].
    pub fn parse(text: &str) -> Result<Self> {
        Ok(match text {
            "" => Self::Ids,
            "json" => Self::Json,
            "wide" => Self::Wide,
            template => Self::Template(Template::parse(template)?),
        })
    }

    fn line(&self, meta: &BlockMeta, zone: &Zone) -> Result<Vec<u8>> {
        let text = match self {
            Self::Ids => meta.ulid.to_string(),
            Self::Json => {
                let mut text = meta.encode()?;
                text.truncate(text.trim_ascii_end().len());
                text.push(b'\n');
                return Ok(text);
            }
            Self::Wide => wide(meta, zone),
            Self::Template(template) => template.render(meta),
        };
        Ok((text + "\n").into_bytes())
    }
}

/// What [`ls`] shows.
///
/// ```
/// use thanoslib::{Bucket, Context, tools::{LsOutput, LsSettings, ls}};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let settings = LsSettings { output: LsOutput::parse("{{ .ULID }}")?, ..LsSettings::default() };
/// let mut lines = Vec::new();
/// assert_eq!(ls(&Context::default(), &Bucket::memory("demo"), &settings, &mut lines).await?, 0);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct LsSettings {
    /// How. Default: ids.
    pub output: LsOutput,
    /// Leaves out blocks that are marked for deletion. Default: off.
    pub exclude_deleted: bool,
    /// Only blocks that touch this time. Default: all.
    pub interval: Interval,
    /// Zone of the times shown. Default: UTC.
    pub zone: Zone,
}

impl Default for LsSettings {
    fn default() -> Self {
        Self {
            output: LsOutput::default(),
            exclude_deleted: false,
            interval: Interval::ALL,
            zone: Zone::default(),
        }
    }
}

/// Writes the blocks of a bucket to `out`; returns how many.
///
/// # Errors
/// When not all blocks can be seen, or `out` fails.
pub async fn ls(
    ctx: &Context,
    bucket: &Bucket,
    settings: &LsSettings,
    out: &mut (dyn io::Write + Send),
) -> Result<usize> {
    let filter = BlockFilter {
        window: settings.interval.into(),
        deletion_marks_delay: settings.exclude_deleted.then_some(Duration::ZERO),
        ..BlockFilter::default()
    };
    let view = MetaFetcher::new(bucket.clone(), filter).fetch(ctx).await?.complete()?;
    for warning in &view.warnings {
        tracing::warn!("{warning}");
    }
    for meta in view.metas.values() {
        let line = settings.output.line(meta, &settings.zone)?;
        out.write_all(&line).map_err(write_failed)?;
    }
    out.flush().map_err(write_failed)?;
    Ok(view.metas.len())
}

pub(super) fn write_failed(e: io::Error) -> Error {
    Error::internal(format!("write output: {e}")).with_source(e)
}

fn wide(meta: &BlockMeta, zone: &Zone) -> String {
    format!(
        "{} -- {} - {} Diff: {}, Compaction: {}, Downsample: {}, Source: {}",
        meta.ulid,
        zone.rfc3339(meta.min_time),
        zone.rfc3339(meta.max_time),
        go_duration(meta.max_time.saturating_sub(meta.min_time)),
        meta.compaction.level,
        meta.thanos.downsample.resolution,
        meta.thanos.source,
    )
}

/// Milliseconds as Go prints a duration.
pub(super) fn go_duration(ms: i64) -> String {
    format_go(ms.saturating_mul(1_000_000))
}
