//! `thanos tools promql explain`: the plan of a query.

use std::sync::Arc;

use anyhow::{Result, bail};
use thanoslib::{
    Clock, Engine, InstantQuery, Labels, MemoryStore, RangeQuery, SelectOptions, StoreQueryable, SystemClock,
    model::duration,
    promql::{Explained, parse},
    runtime::Inline,
};

use super::promql_text::{TextFlags, options};

/// Flags of `promql explain`.
#[derive(Debug, clap::Args)]
pub(crate) struct ExplainFlags {
    #[command(flatten)]
    text: TextFlags,
    /// Time of an instant query, in seconds or RFC 3339; now by default.
    #[arg(long, value_parser = time, conflicts_with_all = ["start", "end", "step"])]
    time: Option<i64>,
    /// First step of a range query, in seconds or RFC 3339.
    #[arg(long, value_parser = time, requires = "end")]
    start: Option<i64>,
    /// End of a range query, in seconds or RFC 3339.
    #[arg(long, value_parser = time, requires = "start")]
    end: Option<i64>,
    /// Step of a range query, 1m by default.
    #[arg(long, value_parser = length, requires = "start")]
    step: Option<i64>,
    /// Coarsest resolution allowed.
    #[arg(long = "max-source-resolution", value_parser = length, default_value = "0s")]
    max_source_resolution: i64,
    /// A label that tells replicas apart; may be given several times.
    #[arg(long = "query.replica-label", value_name = "LABEL")]
    replica_labels: Vec<String>,
    /// Prints JSON, as the HTTP API does.
    #[arg(long)]
    json: bool,
}

/// Prints the operators of the plan, operands indented.
pub(super) fn run(flags: &ExplainFlags) -> Result<()> {
    let explained = explain(flags)?;
    if flags.json {
        println!("{}", explained.to_json());
    } else {
        print!("{}", explained.to_text());
    }
    Ok(())
}

fn explain(flags: &ExplainFlags) -> Result<Explained> {
    let text = flags.text.read()?;
    let text = text.trim_end();
    let engine = Engine::new(options(), Arc::new(Inline));
    let expr = parse(text, engine.options())?;
    let text: Arc<str> = Arc::from(text);
    let select = SelectOptions {
        max_resolution_ms: flags.max_source_resolution,
        replica_labels: flags.replica_labels.clone(),
        ..SelectOptions::default()
    };
    // Plans do not depend on what is stored.
    let queryable = StoreQueryable::new(Arc::new(MemoryStore::new(Labels::empty())), select);
    let Some((start_ms, end_ms)) = flags.start.zip(flags.end) else {
        let time_ms = flags.time.unwrap_or_else(|| SystemClock.now_ms());
        let query = InstantQuery { expr, text, time_ms, lookback_ms: None };
        return Ok(engine.explain_instant(&queryable, query)?);
    };
    let step_ms = flags.step.unwrap_or(60_000);
    if step_ms == 0 || end_ms < start_ms {
        bail!("a range needs a step above 0 and an end that is not before its start");
    }
    let query = RangeQuery { expr, text, start_ms, end_ms, step_ms, lookback_ms: None };
    Ok(engine.explain_range(&queryable, query)?)
}

fn time(text: &str) -> Result<i64, String> {
    duration::parse_api_time(text).map(|t| t.ms()).map_err(|e| e.to_string())
}

/// A length in ms, not negative.
fn length(text: &str) -> Result<i64, String> {
    let ms = duration::parse_api_duration(text).map_err(|e| e.to_string())? / 1_000_000;
    if ms < 0 { Err(format!("{text} is negative")) } else { Ok(ms) }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        flags: ExplainFlags,
    }

    fn check(args: &[&str], want: Option<&str>) {
        let parsed = Command::try_parse_from(["explain"].iter().chain(args));
        let got = parsed.ok().and_then(|c| explain(&c.flags).ok()).map(|e| e.to_text());
        assert_eq!(got.as_deref(), want, "{args:?}");
    }

    #[test]
    fn plans_are_shown() {
        let want = concat!(
            "[aggregate] sum by (a)\n  [range] rate over 5m\n",
            r#"    [read] #0 {__name__="x"} from 300.001 to 1200, for rate, step 1m, range 5m"#,
            ", labels (__name__, a), scraped samples\n"
        );
        check(&["sum by (a) (rate(x[5m]))", "--start=600", "--end=1200"], Some(want));
        check(&["1 + 1", "--time=5"], Some("[number] 2\n"));
        check(&["x", "--start=600"], None);
        check(&["x", "--start=600", "--end=500"], None);
        check(&["x", "--start=600", "--end=700", "--step=-1m"], None);
        check(&["x["], None);
    }
}
