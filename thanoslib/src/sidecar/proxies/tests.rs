//! What a server says, as plain types.

use super::*;
use crate::{
    ErrorKind, Interval, Matcher,
    apis::{
        AlertState, ExemplarsRequest, MetadataRequest, Rule, RuleKind, RulesRequest, TargetHealth,
        TargetState, TargetsRequest, TsdbStatusRequest,
    },
    context::Context,
    store::{
        PartialResponse,
        prometheus::{
            HttpClientConfig, PrometheusClient,
            mock::{Asked, Mock, Reply},
        },
    },
};

fn answer(asked: &Asked) -> Reply {
    let data = match asked.target.split('?').next().unwrap_or_default() {
        "/api/v1/status/buildinfo" => r#"{"version":"3.0.0"}"#,
        "/metrics" => return Reply::new(200, "text/plain", b""),
        "/api/v1/status/config" => r#"{"yaml":"global: {external_labels: {cluster: eu}}"}"#,
        "/api/v1/rules" => {
            r#"{"groups":[{"name":"g","file":"f","interval":5,"limit":2,"evaluationTime":0.5,
            "lastEvaluation":"2026-11-22T19:41:24.5Z","rules":[
            {"type":"recording","name":"r","query":"1","labels":{"cluster":"x"},"health":"ok"},
            {"type":"alerting","name":"a","query":"2","duration":3,"keepFiringFor":4,"labels":null,
             "annotations":{"s":"t"},"state":"pending","lastEvaluation":"0001-01-01T00:00:00Z",
             "alerts":[{"labels":{"l":"m"},"state":"firing","activeAt":"1970-01-01T00:00:01Z","value":"1e+00"}]}]}]}"#
        }
        "/api/v1/targets" => {
            r#"{"activeTargets":[{"labels":{"job":"a"},"discoveredLabels":{"d":"1"},"health":"down",
            "lastError":"refused","lastScrapeDuration":0.25}],"droppedTargets":[{"discoveredLabels":{"e":"2"}}]}"#
        }
        "/api/v1/metadata" => r#"{"up":[{"type":"gauge","help":"h","unit":""}],"none":null}"#,
        "/api/v1/query_exemplars" => {
            r#"[{"seriesLabels":{"a":"2"},"exemplars":[{"labels":{"id":"x"},"value":"+Inf","timestamp":1.25}]},
            {"seriesLabels":{"a":"1"},"exemplars":null}]"#
        }
        "/api/v1/status/tsdb" => {
            r#"{"headStats":{"numSeries":5,"minTime":-1},"seriesCountByMetricName":[{"name":"up","value":3}]}"#
        }
        _ => return Reply::new(404, "text/plain", b""),
    };
    Reply::json(&format!(r#"{{"status":"success","data":{data}}}"#))
}

async fn start() -> (Mock, Apis) {
    let mock = Mock::start(answer).await;
    let client = PrometheusClient::new(&mock.address, &HttpClientConfig::default()).expect("an address");
    let store = Arc::new(PrometheusStore::new(client));
    store.refresh(&Context::default()).await.expect("it answers");
    (mock, PrometheusApis::apis(store))
}

#[tokio::test]
async fn rules_bear_external_labels() {
    let (mock, apis) = start().await;
    let request = RulesRequest { kind: RuleKind::Alert, ..RulesRequest::default() };
    let rules = apis.rules.expect("served").rules(&Context::default(), request).await.expect("ok");
    let group = &rules.groups[0];
    assert_eq!((group.name.as_str(), group.limit, group.partial_response), ("g", 2, PartialResponse::Abort));
    assert_eq!(group.last_evaluation.map(UnixTime::ms), Some(1_795_376_484_500));
    assert_eq!(group.rules[0].labels().to_string(), r#"{cluster="eu"}"#, "the external label wins");
    let Rule::Alert(alert) = &group.rules[1] else { panic!("{group:?}") };
    assert_eq!((alert.duration_seconds, alert.keep_firing_for_seconds), (3.0, 4.0));
    assert_eq!((alert.state, alert.last_evaluation), (AlertState::Pending, None));
    assert_eq!(alert.annotations.to_string(), r#"{s="t"}"#);
    let instance = &alert.alerts[0];
    assert_eq!((instance.labels.to_string().as_str(), instance.value.as_str()), (r#"{l="m"}"#, "1e+00"));
    assert_eq!((instance.state, instance.active_at.map(UnixTime::ms)), (AlertState::Firing, Some(1_000)));
    assert!(mock.targets().contains(&"/api/v1/rules?type=alert".to_owned()));
}

#[tokio::test]
async fn targets_metadata_and_exemplars_are_passed_on() {
    let (mock, apis) = start().await;
    let ctx = Context::default();
    let request = TargetsRequest { state: TargetState::Dropped, ..TargetsRequest::default() };
    let targets = apis.targets.expect("served").targets(&ctx, request).await.expect("ok");
    let active = &targets.active[0];
    assert_eq!(active.labels.to_string(), r#"{cluster="eu", job="a"}"#);
    assert_eq!(
        (active.health, active.last_scrape, active.last_scrape_seconds),
        (TargetHealth::Down, None, 0.25)
    );
    assert_eq!(targets.dropped[0].to_string(), r#"{cluster="eu", e="2"}"#);
    let request = MetadataRequest { metric: "up".to_owned(), limit: Some(3), ..MetadataRequest::default() };
    let metadata = apis.metadata.expect("served").metadata(&ctx, request).await.expect("ok");
    assert_eq!((metadata.metrics["up"][0].kind.as_str(), metadata.metrics["none"].len()), ("gauge", 0));
    let request = ExemplarsRequest {
        query: "up".to_owned(),
        interval: Interval::new(1_000, 2_500),
        partial_response: PartialResponse::Warn,
    };
    let exemplars = apis.exemplars.expect("served").exemplars(&ctx, request).await.expect("ok");
    assert_eq!(exemplars.series[0].labels.to_string(), r#"{a="1", cluster="eu"}"#);
    let one = &exemplars.series[1].exemplars[0];
    assert_eq!((one.v, one.t_ms), (f64::INFINITY, 1_250));
    let targets = mock.targets();
    assert_eq!(
        targets[targets.len() - 3..],
        [
            "/api/v1/targets?state=dropped",
            "/api/v1/metadata?limit=3&metric=up",
            "/api/v1/query_exemplars?end=2.5&query=up&start=1",
        ]
    );
}

#[tokio::test]
async fn statistics_are_those_of_the_tenant_without_a_name() {
    let (mock, apis) = start().await;
    let status = apis.status.expect("served");
    let ask = async |tenant: &str, cluster: &str| {
        let request = TsdbStatusRequest {
            tenant: tenant.to_owned(),
            matchers: vec![Matcher::equal("cluster", cluster)],
            ..TsdbStatusRequest::default()
        };
        status.tsdb_status(&Context::default(), request).await.expect("ok").tenants
    };
    let found = ask("", "eu").await;
    assert_eq!((found[""].head.series, found[""].head.mint, found[""].series_by_metric[0].value), (5, -1, 3));
    assert!(ask("t", "eu").await.is_empty() && ask("", "us").await.is_empty());
    assert!(mock.targets().contains(&"/api/v1/status/tsdb?limit=10".to_owned()));
    let client = PrometheusClient::new(&mock.address, &HttpClientConfig::default()).expect("an address");
    let fresh = PrometheusApis::apis(Arc::new(PrometheusStore::new(client))).status.expect("served");
    let e =
        fresh.tsdb_status(&Context::default(), TsdbStatusRequest::default()).await.expect_err("not ready");
    assert_eq!(e.kind(), ErrorKind::Unavailable);
}
