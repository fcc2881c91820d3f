//! Texts with fields of a block in them, in the syntax of Go templates.
//!
//! Field paths are understood (`{{.ULID}}`, `{{ .Thanos.Labels.cluster }}`); any other
//! action is refused when the template is parsed.
//!
//! Invariant: a template that parsed prints every block.

use crate::{
    block::BlockMeta,
    error::{Error, Result},
};

/// A parsed template over [`BlockMeta`].
///
/// ```
/// use thanoslib::{BlockMeta, tools::Template};
/// let template = Template::parse("{{ .ULID }} of {{ .Thanos.Labels.cluster }}")?;
/// assert!(template.render(&BlockMeta::default()).ends_with("of <no value>"));
/// # Ok::<(), thanoslib::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Field(String),
    Label(String),
}

impl Template {
    /// Parses a template.
    ///
    /// # Errors
    /// `Invalid` for an unclosed action or an unknown field, `Unsupported` for an action
    /// that is no field path.
    pub fn parse(text: &str) -> Result<Self> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            let Some((action, after)) = after.split_once("}}") else {
                return Err(Error::invalid(format!("template: unclosed action in {text:?}")));
            };
            pieces.push(Piece::Text(before.to_owned()));
            pieces.push(field(action.trim())?);
            rest = after;
        }
        pieces.push(Piece::Text(rest.to_owned()));
        Ok(Self(pieces))
    }

    /// The text for one block.
    pub fn render(&self, meta: &BlockMeta) -> String {
        let mut out = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Field(name) => out.push_str(&value(meta, name).unwrap_or_default()),
                // Compat: what Go prints for a key that a map does not have.
                Piece::Label(name) => {
                    out.push_str(meta.thanos.labels.get(name).map_or("<no value>", String::as_str));
                }
            }
        }
        out
    }
}

fn field(action: &str) -> Result<Piece> {
    let path = action.strip_prefix('.').filter(|path| {
        !path.is_empty()
            && path.split('.').all(|p| !p.is_empty() && p.chars().all(|c| c == '_' || c.is_alphanumeric()))
    });
    let Some(path) = path else {
        return Err(Error::unsupported(format!(
            "template: action {action:?} is not supported, only fields are"
        )));
    };
    // Compat: the fields of the part that Prometheus writes are those of the whole, too.
    let path = path.strip_prefix("BlockMeta.").unwrap_or(path);
    if let Some(label) = path.strip_prefix("Thanos.Labels.")
        && !label.contains('.')
    {
        return Ok(Piece::Label(label.to_owned()));
    }
    match value(&BlockMeta::default(), path) {
        Some(_) => Ok(Piece::Field(path.to_owned())),
        None => Err(Error::invalid(format!("template: blocks have no printable field {path:?}"))),
    }
}

/// A field as Go prints it; `None` when there is no such field.
fn value(meta: &BlockMeta, path: &str) -> Option<String> {
    let (stats, compaction, thanos) = (&meta.stats, &meta.compaction, &meta.thanos);
    Some(match path {
        "ULID" => meta.ulid.to_string(),
        "MinTime" => meta.min_time.to_string(),
        "MaxTime" => meta.max_time.to_string(),
        "Version" => meta.version.to_string(),
        "Stats.NumSamples" => stats.num_samples.to_string(),
        "Stats.NumFloatSamples" => stats.num_float_samples.to_string(),
        "Stats.NumHistogramSamples" => stats.num_histogram_samples.to_string(),
        "Stats.NumSeries" => stats.num_series.to_string(),
        "Stats.NumChunks" => stats.num_chunks.to_string(),
        "Stats.NumTombstones" => stats.num_tombstones.to_string(),
        "Compaction.Level" => compaction.level.to_string(),
        "Compaction.Sources" => list(compaction.sources.iter().map(ToString::to_string)),
        "Compaction.Deletable" => compaction.deletable.to_string(),
        "Compaction.Failed" => compaction.failed.to_string(),
        "Compaction.Hints" => list(compaction.hints.iter().cloned()),
        "Compaction.Parents" => {
            list(compaction.parents.iter().map(|p| format!("{{{} {} {}}}", p.ulid, p.min_time, p.max_time)))
        }
        "Thanos.Version" => thanos.version.to_string(),
        "Thanos.Labels" => {
            let labels: Vec<String> = thanos.labels.iter().map(|(n, v)| format!("{n}:{v}")).collect();
            format!("map[{}]", labels.join(" "))
        }
        "Thanos.Downsample.Resolution" => thanos.downsample.resolution.to_string(),
        "Thanos.Source" => thanos.source.clone(),
        "Thanos.SegmentFiles" => list(thanos.segment_files.iter().cloned()),
        "Thanos.IndexStats.SeriesMaxSize" => thanos.index_stats.series_max_size.to_string(),
        "Thanos.IndexStats.ChunkMaxSize" => thanos.index_stats.chunk_max_size.to_string(),
        _ => return None,
    })
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn fields_are_printed_and_other_actions_refused() {
        let mut meta = BlockMeta { min_time: -5, ..BlockMeta::default() };
        meta.thanos.labels.extend([("b".to_owned(), "2".to_owned()), ("a".to_owned(), "1".to_owned())]);
        meta.compaction.hints = vec!["x".to_owned(), "y".to_owned()];
        let check = |template: &str, want: Result<&str, ErrorKind>| {
            let got = Template::parse(template).map(|t| t.render(&meta));
            assert_eq!(got.as_deref().map_err(|e| e.kind()), want, "{template}");
        };
        check("", Ok(""));
        check("plain", Ok("plain"));
        check("{{.MinTime}} {{ .Thanos.Labels }}!", Ok("-5 map[a:1 b:2]!"));
        check("{{.Thanos.Labels.a}}{{.Thanos.Labels.c}}", Ok("1<no value>"));
        check("{{.BlockMeta.Compaction.Hints}}", Ok("[x y]"));
        check("{{.ULID", Err(ErrorKind::Invalid));
        check("{{.Ulid}}", Err(ErrorKind::Invalid));
        check("{{.Stats}}", Err(ErrorKind::Invalid));
        check("{{range .Compaction.Sources}}", Err(ErrorKind::Unsupported));
        check("{{-.ULID}}", Err(ErrorKind::Unsupported));
    }
}
