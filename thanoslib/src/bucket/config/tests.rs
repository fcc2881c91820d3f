use super::*;
use crate::error::ErrorKind;

fn refused(yaml: &str, kind: ErrorKind, words: &str) {
    let e = BucketConfig::parse(yaml).expect_err(yaml);
    assert_eq!(e.kind(), kind, "{yaml}: {e}");
    assert!(e.message().contains(words), "{yaml}: {e}");
}

#[test]
fn unknown_types_and_types_of_other_builds_are_told_apart() {
    refused("type: FTP", ErrorKind::Invalid, "bucket with type FTP is not supported");
    refused("{}", ErrorKind::Invalid, "bucket with type  is not supported");
    refused("type: OSS", ErrorKind::Invalid, "bucket with type OSS is not supported");
    for known in ["GCS", "azure", "Swift", "COS", "ALIYUNOSS", "BOS", "OCI", "OBS"] {
        let yaml = format!("type: {known}\nconfig: {{anything: [1, 2]}}");
        refused(&yaml, ErrorKind::Unsupported, "is supported by Thanos, not by this build yet");
    }
}

#[test]
fn the_top_level_is_strict() {
    refused("type: FILESYSTEM\nconfig: {directory: x}\nprefx: a", ErrorKind::Invalid, "prefx");
    refused("type: FILESYSTEM\ntype: S3", ErrorKind::Invalid, "object store configuration");
    refused("type: [", ErrorKind::Invalid, "object store configuration");
}

#[cfg(feature = "fs")]
#[test]
fn filesystem_is_lax_and_needs_a_directory() {
    refused("type: FILESYSTEM", ErrorKind::Invalid, "missing directory");
    refused("type: filesystem\nconfig: {directory: ~}", ErrorKind::Invalid, "missing directory");
    refused("type: FILESYSTEM\nconfig: {directory: x}\nprefix: a//b", ErrorKind::Invalid, "bucket prefix");
    let dir = tempfile::tempdir().expect("tempdir");
    let yaml = format!("type: Filesystem\nprefix: /p/\nconfig:\n  directory: {:?}\n  other: 1", dir.path());
    let bucket = BucketConfig::parse(&yaml).expect("valid").open().expect("opens");
    assert_eq!(bucket.provider(), crate::bucket::Provider::Filesystem);
    assert_eq!(bucket.name(), dir.path().display().to_string());
}

#[cfg(feature = "s3")]
#[test]
fn s3_keys_are_honoured_or_refused_by_name() {
    let s3 = |keys: &str| format!("type: s3\nconfig:\n  bucket: b\n  endpoint: localhost:9000\n{keys}");
    let invalid = |keys: &str, words: &str| refused(&s3(keys), ErrorKind::Invalid, words);
    let unsupported = |keys: &str, words: &str| refused(&s3(keys), ErrorKind::Unsupported, words);
    refused("type: S3\nconfig: {bucket: b}", ErrorKind::Invalid, "no s3 endpoint");
    refused("type: S3\nconfig: {endpoint: e}", ErrorKind::Invalid, "no s3 bucket");
    refused("type: S3\nconfig: {bucket: b, endpoint: 'http://e'}", ErrorKind::Invalid, "without scheme");
    invalid("  buckett: c", "buckett");
    invalid("  http_config: {timeout: 1s}", "timeout");
    invalid("  http_config: {idle_conn_timeout: 1x}", "not a valid duration");
    invalid("  access_key: a", "no s3 secret_key");
    invalid("  secret_key: a", "no s3 access_key");
    invalid("  aws_sdk_auth: true\n  access_key: a\n  secret_key: b", "mutually exclusive");
    invalid("  list_objects_version: v3", "list_objects_version");
    invalid("  bucket_lookup_type: dns", "dns");
    invalid("  sse_config: {type: SSE-X}", "SSE-X");
    invalid("  sse_config: {type: SSE-C}", "encryption_key");
    invalid("  sse_config: {type: SSE-KMS}", "kms_key_id");
    invalid("  http_config: {tls_config: {cert_file: a}}", "key_file");
    invalid("  max_retries: -1", "max_retries");
    unsupported("  signature_version2: true", "signature_version2");
    unsupported("  list_objects_version: v1", "list_objects_version");
    unsupported("  sse_config: {type: SSE-KMS, kms_key_id: k, kms_encryption_context: {a: b}}", "context");

    let all = s3("  access_key: 123\n  secret_key: s\n  session_token: ~\n  region: eu-1\n  insecure: yes\n\
        \x20 put_user_metadata: {X-AMZ-storage-class: GLACIER, k: v}\n  bucket_lookup_type: path\n\
        \x20 http_config: {idle_conn_timeout: 1m30s, insecure_skip_verify: true, max_conns_per_host: 4}\n\
        \x20 part_size: 8388608\n  send_content_md5: false\n  max_retries: 3\n  sse_config: {type: SSE-S3}");
    let config = BucketConfig::parse(&all).expect("valid");
    assert!(!format!("{config:?}").contains("\"s\""), "secrets do not show");
    let bucket = config.open().expect("opens");
    assert_eq!((bucket.name(), bucket.provider()), ("b", crate::bucket::Provider::S3));
}
