//! Rules, targets, metadata, exemplars and statistics of a peer are those of the component.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use thanoslib::{
    Error, ErrorKind, Result,
    apis::{
        ActiveTarget, Apis, Exemplar, ExemplarSeries, ExemplarsAnswer, ExemplarsApi, ExemplarsRequest,
        MetadataAnswer, MetadataApi, MetadataRequest, MetricMetadata, RuleGroup, RulesAnswer, RulesApi,
        RulesRequest, TargetHealth, TargetsAnswer, TargetsApi, TargetsRequest, TsdbStatistics,
        TsdbStatusAnswer, TsdbStatusApi, TsdbStatusRequest,
    },
    budget::Budget,
    context::Context,
    model::{Interval, Labels, Warning, Warnings},
    query::Peer,
    store::PartialResponse,
};
use thanoslib_grpc::{client::ClientSettings, server::Settings};

use super::fixture::{peer, serve_apis};

/// Tells a little of everything.
#[derive(Debug, Default)]
struct Fake {
    /// What is missing.
    gap: Option<&'static str>,
}

impl Fake {
    fn warnings(&self) -> Warnings {
        let mut warnings = Warnings::default();
        warnings.extend(self.gap.map(Warning::new));
        warnings
    }
}

fn labels() -> Labels {
    Labels::from_pairs([("job", "api")])
}

#[async_trait]
impl RulesApi for Fake {
    async fn rules(&self, _ctx: &Context, request: RulesRequest) -> Result<RulesAnswer> {
        let group = |name: &String| RuleGroup { name: name.clone(), ..RuleGroup::default() };
        Ok(RulesAnswer { groups: request.rule_groups.iter().map(group).collect(), warnings: self.warnings() })
    }
}

#[async_trait]
impl TargetsApi for Fake {
    async fn targets(&self, _ctx: &Context, _request: TargetsRequest) -> Result<TargetsAnswer> {
        let up = ActiveTarget { labels: labels(), health: TargetHealth::Up, ..ActiveTarget::default() };
        Ok(TargetsAnswer { active: vec![up], dropped: vec![labels()], warnings: self.warnings() })
    }
}

#[async_trait]
impl MetadataApi for Fake {
    async fn metadata(&self, _ctx: &Context, request: MetadataRequest) -> Result<MetadataAnswer> {
        let meta = MetricMetadata { kind: "gauge".to_owned(), ..MetricMetadata::default() };
        let metrics = BTreeMap::from([(request.metric, vec![meta])]);
        Ok(MetadataAnswer { metrics, warnings: self.warnings() })
    }
}

#[async_trait]
impl ExemplarsApi for Fake {
    async fn exemplars(&self, _ctx: &Context, request: ExemplarsRequest) -> Result<ExemplarsAnswer> {
        if request.query == "{" {
            return Err(Error::invalid("1:2: parse error: unexpected end of input inside braces"));
        }
        let exemplars = vec![Exemplar { labels: labels(), v: 0.5, t_ms: request.interval.mint }];
        let series = vec![ExemplarSeries { labels: labels(), exemplars }];
        Ok(ExemplarsAnswer { series, warnings: self.warnings() })
    }
}

#[async_trait]
impl TsdbStatusApi for Fake {
    async fn tsdb_status(&self, _ctx: &Context, request: TsdbStatusRequest) -> Result<TsdbStatusAnswer> {
        let tenants = BTreeMap::from([(request.tenant, TsdbStatistics::default())]);
        Ok(TsdbStatusAnswer { tenants, warnings: self.warnings() })
    }
}

fn all(gap: Option<&'static str>) -> Apis {
    let fake = Arc::new(Fake { gap });
    Apis {
        rules: Some(Arc::clone(&fake) as _),
        targets: Some(Arc::clone(&fake) as _),
        metadata: Some(Arc::clone(&fake) as _),
        exemplars: Some(Arc::clone(&fake) as _),
        status: Some(fake),
        ..Apis::default()
    }
}

fn exemplars(query: &str, partial_response: PartialResponse) -> ExemplarsRequest {
    ExemplarsRequest { query: query.to_owned(), interval: Interval::new(7, 9), partial_response }
}

async fn apis_of(apis: Apis) -> (Arc<dyn Peer>, tokio::sync::oneshot::Sender<()>) {
    let (address, stop, _) = serve_apis(apis, Settings::default()).await;
    (peer(&address, ClientSettings::default()).await, stop)
}

#[tokio::test]
async fn every_api_answers_through_its_peer() {
    let (peer, _stop) = apis_of(all(Some("a store is missing"))).await;
    let (apis, ctx) = (peer.apis(), Context::default());
    let gap = |w: &Warnings| {
        assert_eq!(w.iter().map(ToString::to_string).collect::<Vec<_>>(), ["a store is missing"])
    };

    let request = RulesRequest { rule_groups: vec!["a".to_owned(), "b".to_owned()], ..Default::default() };
    let rules = apis.rules.expect("a client").rules(&ctx, request).await.expect("rules");
    assert_eq!(rules.groups.iter().map(|g| g.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    gap(&rules.warnings);

    let targets =
        apis.targets.expect("a client").targets(&ctx, TargetsRequest::default()).await.expect("targets");
    assert_eq!((targets.active[0].health, &targets.dropped[..]), (TargetHealth::Up, &[labels()][..]));
    gap(&targets.warnings);

    let request = MetadataRequest { metric: "up".to_owned(), ..Default::default() };
    let metadata = apis.metadata.expect("a client").metadata(&ctx, request).await.expect("metadata");
    assert_eq!(metadata.metrics["up"][0].kind, "gauge");
    gap(&metadata.warnings);

    let client = apis.exemplars.expect("a client");
    let answer = client.exemplars(&ctx, exemplars("up", PartialResponse::Warn)).await.expect("exemplars");
    assert_eq!((answer.series[0].exemplars[0].t_ms, &answer.series[0].labels), (7, &labels()));
    gap(&answer.warnings);

    let request = TsdbStatusRequest { tenant: "team".to_owned(), ..Default::default() };
    let status = apis.status.expect("a client").tsdb_status(&ctx, request).await.expect("statistics");
    assert_eq!(status.tenants["team"], TsdbStatistics::default());
    gap(&status.warnings);
}

#[tokio::test]
async fn a_gap_fails_who_wants_all() {
    let (peer, _stop) = apis_of(all(Some("a store is missing"))).await;
    let client = peer.apis().exemplars.expect("a client");
    let error = client
        .exemplars(&Context::default(), exemplars("up", PartialResponse::Abort))
        .await
        .expect_err("not complete");
    assert_eq!(error.message(), "rpc error: code = Aborted desc = a store is missing");
    let error = client.exemplars(&Context::default(), exemplars("{", PartialResponse::Warn)).await;
    assert_eq!(error.expect_err("no query").kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn answers_are_charged_to_the_callers_budget() {
    let (peer, _stop) = apis_of(all(None)).await;
    let ctx = Context::new(Budget::new("query", 100));
    let groups: Vec<_> = (0..100).map(|i| format!("group {i}")).collect();
    let request = RulesRequest { rule_groups: groups, ..Default::default() };
    let error = peer.apis().rules.expect("a client").rules(&ctx, request).await.expect_err("too much");
    assert_eq!(error.kind(), ErrorKind::Limit);
    assert_eq!(ctx.budget().used(), 0);
}

#[tokio::test]
async fn info_tells_what_is_served_and_the_rest_is_unknown() {
    let check = async |apis: Apis, want: [bool; 5]| {
        let (peer, _stop) = apis_of(apis).await;
        let info = peer.info(&Context::default()).await.expect("an answer");
        let got = [info.rules, info.targets, info.metadata, info.exemplars.is_some(), info.status];
        assert_eq!((got, info.store.is_some(), info.query), (want, false, false));
        let query =
            peer.apis().rules.expect("a client").rules(&Context::default(), RulesRequest::default()).await;
        match query {
            Ok(_) => assert!(info.rules),
            Err(e) => {
                assert!(!info.rules);
                assert_eq!(e.kind(), ErrorKind::Unsupported);
                assert_eq!(
                    e.message(),
                    "rpc error: code = Unimplemented desc = unknown service thanos.Rules"
                );
            }
        }
    };
    check(all(None), [true; 5]).await;
    check(Apis { rules: None, ..all(None) }, [false, true, true, true, true]).await;
    check(Apis { rules: all(None).rules, ..Apis::default() }, [true, false, false, false, false]).await;
}
