//! The APIs of a peer beside its store.

use async_trait::async_trait;
use thanoslib::{
    Result,
    apis::{
        ExemplarsAnswer, ExemplarsApi, ExemplarsRequest, MetadataAnswer, MetadataApi, MetadataRequest,
        RulesAnswer, RulesApi, RulesRequest, TargetsAnswer, TargetsApi, TargetsRequest, TsdbStatusAnswer,
        TsdbStatusApi, TsdbStatusRequest,
    },
    context::Context,
};

use super::{
    call::{call, client, collect},
    link::Link,
};
use crate::{
    convert,
    pb::thanos::{
        self as pb, exemplars_client::ExemplarsClient, metadata_client::MetadataClient,
        rules_client::RulesClient, status_client::StatusClient, targets_client::TargetsClient,
    },
};

/// Rules, targets, metadata, exemplars and statistics of one peer.
#[derive(Clone, Debug)]
pub struct ApisClient {
    link: Link,
}

impl ApisClient {
    /// The APIs at the other end of a link.
    pub fn new(link: impl Into<Link>) -> Self {
        Self { link: link.into() }
    }
}

#[async_trait]
impl RulesApi for ApisClient {
    async fn rules(&self, ctx: &Context, request: RulesRequest) -> Result<RulesAnswer> {
        let message = pb::RulesRequest::from(&request);
        let make = |request| {
            let mut client = client!(RulesClient, self.link, ctx);
            async move { client.rules(request).await }
        };
        let messages = call(&self.link, ctx, message, make).await?;
        let mut answer = RulesAnswer::default();
        collect(messages, ctx, |m| convert::add_rules(&mut answer, m)).await?;
        Ok(answer)
    }
}

#[async_trait]
impl TargetsApi for ApisClient {
    async fn targets(&self, ctx: &Context, request: TargetsRequest) -> Result<TargetsAnswer> {
        let message = pb::TargetsRequest::from(&request);
        let make = |request| {
            let mut client = client!(TargetsClient, self.link, ctx);
            async move { client.targets(request).await }
        };
        let messages = call(&self.link, ctx, message, make).await?;
        let mut answer = TargetsAnswer::default();
        collect(messages, ctx, |m| convert::add_targets(&mut answer, m)).await?;
        Ok(answer)
    }
}

#[async_trait]
impl MetadataApi for ApisClient {
    async fn metadata(&self, ctx: &Context, request: MetadataRequest) -> Result<MetadataAnswer> {
        let message = pb::MetricMetadataRequest::from(&request);
        let make = |request| {
            let mut client = client!(MetadataClient, self.link, ctx);
            async move { client.metric_metadata(request).await }
        };
        let messages = call(&self.link, ctx, message, make).await?;
        let mut answer = MetadataAnswer::default();
        collect(messages, ctx, |m| {
            convert::add_metadata(&mut answer, m);
            Ok(())
        })
        .await?;
        Ok(answer)
    }
}

#[async_trait]
impl ExemplarsApi for ApisClient {
    async fn exemplars(&self, ctx: &Context, request: ExemplarsRequest) -> Result<ExemplarsAnswer> {
        let message = pb::ExemplarsRequest::from(&request);
        let make = |request| {
            let mut client = client!(ExemplarsClient, self.link, ctx);
            async move { client.exemplars(request).await }
        };
        let messages = call(&self.link, ctx, message, make).await?;
        let mut answer = ExemplarsAnswer::default();
        collect(messages, ctx, |m| {
            convert::add_exemplars(&mut answer, m);
            Ok(())
        })
        .await?;
        Ok(answer)
    }
}

#[async_trait]
impl TsdbStatusApi for ApisClient {
    async fn tsdb_status(&self, ctx: &Context, request: TsdbStatusRequest) -> Result<TsdbStatusAnswer> {
        let message = pb::TsdbStatisticsRequest::from(&request);
        let make = |request| {
            let mut client = client!(StatusClient, self.link, ctx);
            async move { client.tsdb_statistics(request).await }
        };
        let messages = call(&self.link, ctx, message, make).await?;
        let mut answer = TsdbStatusAnswer::default();
        collect(messages, ctx, |m| {
            convert::add_status(&mut answer, m);
            Ok(())
        })
        .await?;
        Ok(answer)
    }
}
