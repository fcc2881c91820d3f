//! Info: what an endpoint is and holds.

use bytes::Bytes;
use thanoslib::{
    apis::Apis,
    model::{Interval, Labels},
    query::EndpointInfo,
    store::{Abilities, StoreInfo, TsdbInfo},
};

use crate::pb::thanos::{
    ZLabelSet,
    info::{self, InfoResponse},
};

/// The component names that peers send and understand.
///
/// Source: Thanos `pkg/component/component.go`.
const COMPONENTS: [&str; 7] = ["query", "rule", "sidecar", "store", "receive", "debug", "parquet-gateway"];

/// Name of an endpoint that says nothing known of itself.
const UNKNOWN_COMPONENT: &str = "unknown-store-api";

/// Nothing overlaps with it, so that queriers leave out a store without data.
const NO_TIME: Interval = Interval::new(i64::MAX, i64::MIN);

impl From<&StoreInfo> for InfoResponse {
    fn from(store: &StoreInfo) -> Self {
        let none = if store.component == "query" { Interval::ALL } else { NO_TIME };
        let interval = store.interval.unwrap_or(none);
        Self {
            label_sets: store.label_sets.iter().map(ZLabelSet::from).collect(),
            component_type: store.component.to_owned(),
            store: Some(info::StoreInfo {
                min_time: interval.mint,
                max_time: interval.maxt,
                supports_sharding: store.abilities.sharding,
                supports_without_replica_labels: store.abilities.without_replica_labels,
                tsdb_infos: store.tsdbs.iter().map(info::TsdbInfo::from).collect(),
                supports_projections: store.abilities.projection,
                blocks_hash: hash_to_bytes(store.blocks_hash),
            }),
            ..Self::default()
        }
    }
}

impl From<&TsdbInfo> for info::TsdbInfo {
    fn from(tsdb: &TsdbInfo) -> Self {
        Self {
            labels: Some(ZLabelSet::from(&tsdb.labels)),
            min_time: tsdb.interval.mint,
            max_time: tsdb.interval.maxt,
        }
    }
}

/// What a peer says of its Store service; `None` when it serves none.
pub fn store_info(info: &InfoResponse) -> Option<StoreInfo> {
    let store = info.store.as_ref()?;
    let interval = Interval::new(store.min_time, store.max_time);
    Some(StoreInfo {
        component: component(&info.component_type),
        label_sets: label_sets(info),
        interval: (interval.mint <= interval.maxt).then_some(interval),
        tsdbs: store
            .tsdb_infos
            .iter()
            .map(|t| TsdbInfo {
                // Absent and empty labels mean the same.
                labels: t.labels.as_ref().map(Labels::from).unwrap_or_default(),
                interval: Interval::new(t.min_time, t.max_time),
            })
            .collect(),
        abilities: Abilities {
            without_replica_labels: store.supports_without_replica_labels,
            sharding: store.supports_sharding,
            external_labels: true,
            limit: false,
            projection: store.supports_projections,
        },
        // What has another length is of a peer that hashes otherwise.
        blocks_hash: store.blocks_hash.as_ref().try_into().map(u128::from_be_bytes).ok(),
    })
}

fn hash_to_bytes(hash: Option<u128>) -> Bytes {
    hash.map(|hash| Bytes::copy_from_slice(&hash.to_be_bytes())).unwrap_or_default()
}

/// The same answer with what else an endpoint serves.
pub fn advertised(info: InfoResponse, apis: &Apis) -> InfoResponse {
    InfoResponse {
        rules: apis.rules.as_ref().map(|_| info::RulesInfo {}),
        targets: apis.targets.as_ref().map(|_| info::TargetsInfo {}),
        metric_metadata: apis.metadata.as_ref().map(|_| info::MetricMetadataInfo {}),
        // Compat: both times are 0 in Thanos, which stands for all time.
        exemplars: apis.exemplars.as_ref().map(|_| info::ExemplarsInfo::default()),
        status: apis.status.as_ref().map(|_| info::StatusInfo {}),
        query: apis.query.as_ref().map(|_| info::QueryApiInfo {}),
        ..info
    }
}

/// What a peer says of itself: it serves what it says something of.
pub fn endpoint_info(info: &InfoResponse) -> EndpointInfo {
    EndpointInfo {
        component: component(&info.component_type),
        label_sets: label_sets(info),
        store: store_info(info),
        rules: info.rules.is_some(),
        targets: info.targets.is_some(),
        metadata: info.metric_metadata.is_some(),
        exemplars: info.exemplars.as_ref().map(|e| Interval::new(e.min_time, e.max_time)),
        status: info.status.is_some(),
        query: info.query.is_some(),
    }
}

fn component(name: &str) -> &'static str {
    COMPONENTS.into_iter().find(|c| *c == name).unwrap_or(UNKNOWN_COMPONENT)
}

/// Empty label sets tell nothing.
fn label_sets(info: &InfoResponse) -> Vec<Labels> {
    info.label_sets.iter().map(Labels::from).filter(|l| !l.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> StoreInfo {
        let labels = Labels::from_pairs([("cluster", "eu1")]);
        StoreInfo {
            component: "sidecar",
            label_sets: vec![labels.clone()],
            interval: Some(Interval::new(5, i64::MAX)),
            tsdbs: vec![TsdbInfo { labels, interval: Interval::new(5, 9) }],
            abilities: Abilities {
                sharding: true,
                without_replica_labels: true,
                external_labels: true,
                limit: false,
                projection: false,
            },
            blocks_hash: None,
        }
    }

    #[test]
    fn a_store_survives_the_wire() {
        let check = |change: fn(&mut StoreInfo)| {
            let mut want = store();
            change(&mut want);
            assert_eq!(store_info(&InfoResponse::from(&want)), Some(want));
        };
        check(|_| ());
        check(|s| s.interval = None);
        check(|s| s.abilities.sharding = false);
        check(|s| s.abilities.projection = true);
        check(|s| s.blocks_hash = Some(7));
        check(|s| s.tsdbs[0].labels = Labels::empty());
    }

    #[test]
    fn presence_is_what_tells_an_api() {
        let endpoint =
            endpoint_info(&InfoResponse { component_type: "new".to_owned(), ..Default::default() });
        assert_eq!((endpoint.component, endpoint.store.is_some()), ("unknown-store-api", false));
        assert!(!endpoint.rules && endpoint.exemplars.is_none() && !endpoint.query);
        let endpoint = endpoint_info(&InfoResponse {
            rules: Some(info::RulesInfo {}),
            exemplars: Some(info::ExemplarsInfo { min_time: 3, max_time: 7 }),
            status: Some(info::StatusInfo {}),
            ..Default::default()
        });
        assert!(endpoint.rules && endpoint.status && !endpoint.targets && !endpoint.metadata);
        assert_eq!(endpoint.exemplars, Some(Interval::new(3, 7)));
    }

    #[test]
    fn presence_is_what_tells_a_store() {
        assert_eq!(store_info(&InfoResponse::default()), None);
        for len in [0, 15, 17] {
            let store =
                info::StoreInfo { blocks_hash: Bytes::from(vec![1; len]), ..info::StoreInfo::default() };
            let got = store_info(&InfoResponse { store: Some(store), ..InfoResponse::default() });
            assert_eq!(got.expect("the store is there").blocks_hash, None, "{len} bytes");
        }
        let bare = InfoResponse { store: Some(info::StoreInfo::default()), ..InfoResponse::default() };
        let got = store_info(&bare).expect("the store is there");
        assert_eq!((got.component, got.interval), ("unknown-store-api", Some(Interval::new(0, 0))));
        let tsdb = info::TsdbInfo { labels: None, ..info::TsdbInfo::default() };
        let filled = info::TsdbInfo { labels: Some(ZLabelSet::default()), ..tsdb.clone() };
        let with = |t: info::TsdbInfo| {
            let store = info::StoreInfo { tsdb_infos: vec![t], ..info::StoreInfo::default() };
            store_info(&InfoResponse { store: Some(store), ..InfoResponse::default() })
        };
        assert_eq!(with(tsdb), with(filled));
    }
}
