//! `thanos tools bucket inspect`.

use std::{io, time::Duration};

use clap::{Args, ValueEnum};
use thanoslib::{
    bucket::Bucket,
    context::Context,
    tools::{Column, InspectSettings, TableFormat, inspect},
};

/// Flags of `bucket inspect`.
#[derive(Debug, Args)]
pub(super) struct InspectFlags {
    /// Shows only blocks with this external label, as name="value"; all that are given must hold.
    #[arg(long, short = 'l', value_name = "<name>=\"<value>\"", value_parser = selector)]
    selector: Vec<(String, String)>,
    /// Orders the rows by this column; further ones order what is equal.
    #[arg(long = "sort-by", value_name = "column", default_values = ["FROM", "UNTIL"])]
    sort_by: Vec<Column>,
    /// Gives up after this time.
    #[arg(long, default_value = "5m", value_parser = super::timeout, allow_hyphen_values = true)]
    timeout: Duration,
    /// How the table is written.
    #[arg(long, value_enum, default_value = "table")]
    output: Output,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Output {
    Table,
    Csv,
    Tsv,
}

/// A label name and its value as a Go string literal with double or back quotes.
fn selector(text: &str) -> Result<(String, String), String> {
    let (name, literal) = text.split_once('=').ok_or_else(|| format!("unrecognized label {text:?}"))?;
    if name.is_empty() {
        return Err(format!("unsupported format for label {text:?}"));
    }
    let raw = literal.strip_prefix('`').and_then(|l| l.strip_suffix('`')).filter(|l| !l.contains('`'));
    match raw {
        Some(raw) => Ok((name.to_owned(), raw.to_owned())),
        None => {
            let value: String = serde_json::from_str(literal)
                .map_err(|e| format!("the value of label {text:?} is no quoted string: {e}"))?;
            Ok((name.to_owned(), value))
        }
    }
}

impl InspectFlags {
    fn settings(self) -> InspectSettings {
        InspectSettings {
            selector: self.selector,
            sort_by: self.sort_by,
            format: match self.output {
                Output::Table => TableFormat::Table,
                Output::Csv => TableFormat::Csv,
                Output::Tsv => TableFormat::Tsv,
            },
            zone: super::local_zone(),
        }
    }
}

pub(super) async fn run(bucket: &Bucket, flags: InspectFlags) -> anyhow::Result<()> {
    let ctx = Context::default().with_timeout(flags.timeout);
    inspect(&ctx, bucket, &flags.settings(), &mut io::stdout()).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_are_a_name_and_a_quoted_value() {
        let check = |text: &str, want: Option<(&str, &str)>| {
            let want = want.map(|(n, v)| (n.to_owned(), v.to_owned()));
            assert_eq!(selector(text).ok(), want, "{text}");
        };
        check("a=\"b\"", Some(("a", "b")));
        check("a=\"x=y\\n\"", Some(("a", "x=y\n")));
        check("a=`x\\n`", Some(("a", "x\\n")));
        check("a=b", None);
        check("a", None);
        check("=\"b\"", None);
        check("a=\"b", None);
    }
}
