//! All services of one endpoint.

use std::sync::Arc;

use thanoslib::{Error, Result, context::Context, store::Store};
use tonic::service::Routes;

use super::{InfoServer, Readiness, Settings, StoreServer, unknown::NameUnknown};
use crate::pb;

/// Which services an endpoint has; all of them by default.
#[derive(Clone, Debug)]
pub struct Services {
    /// What is served.
    pub source: Arc<dyn Store>,
    /// How it is served.
    pub settings: Settings,
    /// What all calls draw on and end with.
    pub context: Context,
    /// Serves `thanos.Store`.
    pub store: bool,
    /// Serves `thanos.info.Info`.
    pub info: bool,
    /// Serves `grpc.health.v1.Health`.
    pub health: bool,
    /// Serves the reflection service in versions v1 and v1alpha.
    pub reflection: bool,
}

impl Services {
    /// All services over one store.
    pub fn new(source: Arc<dyn Store>, settings: Settings) -> Self {
        Self {
            source,
            settings,
            context: Context::default(),
            store: true,
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
        if self.store {
            let server = StoreServer::new(Arc::clone(&self.source), self.settings, self.context);
            add(&mut routes, &mut names, server.into_service());
        }
        if self.info {
            let server = InfoServer::new(Arc::clone(&self.source), readiness.clone());
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
        let router = routes.routes().into_axum_router().layer(NameUnknown::new(names));
        Ok((Routes::from(router), readiness))
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
