//! Real clients at the HTTP port.

use std::{fs, path::Path, sync::Arc, time::Duration};

use axum::{Router, extract::Request, routing::get};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
};
use thanoslib::http::ClientCertificate;
use tokio::{net::TcpListener, sync::watch};

use super::WebServer;

/// An authority with the files of a server and of two clients in a folder.
struct Files {
    dir: tempfile::TempDir,
    authority: CertifiedIssuer<'static, KeyPair>,
}

impl Files {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let authority = CertifiedIssuer::self_signed(params, key).expect("an authority");
        let files = Self { dir: tempfile::tempdir().expect("a folder"), authority };
        files.write("ca.pem", &files.authority.pem());
        files.server();
        files.client("client", "team-a", "client.example");
        files
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path().join(name), text).expect("written");
    }

    /// A new certificate of the server.
    fn server(&self) {
        let params = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]);
        let key = KeyPair::generate().expect("a key");
        let signed = params.expect("names").signed_by(&key, &self.authority).expect("signed");
        self.write("server.pem", &signed.pem());
        self.write("server.key", &key.serialize_pem());
    }

    fn client(&self, name: &str, organization: &str, san: &str) {
        let mut params = CertificateParams::new(vec![san.to_owned()]).expect("names");
        params.distinguished_name.push(DnType::OrganizationName, organization);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().expect("a key");
        let signed = params.signed_by(&key, &self.authority).expect("signed");
        self.write(&format!("{name}.pem"), &format!("{}{}", signed.pem(), key.serialize_pem()));
    }

    /// A server with this configuration, at this address until the sender is dropped.
    async fn serve(&self, yaml: &str) -> (String, watch::Sender<bool>) {
        self.write("web.yml", yaml);
        let server = WebServer::open(self.path().join("web.yml").to_str().expect("UTF-8")).expect("sound");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound").to_string();
        let who = |request: Request| async move {
            let certificate = request.extensions().get::<Arc<ClientCertificate>>();
            certificate.and_then(|c| c.organization.first().cloned()).unwrap_or_default()
        };
        let router = Router::new().route("/", get(who));
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(server.serve(listener, router, stopped, Duration::from_secs(1)));
        (address, stop)
    }

    /// A client that trusts the authority, with a certificate of its own if it is named.
    fn ask(&self, own: Option<&str>, more: fn(Tls) -> Tls) -> reqwest::Client {
        use tokio_rustls::rustls::{
            ClientConfig, RootCertStore,
            crypto::ring,
            pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
        };
        let tls = more(Tls::default());
        let mut roots = RootCertStore::empty();
        let authority = CertificateDer::from_pem_file(self.path().join("ca.pem")).expect("PEM");
        roots.add(authority).expect("an authority");
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(tls.versions)
            .expect("versions")
            .with_root_certificates(roots);
        let config = match own {
            None => builder.with_no_client_auth(),
            Some(name) => {
                let path = self.path().join(format!("{name}.pem"));
                let certificate = CertificateDer::from_pem_file(&path).expect("PEM");
                let key = PrivateKeyDer::from_pem_file(&path).expect("PEM");
                builder.with_client_auth_cert(vec![certificate], key).expect("fits")
            }
        };
        let mut config = config;
        if tls.http2 {
            config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        }
        reqwest::Client::builder().no_proxy().tls_backend_preconfigured(config).build().expect("a client")
    }
}

struct Tls {
    versions: &'static [&'static tokio_rustls::rustls::SupportedProtocolVersion],
    http2: bool,
}

impl Default for Tls {
    fn default() -> Self {
        Self { versions: tokio_rustls::rustls::ALL_VERSIONS, http2: true }
    }
}

const TLS: &str = "cert_file: server.pem, key_file: server.key";

async fn status(client: &reqwest::Client, url: &str) -> Option<u16> {
    Some(client.get(url).send().await.ok()?.status().as_u16())
}

#[tokio::test]
async fn clients_are_asked_for_certificates_as_configured() {
    let files = Files::new();
    files.client("other", "team-b", "other.example");
    let (nobody, known, other) =
        (files.ask(None, |t| t), files.ask(Some("client"), |t| t), files.ask(Some("other"), |t| t));
    let check = async |more: &str, want: [Option<u16>; 3]| {
        let (address, _stop) = files.serve(&format!("tls_server_config: {{{TLS}, {more}}}")).await;
        let url = format!("https://{address}/");
        let got = [status(&nobody, &url).await, status(&known, &url).await, status(&other, &url).await];
        assert_eq!(got, want, "{more}");
    };
    const OK: Option<u16> = Some(200);
    check("", [OK, OK, OK]).await;
    check("client_auth_type: RequestClientCert", [OK, OK, OK]).await;
    check("client_auth_type: RequireAnyClientCert", [None, OK, OK]).await;
    check("client_auth_type: VerifyClientCertIfGiven, client_ca_file: ca.pem", [OK, OK, OK]).await;
    check("client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca.pem", [None, OK, OK]).await;
    // An authority that has signed none of them.
    let stranger = Files::new();
    files.write("stranger.pem", &stranger.authority.pem());
    check("client_auth_type: VerifyClientCertIfGiven, client_ca_file: stranger.pem", [OK, None, None]).await;
    check(
        "client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca.pem, \
         client_allowed_sans: [client.example]",
        [None, OK, None],
    )
    .await;
}

#[tokio::test]
async fn versions_protocols_and_names_are_those_configured() {
    use tokio_rustls::rustls::{
        SupportedProtocolVersion,
        version::{TLS12, TLS13},
    };
    static OLD: [&SupportedProtocolVersion; 1] = [&TLS12];
    static NEW: [&SupportedProtocolVersion; 1] = [&TLS13];
    let files = Files::new();
    let old = files.ask(None, |t| Tls { versions: &OLD, ..t });
    let new = files.ask(None, |t| Tls { versions: &NEW, ..t });
    let check = async |more: &str, want: [bool; 2]| {
        let (address, _stop) = files.serve(&format!("tls_server_config: {{{TLS}, {more}}}")).await;
        let url = format!("https://{address}/");
        let got = [status(&old, &url).await.is_some(), status(&new, &url).await.is_some()];
        assert_eq!(got, want, "{more}");
    };
    check("", [true, true]).await;
    check("min_version: TLS13", [false, true]).await;
    check("max_version: TLS12", [true, false]).await;
    check("cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]", [true, true]).await;
    check("cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]", [false, true]).await;
    check("curve_preferences: [CurveP384]", [true, true]).await;

    let client = files.ask(Some("client"), |t| t);
    for (http2, want) in [("true", reqwest::Version::HTTP_2), ("false", reqwest::Version::HTTP_11)] {
        let auth = "client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca.pem";
        let yaml = format!("tls_server_config: {{{TLS}, {auth}}}\nhttp_server_config: {{http2: {http2}}}");
        let (address, _stop) = files.serve(&yaml).await;
        let answer = client.get(format!("https://{address}/")).send().await.expect("an answer");
        assert_eq!(answer.version(), want);
        assert_eq!(answer.text().await.expect("text"), "team-a");
    }
}

#[tokio::test]
async fn passwords_headers_and_limits_surround_every_path() {
    let files = Files::new();
    let hash = bcrypt::hash("secret", 4).expect("a hash");
    let yaml = |user: &str| {
        format!(
            "basic_auth_users: {{{user}: '{hash}'}}\nhttp_server_config: {{headers: {{X-Frame-Options: deny}}}}"
        )
    };
    let (address, _stop) = files.serve(&yaml("alice")).await;
    let client = files.ask(None, |t| t);
    let ask = async |path: &str, user: Option<(&str, &str)>| {
        let request = client.get(format!("http://{address}{path}"));
        let request = match user {
            Some((user, password)) => request.basic_auth(user, Some(password)),
            None => request,
        };
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.headers()["x-frame-options"], "deny");
        let challenge = answer.headers().get("www-authenticate").is_some();
        assert_eq!(challenge, answer.status() == 401);
        answer.status().as_u16()
    };
    assert_eq!(ask("/", None).await, 401);
    assert_eq!(ask("/no/such/path", None).await, 401);
    assert_eq!(ask("/", Some(("alice", "guess"))).await, 401);
    assert_eq!(ask("/", Some(("bob", "secret"))).await, 401);
    for _ in 0..2 {
        assert_eq!(ask("/", Some(("alice", "secret"))).await, 200);
        assert_eq!(ask("/no/such/path", Some(("alice", "secret"))).await, 404);
    }
    // A change is taken, one that is wrong is not.
    files.write("web.yml", &yaml("robert"));
    assert_eq!(ask("/", Some(("alice", "secret"))).await, 401);
    files.write("web.yml", "basic_auth_users: {everybody: nothing}");
    assert_eq!(ask("/", Some(("robert", "secret"))).await, 200);
    files.write("web.yml", &format!("{}\nrate_limit: {{interval: 1h, burst: 2}}", yaml("carla-maria")));
    let carla = Some(("carla-maria", "secret"));
    assert_eq!([ask("/", carla).await, ask("/", carla).await, ask("/", carla).await], [200, 200, 429]);
}

#[tokio::test]
async fn certificates_are_read_again_when_they_change() {
    let files = Files::new();
    let (address, _stop) = files.serve(&format!("tls_server_config: {{{TLS}}}")).await;
    let url = format!("https://{address}/");
    let old = files.ask(None, |t| t);
    assert_eq!(status(&old, &url).await, Some(200));
    // Another authority altogether, whose server the old client does not know.
    let next = Files::new();
    for name in ["server.pem", "server.key"] {
        fs::copy(next.path().join(name), files.path().join(name)).expect("copied");
    }
    let new = next.ask(None, |t| t);
    assert_eq!(status(&new, &url).await, Some(200));
    assert_eq!(status(&files.ask(None, |t| t), &url).await, None);
    files.write("server.pem", "nothing");
    assert_eq!(status(&next.ask(None, |t| t), &url).await, Some(200), "what is broken is not taken");
}

#[test]
fn what_cannot_be_opened_is_told_with_its_key() {
    let files = Files::new();
    let check = |yaml: &str, want: &str| {
        files.write("web.yml", yaml);
        let opened = WebServer::open(files.path().join("web.yml").to_str().expect("UTF-8"));
        let e = opened.map(|_| ()).expect_err("refused");
        assert!(format!("{e:#}").contains(want), "{e:#}");
    };
    check("tls_server_config: {cert_file: none.pem, key_file: server.key}", "tls_server_config.cert_file");
    check("tls_server_config: {cert_file: server.pem, key_file: ca.pem}", "tls_server_config.key_file");
    check("tls_server_config: {cert_file: ca.pem, key_file: server.key}", "do not fit");
    check(&format!("tls_server_config: {{{TLS}, cipher_suites: [RC4]}}"), "cipher_suites: \"RC4\"");
    check(&format!("tls_server_config: {{{TLS}, curve_preferences: [P1]}}"), "curve_preferences: \"P1\"");
    assert!(WebServer::open("/no/such/file").is_err());
    assert!(WebServer::open("").is_ok());
}
