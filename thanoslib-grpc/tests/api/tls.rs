//! TLS of both sides, with certificates that change.

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use tempfile::TempDir;
use thanoslib::{
    Result,
    context::Context,
    store::Store,
    tls::{ClientTlsSettings, ServerTlsSettings, TlsVersion},
};
use thanoslib_grpc::{
    client::ClientSettings,
    server::{Settings, TransportSettings},
};

use super::fixture::{Scripted, peer, serve_apis};

/// An authority with a folder of PEM files.
struct Files {
    dir: TempDir,
    authority: CertifiedIssuer<'static, KeyPair>,
}

impl Files {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let authority = CertifiedIssuer::self_signed(params, key).expect("an authority");
        let dir = tempfile::tempdir().expect("a folder");
        fs::write(dir.path().join("ca.pem"), authority.pem()).expect("the folder is writable");
        Self { dir, authority }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes the certificate and the key of a host or client.
    fn write(&self, name: &str, host: &str) {
        let mut params = CertificateParams::new(vec![host.to_owned()]).expect("a name");
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.authority).expect("a certificate");
        fs::write(self.path(&format!("{name}.pem")), certificate.pem()).expect("writable");
        fs::write(self.path(&format!("{name}.key")), key.serialize_pem()).expect("writable");
    }

    fn server(&self, mutual: bool) -> Settings {
        let tls = ServerTlsSettings {
            client_ca_file: mutual.then(|| self.path("ca.pem")),
            ..ServerTlsSettings::new(self.path("server.pem"), self.path("server.key"))
        };
        let transport = TransportSettings { tls: Some(tls), ..TransportSettings::default() };
        Settings { transport, ..Settings::default() }
    }

    fn client(&self) -> ClientTlsSettings {
        ClientTlsSettings { ca_file: Some(self.path("ca.pem")), ..ClientTlsSettings::default() }
    }
}

fn store() -> Arc<dyn Store> {
    Arc::new(Scripted { component: "sidecar", ..Scripted::default() })
}

/// Asks once over a new connection.
async fn ask(address: &str, tls: Option<ClientTlsSettings>) -> Result<&'static str> {
    let peer = peer(address, ClientSettings { tls, ..ClientSettings::default() }).await;
    peer.info(&Context::default()).await.map(|info| info.component)
}

#[tokio::test]
async fn a_server_is_trusted_by_its_authority_and_name() {
    let files = Files::new();
    files.write("server", "localhost");
    let (address, _stop, _) = serve_apis(store().into(), files.server(false)).await;
    let check = async |tls: Option<ClientTlsSettings>, want: Result<&str, &str>| match (
        ask(&address, tls).await,
        want,
    ) {
        (Ok(got), Ok(want)) => assert_eq!(got, want),
        (Err(e), Err(text)) => assert!(e.to_string().contains(text), "{e}"),
        (got, want) => panic!("{got:?} instead of {want:?}"),
    };
    let named = |name: &str| ClientTlsSettings { server_name: Some(name.to_owned()), ..files.client() };
    check(Some(named("localhost")), Ok("sidecar")).await;
    check(Some(ClientTlsSettings { min_version: TlsVersion::Tls12, ..named("localhost") }), Ok("sidecar"))
        .await;
    check(Some(named("elsewhere")), Err("certificate not valid for name")).await;
    // The address is no name of the certificate.
    check(Some(files.client()), Err("certificate not valid for name")).await;
    let any = ClientTlsSettings { insecure_skip_verify: true, ..ClientTlsSettings::default() };
    check(Some(any), Ok("sidecar")).await;
    let other = Files::new();
    let stranger = ClientTlsSettings { server_name: Some("localhost".to_owned()), ..other.client() };
    check(Some(stranger), Err("invalid peer certificate")).await;
    check(None, Err("Unavailable")).await;
}

#[tokio::test]
async fn a_client_must_have_a_certificate_where_one_is_asked_for() {
    let files = Files::new();
    files.write("server", "127.0.0.1");
    files.write("client", "querier");
    let (address, _stop, _) = serve_apis(store().into(), files.server(true)).await;
    assert!(ask(&address, Some(files.client())).await.is_err(), "no certificate");
    let own = ClientTlsSettings {
        cert_file: Some(files.path("client.pem")),
        key_file: Some(files.path("client.key")),
        ..files.client()
    };
    assert_eq!(ask(&address, Some(own)).await.expect("a certificate"), "sidecar");
}

#[tokio::test]
async fn files_that_change_are_read_again_and_bad_ones_are_not_used() {
    let files = Files::new();
    files.write("server", "first");
    let (address, _stop, _) = serve_apis(store().into(), files.server(false)).await;
    let named = |name: &str| Some(ClientTlsSettings { server_name: Some(name.to_owned()), ..files.client() });
    assert_eq!(ask(&address, named("first")).await.expect("the first certificate"), "sidecar");
    // Files of equal length must differ in their time.
    tokio::time::sleep(Duration::from_millis(20)).await;
    files.write("server", "second");
    assert!(ask(&address, named("first")).await.is_err());
    assert_eq!(ask(&address, named("second")).await.expect("the second certificate"), "sidecar");
    fs::write(files.path("server.pem"), "nonsense").expect("writable");
    assert_eq!(ask(&address, named("second")).await.expect("still the second"), "sidecar");
    // A client that lives on meets the new authority as well.
    let authority = Files::new();
    fs::copy(authority.path("ca.pem"), files.path("ca.pem")).expect("writable");
    assert!(ask(&address, named("second")).await.is_err());
}

#[tokio::test]
async fn settings_that_cannot_be_used_name_the_file() {
    let files = Files::new();
    let check = async |tls: ClientTlsSettings, want: &str| {
        let settings = ClientSettings { tls: Some(tls), ..ClientSettings::default() };
        let error = thanoslib_grpc::client::Connector::new(settings).expect_err(want);
        assert!(error.message().contains(want), "{error}");
    };
    let missing = PathBuf::from("/nonexistent/ca.pem");
    check(ClientTlsSettings { ca_file: Some(missing), ..Default::default() }, "ca_file /nonexistent/ca.pem")
        .await;
    let half = ClientTlsSettings { cert_file: Some(files.path("ca.pem")), ..files.client() };
    check(half, "cert_file and key_file are needed together").await;
    let name = ClientTlsSettings { server_name: Some("no name".to_owned()), ..files.client() };
    check(name, "server_name \"no name\"").await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let served = thanoslib_grpc::server::serve(store(), files.server(false), listener, async {}).await;
    assert!(served.expect_err("no certificate").message().contains("cert_file"));
}
