use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::{Arc, Mutex},
};

use async_trait::async_trait;

use super::*;
use crate::{
    context::Context,
    error::{Error, Result},
    query::EndpointSpecs,
};

/// Answers by name; a missing one fails, an empty one was not found.
#[derive(Debug, Default)]
struct FakeDns {
    ipv4: Mutex<BTreeMap<String, Vec<Ipv4Addr>>>,
    ipv6: Mutex<BTreeMap<String, Vec<Ipv6Addr>>>,
    srv: Mutex<BTreeMap<String, Vec<(String, u16)>>>,
}

fn answer<T: Clone>(of: &Mutex<BTreeMap<String, Vec<T>>>, name: &str) -> Result<Vec<T>> {
    let of = of.lock().expect("not poisoned");
    of.get(name).cloned().ok_or_else(|| Error::unavailable("server failure"))
}

#[async_trait]
impl Resolve for FakeDns {
    async fn host(&self, name: &str) -> Result<Vec<IpAddr>> {
        Ok(self.ipv4(name).await?.into_iter().map(IpAddr::V4).collect())
    }

    async fn ipv4(&self, name: &str) -> Result<Vec<Ipv4Addr>> {
        answer(&self.ipv4, name)
    }

    async fn ipv6(&self, name: &str) -> Result<Vec<Ipv6Addr>> {
        answer(&self.ipv6, name)
    }

    async fn srv(&self, name: &str) -> Result<Vec<(String, u16)>> {
        answer(&self.srv, name)
    }
}

impl FakeDns {
    fn host4(&self, name: &str, last: &[u8]) {
        let ips = last.iter().map(|last| Ipv4Addr::new(10, 0, 0, *last)).collect();
        self.ipv4.lock().expect("not poisoned").insert(name.to_owned(), ips);
    }

    fn fail4(&self, name: &str) {
        self.ipv4.lock().expect("not poisoned").remove(name);
    }
}

fn names(list: &[&str]) -> Vec<String> {
    list.iter().map(|n| (*n).to_owned()).collect()
}

#[tokio::test]
async fn each_prefix_has_its_lookup() {
    let dns = Arc::new(FakeDns::default());
    dns.host4("a", &[2, 1]);
    dns.ipv6.lock().expect("not poisoned").insert("a".to_owned(), vec![Ipv6Addr::LOCALHOST]);
    dns.srv.lock().expect("not poisoned").insert("_s".to_owned(), vec![("a.".to_owned(), 7)]);
    let provider = DnsProvider::new(dns);
    let check = async |name: &str, want: &[&str]| {
        provider.resolve(&Context::default(), &names(&[name])).await;
        assert_eq!(&*provider.addresses(name), want, "{name}");
    };
    check("h:1", &["h:1"]).await;
    check("dns+a:1", &["10.0.0.1:1", "10.0.0.2:1"]).await;
    check("dns+http://a:1", &["http://10.0.0.1:1", "http://10.0.0.2:1"]).await;
    check("dns+10.1.2.3:1", &["10.1.2.3:1"]).await;
    check("dnsdualstack+a:1", &["10.0.0.1:1", "10.0.0.2:1", "[::1]:1"]).await;
    check("dnssrv+_s", &["10.0.0.1:7", "10.0.0.2:7"]).await;
    check("dnssrv+_s:8", &["10.0.0.1:8", "10.0.0.2:8"]).await;
    check("dnssrvnoa+_s", &["a:7"]).await;
    check("dnssrvnoa+http://_s:8", &["http://a:8"]).await;
    check("dnsdualstack+b:1", &[]).await;
    check("dns+a", &[]).await;
    check("dsn+a:1", &[]).await;
}

#[tokio::test]
async fn failures_keep_what_was_known() {
    let dns = Arc::new(FakeDns::default());
    dns.host4("a", &[1]);
    dns.host4("b", &[2]);
    let provider = DnsProvider::new(Arc::clone(&dns) as _);
    let ctx = Context::default();
    let check = |want: &[(&str, usize)]| {
        let want: Vec<(String, usize)> = want.iter().map(|(n, c)| ((*n).to_owned(), *c)).collect();
        assert_eq!(provider.results(), want);
    };
    provider.resolve(&ctx, &names(&["dns+a:1", "dns+b:1"])).await;
    check(&[("dns+a:1", 1), ("dns+b:1", 1)]);
    dns.fail4("a");
    dns.host4("b", &[2, 3]);
    provider.resolve(&ctx, &names(&["dns+a:1", "dns+b:1"])).await;
    check(&[("dns+a:1", 1), ("dns+b:1", 2)]);
    // Names that are gone are forgotten only when nothing fails.
    provider.resolve(&ctx, &names(&["dns+a:1"])).await;
    check(&[("dns+a:1", 1), ("dns+b:1", 2)]);
    dns.host4("a", &[]);
    provider.resolve(&ctx, &names(&["dns+a:1"])).await;
    check(&[("dns+a:1", 0)]);
    let statistics = provider.statistics();
    let load = |counter: &std::sync::atomic::AtomicU64| counter.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!((load(&statistics.lookups), load(&statistics.failures)), (6, 2));
}

#[test]
fn configurations_name_the_key_that_is_wrong() {
    let check = |yaml: &str, want: &str| {
        let e = EndpointsConfig::parse(yaml).expect_err("it is wrong");
        assert!(e.message().contains(want), "{yaml}: {e}");
    };
    check("endpoints: [{adress: a:1}]", "adress");
    check("endpoint: []", "endpoint");
    check("endpoints: [{address: a:1}, {address: dsn+b:1}]", "endpoints[1].address: invalid lookup scheme");
    check("endpoints: [{address: dns+b}]", "endpoints[0].address: missing port");
    check("endpoints: [{address: dns+b:1, strict: true, group: true}]", "endpoints[0].strict");
    check("endpoints: [{address: a:1, service_config: '{}'}]", "endpoints[0].service_config: only groups");
    check(
        "endpoints: [{address: a:1, group: true, service_config: '{'}]",
        "endpoints[0].service_config: no JSON",
    );
    check(
        r#"endpoints: [{address: a:1, group: true, service_config: '{"methodConfig": [{"timeout": "1"}]}'}]"#,
        "endpoints[0].service_config: methodConfig[0].timeout: \"1\"",
    );
    check(
        "endpoints: [{address: a:1, client_config: {compression: zip}}]",
        "client_config.compression: \"zip\"",
    );
    check(
        "default_client_config: {tls_config: {min_version: '2'}}",
        "default_client_config.tls_config.min_version",
    );
    check("default_client_config: {tls_config: {cert_file: x}}", "cert_file and key_file go together");
    assert_eq!(EndpointsConfig::parse("").expect("empty"), EndpointsConfig::default());
}

#[test]
fn client_settings_follow_the_documented_order() {
    let tls = |ca: Option<&str>, skip: bool| ClientTls {
        ca_file: ca.map(Into::into),
        insecure_skip_verify: skip,
        ..ClientTls::default()
    };
    let flags = ClientSettings {
        tls: Some(tls(Some("flag"), false)),
        server_name: "flag.example".to_owned(),
        compression: Compression::Snappy,
    };
    let clear = ClientSettings::default();
    let check = |yaml: &str, global: &ClientSettings, want: &ClientSettings| {
        let config: ClientConfig = serde_saphyr::from_str(yaml).expect("a client configuration");
        assert_eq!(&config.resolve(global), want, "{yaml}");
    };
    check("{}", &flags, &flags);
    check("{compression: none}", &flags, &ClientSettings { compression: Compression::None, ..flags.clone() });
    check("{server_name: x}", &flags, &ClientSettings { server_name: "x".to_owned(), ..flags.clone() });
    let skips = ClientSettings { tls: Some(tls(Some("flag"), true)), ..flags.clone() };
    check("{tls_config: {insecure_skip_verify: true}}", &flags, &skips);
    let enabled = ClientSettings { tls: Some(tls(None, false)), server_name: String::new(), ..flags.clone() };
    check("{tls_config: {enabled: true}}", &flags, &enabled);
    let off = ClientSettings { tls: None, server_name: String::new(), ..flags.clone() };
    check("{tls_config: {enabled: false, ca_file: x}}", &flags, &off);
    let inferred = ClientSettings { tls: Some(tls(Some("x"), false)), ..clear.clone() };
    check("{tls_config: {ca_file: x}}", &clear, &inferred);
    check("{tls_config: {min_version: '1.2'}}", &clear, &clear);
    assert_ne!(flags.name(), clear.name());
    let config = EndpointsConfig::parse("default_client_config: {tls_config: {ca_file: y}}").expect("sound");
    let from_file =
        ClientSettings { tls: Some(tls(Some("y"), false)), server_name: String::new(), ..flags.clone() };
    assert_eq!(config.default_client(&flags), from_file);
    assert_eq!(EndpointsConfig::default().default_client(&flags), flags);
}

#[derive(Debug, Default)]
struct Clients(Mutex<BTreeMap<String, ClientSettings>>);

impl ClientSink for Clients {
    fn set_client(&self, name: &str, settings: &ClientSettings) -> Result<()> {
        if settings.server_name == "refused" {
            return Err(Error::invalid("no such file"));
        }
        self.0.lock().expect("not poisoned").insert(name.to_owned(), settings.clone());
        Ok(())
    }
}

fn addresses(discovery: &Discovery) -> Vec<String> {
    discovery.specs().into_iter().map(|s| s.address).collect()
}

#[tokio::test]
async fn all_sources_make_one_list_and_bad_reloads_leave_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("endpoints.yaml");
    let write = |text: &str| std::fs::write(&file, text).expect("written");
    write(
        "endpoints: [{address: 'dns+a:1'}, {address: g, group: true}, \
         {address: 'own:1', client_config: {compression: snappy}}, \
         {address: 'refused:1', client_config: {server_name: refused}}]",
    );
    let targets = folder.path().join("one.json");
    std::fs::write(&targets, r#"[{"targets": ["f:1", "dns+a:2"], "labels": {"x": "y"}}]"#).expect("written");
    let dns = Arc::new(FakeDns::default());
    dns.host4("a", &[1]);
    let settings = DiscoverySettings {
        entries: vec![EndpointEntry { strict: true, ..EndpointEntry::new("s:1") }],
        config_file: Some(file.clone()),
        target_files: vec![folder.path().join("*.json").display().to_string()],
        ..DiscoverySettings::default()
    };
    let clients = Arc::new(Clients::default());
    let discovery =
        Discovery::new(settings, Arc::clone(&dns) as _, Arc::clone(&clients) as _).await.expect("sound");
    let all = ["10.0.0.1:1", "g", "own:1", "s:1", "10.0.0.1:2", "f:1"];
    assert_eq!(addresses(&discovery), all);
    let specs = discovery.specs();
    assert!(specs[3].strict && specs[1].group);
    let named = specs[2].client.clone().expect("settings of its own");
    let known = clients.0.lock().expect("not poisoned").clone();
    assert_eq!(known[&named].compression, Compression::Snappy);
    assert_eq!(&*discovery.group_members("g"), ["g"]);

    write("endpoints: [{address: 'dsn+a:1'}]");
    assert!(!discovery.reload().await);
    assert_eq!(addresses(&discovery), all);
    std::fs::remove_file(&file).expect("removed");
    assert!(!discovery.reload().await);
    assert_eq!((addresses(&discovery).len(), discovery.reload_failures()), (6, 2));
    write("endpoints: [{address: 'n:1'}]");
    assert!(discovery.reload().await);
    assert!(!discovery.reload().await, "nothing has changed");
    assert_eq!(addresses(&discovery), ["n:1", "s:1", "10.0.0.1:2", "f:1"]);

    std::fs::write(&targets, "[{").expect("written");
    discovery.files().refresh().await;
    assert_eq!(addresses(&discovery).len(), 4, "a broken file keeps its targets");
    std::fs::remove_file(&targets).expect("removed");
    assert!(discovery.files().refresh().await);
    assert_eq!(addresses(&discovery), ["n:1", "s:1"]);
}

#[tokio::test]
async fn a_bad_configuration_at_the_start_is_an_error() {
    let check = async |settings: DiscoverySettings, want: &str| {
        let clients = Arc::new(Clients::default());
        let e =
            Discovery::new(settings, Arc::new(FakeDns::default()), clients).await.expect_err("it is wrong");
        assert!(e.message().contains(want), "{e}");
    };
    let default = DiscoverySettings::default;
    check(DiscoverySettings { config: Some("a".into()), ..default() }, "endpoint configuration").await;
    let both = DiscoverySettings { config: Some("".into()), config_file: Some("x".into()), ..default() };
    check(both, "both a text and a file").await;
    check(DiscoverySettings { config_file: Some("/no/such".into()), ..default() }, "file /no/such").await;
    let strict = EndpointEntry { strict: true, ..EndpointEntry::new("dns+a:1") };
    check(DiscoverySettings { entries: vec![strict], ..default() }, "endpoints[0].strict").await;
}
