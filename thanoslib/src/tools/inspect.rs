//! Shows the blocks of a bucket as a table.
//!
//! Invariant: every row has every column; rows are ordered by what they show.

use std::{cmp::Ordering, fmt, io, str::FromStr};

use super::{
    Zone,
    ls::{go_duration, write_failed},
    text::thousands,
};
use crate::{
    block::{BlockFilter, BlockMeta, MetaFetcher},
    bucket::Bucket,
    context::Context,
    error::{Error, Result},
    model::duration::{parse_go, parse_rfc3339},
};

const HOUR_MS: i64 = 3_600_000;

/// A column of the table.
///
/// See [`InspectSettings`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Column {
    /// Id.
    Ulid,
    /// Begin.
    From,
    /// End.
    Until,
    /// Length.
    Range,
    /// What is missing in length until the block can be downsampled.
    UntilDown,
    /// Series.
    Series,
    /// Samples.
    Samples,
    /// Chunks.
    Chunks,
    /// Compaction level.
    CompLevel,
    /// Whether compaction failed.
    CompFailed,
    /// External labels.
    Labels,
    /// Resolution.
    Resolution,
    /// Who made it.
    Source,
}

impl Column {
    /// Every column, in order.
    pub const ALL: [Column; 13] = [
        Column::Ulid,
        Column::From,
        Column::Until,
        Column::Range,
        Column::UntilDown,
        Column::Series,
        Column::Samples,
        Column::Chunks,
        Column::CompLevel,
        Column::CompFailed,
        Column::Labels,
        Column::Resolution,
        Column::Source,
    ];

    /// The heading.
    pub const fn as_str(self) -> &'static str {
        match self {
            Column::Ulid => "ULID",
            Column::From => "FROM",
            Column::Until => "UNTIL",
            Column::Range => "RANGE",
            Column::UntilDown => "UNTIL-DOWN",
            Column::Series => "#SERIES",
            Column::Samples => "#SAMPLES",
            Column::Chunks => "#CHUNKS",
            Column::CompLevel => "COMP-LEVEL",
            Column::CompFailed => "COMP-FAILED",
            Column::Labels => "LABELS",
            Column::Resolution => "RESOLUTION",
            Column::Source => "SOURCE",
        }
    }

    fn cell(self, meta: &BlockMeta, zone: &Zone) -> String {
        let span_ms = meta.max_time.saturating_sub(meta.min_time);
        let resolution_ms = meta.thanos.downsample.resolution;
        match self {
            Column::Ulid => meta.ulid.to_string(),
            Column::From => zone.rfc3339(meta.min_time),
            Column::Until => zone.rfc3339(meta.max_time),
            Column::Range => go_duration(span_ms),
            Column::UntilDown => match resolution_ms {
                0 => go_duration((40 * HOUR_MS).saturating_sub(span_ms)),
                300_000 => go_duration((240 * HOUR_MS).saturating_sub(span_ms)),
                _ => "-".to_owned(),
            },
            Column::Series => thousands(meta.stats.num_series),
            Column::Samples => thousands(meta.stats.num_samples),
            Column::Chunks => thousands(meta.stats.num_chunks),
            Column::CompLevel => meta.compaction.level.to_string(),
            Column::CompFailed => meta.compaction.failed.to_string(),
            Column::Labels => {
                let labels: Vec<String> =
                    meta.thanos.labels.iter().map(|(n, v)| format!("{n}={v}")).collect();
                labels.join(",")
            }
            Column::Resolution => go_duration(resolution_ms),
            Column::Source => meta.thanos.source.clone(),
        }
    }
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Column {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|c| c.as_str() == text).ok_or_else(|| {
            let all = Self::ALL.map(Column::as_str).join(",");
            Error::invalid(format!("column must be one of {all}, got {text:?}"))
        })
    }
}

/// How the table is written.
///
/// See [`InspectSettings`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum TableFormat {
    /// For people.
    #[default]
    Table,
    /// Comma separated.
    Csv,
    /// Tab separated.
    Tsv,
}

/// What [`inspect`] shows.
///
/// ```
/// use thanoslib::{Bucket, Context, tools::{Column, InspectSettings, TableFormat, inspect}};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let settings = InspectSettings {
///     sort_by: vec![Column::Series],
///     format: TableFormat::Csv,
///     ..InspectSettings::default()
/// };
/// let mut table = Vec::new();
/// let blocks = inspect(&Context::default(), &Bucket::memory("demo"), &settings, &mut table).await?;
/// assert!(blocks == 0 && table.starts_with(b"ULID,"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct InspectSettings {
    /// Only blocks with all these external labels. Default: any.
    pub selector: Vec<(String, String)>,
    /// Columns that order the rows, the first before all. Default: begin, end.
    pub sort_by: Vec<Column>,
    /// How the table is written. Default: for people.
    pub format: TableFormat,
    /// Zone of the times shown. Default: UTC.
    pub zone: Zone,
}

impl Default for InspectSettings {
    fn default() -> Self {
        Self {
            selector: Vec::new(),
            sort_by: vec![Column::From, Column::Until],
            format: TableFormat::default(),
            zone: Zone::default(),
        }
    }
}

type Row = [String; Column::ALL.len()];

/// Writes a table of a bucket's blocks to `out`; returns the number of blocks in it.
///
/// # Errors
/// When not all blocks can be seen, or `out` fails.
pub async fn inspect(
    ctx: &Context,
    bucket: &Bucket,
    settings: &InspectSettings,
    out: &mut (dyn io::Write + Send),
) -> Result<usize> {
    let view = MetaFetcher::new(bucket.clone(), BlockFilter::default()).fetch(ctx).await?.complete()?;
    for warning in &view.warnings {
        tracing::warn!("{warning}");
    }
    let selected = view.metas.values().filter(|meta| {
        settings.selector.iter().all(|(name, value)| meta.thanos.labels.get(name) == Some(value))
    });
    let mut rows: Vec<Row> =
        selected.map(|meta| Column::ALL.map(|column| column.cell(meta, &settings.zone))).collect();
    let order = settings.sort_by.iter().chain([&Column::Ulid]);
    rows.sort_by(|a, b| {
        let by = |c: &Column| compare(&a[*c as usize], &b[*c as usize]);
        order.clone().map(by).find(|o| o.is_ne()).unwrap_or(Ordering::Equal)
    });
    let count = rows.len();
    rows.insert(0, Column::ALL.map(|column| column.as_str().to_owned()));
    let text = match settings.format {
        TableFormat::Table => table(&rows),
        TableFormat::Csv => separated(&rows, ','),
        TableFormat::Tsv => separated(&rows, '\t'),
    };
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(write_failed)?;
    Ok(count)
}

/// Compares two cells as times, else as durations, else as numbers, else as texts.
fn compare(a: &str, b: &str) -> Ordering {
    let times = parse_rfc3339(a).zip(parse_rfc3339(b)).map(|(a, b)| (a.ms(), b.ms()));
    let durations = || parse_go(a).ok().zip(parse_go(b).ok());
    let number = |text: &str| text.replace(',', "").parse::<i64>().ok();
    match times.or_else(durations).or_else(|| number(a).zip(number(b))) {
        Some((a, b)) => a.cmp(&b),
        None => a.cmp(b),
    }
}

fn table(rows: &[Row]) -> String {
    let widths: [usize; Column::ALL.len()] =
        std::array::from_fn(|i| rows.iter().map(|row| row[i].chars().count()).max().unwrap_or(0));
    let mut out = String::new();
    for (n, row) in rows.iter().enumerate() {
        for (cell, width) in row.iter().zip(widths) {
            out.push_str(&format!("| {cell:width$} "));
        }
        out.push_str("|\n");
        if n == 0 {
            for width in widths {
                out.push_str(&format!("|{:-<1$}", "", width + 2));
            }
            out.push_str("|\n");
        }
    }
    out
}

/// RFC 4180 with any separator; Go also quotes a cell that begins with a space.
fn separated(rows: &[Row], separator: char) -> String {
    let mut out = String::new();
    for row in rows {
        for (i, cell) in row.iter().enumerate() {
            if i > 0 {
                out.push(separator);
            }
            let quoted = cell.contains([separator, '"', '\r', '\n']) || cell.starts_with(char::is_whitespace);
            match quoted {
                true => out.push_str(&format!("\"{}\"", cell.replace('"', "\"\""))),
                false => out.push_str(cell),
            }
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_compare_by_what_they_mean() {
        let check = |a: &str, b: &str, want: Ordering| {
            assert_eq!(compare(a, b), want, "{a} {b}");
            assert_eq!(compare(b, a), want.reverse(), "{b} {a}");
        };
        check("1,000", "999", Ordering::Greater);
        check("2h0m0s", "30m0s", Ordering::Greater);
        check("-5h0m0s", "0s", Ordering::Less);
        check("2023-11-15T00:00:00+02:00", "2023-11-14T23:00:00Z", Ordering::Less);
        check("a", "b", Ordering::Less);
        check("-", "5m0s", Ordering::Less);
        check("", "", Ordering::Equal);
    }

    #[test]
    fn cells_are_quoted_where_they_must_be() {
        let mut row: Row = std::array::from_fn(|_| String::new());
        row[0] = "1,000".to_owned();
        row[1] = "a\"b".to_owned();
        row[2] = " x".to_owned();
        row[3] = "plain".to_owned();
        let rest = ",".repeat(Column::ALL.len() - 4);
        assert_eq!(separated(&[row.clone()], ','), format!("\"1,000\",\"a\"\"b\",\" x\",plain{rest}\n"));
        assert!(separated(&[row], '\t').starts_with("1,000\t\"a\"\"b\"\t\" x\"\tplain\t"));
    }
}
