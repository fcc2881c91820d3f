//! TLS of the HTTP port.

use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use thanoslib::{http::ClientCertificate, tls::provider_of};
use tokio_rustls::rustls::{
    self, DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, SignatureScheme,
    SupportedProtocolVersion,
    client::danger::HandshakeSignatureValid,
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject},
    server::{
        WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    version::{TLS12, TLS13},
};

use super::config::{ClientAuth, Pem, TlsConfig};

/// Reads the files of a configuration.
///
/// # Errors
/// Which key is wrong.
pub(super) fn server_config(config: &TlsConfig, http2: bool) -> Result<ServerConfig> {
    let keys = ["tls_server_config.cipher_suites:", "tls_server_config.curve_preferences:"];
    let provider = provider_of(&config.cipher_suites, &config.curves, keys)?;
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
    let (authorities, mandatory) = match config.client_auth {
        ClientAuth::None => return Ok(WebPkiClientVerifier::no_client_auth()),
        ClientAuth::Request => (None, false),
        ClientAuth::RequireAny => (None, true),
        ClientAuth::VerifyIfGiven => (Some(webpki(config)?), false),
        ClientAuth::RequireAndVerify => (Some(webpki(config)?), true),
    };
    let allowed = config.client_allowed_sans.clone();
    Ok(Arc::new(Judge { authorities, mandatory, allowed, provider }))
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

/// Asks for a certificate and judges it; signatures of the handshake are checked in any case.
#[derive(Debug)]
struct Judge {
    /// Who must have signed it; `None` takes any.
    authorities: Option<Arc<dyn ClientCertVerifier>>,
    mandatory: bool,
    /// The names of which it must bear one, unless there are none.
    allowed: Vec<String>,
    provider: Arc<CryptoProvider>,
}

impl ClientCertVerifier for Judge {
    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.authorities.as_ref().map_or(&[], |a| a.root_hint_subjects())
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        if let Some(authorities) = &self.authorities {
            authorities.verify_client_cert(certificate, chain, now)?;
        }
        let names = || ClientCertificate::parse(certificate).map(|c| c.names).unwrap_or_default();
        match self.allowed.is_empty() || names().iter().any(|name| self.allowed.contains(name)) {
            true => Ok(ClientCertVerified::assertion()),
            false => Err(rustls::Error::InvalidCertificate(rustls::CertificateError::NotValidForName)),
        }
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
