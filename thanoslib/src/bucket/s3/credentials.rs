//! Credentials of S3 that the configuration does not hold: environment and files.
//!
//! The order is that of Thanos: environment, shared credentials file, then web identity,
//! container and instance credentials, which the store fetches and renews by itself.
//!
//! Invariant: reads the environment only when a configuration without keys is opened.

use std::{
    env,
    path::{Path, PathBuf},
};

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};

use crate::error::{Error, Result};

/// Settings of credential sources that the store knows itself.
const SOURCES: [(&str, AmazonS3ConfigKey); 6] = [
    ("AWS_WEB_IDENTITY_TOKEN_FILE", AmazonS3ConfigKey::WebIdentityTokenFile),
    ("AWS_ROLE_ARN", AmazonS3ConfigKey::RoleArn),
    ("AWS_ROLE_SESSION_NAME", AmazonS3ConfigKey::RoleSessionName),
    ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", AmazonS3ConfigKey::ContainerCredentialsRelativeUri),
    ("AWS_CONTAINER_CREDENTIALS_FULL_URI", AmazonS3ConfigKey::ContainerCredentialsFullUri),
    ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", AmazonS3ConfigKey::ContainerAuthorizationTokenFile),
];

/// A static pair of keys.
#[derive(Debug, PartialEq, Eq)]
struct Keys {
    id: String,
    secret: String,
    token: Option<String>,
}

pub(in crate::bucket) fn from_environment(builder: AmazonS3Builder) -> Result<AmazonS3Builder> {
    let variable = |name: &str| env::var(name).ok().filter(|v| !v.is_empty());
    let keys = match from_variables(variable) {
        Some(keys) => Some(keys),
        None => from_shared_file(variable)?,
    };
    let Some(keys) = keys else {
        let sources = SOURCES.into_iter().filter_map(|(name, key)| Some((key, variable(name)?)));
        return Ok(sources.fold(builder, |builder, (key, value)| builder.with_config(key, value)));
    };
    let builder = builder.with_access_key_id(keys.id).with_secret_access_key(keys.secret);
    Ok(match keys.token {
        Some(token) => builder.with_token(token),
        None => builder,
    })
}

fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Option<Keys> {
    Some(Keys {
        id: variable("AWS_ACCESS_KEY_ID").or_else(|| variable("AWS_ACCESS_KEY"))?,
        secret: variable("AWS_SECRET_ACCESS_KEY").or_else(|| variable("AWS_SECRET_KEY"))?,
        token: variable("AWS_SESSION_TOKEN"),
    })
}

fn from_shared_file(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Keys>> {
    let file = variable("AWS_SHARED_CREDENTIALS_FILE")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(variable("HOME")?).join(".aws/credentials")));
    let Some(file) = file else { return Ok(None) };
    match std::fs::read_to_string(&file) {
        Ok(text) => Ok(profile(&text, &variable("AWS_PROFILE").unwrap_or_else(|| "default".to_owned()))),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::invalid(format!("credentials file {}: {e}", file.display())).with_source(e)),
    }
}

/// The keys of one section of an INI text.
fn profile(text: &str, name: &str) -> Option<Keys> {
    let (mut inside, mut id, mut secret, mut token) = (false, None, None, None);
    for line in text.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            inside = section.trim() == name;
        } else if inside && let Some((key, value)) = line.split_once('=') {
            let value = Some(value.trim().to_owned());
            match key.trim() {
                "aws_access_key_id" => id = value,
                "aws_secret_access_key" => secret = value,
                "aws_session_token" => token = value,
                _ => {}
            }
        }
    }
    Some(Keys { id: id?, secret: secret?, token })
}

/// The key of SSE-C, in base64; the file holds its 32 bytes.
pub(in crate::bucket) fn customer_key(file: &Path) -> Result<String> {
    let bytes = std::fs::read(file).map_err(|e| {
        Error::invalid(format!("sse_config.encryption_key {}: {e}", file.display())).with_source(e)
    })?;
    if bytes.len() != 32 {
        let shown = file.display();
        let len = bytes.len();
        return Err(Error::invalid(format!("sse_config.encryption_key {shown}: {len} bytes, want 32")));
    }
    Ok(base64(&bytes))
}

/// Standard base64 with padding.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let word = group.iter().fold(0_u32, |w, b| (w << 8) | u32::from(*b)) << (8 * (3 - group.len()));
        for i in 0..4 {
            let digit = ALPHABET[(word >> (18 - 6 * i)) as usize & 63];
            out.push(if i <= group.len() { char::from(digit) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_from_variables_then_from_the_profile() {
        let variables = |set: &'static [(&str, &str)]| {
            move |name: &str| set.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned())
        };
        let keys = |id: &str, secret: &str, token: Option<&str>| {
            Some(Keys { id: id.into(), secret: secret.into(), token: token.map(Into::into) })
        };
        let both: &[_] =
            &[("AWS_ACCESS_KEY", "a"), ("AWS_SECRET_ACCESS_KEY", "b"), ("AWS_SESSION_TOKEN", "c")];
        assert_eq!(from_variables(variables(both)), keys("a", "b", Some("c")));
        assert_eq!(from_variables(variables(&[("AWS_ACCESS_KEY_ID", "a")])), None);

        let text = "[other]\naws_access_key_id=x\n\n[default]\n# c\naws_access_key_id = a\n\
            aws_secret_access_key= b=\nregion=r\n[third]\naws_session_token=t";
        assert_eq!(profile(text, "default"), keys("a", "b=", None));
        assert_eq!(profile(text, "other"), None);
        assert_eq!(profile(text, "none"), None);
    }

    #[test]
    fn base64_pads() {
        let check = |text: &str, want: &str| assert_eq!(base64(text.as_bytes()), want);
        check("", "");
        check("f", "Zg==");
        check("fo", "Zm8=");
        check("foo", "Zm9v");
        check("foob\u{ff}~", "Zm9vYsO/fg==");
    }
}
