//! What a process answers itself, beside its endpoints.

use std::sync::Arc;

use thanoslib::{
    apis::{
        ApiMember, ApiMembers, Apis, ExemplarsApi, JoinSettings, JoinedExemplars, JoinedMetadata,
        JoinedRules, JoinedStatus, JoinedTargets, MetadataApi, QueryApi, RulesApi, TargetsApi, TsdbStatusApi,
    },
    query::EndpointSet,
    store::{Member, Store},
};

/// A store of the process, with what else it answers.
#[derive(Clone, Debug)]
pub(crate) struct Own {
    pub(crate) member: Member,
    pub(crate) apis: Apis,
}

/// Everybody who answers something beside series.
#[derive(Debug)]
struct Everybody {
    endpoints: Option<Arc<EndpointSet>>,
    own: Vec<Own>,
}

impl Everybody {
    fn members<A: ?Sized>(&self, api: impl Fn(&Apis) -> Option<Arc<A>>) -> Vec<ApiMember<A>>
    where
        EndpointSet: ApiMembers<A>,
    {
        let mut members: Vec<ApiMember<A>> =
            self.endpoints.as_ref().map(|set| set.api_members()).unwrap_or_default();
        members.extend(self.own.iter().filter_map(|own| {
            let info = own.member.store.info();
            Some(ApiMember {
                name: own.member.name.clone(),
                api: api(&own.apis)?,
                label_sets: info.label_sets,
                component: info.component,
            })
        }));
        members
    }
}

macro_rules! members {
    ($($api:ident: $field:ident;)*) => {
        $(impl ApiMembers<dyn $api> for Everybody {
            fn api_members(&self) -> Vec<ApiMember<dyn $api>> {
                self.members(|apis| apis.$field.clone())
            }
        })*
    };
}

members! {
    RulesApi: rules;
    TargetsApi: targets;
    MetadataApi: metadata;
    ExemplarsApi: exemplars;
    TsdbStatusApi: status;
}

/// The APIs of a process over its endpoints and what it answers itself.
pub(crate) fn apis(
    endpoints: Option<&Arc<EndpointSet>>,
    own: &[Own],
    settings: &JoinSettings,
    store: Arc<dyn Store>,
    query: Option<Arc<dyn QueryApi>>,
) -> Apis {
    let all = Arc::new(Everybody { endpoints: endpoints.cloned(), own: own.to_vec() });
    let settings = || settings.clone();
    Apis {
        store: Some(store),
        rules: Some(Arc::new(JoinedRules::new(Arc::clone(&all) as _, settings()))),
        targets: Some(Arc::new(JoinedTargets::new(Arc::clone(&all) as _, settings()))),
        metadata: Some(Arc::new(JoinedMetadata::new(Arc::clone(&all) as _, settings()))),
        exemplars: Some(Arc::new(JoinedExemplars::new(Arc::clone(&all) as _, settings()))),
        status: Some(Arc::new(JoinedStatus::new(all, settings()))),
        query,
    }
}
