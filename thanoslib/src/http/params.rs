//! Parameters of requests: query string and form body, as Go reads them.

use axum::{
    body::to_bytes,
    extract::Request,
    http::{Method, header},
};

use super::error::ApiError;

/// The parameters of a request, those of the body first.
#[derive(Debug, Default)]
pub(super) struct Params(Vec<(String, String)>);

impl Params {
    /// Reads the query string and, of a POST with a form, the body.
    pub(super) async fn read(request: Request, body_bytes_max: usize) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        let mut params = Vec::new();
        let form = parts
            .headers
            .get(header::CONTENT_TYPE)
            .and_then(|v| v.to_str().ok())
            .and_then(|v| v.split(';').next())
            .is_some_and(|v| v.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded"));
        if parts.method == Method::POST && form {
            let body = to_bytes(body, body_bytes_max)
                .await
                .map_err(|e| ApiError::bad_data(format!("cannot read the request body: {e}")))?;
            parse(&body, &mut params);
        }
        parse(parts.uri.query().unwrap_or_default().as_bytes(), &mut params);
        Ok(Self(params))
    }

    /// The first value of a parameter; empty when it is not given.
    pub(super) fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(n, _)| n == name).map_or("", |(_, v)| v)
    }

    /// Every value of a parameter.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> + 'a {
        self.0.iter().filter(move |(n, _)| n == name).map(|(_, v)| v.as_str())
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

fn parse(form: &[u8], out: &mut Vec<(String, String)>) {
    for pair in form.split(|b| *b == b'&').filter(|p| !p.is_empty()) {
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
        let mut out = Vec::new();
        parse(b"a=1&b=x+y%2B&c&d=%zz&e=1;2&a=2&=v", &mut out);
        let params = Params(out);
        assert_eq!(params.get("a"), "1");
        assert_eq!(params.all("a").collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(
            (params.get("b"), params.get("c"), params.get("d"), params.get("e")),
            ("x y+", "", "", "")
        );
    }

    #[test]
    fn flags_and_limits_are_checked() {
        let params = Params(vec![("x".into(), "T".into()), ("limit".into(), "-1".into())]);
        assert!(params.flag("x", false).expect("a flag"));
        assert!(params.flag("y", true).expect("the default"));
        assert!(params.limit().is_err());
    }
}
