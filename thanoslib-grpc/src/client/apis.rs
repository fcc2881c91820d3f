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

/// Implements an API: the request as a message, the call, and the messages of its answer added up.
macro_rules! api {
    ($api:ident, $method:ident: $request:ident -> $answer:ident, $message:ident to $client:ident.$call:ident,
     $add:expr) => {
        #[async_trait]
        impl $api for ApisClient {
            async fn $method(&self, ctx: &Context, request: $request) -> Result<$answer> {
                let message = pb::$message::from(&request);
                let make = |request| {
                    let mut client = client!($client, self.link, ctx);
                    async move { client.$call(request).await }
                };
                let messages = call(&self.link, ctx, message, make).await?;
                let mut answer = $answer::default();
                let add: fn(&mut $answer, _) -> Result<()> = $add;
                collect(messages, ctx, |message| add(&mut answer, message)).await?;
                Ok(answer)
            }
        }
    };
}

api!(RulesApi, rules: RulesRequest -> RulesAnswer, RulesRequest to RulesClient.rules, convert::add_rules);
api!(
    TargetsApi, targets: TargetsRequest -> TargetsAnswer, TargetsRequest to TargetsClient.targets,
    convert::add_targets
);
api!(
    MetadataApi, metadata: MetadataRequest -> MetadataAnswer,
    MetricMetadataRequest to MetadataClient.metric_metadata,
    |answer, message| {
        convert::add_metadata(answer, message);
        Ok(())
    }
);
api!(
    ExemplarsApi, exemplars: ExemplarsRequest -> ExemplarsAnswer, ExemplarsRequest to ExemplarsClient.exemplars,
    |answer, message| {
        convert::add_exemplars(answer, message);
        Ok(())
    }
);
api!(
    TsdbStatusApi, tsdb_status: TsdbStatusRequest -> TsdbStatusAnswer,
    TsdbStatisticsRequest to StatusClient.tsdb_statistics,
    |answer, message| {
        convert::add_status(answer, message);
        Ok(())
    }
);
