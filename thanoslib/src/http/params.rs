//! Parameters of requests: query string and form body, as Go reads them.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::Request,
    http::{Method, header},
};
use futures::StreamExt;

use super::error::ApiError;
use crate::budget::{Budget, Lease};

/// Most parameters of a request.
///
/// Compat: `urlmaxqueryparams` of Go's `net/url`.
const PARAMS_MAX: usize = 10_000;

/// The parameters of a request, those of the body first.
#[derive(Debug, Default)]
pub(super) struct Params {
    pairs: Vec<(String, String)>,
    /// What the body takes of the budget.
    _lease: Option<Lease>,
}

impl Params {
    /// Reads the query string and, of a POST with a form, the body, which draws on `budget`.
    pub(super) async fn read(
        request: Request,
        body_bytes_max: usize,
        budget: &Arc<Budget>,
    ) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        let mut params = Self::default();
        let form = parts
            .headers
            .get(header::CONTENT_TYPE)
            .and_then(|v| v.to_str().ok())
            .and_then(|v| v.split(';').next())
            .is_some_and(|v| v.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded"));
        if parts.method == Method::POST && form {
            let mut lease = budget.reserve(0).map_err(|e| ApiError::execution(&e))?;
            let body = read_body(body, body_bytes_max, &mut lease).await?;
            params._lease = Some(lease);
            parse(&body, &mut params.pairs)?;
        }
        parse(parts.uri.query().unwrap_or_default().as_bytes(), &mut params.pairs)?;
        Ok(params)
    }

    /// The first value of a parameter; empty when it is not given.
    pub(super) fn get(&self, name: &str) -> &str {
        self.pairs.iter().find(|(n, _)| n == name).map_or("", |(_, v)| v)
    }

    /// Every value of a parameter.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> + 'a {
        self.pairs.iter().filter(move |(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// A flag as Go's `ParseBool` reads it; `default` when it is not given.
    pub(super) fn flag(&self, name: &str, default: bool) -> Result<bool, ApiError> {
        match self.get(name) {
            "" => Ok(default),
            "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
            "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
            other => Err(ApiError::bad_data(format!(
                "'{name}' parameter: strconv.ParseBool: parsing {other:?}: invalid syntax"
            ))),
        }
    }

    /// `limit`: 0 when it is not given.
    pub(super) fn limit(&self) -> Result<usize, ApiError> {
        let text = self.get("limit");
        if text.is_empty() {
            return Ok(0);
        }
        let limit: i64 = text
            .parse()
            .map_err(|_| ApiError::bad_data(format!("cannot parse {text:?} to a valid limit")))?;
        usize::try_from(limit).map_err(|_| ApiError::bad_data("limit must be non-negative"))
    }
}

/// Reads a body of limited length; the lease grows before it does.
async fn read_body(body: Body, bytes_max: usize, lease: &mut Lease) -> Result<Vec<u8>, ApiError> {
    let failed = |e: String| ApiError::bad_data(format!("cannot read the request body: {e}"));
    let mut frames = body.into_data_stream();
    let mut out = Vec::new();
    while let Some(frame) = frames.next().await {
        let frame = frame.map_err(|e| failed(e.to_string()))?;
        if frame.len() > bytes_max - out.len() {
            return Err(failed(format!("it is longer than {bytes_max} bytes")));
        }
        // The frame and the parameter made of it.
        lease.grow(2 * frame.len() as u64).map_err(|e| ApiError::execution(&e))?;
        out.extend_from_slice(&frame);
    }
    Ok(out)
}

fn parse(form: &[u8], out: &mut Vec<(String, String)>) -> Result<(), ApiError> {
    for pair in form.split(|b| *b == b'&').filter(|p| !p.is_empty()) {
        if out.len() == PARAMS_MAX {
            return Err(ApiError::bad_data(format!("more than {PARAMS_MAX} parameters")));
        }
        // Go drops pairs with a semicolon or a broken escape.
        if pair.contains(&b';') {
            continue;
        }
        let (name, value) = match pair.iter().position(|b| *b == b'=') {
            Some(i) => (&pair[..i], &pair[i + 1..]),
            None => (pair, &[][..]),
        };
        if let (Some(name), Some(value)) = (unescape(name, true), unescape(value, true)) {
            out.push((lossy(name), lossy(value)));
        }
    }
    Ok(())
}

fn lossy(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
}

/// Undoes percent encoding; `None` for a broken escape.
pub(super) fn unescape(text: &[u8], plus_is_space: bool) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&b, tail)) = rest.split_first() {
        rest = tail;
        match b {
            b'+' if plus_is_space => out.push(b' '),
            b'%' => {
                let (digits, tail) = rest.split_at_checked(2)?;
                rest = tail;
                let hex = |d: u8| (d as char).to_digit(16);
                out.push((hex(digits[0])? * 16 + hex(digits[1])?) as u8);
            }
            b => out.push(b),
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_read_as_go_reads_them() {
        let mut params = Params::default();
        parse(b"a=1&b=x+y%2B&c&d=%zz&e=1;2&a=2&=v", &mut params.pairs).expect("few");
        assert_eq!(params.get("a"), "1");
        assert_eq!(params.all("a").collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(
            (params.get("b"), params.get("c"), params.get("d"), params.get("e")),
            ("x y+", "", "", "")
        );
    }

    #[tokio::test]
    async fn a_body_draws_on_the_budget_and_holds_so_many_parameters() {
        let budget = Budget::new("process", 100);
        let request = |body: String| {
            Request::post("/")
                .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(Body::from(body))
                .expect("a request")
        };
        let params = Params::read(request("a=1&b=2".to_owned()), 1000, &budget).await.expect("fits");
        assert_eq!((params.get("b"), budget.used()), ("2", 14));
        let refused = |body, bytes_max, budget| {
            let read = Params::read(request(body), bytes_max, budget);
            async move { read.await.expect_err("refused").message().to_owned() }
        };
        assert!(refused("x".repeat(60), 1000, &budget).await.contains("budget used up"));
        assert!(refused("x".repeat(11), 10, &budget).await.contains("longer than 10 bytes"));
        let roomy = Budget::unlimited();
        assert!(refused("a&".repeat(PARAMS_MAX + 1), 1 << 20, &roomy).await.contains("more than 10000"));
        assert_eq!(budget.used(), 14);
        drop(params);
        assert_eq!((budget.used(), roomy.used()), (0, 0));
    }

    #[test]
    fn flags_and_limits_are_checked() {
        let mut params = Params::default();
        parse(b"x=T&limit=-1", &mut params.pairs).expect("few");
        assert!(params.flag("x", false).expect("a flag"));
        assert!(params.flag("y", true).expect("the default"));
        assert!(params.limit().is_err());
    }
}
