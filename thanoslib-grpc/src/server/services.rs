//! All services of one endpoint.

use std::sync::Arc;

use thanoslib::{Error, Result, apis::Apis, context::Context};
use tonic::service::Routes;

use super::{
    About, ApiServer, InfoServer, QueryServer, Readiness, ServerMetrics, Settings, StoreServer,
    observe::Observe, unknown::NameUnknown,
};
use crate::{
    MESSAGE_MAX_BYTES,
    pb::{
        self,
        thanos::{
            exemplars_server::ExemplarsServer, metadata_server::MetadataServer, rules_server::RulesServer,
            status_server::StatusServer, targets_server::TargetsServer,
        },
    },
    snappy::SnappyLayer,
};

/// The services of an endpoint: one for each of its APIs, and those that tell of them.
#[derive(Clone, Debug)]
pub struct Services {
    /// What is served.
    pub apis: Apis,
    /// How it is served.
    pub settings: Settings,
    /// What all calls draw on and end with.
    pub context: Context,
    /// What is told when there is no store to tell it.
    pub about: About,
    /// What is counted.
    pub metrics: Arc<ServerMetrics>,
    /// Serves `thanos.info.Info`.
    pub info: bool,
    /// Serves `grpc.health.v1.Health`.
    pub health: bool,
    /// Serves the reflection service in versions v1 and v1alpha.
    pub reflection: bool,
}

impl Services {
    /// The services of some APIs, or of a store alone.
    pub fn new(apis: impl Into<Apis>, settings: Settings) -> Self {
        Self {
            apis: apis.into(),
            settings,
            context: Context::default(),
            about: About::default(),
            metrics: Arc::default(),
            info: true,
            health: true,
            reflection: true,
        }
    }

    /// The routes for a tonic server, and the readiness to set once the endpoint can answer.
    ///
    /// # Errors
    /// `Internal` when the descriptors of the reflection service cannot be read.
    pub async fn build(self) -> Result<(Routes, Readiness)> {
        let (reporter, health) = tonic_health::server::health_reporter();
        let readiness = Readiness::new(reporter).await;
        let mut routes = Routes::builder();
        let mut names = Vec::new();
        self.add_apis(&mut routes, &mut names);
        if self.info {
            let projections = self.settings.projections;
            let server = InfoServer::new(self.apis, self.about, projections, readiness.clone());
            add(&mut routes, &mut names, server.into_service());
        }
        if self.health {
            add(&mut routes, &mut names, health);
        }
        if self.reflection {
            let mut shown: Vec<_> = names.clone();
            shown.push(V1);
            shown.push(V1_ALPHA);
            let failed = |e| Error::internal("read the descriptors").with_source(e);
            add(&mut routes, &mut names, descriptors(&shown).build_v1().map_err(failed)?);
            add(&mut routes, &mut names, descriptors(&shown).build_v1alpha().map_err(failed)?);
        }
        self.metrics.serve(&names);
        let router = routes.routes().into_axum_router();
        // The last layer is the outermost.
        let router = router.layer(SnappyLayer).layer(NameUnknown::new(names)).layer(Observe(self.metrics));
        Ok((Routes::from(router), readiness))
    }

    fn add_apis(&self, routes: &mut tonic::service::RoutesBuilder, names: &mut Vec<&'static str>) {
        let Apis { store, rules, targets, metadata, exemplars, status, query } = self.apis.clone();
        let component = store.as_ref().map_or(self.about.component, |store| store.info().component);
        let ctx = || self.context.clone();
        if let Some(store) = store {
            let metrics = Arc::clone(&self.metrics);
            let server = StoreServer::new(store, self.settings.clone(), ctx(), metrics);
            add(routes, names, server.into_service());
        }
        // The services of the other APIs, with the message limits of Thanos.
        macro_rules! add_api {
            ($api:expr, $server:ident) => {
                if let Some(api) = $api {
                    let server = $server::new(ApiServer::new(api, component, ctx()))
                        .max_decoding_message_size(MESSAGE_MAX_BYTES)
                        .max_encoding_message_size(MESSAGE_MAX_BYTES);
                    add(routes, names, server);
                }
            };
        }
        add_api!(rules, RulesServer);
        add_api!(targets, TargetsServer);
        add_api!(metadata, MetadataServer);
        add_api!(exemplars, ExemplarsServer);
        add_api!(status, StatusServer);
        if let Some(api) = query {
            add(routes, names, QueryServer::new(api, ctx()).into_service());
        }
    }
}

const V1: &str = "grpc.reflection.v1.ServerReflection";
const V1_ALPHA: &str = "grpc.reflection.v1alpha.ServerReflection";

fn descriptors(shown: &[&str]) -> tonic_reflection::server::Builder<'static> {
    let builder = tonic_reflection::server::Builder::configure()
        .include_reflection_service(false)
        .register_encoded_file_descriptor_set(pb::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET);
    shown.iter().fold(builder, |b, name| b.with_service_name(*name))
}

fn add<S>(routes: &mut tonic::service::RoutesBuilder, names: &mut Vec<&'static str>, service: S)
where
    S: tonic::codegen::Service<
            tonic::codegen::http::Request<tonic::body::Body>,
            Response = tonic::codegen::http::Response<tonic::body::Body>,
            Error = std::convert::Infallible,
        > + tonic::server::NamedService
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send + 'static,
{
    names.push(S::NAME);
    routes.add_service(service);
}
