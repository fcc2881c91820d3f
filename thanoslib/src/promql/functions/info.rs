//! `info`: adds the labels of info series to the series of a vector.
//!
//! Series go together that have the same `instance` and `job`.
//!
//! Source: Prometheus `promql/info.go`.

use std::collections::{BTreeSet, HashMap};

use crate::{
    error::{Error, Result},
    model::{LABEL_NAME, Labels, LabelsBuilder, MatchOp, Matcher},
    promql::{
        Block,
        ast::VectorSelector,
        names::{steps_of, unique},
        scope::Scope,
    },
};

/// Labels that tell which series belong together.
const IDENTIFYING: [&str; 2] = ["instance", "job"];
/// The info metric that is meant when none is named.
const DEFAULT_METRIC: &str = "target_info";
/// No info series.
const NONE: u32 = u32::MAX;

/// Which info series are wanted, and which of their labels.
#[derive(Debug)]
pub(crate) struct InfoMatchers {
    names: Vec<Matcher>,
    /// Matchers of other labels; if there are any, only these labels are added.
    data: Vec<Matcher>,
}

impl InfoMatchers {
    /// What the second argument of `info` asks for.
    ///
    /// # Errors
    /// Never for the patterns that stand in here; patterns are compiled.
    pub(crate) fn new(selector: Option<&VectorSelector>) -> Result<Self> {
        let all = selector.map(|s| s.matchers.as_slice()).unwrap_or_default();
        let (mut names, data): (Vec<_>, Vec<_>) = all.iter().cloned().partition(|m| m.name() == LABEL_NAME);
        if names.is_empty() {
            names.push(Matcher::equal(LABEL_NAME, DEFAULT_METRIC));
        } else if names.iter().all(Matcher::is_negative) {
            names.insert(0, Matcher::new(MatchOp::Regex, LABEL_NAME, ".+_info")?);
        }
        Ok(Self { names, data })
    }

    /// True for a series that is an info series itself, which gets no labels.
    fn is_info(&self, labels: &Labels) -> bool {
        self.names.iter().all(|m| m.matches(labels.metric_name()))
    }

    /// True when a series without partner falls away.
    fn is_strict(&self) -> bool {
        self.data.iter().any(|m| !m.matches_empty())
    }

    fn wants(&self, label: &[u8]) -> bool {
        label != LABEL_NAME.as_bytes()
            && (self.data.is_empty() || self.data.iter().any(|m| m.name().as_bytes() == label))
    }

    /// The matchers of the info series of `base`; `None` when no series can have any.
    ///
    /// # Errors
    /// `Invalid` when the values make a pattern that is too large.
    pub(crate) fn select(&self, base: &[Block]) -> Result<Option<Vec<Matcher>>> {
        let mut matchers = Vec::new();
        for name in IDENTIFYING {
            let series = base.iter().filter(|b| !self.is_info(&b.labels));
            let values = series.filter_map(|b| b.labels.get(name)).filter(|v| !v.is_empty());
            // A pattern is text, so other bytes cannot be asked for.
            let values: BTreeSet<&str> = values.filter_map(|v| std::str::from_utf8(v).ok()).collect();
            if !values.is_empty() {
                let mut pattern = String::new();
                for value in values {
                    if !pattern.is_empty() {
                        pattern.push('|');
                    }
                    push_literal(&mut pattern, value);
                }
                matchers.push(Matcher::new(MatchOp::Regex, name, pattern)?);
            }
        }
        if matchers.is_empty() {
            return Ok(None);
        }
        matchers.extend(self.data.iter().chain(&self.names).cloned());
        Ok(Some(matchers))
    }

    /// The series of `base` with the labels of `infos`, whose floats are the times of their
    /// samples in ms.
    ///
    /// # Errors
    /// `Invalid` for info series that are histograms or contradict each other, and for two
    /// results with the same labels.
    pub(crate) fn join(
        &self,
        scope: &mut Scope<'_>,
        base: Vec<Block>,
        infos: &[Block],
    ) -> Result<Vec<Block>> {
        let newest = Newest::new(scope, infos)?;
        let mut out = Vec::with_capacity(base.len());
        for block in base {
            scope.check()?;
            if self.is_info(&block.labels) {
                out.push(block);
            } else {
                self.enrich(&block, infos, &newest, &mut out)?;
            }
        }
        unique(scope, out)
    }

    /// Splits a series by the info series that it meets.
    fn enrich(&self, block: &Block, infos: &[Block], newest: &Newest, out: &mut Vec<Block>) -> Result<()> {
        let groups = newest.of(&block.labels);
        let steps = block.floats.len();
        // Place in `out` by the info series that go in; most series meet the same ones always.
        let mut places: HashMap<Vec<u32>, Option<usize>> = HashMap::new();
        let mut met: Vec<u32> = Vec::new();
        let mut last: Option<(Vec<u32>, Option<usize>)> = None;
        for step in steps_of(block).iter() {
            met.clear();
            met.extend(groups.iter().map(|g| g[step]).filter(|i| *i != NONE));
            let known = last.as_ref().filter(|(key, _)| *key == met).map(|(_, place)| *place);
            let place = match known.or_else(|| places.get(&met).copied()) {
                Some(place) => place,
                None => {
                    let place = if met.is_empty() && self.is_strict() {
                        None
                    } else {
                        let mut fresh = Block::new(self.labels(&block.labels, infos, &met)?, steps);
                        fresh.drop_name = block.drop_name;
                        out.push(fresh);
                        Some(out.len() - 1)
                    };
                    places.insert(met.clone(), place);
                    place
                }
            };
            if known.is_none() {
                last = Some((met.clone(), place));
            }
            let Some(target) = place else { continue };
            match block.histogram(step) {
                Some(h) => out[target].histograms.push((step as u32, std::sync::Arc::clone(h))),
                None => out[target].set(step, block.floats[step]),
            }
        }
        Ok(())
    }

    /// The labels of a series with those of the info series that it meets.
    fn labels(&self, base: &Labels, infos: &[Block], met: &[u32]) -> Result<Labels> {
        let mut added: Vec<(&[u8], &[u8])> = Vec::new();
        for info in met.iter().filter_map(|i| infos.get(*i as usize)) {
            for label in info.labels.iter() {
                let in_base = base.get(label.name).is_some_and(|v| !v.is_empty());
                if in_base || !self.wants(label.name) {
                    continue;
                }
                match added.iter().find(|(name, _)| *name == label.name) {
                    Some((_, value)) if *value == label.value => {}
                    Some(_) => {
                        let name = String::from_utf8_lossy(label.name);
                        return Err(Error::invalid(format!("conflicting label: {name}")));
                    }
                    None => added.push((label.name, label.value)),
                }
            }
        }
        let mut builder = LabelsBuilder::from_labels(base.view());
        for (name, value) in added {
            builder.set(name, value);
        }
        Ok(builder.labels())
    }
}

/// Of info series with the same name and identifying labels the newest at each step.
#[derive(Debug)]
struct Newest {
    /// Place in `series` by metric name, then by identifying labels.
    names: Vec<HashMap<Labels, usize>>,
    series: Vec<Vec<u32>>,
}

impl Newest {
    fn new(scope: &Scope<'_>, infos: &[Block]) -> Result<Self> {
        let mut ids: HashMap<&[u8], usize> = HashMap::new();
        let mut newest = Self { names: Vec::new(), series: Vec::new() };
        for (i, info) in infos.iter().enumerate() {
            scope.check()?;
            if !info.histograms.is_empty() {
                return Err(Error::invalid(format!(
                    "info series {} has histograms, it must have floats",
                    info.labels
                )));
            }
            let name = *ids.entry(info.labels.metric_name()).or_insert_with(|| {
                newest.names.push(HashMap::new());
                newest.names.len() - 1
            });
            let group = *newest.names[name].entry(identity(&info.labels)).or_insert_with(|| {
                newest.series.push(vec![NONE; scope.steps.count]);
                newest.series.len() - 1
            });
            let group = &mut newest.series[group];
            for step in info.present.iter() {
                let t = info.floats[step];
                match infos.get(group[step] as usize) {
                    Some(other) if other.floats[step] > t => {}
                    Some(other) if other.floats[step] == t => {
                        return Err(Error::invalid(format!(
                            "found duplicate series for info metric: existing {} @ {t}, new {} @ {t}",
                            other.labels, info.labels
                        )));
                    }
                    _ => group[step] = i as u32,
                }
            }
        }
        Ok(newest)
    }

    /// For each metric name the info series of a series at each step.
    fn of(&self, labels: &Labels) -> Vec<&[u32]> {
        let identity = identity(labels);
        let found = self.names.iter().filter_map(|groups| groups.get(&identity));
        found.map(|i| self.series[*i].as_slice()).collect()
    }
}

fn identity(labels: &Labels) -> Labels {
    labels.filter(|l| IDENTIFYING.iter().any(|n| n.as_bytes() == l.name))
}

/// Appends a pattern that matches exactly `text`.
fn push_literal(pattern: &mut String, text: &str) {
    for c in text.chars() {
        if r"\.+*?()|[]{}^$".contains(c) {
            pattern.push('\\');
        }
        pattern.push(c);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        context::Context,
        promql::{Annotations, EngineOptions, Steps},
    };

    fn series(labels: &[(&str, &str)], values: &[Option<f64>]) -> Block {
        let mut block = Block::new(Labels::from_pairs(labels.iter().copied()), values.len());
        values.iter().enumerate().for_each(|(i, v)| v.iter().for_each(|v| block.set(i, *v)));
        block
    }

    fn check(matchers: &[Matcher], infos: &[Block], want: Result<&[(&str, usize)], &str>) {
        let options = EngineOptions::default();
        let (ctx, mut annotations) = (Context::default(), Annotations::default());
        let steps = Steps { start_ms: 0, step_ms: 10, count: 2 };
        let mut scope =
            Scope { steps, options: &options, ctx: &ctx, text: "", annotations: &mut annotations };
        let matchers = matchers.to_vec();
        let selector = VectorSelector { matchers, ..VectorSelector::default() };
        let info = InfoMatchers::new(Some(&selector)).expect("compiles");
        let base = vec![series(&[("__name__", "x"), ("job", "a.b")], &[Some(1.0), Some(2.0)])];
        let asked = info.select(&base).expect("compiles").expect("has a job");
        assert_eq!((asked[0].name(), asked[0].value()), ("job", &br"a\.b"[..]));
        let got = info.join(&mut scope, base, infos).map_err(|e| e.to_string());
        let got =
            got.map(|b| b.iter().map(|b| (b.labels.to_string(), b.present.count())).collect::<Vec<_>>());
        let want = want.map(|w| w.iter().map(|(s, n)| ((*s).to_owned(), *n)).collect::<Vec<_>>());
        assert_eq!(got, want.map_err(str::to_owned));
    }

    #[test]
    fn series_get_the_labels_of_the_newest_info_series() {
        let info = |data: &str, values: [Option<f64>; 2]| {
            series(&[("__name__", "target_info"), ("job", "a.b"), ("data", data)], &values)
        };
        let strict = [Matcher::new(MatchOp::Regex, "data", ".+").expect("compiles")];
        check(&[], &[], Ok(&[(r#"{__name__="x", job="a.b"}"#, 2)]));
        check(&strict, &[], Ok(&[]));
        let old = info("old", [Some(0.0), Some(0.0)]);
        let new = info("new", [None, Some(10.0)]);
        let both = [
            (r#"{__name__="x", data="old", job="a.b"}"#, 1),
            (r#"{__name__="x", data="new", job="a.b"}"#, 1),
        ];
        check(&[], &[new.clone(), old.clone()], Ok(&both));
        check(&[], &[old.clone(), new], Ok(&both));
        check(&strict, &[info("a", [Some(0.0), None])], Ok(&[(r#"{__name__="x", data="a", job="a.b"}"#, 1)]));
        check(
            &[Matcher::equal("other", "")],
            std::slice::from_ref(&old),
            Ok(&[(r#"{__name__="x", job="a.b"}"#, 2)]),
        );
        check(
            &[],
            &[old, info("twin", [Some(0.0), None])],
            Err(
                "found duplicate series for info metric: existing {__name__=\"target_info\", data=\"old\", job=\"a.b\"} @ 0, \
                 new {__name__=\"target_info\", data=\"twin\", job=\"a.b\"} @ 0",
            ),
        );
    }
}
