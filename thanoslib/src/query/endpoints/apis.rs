//! The APIs of all endpoints as those of one.

use std::sync::Arc;

use super::{EndpointInfo, EndpointSet, endpoint::Endpoint};
use crate::query::{Engines, QueryEngines, RemoteEngine};
use crate::{
    apis::{
        ApiMember, ApiMembers, Apis, ExemplarsApi, JoinSettings, JoinedExemplars, JoinedMetadata,
        JoinedRules, JoinedStatus, JoinedTargets, MetadataApi, QueryApi, RulesApi, TargetsApi, TsdbStatusApi,
    },
    model::Labels,
    store::Store,
};

impl EndpointSet {
    /// The APIs of the endpoints joined, beside `store` for series and `query` for PromQL.
    pub fn apis(
        self: &Arc<Self>,
        settings: &JoinSettings,
        store: Arc<dyn Store>,
        query: Option<Arc<dyn QueryApi>>,
    ) -> Apis {
        let settings = || settings.clone();
        Apis {
            store: Some(store),
            rules: Some(Arc::new(JoinedRules::new(Arc::clone(self) as _, settings()))),
            targets: Some(Arc::new(JoinedTargets::new(Arc::clone(self) as _, settings()))),
            metadata: Some(Arc::new(JoinedMetadata::new(Arc::clone(self) as _, settings()))),
            exemplars: Some(Arc::new(JoinedExemplars::new(Arc::clone(self) as _, settings()))),
            status: Some(Arc::new(JoinedStatus::new(Arc::clone(self) as _, settings()))),
            query,
        }
    }

    /// The endpoints that say they serve an API.
    fn serving<A: ?Sized>(
        &self,
        serves: impl Fn(&EndpointInfo) -> bool,
        api: impl Fn(&Apis) -> Option<Arc<A>>,
    ) -> Vec<ApiMember<A>> {
        let member = |endpoint: &Arc<Endpoint>| {
            let info = endpoint.info().filter(|info| serves(info))?;
            Some(ApiMember {
                name: endpoint.spec.address.clone(),
                api: api(&endpoint.apis)?,
                label_sets: info.label_sets.clone(),
                component: info.component,
            })
        };
        self.queryable().iter().filter_map(member).collect()
    }
}

impl QueryEngines for EndpointSet {
    fn engines(&self) -> Engines {
        let mut all = Engines::default();
        for endpoint in self.queryable() {
            let info = endpoint.info();
            let querier = info.as_ref().filter(|i| i.query).and(endpoint.apis.query.clone());
            let store = endpoint.member().map(|member| member.info);
            match (querier, store) {
                (Some(api), store) => {
                    let tsdbs = store.iter().flat_map(|s| &s.tsdbs).map(|t| t.labels.clone());
                    let mut label_sets: Vec<Labels> = tsdbs.collect();
                    if label_sets.is_empty() {
                        label_sets = info.map(|i| i.label_sets.clone()).unwrap_or_default();
                    }
                    label_sets.sort();
                    label_sets.dedup();
                    all.engines.push(RemoteEngine { name: endpoint.spec.address.clone(), api, label_sets });
                }
                (None, Some(store)) => all.stores.push(store.label_sets.clone()),
                (None, None) => {}
            }
        }
        all
    }
}

macro_rules! members {
    ($($api:ident: $serves:expr, $get:ident;)*) => {
        $(impl ApiMembers<dyn $api> for EndpointSet {
            fn api_members(&self) -> Vec<ApiMember<dyn $api>> {
                self.serving($serves, |apis| apis.$get.clone())
            }
        })*
    };
}

members! {
    RulesApi: |info| info.rules, rules;
    TargetsApi: |info| info.targets, targets;
    MetadataApi: |info| info.metadata, metadata;
    ExemplarsApi: |info| info.exemplars.is_some(), exemplars;
    TsdbStatusApi: |info| info.status, status;
    QueryApi: |info| info.query, query;
}
