//! Endpoints of kinds that this command does not have yet, which tell what they told when recorded.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use async_trait::async_trait;
use prost::Message;
use serde_json::Value;
use thanoslib::{
    Context, Labels, MemoryStore, Result, Store,
    apis::{
        Apis, Rule, RuleKind, RulesAnswer, RulesApi, RulesRequest, TsdbStatusAnswer, TsdbStatusApi,
        TsdbStatusRequest,
    },
    store::{
        Conform, LabelNames, LabelNamesRequest, LabelValues, LabelValuesRequest, Member, Proxy,
        ProxySettings, SeriesRequest, SeriesStream, StoreInfo,
    },
};
use thanoslib_grpc::{
    convert,
    pb::thanos::{self as pb, info::InfoResponse},
    server::{Services, Settings, TransportSettings, serve_routes},
    testing::responses,
};
use tokio::{net::TcpListener, runtime::Runtime};

/// The receiver, with the samples that were written to it.
pub(crate) fn receive(runtime: &Runtime, query: &Path, address: &str) {
    let text = std::fs::read_to_string(query.join("config/receive_remote_write.json")).expect("a recording");
    let tenants: BTreeMap<String, Vec<Value>> = serde_json::from_str(&text).expect("JSON");
    let mut members = Vec::new();
    for (tenant, series) in tenants {
        let external = [("receive", "true"), ("replica", "A"), ("tenant_id", tenant.as_str())];
        let external = Labels::from_pairs(external);
        let store = MemoryStore::new(external.clone());
        for one in &series {
            fill(&store, one);
        }
        members.push(Member { name: tenant, store: Arc::new(Conform::new(Arc::new(store), external)) });
    }
    let store = Proxy::new(Arc::new(members), ProxySettings::default());
    let rows = rows(&query.join("grpc/receive.jsonl"));
    let mut status = TsdbStatusAnswer::default();
    for message in messages::<pb::TsdbStatisticsResponse>(&rows, "/thanos.Status/TSDBStatistics") {
        convert::add_status(&mut status, message);
    }
    let store: Arc<dyn Store> = Arc::new(Told { store: Arc::new(store), info: info(&rows) });
    let apis = Apis { status: Some(Arc::new(ToldStatus(status))), ..Apis::from(store) };
    runtime.block_on(serve(apis, address));
}

/// The ruler, with the one series that its answers show.
pub(crate) fn rule(runtime: &Runtime, query: &Path, address: &str) {
    let rows = rows(&query.join("grpc/rule.jsonl"));
    let external = Labels::from_pairs([("replica", "A"), ("ruler", "x")]);
    let store = MemoryStore::new(external.clone());
    let info = info(&rows);
    let begin = info.interval.map_or(0, |i| i.mint);
    store.push(&Labels::from_pairs([("__name__", "demo:two")]), begin, 2.0).expect("one sample");
    let mut rules = RulesAnswer::default();
    let all = rows.iter().filter(|r| r["request_json"]["type"] == "ALL").cloned().collect::<Vec<_>>();
    for message in messages::<pb::RulesResponse>(&all, "/thanos.Rules/Rules") {
        convert::add_rules(&mut rules, message).expect("rules");
    }
    let store = Conform::new(Arc::new(store), external);
    let store: Arc<dyn Store> = Arc::new(Told { store: Arc::new(store), info });
    let apis = Apis { rules: Some(Arc::new(ToldRules(rules))), ..Apis::from(store) };
    runtime.block_on(serve(apis, address));
}

async fn serve(apis: Apis, address: &str) {
    let (routes, readiness) = Services::new(apis, Settings::default()).build().await.expect("services");
    readiness.set(true).await;
    let listener = TcpListener::bind(address).await.expect("a free port");
    // The runtime ends the server when the run is over.
    tokio::spawn(async move {
        serve_routes(routes, &TransportSettings::default(), listener, std::future::pending()).await
    });
}

fn fill(store: &MemoryStore, series: &Value) {
    let labels = series["labels"].as_object().expect("labels").iter();
    let labels = Labels::from_pairs(labels.map(|(name, v)| (name.as_str(), v.as_str().unwrap_or_default())));
    for sample in series["samples"].as_array().into_iter().flatten() {
        let (t, v) = (sample[0].as_i64().expect("a time"), sample[1].as_f64().expect("a value"));
        store.push(&labels, t, v).expect("samples in order");
    }
}

fn rows(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).expect("a recording");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// The messages of the first recorded answer of a method.
fn messages<M: Message + Default>(rows: &[Value], method: &str) -> Vec<M> {
    let row = rows.iter().find(|row| row["method"] == method).expect("recorded");
    let bytes = responses(row).expect("hex");
    bytes.into_iter().map(|b| M::decode(b).expect("a message")).collect()
}

fn info(rows: &[Value]) -> StoreInfo {
    let told = messages::<InfoResponse>(rows, "/thanos.info.Info/Info");
    told.first().and_then(convert::store_info).expect("a store")
}

/// A store that tells of itself what was recorded.
#[derive(Debug)]
struct Told {
    store: Arc<dyn Store>,
    info: StoreInfo,
}

#[async_trait]
impl Store for Told {
    fn info(&self) -> StoreInfo {
        self.info.clone()
    }

    async fn series(&self, ctx: &Context, request: SeriesRequest) -> Result<SeriesStream> {
        self.store.series(ctx, request).await
    }

    async fn label_names(&self, ctx: &Context, request: LabelNamesRequest) -> Result<LabelNames> {
        self.store.label_names(ctx, request).await
    }

    async fn label_values(&self, ctx: &Context, request: LabelValuesRequest) -> Result<LabelValues> {
        self.store.label_values(ctx, request).await
    }
}

#[derive(Debug)]
struct ToldRules(RulesAnswer);

#[async_trait]
impl RulesApi for ToldRules {
    async fn rules(&self, _: &Context, request: RulesRequest) -> Result<RulesAnswer> {
        let mut answer = self.0.clone();
        for group in &mut answer.groups {
            group.rules.retain(|rule| match request.kind {
                RuleKind::All => true,
                RuleKind::Alert => matches!(rule, Rule::Alert(_)),
                RuleKind::Record => matches!(rule, Rule::Recording(_)),
            });
        }
        Ok(answer)
    }
}

#[derive(Debug)]
struct ToldStatus(TsdbStatusAnswer);

#[async_trait]
impl TsdbStatusApi for ToldStatus {
    async fn tsdb_status(&self, _: &Context, _: TsdbStatusRequest) -> Result<TsdbStatusAnswer> {
        Ok(self.0.clone())
    }
}
