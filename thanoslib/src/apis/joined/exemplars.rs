//! The exemplars of many endpoints.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use futures::FutureExt;

use super::{ApiMember, ApiMembers, JoinSettings, What, gather, without};
use crate::{
    apis::{Exemplar, ExemplarSeries, ExemplarsAnswer, ExemplarsApi, ExemplarsRequest},
    context::Context,
    error::{Error, Result},
    model::{Labels, Matcher, Warnings},
    promql::{
        EngineOptions,
        ast::{Expr, Node},
        parse,
    },
};

/// The exemplars of many endpoints as one.
///
/// Each endpoint is asked only for selectors that its external labels do not contradict, without
/// the matchers on them, which a Prometheus does not know. A querier knows them.
///
/// See [`JoinedRules`](super::JoinedRules).
#[derive(Debug)]
pub struct JoinedExemplars {
    members: Arc<dyn ApiMembers<dyn ExemplarsApi>>,
    settings: JoinSettings,
}

impl JoinedExemplars {
    /// The exemplars of `members`.
    pub fn new(members: Arc<dyn ApiMembers<dyn ExemplarsApi>>, settings: JoinSettings) -> Self {
        Self { members, settings }
    }
}

#[async_trait]
impl ExemplarsApi for JoinedExemplars {
    async fn exemplars(&self, ctx: &Context, request: ExemplarsRequest) -> Result<ExemplarsAnswer> {
        let options =
            EngineOptions { experimental_functions: true, x_functions: true, ..EngineOptions::default() };
        let expr = parse(&request.query, &options).map_err(|e| Error::invalid(e.to_string()))?;
        let selectors = selectors(&expr);
        let concerned = self.members.api_members().into_iter().filter_map(|member| {
            let query = query_for(&selectors, &member)?;
            Some((member, query))
        });
        let (members, queries): (Vec<_>, BTreeMap<String, String>) =
            concerned.map(|(member, query)| (member.clone(), (member.name, query))).unzip();
        let what = What { things: "exemplars", clients: "exemplars" };
        let timeout = self.settings.response_timeout;
        let asked = request.clone();
        let (answers, warnings) =
            gather(ctx, what, members, request.partial_response, timeout, move |ctx, member| {
                let query = queries.get(&member.name).cloned().unwrap_or_default();
                let request = ExemplarsRequest { query, ..asked.clone() };
                async move { member.api.exemplars(&ctx, request).await }.boxed()
            })
            .await?;
        Ok(joined(answers, warnings, self.settings.merge.as_deref()))
    }
}

fn joined(
    answers: Vec<ExemplarsAnswer>,
    mut warnings: Warnings,
    replica_labels: Option<&[String]>,
) -> ExemplarsAnswer {
    let mut all: Vec<ExemplarSeries> = Vec::new();
    for answer in answers {
        warnings.extend(answer.warnings.iter().cloned());
        all.extend(answer.series);
    }
    let Some(replica_labels) = replica_labels else { return ExemplarsAnswer { series: all, warnings } };
    let mut merged: BTreeMap<Labels, Vec<Exemplar>> = BTreeMap::new();
    for series in all {
        merged.entry(without(&series.labels, replica_labels)).or_default().extend(series.exemplars);
    }
    let series = merged.into_iter().map(|(labels, mut exemplars)| {
        exemplars.sort_by(|a, b| {
            a.t_ms.cmp(&b.t_ms).then_with(|| a.labels.cmp(&b.labels)).then_with(|| a.v.total_cmp(&b.v))
        });
        exemplars.dedup_by(|b, a| (a.t_ms, a.v.to_bits(), &a.labels) == (b.t_ms, b.v.to_bits(), &b.labels));
        ExemplarSeries { labels, exemplars }
    });
    ExemplarsAnswer { series: series.collect(), warnings }
}

/// The matchers of every selector of a query.
fn selectors(expr: &Expr) -> Vec<&[Matcher]> {
    let mut found = Vec::new();
    let mut open = vec![expr];
    while let Some(expr) = open.pop() {
        match &expr.node {
            Node::Vector(selector) | Node::Matrix { selector, .. } => {
                found.push(selector.matchers.as_slice())
            }
            Node::Paren(inner) => open.push(inner),
            Node::Unary { expr, .. } => open.push(expr),
            Node::Binary(binary) => open.extend([&binary.rhs, &binary.lhs]),
            Node::Aggregate(aggregate) => {
                open.push(&aggregate.expr);
                open.extend(aggregate.param.as_ref());
            }
            Node::Call { args, .. } => open.extend(args.iter().rev()),
            Node::Subquery(subquery) => open.push(&subquery.expr),
            Node::Number { .. } | Node::String(_) => {}
        }
    }
    found
}

/// The selectors that concern an endpoint, as one query; `None` when none does.
fn query_for(selectors: &[&[Matcher]], member: &ApiMember<dyn ExemplarsApi>) -> Option<String> {
    let sets = &member.label_sets;
    let mut query = String::new();
    for matchers in selectors {
        let fits =
            |set: &Labels| matchers.iter().all(|m| set.get(m.name()).is_none_or(|value| m.matches(value)));
        if !sets.is_empty() && !sets.iter().any(fits) {
            continue;
        }
        // A matcher that all producers satisfy by their labels says nothing more.
        let stripped = |m: &Matcher| {
            member.component != "query"
                && !sets.is_empty()
                && sets.iter().all(|set| set.get(m.name()).is_some_and(|value| m.matches(value)))
        };
        let kept: Vec<String> = matchers.iter().filter(|m| !stripped(m)).map(ToString::to_string).collect();
        if !query.is_empty() {
            query.push('+');
        }
        // A selector needs a matcher that no empty label satisfies.
        let all = || r#"__name__=~".+""#.to_owned();
        query.push_str(&format!("{{{}}}", if kept.is_empty() { all() } else { kept.join(",") }));
    }
    (!query.is_empty()).then_some(query)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Nobody;

    #[async_trait]
    impl ExemplarsApi for Nobody {
        async fn exemplars(&self, _: &Context, _: ExemplarsRequest) -> Result<ExemplarsAnswer> {
            Ok(ExemplarsAnswer::default())
        }
    }

    #[test]
    fn selectors_are_pruned_by_external_labels() {
        let check = |query: &str, component: &'static str, sets: &[&str], want: Option<&str>| {
            let label_sets = sets.iter().map(|c| Labels::from_pairs([("cluster", *c)])).collect();
            let api: Arc<dyn ExemplarsApi> = Arc::new(Nobody);
            let member = ApiMember { name: "a".to_owned(), api, label_sets, component };
            let expr = parse(query, &EngineOptions::default()).expect("a query");
            assert_eq!(query_for(&selectors(&expr), &member).as_deref(), want, "{query}");
        };
        let up = r#"rate(up{cluster="eu",a="1"}[5m]) / on() down"#;
        check(up, "sidecar", &["eu"], Some(r#"{a="1",__name__="up"}+{__name__="down"}"#));
        check(up, "sidecar", &["us"], Some(r#"{__name__="down"}"#));
        check(up, "query", &["eu"], Some(r#"{cluster="eu",a="1",__name__="up"}+{__name__="down"}"#));
        check(up, "sidecar", &[], Some(r#"{cluster="eu",a="1",__name__="up"}+{__name__="down"}"#));
        check(r#"up{cluster="eu"}"#, "sidecar", &["us"], None);
        check(r#"{cluster="eu"}"#, "sidecar", &["eu"], Some(r#"{__name__=~".+"}"#));
        check(r#"up{cluster="eu"}"#, "receive", &["eu", "us"], Some(r#"{cluster="eu",__name__="up"}"#));
        check("1", "sidecar", &[], None);
    }

    #[test]
    fn replicas_are_merged_and_sorted() {
        let series = |replica: &str, at: &[i64]| ExemplarSeries {
            labels: Labels::from_pairs([("a", "1"), ("replica", replica)]),
            exemplars: at.iter().map(|t| Exemplar { t_ms: *t, v: 1.0, ..Exemplar::default() }).collect(),
        };
        let answer = |s| ExemplarsAnswer { series: vec![s], ..ExemplarsAnswer::default() };
        let answers = vec![answer(series("B", &[2, 3])), answer(series("A", &[1, 2]))];
        let got = joined(answers, Warnings::default(), Some(&["replica".to_owned()]));
        assert_eq!(got.series.len(), 1);
        assert_eq!(got.series[0].labels, Labels::from_pairs([("a", "1")]));
        assert_eq!(got.series[0].exemplars.iter().map(|e| e.t_ms).collect::<Vec<_>>(), [1, 2, 3]);
    }
}
