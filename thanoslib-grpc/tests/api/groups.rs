//! One logical endpoint with several addresses.

use std::sync::{Arc, Mutex};

use thanoslib::{
    ErrorKind,
    context::Context,
    query::{Connect, EndpointSpec, Peer},
    store::Store,
};
use thanoslib_grpc::{
    client::{ClientSettings, Connector, GroupMembers},
    server::Settings,
};
use tokio::sync::oneshot;

use super::fixture::{Scripted, serve_apis};

/// Addresses that a test changes.
#[derive(Debug, Default)]
struct Addresses(Mutex<Vec<String>>);

impl GroupMembers for Addresses {
    fn members(&self, group: &str) -> Arc<[String]> {
        assert_eq!(group, "thanos-store");
        Arc::from(self.0.lock().expect("no panic holds the lock").clone())
    }
}

async fn member(component: &'static str) -> (String, oneshot::Sender<()>, tokio::task::JoinHandle<()>) {
    let store: Arc<dyn Store> = Arc::new(Scripted { component, ..Scripted::default() });
    let (address, stop, task) = serve_apis(store.into(), Settings::default()).await;
    (address, stop, tokio::spawn(async move { task.await.expect("no panic").expect("a clean end") }))
}

async fn group(addresses: &Arc<Addresses>) -> Arc<dyn Peer> {
    configured(addresses, None).await
}

async fn configured(addresses: &Arc<Addresses>, config: Option<&str>) -> Arc<dyn Peer> {
    let connector = Connector::new(ClientSettings::default()).expect("sound settings");
    let members: Arc<dyn GroupMembers> = Arc::<Addresses>::clone(addresses);
    let service_config = config.map(str::to_owned);
    let spec = EndpointSpec { group: true, service_config, ..EndpointSpec::new("thanos-store") };
    connector.with_groups(members).connect(&spec).await.expect("a peer")
}

/// Who answers so many requests in turn.
async fn turns(peer: &Arc<dyn Peer>, n: usize) -> Vec<&'static str> {
    let mut out = Vec::new();
    for _ in 0..n {
        out.push(peer.info(&Context::default()).await.expect("an answer").component);
    }
    out
}

#[tokio::test]
async fn members_take_turns_and_the_dead_are_passed_over() {
    let (a, stop_a, task_a) = member("sidecar").await;
    let (b, _stop_b, _task_b) = member("store").await;
    let addresses = Arc::new(Addresses(Mutex::new(vec![a.clone(), b.clone()])));
    let peer = group(&addresses).await;
    let four = turns(&peer, 4).await;
    assert!(four.iter().filter(|c| **c == "sidecar").count() == 2, "{four:?}");
    drop(stop_a);
    task_a.await.expect("no panic");
    // Every request is answered, though one of two members is gone.
    assert_eq!(turns(&peer, 6).await, ["store"; 6]);
    // A new member takes part from the next request on.
    let (c, _stop_c, _task_c) = member("receive").await;
    *addresses.0.lock().expect("no panic") = vec![b, c];
    let four = turns(&peer, 4).await;
    assert!(four.contains(&"receive") && four.contains(&"store"), "{four:?}");
}

#[tokio::test]
async fn the_first_member_is_picked_where_the_configuration_says_so() {
    let (a, stop_a, task_a) = member("sidecar").await;
    let (b, _stop_b, _task_b) = member("store").await;
    let addresses = Arc::new(Addresses(Mutex::new(vec![a, b])));
    let retry = r#"{"methodConfig": [{"name": [{"service": "thanos.info.Info"}], "retryPolicy": {
        "maxAttempts": 2, "initialBackoff": "0.01s", "maxBackoff": "0.01s", "backoffMultiplier": 1,
        "retryableStatusCodes": ["UNAVAILABLE"]}}]}"#;
    let (bare, again) = (configured(&addresses, Some("{}")).await, configured(&addresses, Some(retry)).await);
    assert_eq!(turns(&bare, 4).await, ["sidecar"; 4]);
    assert_eq!(turns(&again, 4).await, ["sidecar"; 4]);
    drop(stop_a);
    task_a.await.expect("no panic");
    // Without a policy a call is made once; then the member rests and the next one is asked.
    let error = bare.info(&Context::default()).await.expect_err("nobody tries again");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert_eq!(turns(&bare, 2).await, ["store"; 2]);
    assert_eq!(turns(&again, 2).await, ["store"; 2]);
}

#[tokio::test]
async fn a_bad_configuration_is_named() {
    let connector = Connector::new(ClientSettings::default()).expect("sound settings");
    let members: Arc<dyn GroupMembers> = Arc::new(Addresses::default());
    let service_config = Some(r#"{"methodConfig": [{"timeout": 5}]}"#.to_owned());
    let spec = EndpointSpec { group: true, service_config, ..EndpointSpec::new("thanos-store") };
    let error = connector.with_groups(members).connect(&spec).await.expect_err("no duration");
    assert!(error.message().starts_with("service_config: no JSON of a service"), "{error}");
}

#[tokio::test]
async fn a_group_that_nobody_is_in_is_unavailable() {
    let addresses = Arc::new(Addresses::default());
    let peer = group(&addresses).await;
    let error = peer.info(&Context::default()).await.expect_err("nobody");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.message().ends_with("group thanos-store has no addresses"), "{error}");
}

#[tokio::test]
async fn settings_are_chosen_by_name() {
    let (address, _stop, _task) = member("sidecar").await;
    let connector = Connector::new(ClientSettings::default()).expect("sound settings");
    let spec = EndpointSpec { client: Some("eu".to_owned()), ..EndpointSpec::new(&address) };
    let error = connector.connect(&spec).await.expect_err("no such settings");
    assert_eq!(error.message(), "no client settings \"eu\"");
    connector.set_client("eu", ClientSettings::default()).expect("sound settings");
    let peer = connector.connect(&spec).await.expect("a peer");
    assert_eq!(turns(&peer, 1).await, ["sidecar"]);
}
