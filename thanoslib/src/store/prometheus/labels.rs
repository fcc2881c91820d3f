//! Label calls.

use std::collections::BTreeSet;

use super::{
    Answer, PrometheusClient, PrometheusStore,
    series::{range, text},
};
use crate::{
    context::Context,
    error::{Error, Result},
    model::{Strings, Warning, Warnings},
    store::{LabelNames, LabelNamesRequest, LabelValues, LabelValuesRequest, external::consume},
};

impl PrometheusStore {
    pub(super) async fn answer_label_names(
        &self,
        ctx: &Context,
        request: LabelNamesRequest,
    ) -> Result<LabelNames> {
        let view = self.known()?;
        let Some(matchers) = consume(&view.external, &request.matchers) else {
            return Ok(LabelNames::default());
        };
        let mut answer = if matchers.is_empty() || view.labels_take_matchers() {
            let mut params = range(request.interval);
            params.extend(limited(request.limit));
            if !matchers.is_empty() {
                params.push(("match[]", text(&matchers)));
            }
            params.sort_unstable();
            self.client().get::<Vec<String>>(ctx, &["api", "v1", "labels"], &params).await?
        } else {
            let found = self.series_labels(ctx, request.interval, &matchers, request.limit).await?;
            let names: BTreeSet<String> = found.into_iter().flat_map(|labels| labels.into_keys()).collect();
            Answer { data: names.into_iter().collect(), warnings: Vec::new() }
        };
        let mut names = std::mem::take(&mut answer.data);
        if !names.is_empty() {
            names.extend(view.external.iter().map(|l| String::from_utf8_lossy(l.name).into_owned()));
        }
        names.retain(|name| !request.without_replica_labels.contains(name));
        names.sort_unstable();
        names.dedup();
        Ok(LabelNames { names, warnings: warnings(answer.warnings), queried_blocks: Vec::new() })
    }

    pub(super) async fn answer_label_values(
        &self,
        ctx: &Context,
        request: LabelValuesRequest,
    ) -> Result<LabelValues> {
        if request.label.is_empty() {
            return Err(Error::invalid("label name parameter cannot be empty"));
        }
        let view = self.known()?;
        if request.without_replica_labels.contains(&request.label) {
            return Ok(LabelValues::default());
        }
        let Some(matchers) = consume(&view.external, &request.matchers) else {
            return Ok(LabelValues::default());
        };
        if let Some(value) = view.external.get(&request.label) {
            let value = String::from_utf8_lossy(value).into_owned();
            let found = matchers.is_empty()
                || !self.series_labels(ctx, request.interval, &matchers, 1).await?.is_empty();
            let values = found.then_some(value).into_iter().collect();
            return Ok(LabelValues { values, ..LabelValues::default() });
        }
        let answer = if matchers.is_empty() || view.labels_take_matchers() {
            let mut params = range(request.interval);
            params.extend(limited(request.limit));
            if !matchers.is_empty() {
                params.push(("match[]", text(&matchers)));
            }
            params.sort_unstable();
            self.client().label_values_at(ctx, &request.label, &params).await?
        } else {
            // The limit is one of values, and so series are not limited.
            let found = self.series_labels(ctx, request.interval, &matchers, 0).await?;
            let values = found.into_iter().filter_map(|mut labels| labels.remove(&request.label));
            let mut values: Vec<String> = values.collect::<BTreeSet<_>>().into_iter().collect();
            if request.limit > 0 {
                values.truncate(request.limit);
            }
            Answer { data: values, warnings: Vec::new() }
        };
        let values = answer.data.into_iter().collect::<Strings>().into_sorted();
        Ok(LabelValues { values, warnings: warnings(answer.warnings), queried_blocks: Vec::new() })
    }
}

impl PrometheusClient {
    /// Values of a label.
    pub(super) async fn label_values_at(
        &self,
        ctx: &Context,
        name: &str,
        params: &[(&str, String)],
    ) -> Result<Answer<Vec<String>>> {
        self.get(ctx, &["api", "v1", "label", &segment(name), "values"], params).await
    }
}

/// A label name as a part of a path.
///
/// Names that are no identifiers go out as they are, percent-encoded; a name with a slash, or one that
/// would be taken for an escaped one, is escaped as Prometheus says for names in UTF-8.
fn segment(name: &str) -> String {
    if !name.contains('/') && !name.starts_with("U__") && !matches!(name, "." | "..") {
        return name.to_owned();
    }
    let mut out = String::from("U__");
    for c in name.chars() {
        match c {
            '_' => out.push_str("__"),
            c if c.is_ascii_alphanumeric() => out.push(c),
            c => out.push_str(&format!("_{:x}_", u32::from(c))),
        }
    }
    out
}

fn limited(limit: usize) -> Option<(&'static str, String)> {
    (limit > 0).then(|| ("limit", limit.to_string()))
}

fn warnings(texts: Vec<String>) -> Warnings {
    let mut out = Warnings::default();
    out.extend(texts.into_iter().map(Warning::new));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_only_where_a_path_needs_it() {
        let check = |name: &str, want: &str| assert_eq!(segment(name), want);
        check("job", "job");
        check("service.name", "service.name");
        check("a/b_c", "U__a_2f_b__c");
        check("U__x", "U__U____x");
        check("käse/1", "U__k_e4_se_2f_1");
        check("..", "U___2e__2e_");
    }
}
