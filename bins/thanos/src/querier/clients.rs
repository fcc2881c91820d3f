//! How other endpoints are reached, and how we are reached by gRPC, from flags.

use std::path::PathBuf;

use anyhow::Result;
use thanoslib::{discovery, tls::ClientTlsSettings};
use thanoslib_bins_common::server_flags::{GrpcServerFlags, tls_version};
use thanoslib_grpc::{
    client::{ClientSettings, Compression},
    server::TransportSettings,
};

use super::flags::ClientFlags;

/// The settings of endpoints that no configuration says more of.
pub(crate) fn settings(flags: &ClientFlags) -> discovery::ClientSettings {
    let tls = flags.client_tls_secure.then(|| discovery::ClientTls {
        insecure_skip_verify: flags.client_tls_skip_verify,
        cert_file: file(&flags.client_tls_cert),
        key_file: file(&flags.client_tls_key),
        ca_file: file(&flags.client_tls_ca),
        min_version: flags.client_tls_min_version.clone(),
    });
    let compression = match flags.client_compression.as_str() {
        "snappy" => discovery::Compression::Snappy,
        _ => discovery::Compression::None,
    };
    discovery::ClientSettings { tls, server_name: flags.client_server_name.clone(), compression }
}

/// Settings as connections take them.
pub(crate) fn to_grpc(settings: &discovery::ClientSettings) -> thanoslib::Result<ClientSettings> {
    let server_name = text(&settings.server_name);
    let tls = settings.tls.as_ref().map(|tls| ClientTlsSettings {
        ca_file: tls.ca_file.clone(),
        cert_file: tls.cert_file.clone(),
        key_file: tls.key_file.clone(),
        server_name,
        insecure_skip_verify: tls.insecure_skip_verify,
        min_version: tls_version("min_version", &tls.min_version),
    });
    let compression = match settings.compression {
        discovery::Compression::Snappy => Compression::Snappy,
        discovery::Compression::None => Compression::None,
    };
    Ok(ClientSettings { tls, compression })
}

/// How gRPC is served.
pub(crate) fn transport(flags: &GrpcServerFlags) -> Result<TransportSettings> {
    Ok(TransportSettings {
        connection_age_max: flags.max_connection_age.0,
        grace: flags.grpc_grace_period.0,
        tls: flags.tls()?,
        ..TransportSettings::default()
    })
}

fn text(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn file(path: &str) -> Option<PathBuf> {
    text(path).map(PathBuf::from)
}
