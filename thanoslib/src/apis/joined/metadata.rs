//! What many endpoints know of metrics.

use std::sync::Arc;

use async_trait::async_trait;
use futures::FutureExt;

use super::{ApiMembers, JoinSettings, What, gather};
use crate::{
    apis::{MetadataAnswer, MetadataApi, MetadataRequest},
    context::Context,
    error::Result,
};

/// What many endpoints know of metrics as one; each different description once.
///
/// See [`JoinedRules`](super::JoinedRules).
#[derive(Debug)]
pub struct JoinedMetadata {
    members: Arc<dyn ApiMembers<dyn MetadataApi>>,
    settings: JoinSettings,
}

impl JoinedMetadata {
    /// The metadata of `members`.
    pub fn new(members: Arc<dyn ApiMembers<dyn MetadataApi>>, settings: JoinSettings) -> Self {
        Self { members, settings }
    }
}

#[async_trait]
impl MetadataApi for JoinedMetadata {
    async fn metadata(&self, ctx: &Context, request: MetadataRequest) -> Result<MetadataAnswer> {
        if request.limit == Some(0) {
            return Ok(MetadataAnswer::default());
        }
        let what = What { things: "metric metadata", clients: "metadata" };
        let members = self.members.api_members();
        let timeout = self.settings.response_timeout;
        let asked = request.clone();
        let (answers, warnings) =
            gather(ctx, what, members, request.partial_response, timeout, move |ctx, member| {
                let request = asked.clone();
                async move { member.api.metadata(&ctx, request).await }.boxed()
            })
            .await?;
        let mut all = MetadataAnswer { warnings, ..MetadataAnswer::default() };
        for answer in answers {
            all.warnings.extend(answer.warnings.iter().cloned());
            for (metric, descriptions) in answer.metrics {
                let known = all.metrics.entry(metric).or_default();
                for description in descriptions {
                    if !known.contains(&description) {
                        known.push(description);
                    }
                }
            }
        }
        if let Some(limit) = request.limit {
            all.metrics = all.metrics.into_iter().take(limit).collect();
        }
        Ok(all)
    }
}
