//! [`StoreClient`].

use std::{
    sync::{PoisonError, RwLock},
    time::Duration,
};

use async_trait::async_trait;
use thanoslib::{
    Error, Result,
    context::Context,
    model::Interval,
    query::EndpointInfo,
    store::{
        Abilities, LabelNames, LabelNamesRequest, LabelValues, LabelValuesRequest, SeriesRequest,
        SeriesStream, Store, StoreInfo,
    },
};

use super::{
    call::{call, client},
    link::Link,
    series,
};
use crate::{
    convert,
    pb::thanos::{
        self as pb,
        info::{InfoRequest, info_client::InfoClient},
        store_client::StoreClient as Client,
    },
};

/// How long a peer may take to tell what it is.
pub(super) const INFO_TIMEOUT: Duration = Duration::from_secs(5);

/// The store of one peer.
///
/// What it is comes from the Info call that was made last. Before the first, it may hold anything
/// and does nothing beyond answering.
#[derive(Debug)]
pub struct StoreClient {
    link: Link,
    info: RwLock<StoreInfo>,
}

impl StoreClient {
    /// The store at the other end of a link or channel, which is asked what it is.
    ///
    /// # Errors
    /// Whatever the call gives; `Unsupported` when the peer serves no Store.
    pub async fn connect(link: impl Into<Link> + Send) -> Result<Self> {
        let client = Self::unasked(link.into());
        client.refresh().await?;
        Ok(client)
    }

    /// The store of a peer that did not say yet what it is.
    pub(super) fn unasked(link: Link) -> Self {
        let abilities = Abilities { external_labels: true, ..Abilities::default() };
        let info = StoreInfo {
            component: "",
            label_sets: Vec::new(),
            interval: Some(Interval::ALL),
            tsdbs: Vec::new(),
            abilities,
            blocks_hash: None,
        };
        Self { link, info: RwLock::new(info) }
    }

    /// Asks the peer again what it is.
    ///
    /// # Errors
    /// As [`connect`](Self::connect); what is known stays then.
    pub async fn refresh(&self) -> Result<()> {
        let info = self.ask(&Context::default().with_timeout(INFO_TIMEOUT)).await?;
        match info.store {
            Some(_) => Ok(()),
            None => Err(Error::unsupported(format!("peer of type {:?} serves no Store", info.component))),
        }
    }

    /// Asks the peer what it is; what it says of its store is kept.
    pub(super) async fn ask(&self, ctx: &Context) -> Result<EndpointInfo> {
        let make = |request| {
            let mut client = client!(InfoClient, self.link, ctx);
            async move { client.info(request).await }
        };
        let answer = call(&self.link, ctx, InfoRequest {}, make).await?;
        let info = convert::endpoint_info(&answer);
        if let Some(store) = &info.store {
            *self.info.write().unwrap_or_else(PoisonError::into_inner) = store.clone();
        }
        Ok(info)
    }
}

#[async_trait]
impl Store for StoreClient {
    fn info(&self) -> StoreInfo {
        self.info.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn abilities(&self) -> Abilities {
        self.info.read().unwrap_or_else(PoisonError::into_inner).abilities
    }

    async fn series(&self, ctx: &Context, request: SeriesRequest) -> Result<SeriesStream> {
        let make = |request| {
            let mut client = client!(Client, self.link, ctx);
            async move { client.series(request).await }
        };
        let frames = call(&self.link, ctx, pb::SeriesRequest::from(&request), make).await?;
        Ok(series::stream(frames, ctx.clone()))
    }

    async fn label_names(&self, ctx: &Context, request: LabelNamesRequest) -> Result<LabelNames> {
        let make = |request| {
            let mut client = client!(Client, self.link, ctx);
            async move { client.label_names(request).await }
        };
        Ok(call(&self.link, ctx, pb::LabelNamesRequest::from(&request), make).await?.into())
    }

    async fn label_values(&self, ctx: &Context, request: LabelValuesRequest) -> Result<LabelValues> {
        let make = |request| {
            let mut client = client!(Client, self.link, ctx);
            async move { client.label_values(request).await }
        };
        Ok(call(&self.link, ctx, pb::LabelValuesRequest::from(&request), make).await?.into())
    }
}
