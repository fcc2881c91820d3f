//! Info, health, reflection, and what an endpoint does not have.

use futures::StreamExt;
use thanoslib_grpc::{
    pb::thanos::info::{InfoRequest, InfoResponse, info_client::InfoClient},
    server::Settings,
    tonic::{Code, Request, client::Grpc, codegen::http::uri::PathAndQuery, transport::Channel},
};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

use super::fixture::{Scripted, Server, scripted};

async fn store() -> Server {
    let store = Scripted { component: "store", ..Scripted::default() };
    scripted(store, Settings::default()).await
}

#[tokio::test]
async fn info_and_health_follow_readiness() {
    let server = store().await;
    let mut info = InfoClient::new(server.channel.clone());
    let mut health = HealthClient::new(server.channel.clone());
    for ready in [true, false, true] {
        server.readiness.set(ready).await;
        let status = health.check(HealthCheckRequest::default()).await.expect("an answer").into_inner();
        assert_eq!(status.status, if ready { 1 } else { 2 });
        match info.info(InfoRequest {}).await {
            Ok(answer) => {
                let answer = answer.into_inner();
                assert!(ready);
                assert_eq!((answer.component_type.as_str(), answer.label_sets.len()), ("store", 1));
                assert!(answer.rules.is_none() && answer.query.is_none());
            }
            Err(status) => {
                assert!(!ready);
                assert_eq!((status.code(), status.message()), (Code::Unknown, "Not ready"));
            }
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn health_of_an_unknown_service_is_not_found() {
    let server = store().await;
    let mut health = HealthClient::new(server.channel.clone());
    let request = HealthCheckRequest { service: "thanos.Store".to_owned() };
    assert_eq!(health.check(request).await.expect_err("only the empty name").code(), Code::NotFound);
    server.stop().await;
}

async fn reflect(channel: Channel, request: MessageRequest) -> MessageResponse {
    let request = ServerReflectionRequest { host: String::new(), message_request: Some(request) };
    let mut client = ServerReflectionClient::new(channel);
    let requests = futures::stream::iter([request]);
    let mut answers = client.server_reflection_info(requests).await.expect("a stream").into_inner();
    let answer = answers.next().await.expect("an answer").expect("no error");
    answer.message_response.expect("a message")
}

#[tokio::test]
async fn reflection_lists_the_services_and_their_files() {
    let server = store().await;
    let list = MessageRequest::ListServices(String::new());
    let MessageResponse::ListServicesResponse(list) = reflect(server.channel.clone(), list).await else {
        panic!("no list of services")
    };
    let mut names: Vec<_> = list.service.into_iter().map(|s| s.name).collect();
    names.sort();
    assert_eq!(
        names,
        [
            "grpc.health.v1.Health",
            "grpc.reflection.v1.ServerReflection",
            "grpc.reflection.v1alpha.ServerReflection",
            "thanos.Store",
            "thanos.info.Info",
        ]
    );
    let symbol = MessageRequest::FileContainingSymbol("thanos.Store".to_owned());
    let MessageResponse::FileDescriptorResponse(file) = reflect(server.channel.clone(), symbol).await else {
        panic!("no file")
    };
    let first = file.file_descriptor_proto.first().expect("one file");
    assert!(first.windows(23).any(|w| w == b"store/storepb/rpc.proto"));
    server.stop().await;
}

#[tokio::test]
async fn what_is_missing_is_named() {
    let server = store().await;
    let check = async |path: &'static str, want: &str| {
        let mut grpc = Grpc::new(server.channel.clone());
        grpc.ready().await.expect("a connection");
        let codec = thanoslib_grpc::codec::Codec::<InfoRequest, InfoResponse>::default();
        let call = grpc.unary(Request::new(InfoRequest {}), PathAndQuery::from_static(path), codec);
        let status = call.await.expect_err("no such method");
        assert_eq!((status.code(), status.message()), (Code::Unimplemented, want));
    };
    check("/thanos.Store/NoSuch", "unknown method NoSuch for service thanos.Store").await;
    check("/thanos.Rules/Rules", "unknown service thanos.Rules").await;
    server.stop().await;
}
