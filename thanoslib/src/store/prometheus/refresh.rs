//! What is known of the server: version, external labels, oldest time.

use std::time::Duration;

use reqwest::{Method, header};
use serde::Deserialize;

use super::{PrometheusClient, PrometheusStore, json::or_default, version::labels_take_matchers};
use crate::{
    context::Context,
    error::{Error, ErrorKind, Result},
    model::{Labels, TimeBound},
};

/// How long one refresh may take.
const REFRESH_TIMEOUT: Duration = Duration::from_secs(30);

/// What is known of the server.
#[derive(Clone, Debug)]
pub(super) struct View {
    /// Version as the server says it; `None` before it was asked.
    version: Option<String>,
    /// External labels.
    pub(super) external: Labels,
    /// Oldest time in ms.
    pub(super) mint: i64,
    /// No series has a label of its own with the name of an external one.
    pub(super) names_apart: bool,
    /// False before the first refresh.
    pub(super) known: bool,
}

impl View {
    pub(super) fn before(min_time: TimeBound, now_ms: i64) -> Self {
        Self {
            version: None,
            external: Labels::empty(),
            mint: min_time.at(now_ms),
            names_apart: false,
            known: false,
        }
    }

    /// Label calls of the server take matchers.
    pub(super) fn labels_take_matchers(&self) -> bool {
        self.version.as_deref().is_some_and(labels_take_matchers)
    }
}

impl PrometheusStore {
    /// Asks the server for its external labels and its oldest time, and once for its version.
    ///
    /// # Errors
    /// Those of the server; what was known stays.
    pub async fn refresh(&self, ctx: &Context) -> Result<()> {
        let before = self.view();
        let version = match &before.version {
            Some(version) => version.clone(),
            None => self.client().version(ctx).await?,
        };
        let lowest = self.client().lowest_time_ms(ctx).await?;
        let external = self.client().external_labels(ctx).await?;
        let names_apart = self.client().names_apart(ctx, &external).await;
        let mint = self.min_time.at(self.clock.now_ms()).max(lowest);
        self.set_view(View { version: Some(version), external, mint, names_apart, known: true });
        Ok(())
    }

    /// Refreshes again and again until `stop` completes; `report` hears every outcome.
    pub async fn run(
        &self,
        every: Duration,
        stop: impl Future<Output = ()> + Send,
        mut report: impl FnMut(Result<()>) + Send,
    ) {
        let work = async {
            loop {
                let ctx = Context::default().with_timeout(REFRESH_TIMEOUT);
                report(ctx.run(self.refresh(&ctx)).await);
                tokio::time::sleep(every).await;
            }
        };
        tokio::select! {
            () = work => {}
            () = stop => {}
        }
    }

    /// Version of the server; `None` before the first refresh.
    pub fn version(&self) -> Option<String> {
        self.view().version.clone()
    }

    /// True after a refresh that worked.
    pub fn is_refreshed(&self) -> bool {
        self.view().known
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct BuildInfo {
    #[serde(deserialize_with = "or_default")]
    version: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ServerConfig {
    #[serde(deserialize_with = "or_default")]
    yaml: String,
}

/// The part of a server's configuration that is read.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Outline {
    #[serde(deserialize_with = "or_default")]
    global: Global,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Global {
    #[serde(deserialize_with = "or_default")]
    external_labels: std::collections::BTreeMap<String, Option<String>>,
}

const LOWEST: &[u8] = b"prometheus_tsdb_lowest_timestamp_seconds";
/// A line of the metrics page that is longer is none of those that are read.
const LINE_BYTES_MAX: usize = 64 << 10;
/// What stands for the largest time on a page of floats.
const NO_BLOCK_MS: f64 = 9.2e18;

impl PrometheusClient {
    /// Version of the server; `0` of one that does not tell it.
    pub(crate) async fn version(&self, ctx: &Context) -> Result<String> {
        let path = ["api", "v1", "status", "buildinfo"];
        let incoming = self.send(ctx, Method::GET, &path, &[], |r| r).await?;
        if matches!(incoming.status().as_u16(), 404 | 405) {
            return Ok("0".to_owned());
        }
        drop(incoming);
        Ok(self.get::<BuildInfo>(ctx, &path, &[]).await?.data.version)
    }

    /// Time of the oldest block in ms, the least number when there is none.
    ///
    /// A server without that metric has no bound either.
    pub(crate) async fn lowest_time_ms(&self, ctx: &Context) -> Result<i64> {
        let text = |r: reqwest::RequestBuilder| r.header(header::ACCEPT, "text/plain;version=0.0.4");
        let incoming = self.send(ctx, Method::GET, &["metrics"], &[], text).await?.success(ctx).await?;
        let (mut line, mut found) = (Vec::new(), None);
        incoming
            .each(ctx, |piece| {
                for part in piece.split_inclusive(|b| *b == b'\n') {
                    if line.len() + part.len() <= LINE_BYTES_MAX {
                        line.extend_from_slice(part);
                    }
                    if part.ends_with(b"\n") {
                        found = found.or_else(|| lowest(&line));
                        line.clear();
                    }
                }
                Ok(true)
            })
            .await?;
        Ok(found.or_else(|| lowest(&line)).unwrap_or(i64::MIN))
    }

    /// External labels as the server's configuration says them.
    pub(crate) async fn external_labels(&self, ctx: &Context) -> Result<Labels> {
        let answer = self.get::<ServerConfig>(ctx, &["api", "v1", "status", "config"], &[]).await?;
        external_labels(&answer.data.yaml)
    }

    /// True when the server holds no label of the name of an external one; not when it does not say.
    async fn names_apart(&self, ctx: &Context, external: &Labels) -> bool {
        for label in external.iter() {
            let name = String::from_utf8_lossy(label.name);
            let values = self.label_values_at(ctx, &name, &[("limit", "1".to_owned())]).await;
            if !values.is_ok_and(|answer| answer.data.is_empty()) {
                return false;
            }
        }
        true
    }
}

/// Value of the metric, if the line is its.
fn lowest(line: &[u8]) -> Option<i64> {
    let rest = std::str::from_utf8(line.strip_prefix(LOWEST)?).ok()?;
    let rest = match rest.strip_prefix('{') {
        Some(labels) => labels.split_once('}')?.1,
        None => rest,
    };
    // Behind the value a time may stand.
    let value = rest.strip_prefix([' ', '\t']).or_else(|| (rest != line_rest(line)).then_some(rest))?;
    let seconds: f64 = value.split_ascii_whitespace().next()?.parse().ok()?;
    let ms = seconds * 1000.0;
    Some(if ms >= NO_BLOCK_MS || ms.is_nan() { i64::MIN } else { ms as i64 })
}

/// What stands behind the name.
fn line_rest(line: &[u8]) -> &str {
    line.strip_prefix(LOWEST).and_then(|rest| std::str::from_utf8(rest).ok()).unwrap_or_default()
}

fn external_labels(yaml: &str) -> Result<Labels> {
    let outline: Option<Outline> = serde_saphyr::from_str(yaml)
        .map_err(|e| Error::new(ErrorKind::Internal, format!("configuration of Prometheus: {e}")))?;
    let labels = outline.unwrap_or_default().global.external_labels;
    Ok(Labels::from_pairs(labels.into_iter().map(|(name, value)| (name, value.unwrap_or_default()))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_time_is_read_from_its_line() {
        let check = |line: &str, want: Option<i64>| assert_eq!(lowest(line.as_bytes()), want, "{line}");
        check("prometheus_tsdb_lowest_timestamp_seconds 1.7000136e+09\n", Some(1_700_013_600_000));
        check("prometheus_tsdb_lowest_timestamp_seconds{a=\"b\"} 1.5 1234\n", Some(1_500));
        check("prometheus_tsdb_lowest_timestamp_seconds 9.223372036854776e+15\n", Some(i64::MIN));
        check("prometheus_tsdb_lowest_timestamp_seconds NaN\n", Some(i64::MIN));
        for other in
            ["", "prometheus_tsdb_lowest_timestamp 1.7e+12", "prometheus_tsdb_lowest_timestamp_seconds"]
        {
            check(other, None);
        }
        check("prometheus_tsdb_lowest_timestamp_seconds_total 5\n", None);
        check("prometheus_tsdb_lowest_timestamp_seconds x\n", None);
    }

    #[test]
    fn external_labels_are_read_from_the_configuration() {
        let check = |yaml: &str, want: &str| {
            assert_eq!(external_labels(yaml).expect("yaml").to_string(), want, "{yaml}");
        };
        check("", "{}");
        check("global:\n", "{}");
        check("global: {external_labels: }", "{}");
        check(
            "global: {external_labels: {b: 1, a: x, c: }}\nscrape_configs: [{job_name: y}]",
            r#"{a="x", b="1"}"#,
        );
        assert!(external_labels("global: [").is_err());
    }
}
