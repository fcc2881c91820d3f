//! The envelope of Prometheus' HTTP API.

use serde::{Deserialize, Deserializer, de::DeserializeOwned};

use crate::error::{Error, ErrorKind, Result};

#[derive(Deserialize)]
struct Envelope<T> {
    #[serde(default)]
    status: String,
    #[serde(default = "Option::default")]
    data: Option<T>,
    #[serde(default)]
    error: String,
    #[serde(default, deserialize_with = "or_default")]
    warnings: Vec<String>,
}

/// Data of an answer with the warnings beside.
#[derive(Debug, Default)]
pub(crate) struct Answer<T> {
    /// What was asked for.
    pub(crate) data: T,
    /// What the server says is missing.
    pub(crate) warnings: Vec<String>,
}

/// What the server says when it has done what `limit` asks for.
const TRUNCATED: &str = "results truncated due to limit";

/// Reads the body of an answer whose status is one of success.
///
/// # Errors
/// `Internal` for a body that is no answer, or that says that it failed.
pub(super) fn parse<T: DeserializeOwned + Default>(body: &[u8]) -> Result<Answer<T>> {
    let text = String::from_utf8_lossy(body);
    let envelope: Envelope<T> = serde_json::from_str(&text)
        .map_err(|e| Error::internal(format!("bad answer of Prometheus: {e}")).with_source(e))?;
    if envelope.status != "success" {
        return Err(Error::internal(envelope.error));
    }
    let mut warnings = envelope.warnings;
    warnings.retain(|warning| warning != TRUNCATED);
    Ok(Answer { data: envelope.data.unwrap_or_default(), warnings })
}

/// What the status of a failed answer tells.
///
/// Compat: Thanos' table for the APIs that it passes on (`pkg/promclient/promclient.go`).
pub(super) fn kind(status: u16) -> ErrorKind {
    match status {
        400 => ErrorKind::Invalid,
        404 => ErrorKind::NotFound,
        503 => ErrorKind::Unavailable,
        _ => ErrorKind::Internal,
    }
}

/// A null is the type's default.
pub(crate) fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    d: D,
) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(d)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn envelopes_are_opened() {
        let check = |body: &str, want: Result<(Vec<String>, Vec<String>), &str>| {
            let got = parse::<Vec<String>>(body.as_bytes()).map(|a| (a.data, a.warnings));
            match (got, want) {
                (Ok(got), Ok(want)) => assert_eq!(got, want),
                (Err(e), Err(words)) => {
                    assert!(e.kind() == ErrorKind::Internal && e.message().contains(words), "{e}");
                }
                (got, want) => panic!("{body}: got {got:?}, want {want:?}"),
            }
        };
        let texts = |list: &[&str]| list.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>();
        check(r#"{"status":"success","data":["a"]}"#, Ok((texts(&["a"]), texts(&[]))));
        check(r#"{"status":"success","data":null,"warnings":null,"x":1}"#, Ok((texts(&[]), texts(&[]))));
        check(
            r#"{"status":"success","data":[],"warnings":["results truncated due to limit","gap"]}"#,
            Ok((texts(&[]), texts(&["gap"]))),
        );
        check(r#"{"status":"error","error":"no luck"}"#, Err("no luck"));
        check("<html>", Err("bad answer of Prometheus"));
        check("{}", Err(""));
        assert_eq!(
            [400, 404, 422, 500, 503, 418].map(kind).map(|k| format!("{k:?}")).join(" "),
            "Invalid NotFound Internal Internal Unavailable Internal"
        );
    }
}
