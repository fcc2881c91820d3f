//! Compares answers: by their bytes, or by what they say where Thanos' order is random.

use std::fmt::Debug;

use bytes::Bytes;
use prost::Message;
use thanoslib::{
    apis::{ExemplarsAnswer, MetadataAnswer, QueryFrame, Rule, RulesAnswer, TargetsAnswer, TsdbStatusAnswer},
    model::Warnings,
    promql::MatrixSeries,
    testing::golden::Verdict,
};

use crate::{
    convert::{self, QueryPart},
    pb::thanos::{
        ExemplarsResponse, LabelNamesResponse, LabelValuesResponse, MetricMetadataResponse,
        QueryRangeResponse, QueryResponse, RulesResponse, SeriesResponse, TargetsResponse,
        TsdbStatisticsResponse, info::InfoResponse,
    },
};

/// Compares the messages of an answer to `method`. What the wall clock decides is left out:
/// times and lengths of evaluations and scrapes, values and times of raised alerts, newest samples.
///
/// # Errors
/// Where the answers differ.
pub fn answer(method: &str, got: &[Bytes], want: &[Bytes]) -> Verdict {
    match method {
        "/thanos.Rules/Rules" => as_whole(got, want, rules),
        "/thanos.Targets/Targets" => as_whole(got, want, targets),
        "/thanos.Metadata/MetricMetadata" => as_whole(got, want, metadata),
        "/thanos.Exemplars/Exemplars" => as_whole(got, want, exemplars),
        "/thanos.Status/TSDBStatistics" => as_whole(got, want, statistics),
        "/thanos.Query/Query" => queries(got, want, QueryResponse::part),
        "/thanos.Query/QueryRange" => queries(got, want, QueryRangeResponse::part),
        _ => {
            if got.len() != want.len() {
                return Err(format!("{} messages, want {}", got.len(), want.len()));
            }
            for (i, (got, want)) in got.iter().zip(want).enumerate() {
                message(method, got, want).map_err(|e| format!("response {i}: {e}"))?;
            }
            Ok(())
        }
    }
}

/// Compares what all messages together say.
fn as_whole<T: PartialEq + Debug>(
    got: &[Bytes],
    want: &[Bytes],
    meaning: fn(&[Bytes]) -> Result<T, String>,
) -> Verdict {
    let (got, want) = (meaning(got)?, meaning(want)?);
    if got == want { Ok(()) } else { Err(format!("got {got:?}, want {want:?}")) }
}

fn each<M: Message + Default>(all: &[Bytes], mut add: impl FnMut(M) -> thanoslib::Result<()>) -> Verdict {
    for bytes in all {
        let message = M::decode(bytes.clone()).map_err(|e| format!("{e}: {}", hex(bytes)))?;
        add(message).map_err(|e| e.to_string())?;
    }
    Ok(())
}

fn texts(warnings: &Warnings) -> Vec<String> {
    warnings.iter().map(ToString::to_string).collect()
}

fn rules(all: &[Bytes]) -> Result<(Vec<thanoslib::apis::RuleGroup>, Vec<String>), String> {
    let mut answer = RulesAnswer::default();
    each(all, |m: RulesResponse| convert::add_rules(&mut answer, m))?;
    for group in &mut answer.groups {
        (group.evaluation_seconds, group.last_evaluation) = (0.0, None);
        for rule in &mut group.rules {
            match rule {
                Rule::Recording(rule) => (rule.evaluation_seconds, rule.last_evaluation) = (0.0, None),
                Rule::Alert(alert) => {
                    (alert.evaluation_seconds, alert.last_evaluation) = (0.0, None);
                    for raised in &mut alert.alerts {
                        raised.active_at = None;
                        raised.value.clear();
                    }
                }
            }
        }
    }
    answer.groups.sort_by(|a, b| (&a.file, &a.name).cmp(&(&b.file, &b.name)));
    Ok((answer.groups, texts(&answer.warnings)))
}

fn targets(all: &[Bytes]) -> Result<impl PartialEq + Debug + use<>, String> {
    let mut answer = TargetsAnswer::default();
    each(all, |m: TargetsResponse| convert::add_targets(&mut answer, m))?;
    for target in &mut answer.active {
        (target.last_scrape, target.last_scrape_seconds) = (None, 0.0);
        target.global_url.clear();
    }
    answer.active.sort_by(|a, b| (&a.scrape_url, &a.labels).cmp(&(&b.scrape_url, &b.labels)));
    answer.dropped.sort();
    Ok((answer.active, answer.dropped, texts(&answer.warnings)))
}

fn metadata(all: &[Bytes]) -> Result<impl PartialEq + Debug + use<>, String> {
    let mut answer = MetadataAnswer::default();
    each(all, |m: MetricMetadataResponse| {
        convert::add_metadata(&mut answer, m);
        Ok(())
    })?;
    Ok((answer.metrics, texts(&answer.warnings)))
}

fn exemplars(all: &[Bytes]) -> Result<impl PartialEq + Debug + use<>, String> {
    let mut answer = ExemplarsAnswer::default();
    each(all, |m: ExemplarsResponse| {
        convert::add_exemplars(&mut answer, m);
        Ok(())
    })?;
    answer.series.sort_by(|a, b| a.labels.cmp(&b.labels));
    Ok((answer.series, texts(&answer.warnings)))
}

fn statistics(all: &[Bytes]) -> Result<impl PartialEq + Debug + use<>, String> {
    let mut answer = TsdbStatusAnswer::default();
    each(all, |m: TsdbStatisticsResponse| {
        convert::add_status(&mut answer, m);
        Ok(())
    })?;
    for tenant in answer.tenants.values_mut() {
        tenant.head.maxt = 0;
    }
    Ok((answer.tenants, texts(&answer.warnings)))
}

/// What a query answered: kinds of messages in order, warnings, series, samples looked at.
type Answered = (Vec<&'static str>, Vec<String>, Vec<MatrixSeries>, Vec<i64>);

fn query<M: Message + Default>(all: &[Bytes], part: fn(M) -> Option<QueryPart>) -> Result<Answered, String> {
    let mut out = Answered::default();
    each(all, |m: M| {
        let Some(part) = part(m) else { return Ok(()) };
        let kind = match &part {
            QueryPart::Warnings(_) => "warnings",
            QueryPart::Series(_) => "series",
            QueryPart::Batch(_) => "batch",
            QueryPart::Stats(_) => "stats",
        };
        out.0.push(kind);
        match QueryFrame::try_from(part)? {
            QueryFrame::Warning(warning) => out.1.push(warning.to_string()),
            QueryFrame::Series(series) => out.2.extend(series),
            QueryFrame::Stats { samples_total, .. } => out.3.push(samples_total),
            _ => {}
        }
        Ok(())
    })?;
    out.2.sort_by(|a, b| a.labels.cmp(&b.labels));
    Ok(out)
}

/// Floats that summing in another order may give.
const TOLERANCE: f64 = 1e-12;

fn queries<M: Message + Default>(got: &[Bytes], want: &[Bytes], part: fn(M) -> Option<QueryPart>) -> Verdict {
    let (got, want) = (query(got, part)?, query(want, part)?);
    let near = |a: f64, b: f64| {
        a.to_bits() == b.to_bits()
            || (a - b).abs() <= TOLERANCE * a.abs().max(b.abs())
            || (a.is_nan() && b.is_nan())
    };
    let same = |a: &MatrixSeries, b: &MatrixSeries| {
        let floats = a.floats.iter().zip(&b.floats).all(|(a, b)| a.0 == b.0 && near(a.1, b.1));
        a.labels == b.labels && a.floats.len() == b.floats.len() && floats && a.histograms == b.histograms
    };
    let alike = got.2.len() == want.2.len() && got.2.iter().zip(&want.2).all(|(a, b)| same(a, b));
    if alike && (&got.0, &got.1, &got.3) == (&want.0, &want.1, &want.3) {
        return Ok(());
    }
    Err(format!("got {got:?}, want {want:?}"))
}

/// Compares one message of the answer to `method`.
fn message(method: &str, got: &[u8], want: &[u8]) -> Verdict {
    match method {
        "/thanos.Store/LabelNames" => {
            by_meaning(got, want, |m: LabelNamesResponse| (m.names, m.warnings, blocks(m.hints.as_ref())))
        }
        "/thanos.Store/LabelValues" => {
            by_meaning(got, want, |m: LabelValuesResponse| (m.values, m.warnings, blocks(m.hints.as_ref())))
        }
        "/thanos.info.Info/Info" => by_meaning(got, want, |mut m: InfoResponse| {
            m.label_sets.sort_by_key(|s| format!("{s:?}"));
            if let Some(store) = &mut m.store {
                store.tsdb_infos.sort_by_key(|t| format!("{t:?}"));
                // An extension that Go peers pass over.
                store.blocks_hash.clear();
            }
            m
        }),
        "/thanos.Store/Series" => match by_meaning(got, want, |m: SeriesResponse| m) {
            Ok(()) if got != want => Err(format!("equal but not byte for byte: {}", hex(got))),
            verdict => verdict,
        },
        _ if got == want => Ok(()),
        _ => Err(format!("got {}, want {}", hex(got), hex(want))),
    }
}

/// Hints without blocks say as much as no hints; the order of blocks is random in Thanos.
fn blocks(hints: Option<&prost_types::Any>) -> Option<(String, Vec<String>)> {
    let hints = hints?;
    let mut blocks = convert::queried_blocks(hints);
    blocks.sort();
    let says_nothing = blocks.is_empty() && hints.value.is_empty() && hints.type_url.starts_with(HINTS);
    (!says_nothing).then(|| (hints.type_url.clone(), blocks))
}

const HINTS: &str = "type.googleapis.com/hintspb.Label";

fn by_meaning<M: Message + Default + Clone, T: PartialEq + Debug>(
    got: &[u8],
    want: &[u8],
    meaning: impl Fn(M) -> T,
) -> Verdict {
    let read = |bytes: &[u8]| {
        let message = M::decode(bytes).map_err(|e| format!("{e}: {}", hex(bytes)))?;
        // What the messages do not know would be lost here, and so not compared.
        if message.encoded_len() != bytes.len() {
            return Err(format!("unknown fields: {}", hex(bytes)));
        }
        Ok(meaning(message))
    };
    let (got, want) = (read(got)?, read(want)?);
    if got == want { Ok(()) } else { Err(format!("got {got:?}, want {want:?}")) }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().take(200).map(|b| format!("{b:02x}")).collect()
}
