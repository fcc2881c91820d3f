//! [`StoreClient`].

use std::{
    sync::{PoisonError, RwLock},
    time::Duration,
};

use async_trait::async_trait;
use thanoslib::{
    Error, Result,
    context::Context,
    store::{
        Abilities, LabelNames, LabelNamesRequest, LabelValues, LabelValuesRequest, SeriesRequest,
        SeriesStream, Store, StoreInfo,
    },
};
use tonic::{Request, transport::Channel};

use super::series;
use crate::{
    MESSAGE_MAX_BYTES, TENANT_METADATA, convert,
    pb::thanos::{
        self as pb,
        info::{InfoRequest, info_client::InfoClient},
        store_client,
    },
    status::to_error,
};

/// How long a peer may take to tell what it is.
const INFO_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest deadline that is told to a peer.
const TIMEOUT_MAX: Duration = Duration::from_secs(99_999_999);

/// The store of one peer.
///
/// What it is comes from the Info call that [`connect`](Self::connect) or
/// [`refresh`](Self::refresh) made last.
#[derive(Debug)]
pub struct StoreClient {
    store: store_client::StoreClient<Channel>,
    peer: InfoClient<Channel>,
    info: RwLock<StoreInfo>,
}

impl StoreClient {
    /// Asks the peer at the other end of `channel` what it is.
    ///
    /// # Errors
    /// Whatever the call gives; `Unsupported` when the peer serves no Store.
    pub async fn connect(channel: Channel) -> Result<Self> {
        let peer = InfoClient::new(channel.clone()).max_decoding_message_size(MESSAGE_MAX_BYTES);
        let info = ask(&peer).await?;
        let store = store_client::StoreClient::new(channel)
            .max_decoding_message_size(MESSAGE_MAX_BYTES)
            .max_encoding_message_size(MESSAGE_MAX_BYTES);
        Ok(Self { store, peer, info: RwLock::new(info) })
    }

    /// Asks the peer again what it is.
    ///
    /// # Errors
    /// As [`connect`](Self::connect); what is known stays then.
    pub async fn refresh(&self) -> Result<()> {
        let info = ask(&self.peer).await?;
        *self.info.write().unwrap_or_else(PoisonError::into_inner) = info;
        Ok(())
    }
}

async fn ask(peer: &InfoClient<Channel>) -> Result<StoreInfo> {
    let mut request = Request::new(InfoRequest {});
    request.set_timeout(INFO_TIMEOUT);
    let call = async { peer.clone().info(request).await.map_err(|s| to_error(&s)) };
    let answer = Context::default().with_timeout(INFO_TIMEOUT).run(call).await?.into_inner();
    convert::store_info(&answer).ok_or_else(|| {
        Error::unsupported(format!("peer of type {:?} serves no Store", answer.component_type))
    })
}

/// A request with the deadline and the tenant of the context.
fn request<T>(ctx: &Context, message: T) -> Result<Request<T>> {
    let mut request = Request::new(message);
    if let Some(deadline) = ctx.deadline() {
        let left = deadline.saturating_duration_since(tokio::time::Instant::now());
        // The wire form has eight digits; the context keeps the deadline in any case.
        request.set_timeout(left.min(TIMEOUT_MAX));
    }
    let tenant = ctx.tenant().parse().map_err(|_| {
        Error::invalid(format!("tenant {:?} cannot be sent: not printable ASCII", ctx.tenant()))
    })?;
    request.metadata_mut().insert(TENANT_METADATA, tenant);
    Ok(request)
}

#[async_trait]
impl Store for StoreClient {
    fn info(&self) -> StoreInfo {
        self.info.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn abilities(&self) -> Abilities {
        self.info.read().unwrap_or_else(PoisonError::into_inner).abilities
    }

    async fn series(&self, ctx: &Context, message: SeriesRequest) -> Result<SeriesStream> {
        let request = request(ctx, pb::SeriesRequest::from(&message))?;
        let mut client = self.store.clone();
        let call = async move { client.series(request).await.map_err(|s| to_error(&s)) };
        let frames = ctx.run(call).await?.into_inner();
        Ok(series::stream(frames, ctx.clone()))
    }

    async fn label_names(&self, ctx: &Context, message: LabelNamesRequest) -> Result<LabelNames> {
        let request = request(ctx, pb::LabelNamesRequest::from(&message))?;
        let mut client = self.store.clone();
        let call = async move { client.label_names(request).await.map_err(|s| to_error(&s)) };
        Ok(ctx.run(call).await?.into_inner().into())
    }

    async fn label_values(&self, ctx: &Context, message: LabelValuesRequest) -> Result<LabelValues> {
        let request = request(ctx, pb::LabelValuesRequest::from(&message))?;
        let mut client = self.store.clone();
        let call = async move { client.label_values(request).await.map_err(|s| to_error(&s)) };
        Ok(ctx.run(call).await?.into_inner().into())
    }
}
