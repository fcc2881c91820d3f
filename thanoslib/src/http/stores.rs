//! `/api/v1/stores`.

use std::{collections::BTreeMap, fmt, sync::Arc};

use axum::response::Response;

use super::{Api, json, json::success};
use crate::{
    model::{Interval, Labels, duration::UnixTime},
    store::StoreInfo,
};

/// The stores behind a querier, as of now.
///
/// ```
/// use thanoslib::http::{StoreStatus, StoreStatuses};
/// /// Nothing is behind it.
/// #[derive(Debug)]
/// struct Nothing;
///
/// impl StoreStatuses for Nothing {
///     fn stores(&self) -> Vec<StoreStatus> {
///         Vec::new()
///     }
/// }
/// ```
pub trait StoreStatuses: fmt::Debug + Send + Sync + 'static {
    /// Every store that has said what it is, in any order.
    fn stores(&self) -> Vec<StoreStatus>;
}

/// One store behind a querier.
///
/// ```
/// use thanoslib::{Interval, http::StoreStatus};
/// let store = StoreStatus {
///     component: "sidecar".to_owned(),
///     name: "10.0.0.1:10901".to_owned(),
///     last_check: None,
///     last_error: None,
///     label_sets: Vec::new(),
///     interval: Interval::ALL,
/// };
/// assert!(store.last_error.is_none());
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct StoreStatus {
    /// What it is: `sidecar`, `store`, …
    pub component: String,
    /// Its address.
    pub name: String,
    /// When it was asked last.
    pub last_check: Option<UnixTime>,
    /// Why it did not answer then.
    pub last_error: Option<String>,
    /// One label set for each producer.
    pub label_sets: Vec<Labels>,
    /// The time it has data for; the bounds as they travel.
    pub interval: Interval,
}

pub(super) fn list(api: &Arc<Api>) -> Response {
    let all = match &api.served.stores {
        Some(stores) => stores.stores(),
        None => vec![own(api)],
    };
    let mut groups: BTreeMap<String, Vec<StoreStatus>> = BTreeMap::new();
    for store in all {
        groups.entry(store.component.clone()).or_default().push(store);
    }
    let mut out = String::from(r#"{"status":"success","data":{"#);
    for (i, (component, stores)) in groups.iter_mut().enumerate() {
        stores.sort_by(|a, b| a.name.cmp(&b.name));
        if i > 0 {
            out.push(',');
        }
        json::html_safe_text(&mut out, component);
        out.push(':');
        json::items(&mut out, stores.iter(), one);
    }
    out.push_str("}}");
    success(out, false)
}

fn one(out: &mut String, store: &StoreStatus) {
    out.push_str(r#"{"name":"#);
    json::html_safe_text(out, &store.name);
    out.push_str(r#","lastCheck":"#);
    json::time(out, store.last_check);
    out.push_str(r#","lastError":"#);
    match &store.last_error {
        None => out.push_str("null"),
        Some(e) => json::html_safe_text(out, e),
    }
    out.push_str(r#","labelSets":"#);
    json::items(out, store.label_sets.iter(), json::html_safe_labels);
    out.push_str(&format!(r#","minTime":{},"maxTime":{}}}"#, store.interval.mint, store.interval.maxt));
}

/// The store itself, where there are none behind it.
fn own(api: &Api) -> StoreStatus {
    let StoreInfo { component, label_sets, interval, .. } = api.served.store.info();
    StoreStatus {
        component: component.to_owned(),
        name: "local".to_owned(),
        last_check: Some(UnixTime::from_ms(api.served.clock.now_ms())),
        last_error: None,
        label_sets,
        // A store that holds nothing shows an empty range, as upstream's does.
        interval: interval.unwrap_or(Interval::new(i64::MAX, i64::MIN)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_shown_with_its_error() {
        let store = StoreStatus {
            component: "store".to_owned(),
            name: "a:1".to_owned(),
            last_check: None,
            last_error: Some("<gone>".to_owned()),
            label_sets: vec![Labels::from_pairs([("b", "1"), ("a", "2")])],
            interval: Interval::new(1, 2),
        };
        let mut out = String::new();
        one(&mut out, &store);
        let want = r#"{"name":"a:1","lastCheck":"0001-01-01T00:00:00Z","lastError":"\u003cgone\u003e","labelSets":[{"a":"2","b":"1"}],"minTime":1,"maxTime":2}"#;
        assert_eq!(out, want);
    }
}
