//! `type: S3`: every key of Thanos, honoured or refused by its name.
//!
//! | key | here |
//! |---|---|
//! | `signature_version2: true`, `list_objects_version: v1`, `kms_encryption_context` | refused |
//! | `disable_dualstack`, `trace.enable` | a warning; no effect |
//! | `send_content_md5` | no effect: the signature covers the SHA-256 of each upload, which the server checks |
//! | `region` empty | from the endpoint's name, else `us-east-1`; the server is not asked |
//! | `max_retries` 0 | 10 |
//!
//! Invariant: turns keys into a builder; the builder is the only thing that knows S3.

use std::{collections::BTreeMap, fmt, path::PathBuf, sync::Arc};

use object_store::{
    Attribute, RetryConfig,
    aws::{AmazonS3Builder, AmazonS3ConfigKey},
};
use serde::Deserialize;

use super::value::{duration, or_default};
use crate::{
    bucket::{
        Bucket, Provider, PutSettings,
        s3::{Connector, HttpSettings, credentials, endpoint},
    },
    error::{Error, Result},
    tls::{ClientTlsSettings, TlsVersion},
};

/// Default of `part_size`.
const PART_BYTES: u64 = 64 << 20;
/// Default of `max_retries`.
const MAX_RETRIES: usize = 10;

/// A text that does not show when printed.
#[derive(Clone, Default, Deserialize)]
#[serde(transparent)]
struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "\"\"" } else { "<secret>" })
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct S3Config {
    #[serde(deserialize_with = "or_default")]
    bucket: String,
    #[serde(deserialize_with = "or_default")]
    endpoint: String,
    #[serde(deserialize_with = "or_default")]
    region: String,
    #[serde(deserialize_with = "or_default")]
    disable_dualstack: bool,
    #[serde(deserialize_with = "or_default")]
    aws_sdk_auth: bool,
    #[serde(deserialize_with = "or_default")]
    access_key: String,
    #[serde(deserialize_with = "or_default")]
    secret_key: Secret,
    #[serde(deserialize_with = "or_default")]
    session_token: Secret,
    #[serde(deserialize_with = "or_default")]
    insecure: bool,
    #[serde(deserialize_with = "or_default")]
    signature_version2: bool,
    #[serde(deserialize_with = "or_default")]
    put_user_metadata: BTreeMap<String, String>,
    #[serde(deserialize_with = "or_default")]
    http_config: HttpConfig,
    #[serde(deserialize_with = "or_default")]
    trace: TraceConfig,
    #[serde(deserialize_with = "or_default")]
    list_objects_version: String,
    #[serde(deserialize_with = "or_default")]
    bucket_lookup_type: LookupConfig,
    #[serde(rename = "send_content_md5")]
    _send_content_md5: Option<bool>,
    #[serde(deserialize_with = "or_default")]
    disable_multipart: bool,
    part_size: Option<u64>,
    #[serde(deserialize_with = "or_default")]
    sse_config: SseConfig,
    #[serde(deserialize_with = "or_default")]
    sts_endpoint: String,
    #[serde(deserialize_with = "or_default")]
    max_retries: i64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct TraceConfig {
    #[serde(deserialize_with = "or_default")]
    enable: bool,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
enum LookupConfig {
    #[default]
    #[serde(rename = "auto", alias = "")]
    Auto,
    #[serde(rename = "virtual-hosted")]
    VirtualHosted,
    #[serde(rename = "path")]
    Path,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct SseConfig {
    #[serde(rename = "type", deserialize_with = "or_default")]
    kind: String,
    #[serde(deserialize_with = "or_default")]
    kms_key_id: String,
    #[serde(deserialize_with = "or_default")]
    kms_encryption_context: BTreeMap<String, String>,
    #[serde(deserialize_with = "or_default")]
    encryption_key: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct HttpConfig {
    #[serde(deserialize_with = "duration")]
    idle_conn_timeout: Option<std::time::Duration>,
    #[serde(deserialize_with = "duration")]
    response_header_timeout: Option<std::time::Duration>,
    insecure_skip_verify: Option<bool>,
    #[serde(deserialize_with = "duration")]
    tls_handshake_timeout: Option<std::time::Duration>,
    // No request asks a server whether it may send its body.
    #[serde(rename = "expect_continue_timeout", deserialize_with = "duration")]
    _expect_continue_timeout: Option<std::time::Duration>,
    max_idle_conns: Option<usize>,
    max_idle_conns_per_host: Option<usize>,
    max_conns_per_host: Option<usize>,
    #[serde(deserialize_with = "or_default")]
    tls_config: TlsConfig,
    // No request asks for a compressed body.
    #[serde(rename = "disable_compression")]
    _disable_compression: Option<bool>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct TlsConfig {
    #[serde(deserialize_with = "or_default")]
    ca_file: String,
    #[serde(deserialize_with = "or_default")]
    cert_file: String,
    #[serde(deserialize_with = "or_default")]
    key_file: String,
    #[serde(deserialize_with = "or_default")]
    server_name: String,
    #[serde(deserialize_with = "or_default")]
    insecure_skip_verify: bool,
}

impl super::Open for S3Config {
    fn open(&self) -> Result<Bucket> {
        self.warn();
        let region = endpoint::region(&self.region, &self.endpoint);
        let address = endpoint::resolve(&endpoint::Wanted {
            endpoint: &self.endpoint,
            bucket: &self.bucket,
            region: &region,
            insecure: self.insecure,
            lookup: match self.bucket_lookup_type {
                LookupConfig::Auto => endpoint::Lookup::Auto,
                LookupConfig::VirtualHosted => endpoint::Lookup::VirtualHosted,
                LookupConfig::Path => endpoint::Lookup::Path,
            },
        });
        let retries = match usize::try_from(self.max_retries) {
            Ok(0) | Err(_) => MAX_RETRIES,
            Ok(n) => n,
        };
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&self.bucket)
            .with_region(region)
            .with_endpoint(address.url)
            .with_virtual_hosted_style_request(address.virtual_hosted)
            .with_allow_http(self.insecure)
            .with_retry(RetryConfig { max_retries: retries, ..RetryConfig::default() })
            .with_http_connector(Connector::new(&self.http_settings())?);
        if self.access_key.is_empty() {
            builder = credentials::from_environment(builder)?;
        } else {
            builder = builder.with_access_key_id(&self.access_key).with_secret_access_key(&self.secret_key.0);
            if !self.session_token.0.is_empty() {
                builder = builder.with_token(&self.session_token.0);
            }
        }
        if !self.sts_endpoint.is_empty() {
            builder = builder
                .with_config(AmazonS3ConfigKey::StsEndpoint, &self.sts_endpoint)
                .with_metadata_endpoint(&self.sts_endpoint);
        }
        let store = self
            .encrypted(builder)?
            .build()
            .map_err(|e| Error::invalid(format!("s3 configuration: {e}")).with_source(e))?;
        Ok(Bucket::new(Arc::new(store), &self.bucket, Provider::S3).with_put_settings(self.put_settings()))
    }
}

impl S3Config {
    pub(super) fn checked(self) -> Result<Self> {
        let invalid = |what: &str| Err(Error::invalid(format!("s3 configuration: {what}")));
        let refused = |what: &str| Err(Error::unsupported(format!("s3 configuration: {what}")));
        if self.endpoint.is_empty() {
            return invalid("no s3 endpoint in config file");
        }
        if self.endpoint.contains('/') {
            return invalid("endpoint must be host or host:port, without scheme and path");
        }
        if self.bucket.is_empty() {
            return invalid("no s3 bucket in config file");
        }
        if self.aws_sdk_auth && !self.access_key.is_empty() {
            return invalid("aws_sdk_auth and access_key are mutually exclusive configurations");
        }
        match (self.access_key.is_empty(), self.secret_key.0.is_empty()) {
            (true, false) => return invalid("no s3 access_key specified while secret_key is present"),
            (false, true) => return invalid("no s3 secret_key specified while access_key is present"),
            _ => {}
        }
        if self.signature_version2 {
            return refused("signature_version2 is not supported; requests are signed by version 4");
        }
        match self.list_objects_version.as_str() {
            "" | "v2" => {}
            "v1" => return refused("list_objects_version v1 is not supported; use v2"),
            _ => return invalid("list_objects_version must be v1 or v2"),
        }
        if !self.sse_config.kms_encryption_context.is_empty() {
            return refused("sse_config.kms_encryption_context is not supported");
        }
        match self.sse_config.kind.as_str() {
            "" | "SSE-S3" => {}
            "SSE-KMS" if self.sse_config.kms_key_id.is_empty() => {
                return invalid("SSE-KMS needs sse_config.kms_key_id");
            }
            "SSE-C" if self.sse_config.encryption_key.is_empty() => {
                return invalid("SSE-C needs sse_config.encryption_key");
            }
            "SSE-KMS" | "SSE-C" => {}
            other => return invalid(&format!("unsupported sse_config.type {other:?}")),
        }
        let tls = &self.http_config.tls_config;
        if tls.cert_file.is_empty() != tls.key_file.is_empty() {
            return invalid("http_config.tls_config needs cert_file and key_file together");
        }
        if self.max_retries < 0 {
            return invalid("max_retries must not be negative");
        }
        Ok(self)
    }

    fn warn(&self) {
        if self.disable_dualstack {
            tracing::warn!(
                "s3 configuration: disable_dualstack has no effect; the endpoint is used as given"
            );
        }
        if self.trace.enable {
            tracing::warn!("s3 configuration: trace.enable has no effect; set the log level to debug");
        }
        let http = &self.http_config;
        if http.tls_config.insecure_skip_verify && http.insecure_skip_verify != Some(true) {
            tracing::warn!(
                "s3 configuration: http_config.tls_config.insecure_skip_verify has no effect; \
                 http_config.insecure_skip_verify decides"
            );
        }
    }

    fn http_settings(&self) -> HttpSettings {
        let (http, default) = (&self.http_config, HttpSettings::default());
        let file = |name: &str| (!name.is_empty()).then(|| PathBuf::from(name));
        let tls = &http.tls_config;
        HttpSettings {
            idle_timeout: http.idle_conn_timeout.unwrap_or(default.idle_timeout),
            response_timeout: http.response_header_timeout.unwrap_or(default.response_timeout),
            tls_handshake_timeout: http.tls_handshake_timeout.unwrap_or(default.tls_handshake_timeout),
            idle_conns_max: http.max_idle_conns.unwrap_or(default.idle_conns_max),
            idle_conns_per_host_max: http.max_idle_conns_per_host.unwrap_or(default.idle_conns_per_host_max),
            conns_per_host_max: http.max_conns_per_host.unwrap_or(default.conns_per_host_max),
            tls: ClientTlsSettings {
                ca_file: file(&tls.ca_file),
                cert_file: file(&tls.cert_file),
                key_file: file(&tls.key_file),
                server_name: (!tls.server_name.is_empty()).then(|| tls.server_name.clone()),
                insecure_skip_verify: http.insecure_skip_verify.unwrap_or(false),
                min_version: TlsVersion::Tls12,
            },
        }
    }

    fn encrypted(&self, builder: AmazonS3Builder) -> Result<AmazonS3Builder> {
        let sse = &self.sse_config;
        Ok(match sse.kind.as_str() {
            "SSE-S3" => {
                let key = "aws_server_side_encryption"
                    .parse::<AmazonS3ConfigKey>()
                    .map_err(|e| Error::internal("s3: encryption key").with_source(e))?;
                builder.with_config(key, "AES256")
            }
            "SSE-KMS" => builder.with_sse_kms_encryption(&sse.kms_key_id),
            "SSE-C" => builder.with_ssec_encryption(credentials::customer_key(sse.encryption_key.as_ref())?),
            _ => builder,
        })
    }

    fn put_settings(&self) -> PutSettings {
        let mut put = PutSettings {
            part_bytes: self.part_size.filter(|n| *n > 0).unwrap_or(PART_BYTES),
            multipart: !self.disable_multipart,
            ..PutSettings::default()
        };
        for (key, value) in &self.put_user_metadata {
            if key.eq_ignore_ascii_case("X-Amz-Storage-Class") {
                put.attributes.insert(Attribute::StorageClass, value.clone().into());
            } else {
                put = put.with_metadata(key, value);
            }
        }
        put
    }
}
