//! TLS of the HTTP port.

use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use thanoslib::http::ClientCertificate;
use tokio_rustls::rustls::{
    self, DigitallySignedStruct, DistinguishedName, NamedGroup, RootCertStore, ServerConfig, SignatureScheme,
    SupportedCipherSuite, SupportedProtocolVersion,
    client::danger::HandshakeSignatureValid,
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject},
    server::{
        WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    version::{TLS12, TLS13},
};

use super::config::{ClientAuth, Pem, TlsConfig};

/// The curves with their names in Go.
const CURVES: [(&str, NamedGroup); 3] = [
    ("CurveP256", NamedGroup::secp256r1),
    ("CurveP384", NamedGroup::secp384r1),
    ("X25519", NamedGroup::X25519),
];

/// Reads the files of a configuration.
///
/// # Errors
/// Which key is wrong.
pub(super) fn server_config(config: &TlsConfig, http2: bool) -> Result<ServerConfig> {
    let provider = Arc::new(provider(config)?);
    let versions: Vec<&'static SupportedProtocolVersion> =
        [(config.tls12, &TLS12), (config.tls13, &TLS13)].into_iter().filter(|v| v.0).map(|v| v.1).collect();
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions)
        .context("tls_server_config: no cipher suite is left for a version")?;
    let chain = certificates("cert_file", &config.cert)?;
    let key = key(&config.key)?;
    let mut made = builder
        .with_client_cert_verifier(verifier(config, provider)?)
        .with_single_cert(chain, key)
        .context("tls_server_config: cert_file and key_file do not fit")?;
    made.alpn_protocols = match http2 {
        true => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        false => vec![b"http/1.1".to_vec()],
    };
    Ok(made)
}

/// The cipher suites and curves that are named, or all.
fn provider(config: &TlsConfig) -> Result<CryptoProvider> {
    let mut provider = ring::default_provider();
    // Go and the standard name those of TLS 1.3 without the version.
    let name = |suite: &SupportedCipherSuite| format!("{:?}", suite.suite()).replace("TLS13_", "TLS_");
    for wanted in &config.cipher_suites {
        if !provider.cipher_suites.iter().any(|s| name(s) == *wanted) {
            bail!("tls_server_config.cipher_suites: {wanted:?} is not there or not safe");
        }
    }
    if !config.cipher_suites.is_empty() {
        // Compat: those of TLS 1.3 cannot be chosen.
        provider.cipher_suites.retain(|s| s.tls13().is_some() || config.cipher_suites.contains(&name(s)));
    }
    let mut groups = Vec::new();
    for wanted in &config.curves {
        match CURVES.iter().find(|(name, _)| name == wanted) {
            Some((_, group)) => groups.push(*group),
            None => bail!("tls_server_config.curve_preferences: {wanted:?} is not there"),
        }
    }
    if !groups.is_empty() {
        provider.kx_groups.retain(|g| groups.contains(&g.name()));
    }
    Ok(provider)
}

fn verifier(config: &TlsConfig, provider: Arc<CryptoProvider>) -> Result<Arc<dyn ClientCertVerifier>> {
    let webpki = |config: &TlsConfig| {
        let mut roots = RootCertStore::empty();
        if let Some(pem) = &config.client_ca {
            for authority in certificates("client_ca_file", pem)? {
                roots.add(authority).context("tls_server_config.client_ca_file")?;
            }
        }
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        let builder = match config.client_auth {
            ClientAuth::VerifyIfGiven => builder.allow_unauthenticated(),
            _ => builder,
        };
        builder.build().context("tls_server_config.client_ca_file")
    };
    let inner: Arc<dyn ClientCertVerifier> = match config.client_auth {
        ClientAuth::None => return Ok(WebPkiClientVerifier::no_client_auth()),
        ClientAuth::Request => Arc::new(Unverified { mandatory: false, provider }),
        ClientAuth::RequireAny => Arc::new(Unverified { mandatory: true, provider }),
        ClientAuth::VerifyIfGiven | ClientAuth::RequireAndVerify => webpki(config)?,
    };
    Ok(match config.client_allowed_sans.is_empty() {
        true => inner,
        false => Arc::new(Named { inner, allowed: config.client_allowed_sans.clone() }),
    })
}

fn pem_bytes(name: &str, pem: &Pem) -> Result<Vec<u8>> {
    match pem {
        Pem::Text(text) => Ok(text.as_bytes().to_vec()),
        Pem::File(path) => {
            std::fs::read(path).with_context(|| format!("tls_server_config.{name}: {}", path.display()))
        }
    }
}

fn certificates(name: &str, pem: &Pem) -> Result<Vec<CertificateDer<'static>>> {
    let bytes = pem_bytes(name, pem)?;
    let all: Vec<_> = CertificateDer::pem_slice_iter(&bytes)
        .collect::<Result<_, _>>()
        .with_context(|| format!("tls_server_config.{name}: not in PEM"))?;
    match all.is_empty() {
        true => bail!("tls_server_config.{name}: no certificate in it"),
        false => Ok(all),
    }
}

fn key(pem: &Pem) -> Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_slice(&pem_bytes("key_file", pem)?)
        .context("tls_server_config.key_file: no key in PEM")
}

/// Asks for a certificate and takes any.
#[derive(Debug)]
struct Unverified {
    mandatory: bool,
    provider: Arc<CryptoProvider>,
}

impl ClientCertVerifier for Unverified {
    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Takes only certificates that bear one of some names.
#[derive(Debug)]
struct Named {
    inner: Arc<dyn ClientCertVerifier>,
    allowed: Vec<String>,
}

impl ClientCertVerifier for Named {
    fn offer_client_auth(&self) -> bool {
        self.inner.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.inner.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let verified = self.inner.verify_client_cert(certificate, chain, now)?;
        let names = ClientCertificate::parse(certificate).map(|c| c.names).unwrap_or_default();
        match names.iter().any(|name| self.allowed.contains(name)) {
            true => Ok(verified),
            false => Err(rustls::Error::InvalidCertificate(rustls::CertificateError::NotValidForName)),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
