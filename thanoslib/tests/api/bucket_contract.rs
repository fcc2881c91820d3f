//! Every kind of bucket keeps the one contract.

use std::sync::Arc;

use thanoslib::{
    bucket::{Bucket, BucketMetrics, CountingMetrics, RetryPolicy},
    testing::bucket_contract,
};

#[tokio::test]
async fn memory_keeps_the_contract() {
    bucket_contract(&Bucket::memory("b")).await;
}

#[tokio::test]
async fn a_local_folder_keeps_the_contract() {
    let dir = tempfile::tempdir().expect("tempdir");
    std::fs::create_dir_all(dir.path().join("empty/inside")).expect("empty directories");
    bucket_contract(&Bucket::local(dir.path()).expect("opens")).await;
}

#[tokio::test]
async fn decorators_keep_the_contract() {
    let metrics: Arc<dyn BucketMetrics> = Arc::new(CountingMetrics::default());
    let bucket = Bucket::memory("b").with_retries(RetryPolicy::default()).with_metrics(metrics);
    bucket_contract(&bucket.with_prefix("a/b c").expect("prefix")).await;
}

/// A real server, started from the Python environment that `THANOSLIB_MOTO` names.
#[cfg(all(feature = "e2e", feature = "s3"))]
mod s3 {
    use std::{
        net::TcpListener,
        path::{Path, PathBuf},
        process::{Child, Command, Stdio},
    };

    use thanoslib::{
        Result,
        bucket::{Bucket, BucketConfig},
        testing::bucket_contract,
    };

    /// Makes a bucket as soon as the server listens.
    const MAKE: &str = "
import ssl, sys, time, urllib.request
for attempt in range(120):
    try:
        request = urllib.request.Request(sys.argv[1] + '/contract', method='PUT')
        urllib.request.urlopen(request, context=ssl._create_unverified_context())
        break
    except OSError as e:
        error = e
        time.sleep(0.25)
else:
    sys.exit(str(error))
";

    /// An authority, and certificates for the server (127.0.0.1 and store.example) that it signed.
    const CERTIFICATES: &str = r#"
import datetime, ipaddress, sys
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
start = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=1)
def name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
def make(file, subject, issuer, signer, extensions):
    key = ec.generate_private_key(ec.SECP256R1())
    b = x509.CertificateBuilder().subject_name(name(subject)).issuer_name(name(issuer))
    b = b.public_key(key.public_key()).serial_number(x509.random_serial_number())
    b = b.not_valid_before(start).not_valid_after(start + datetime.timedelta(days=30))
    for e, critical in extensions:
        b = b.add_extension(e, critical)
    cert = b.sign(signer or key, hashes.SHA256())
    with open(file + ".pem", "wb") as f:
        f.write(cert.public_bytes(serialization.Encoding.PEM))
    with open(file + ".key", "wb") as f:
        f.write(key.private_bytes(serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return key
ca = [(x509.BasicConstraints(ca=True, path_length=None), True)]
own = make("ca", "authority", "authority", None, ca)
make("other", "other authority", "other authority", None, ca)
names = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("store.example")]
make("server", "server", "authority", own, [(x509.SubjectAlternativeName(names), False)])
"#;
    /// A server with a bucket; ends with the test, also with a failing one.
    struct Server {
        process: Child,
        port: u16,
    }

    impl Drop for Server {
        fn drop(&mut self) {
            // It may have ended by itself.
            let _ = self.process.kill();
            let _ = self.process.wait();
        }
    }

    fn program(name: &str) -> Command {
        let venv = std::env::var_os("THANOSLIB_MOTO").expect("THANOSLIB_MOTO names an environment with moto");
        Command::new(PathBuf::from(venv).join("bin").join(name))
    }

    fn python(script: &str, arg: &str, dir: &Path) {
        let out = program("python").args(["-c", script, arg]).current_dir(dir).output().expect("python");
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    }

    impl Server {
        fn start(scheme: &str, args: &[&str], dir: &Path) -> Self {
            let port =
                TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("free port").port();
            let process = program("moto_server")
                .args(["-H", "127.0.0.1", "-p", &port.to_string()])
                .args(args)
                .current_dir(dir)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn();
            let server = Self { process: process.expect("moto starts"), port };
            python(MAKE, &format!("{scheme}://127.0.0.1:{port}"), dir);
            server
        }

        fn bucket(&self, more: &str) -> Result<Bucket> {
            let yaml = format!(
                "type: S3\nprefix: some/prefix\nconfig:\n  bucket: contract\n  \
                 endpoint: 127.0.0.1:{}\n  access_key: key\n  secret_key: secret\n  \
                 max_retries: 1\n  {more}\n",
                self.port
            );
            BucketConfig::parse(&yaml).and_then(|c| c.open())
        }
    }

    #[tokio::test]
    async fn an_s3_server_keeps_the_contract() {
        let dir = tempfile::tempdir().expect("tempdir");
        let server = Server::start("http", &[], dir.path());
        bucket_contract(&server.bucket("insecure: true").expect("opens")).await;
    }

    #[tokio::test]
    async fn an_s3_server_is_asked_over_tls_if_it_is_who_it_should_be() {
        let dir = tempfile::tempdir().expect("tempdir");
        python(CERTIFICATES, "", dir.path());
        let server = Server::start("https", &["-s", "-c", "server.pem", "-k", "server.key"], dir.path());
        let config = |tls: &str| {
            let tls = tls.replace("DIR", &dir.path().display().to_string());
            server.bucket(&format!("http_config: {{{tls}}}")).expect("opens")
        };
        bucket_contract(&config("tls_config: {ca_file: DIR/ca.pem}")).await;
        for trusted in [
            "tls_config: {ca_file: DIR/ca.pem, server_name: store.example}",
            "tls_config: {ca_file: DIR/other.pem}, insecure_skip_verify: true",
        ] {
            assert!(!config(trusted).exists("absent").await.expect(trusted));
        }
        for refused in [
            "tls_config: {}",
            "tls_config: {ca_file: DIR/other.pem}",
            "tls_config: {ca_file: DIR/ca.pem, server_name: wrong.example}",
        ] {
            let error = config(refused).exists("absent").await.expect_err(refused);
            let text = error.to_string();
            assert!(text.contains("invalid peer certificate"), "{refused}: {text}");
        }
    }
}
