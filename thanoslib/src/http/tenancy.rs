//! Who asks, and what each may see.

use std::sync::Arc;

use axum::http::{Extensions, HeaderMap};

use super::{
    certificate::{CertificateField, ClientCertificate},
    error::ApiError,
};
use crate::{
    context::DEFAULT_TENANT,
    model::{MatchOp, Matcher},
    promql::{ParseError, ast::Expr},
};

/// The header that Thanos' components pass on among themselves.
const THANOS_TENANT: &str = "thanos-tenant";

/// How tenants are told apart, and whether each sees only its own series.
///
/// ```
/// use thanoslib::http::{Settings, Tenancy};
/// let tenancy = Tenancy { enforced_label: Some("tenant_id".to_owned()), ..Tenancy::default() };
/// let settings = Settings { tenancy, ..Settings::default() };
/// assert_eq!(settings.tenancy.default_tenant, "default-tenant");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenancy {
    /// The header that names the tenant; `THANOS-TENANT` is read where it is missing.
    pub header: String,
    /// The tenant of requests that name none.
    pub default_tenant: String,
    /// The field of the client's certificate that names the tenant, in place of headers; requests
    /// without it are refused.
    pub certificate_field: Option<CertificateField>,
    /// Selectors get an equality of this label with the tenant, in place of what they say of the
    /// label; `None` lets every tenant see everything.
    pub enforced_label: Option<String>,
}

impl Default for Tenancy {
    /// The header of Thanos, nothing enforced.
    fn default() -> Self {
        Self {
            header: "THANOS-TENANT".to_owned(),
            default_tenant: DEFAULT_TENANT.to_owned(),
            certificate_field: None,
            enforced_label: None,
        }
    }
}

impl Tenancy {
    /// The tenant that a request names, unchecked.
    pub(super) fn tenant(&self, headers: &HeaderMap) -> String {
        let named = |name: &str| {
            let value = headers.get(name)?;
            (!value.is_empty()).then(|| String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        named(&self.header).or_else(|| named(THANOS_TENANT)).unwrap_or_else(|| self.default_tenant.clone())
    }

    /// The tenant that a request names by what [`certificate_field`](Self::certificate_field) says.
    pub(super) fn checked(&self, headers: &HeaderMap, extensions: &Extensions) -> Result<String, ApiError> {
        let Some(field) = self.certificate_field else { return Ok(self.tenant(headers)) };
        let certificate = extensions.get::<Arc<ClientCertificate>>();
        // Compat: the texts of thanos `pkg/tenancy/tenancy.go`.
        let certificate = certificate
            .ok_or_else(|| ApiError::bad_data("could not get required certificate field from client cert"))?;
        match certificate.field(field) {
            Some(tenant) if !tenant.is_empty() => Ok(tenant.to_owned()),
            _ => Err(ApiError::bad_data(format!(
                "could not get {} field from client cert",
                field.documented()
            ))),
        }
    }

    /// The expression with every selector bound to the tenant.
    pub(super) fn enforce(&self, expr: &mut Expr, tenant: &str) {
        if let Some(label) = &self.enforced_label {
            expr.change_selectors(&mut |selector| bind(&mut selector.matchers, label, tenant));
        }
    }

    /// Matchers bound to the tenant.
    pub(super) fn enforce_matchers(&self, matchers: &mut Vec<Matcher>, tenant: &str) {
        if let Some(label) = &self.enforced_label {
            bind(matchers, label, tenant);
        }
    }

    /// What is said of a query that cannot be read.
    pub(super) fn parse_error(&self, e: &ParseError) -> ApiError {
        match &self.enforced_label {
            None => ApiError::bad_data(e.to_string()),
            // Compat: the spelling is that of thanos `pkg/tenancy/tenancy.go`.
            Some(_) => {
                ApiError::bad_data(format!("error parsing query string, when enforcing tenenacy: {e}"))
            }
        }
    }
}

fn bind(matchers: &mut Vec<Matcher>, label: &str, tenant: &str) {
    matchers.retain(|m| m.name() != label);
    let bound = Matcher::equal(label, tenant);
    // The metric name stands last.
    let last = matchers.last().is_some_and(|m| m.name() == "__name__" && m.op() == MatchOp::Equal);
    matchers.insert(matchers.len() - usize::from(last), bound);
}

/// True for a name that can be part of a path.
pub(super) fn is_valid(tenant: &str) -> bool {
    !tenant.is_empty() && tenant != "." && tenant != ".." && !tenant.contains('/')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promql::{EngineOptions, parse};

    #[test]
    fn every_selector_is_bound_to_the_tenant() {
        let tenancy = Tenancy { enforced_label: Some("t".to_owned()), ..Tenancy::default() };
        let check = |query: &str, want: &str| {
            let mut expr = parse(query, &EngineOptions::default()).expect("valid");
            tenancy.enforce(&mut expr, "a");
            assert_eq!(expr.to_string(), want);
        };
        check("up", r#"up{t="a"}"#);
        check(r#"up{t="b"}"#, r#"up{t="a"}"#);
        check(r#"rate({x="1",t=~".*"}[5m])"#, r#"rate({t="a",x="1"}[5m])"#);
        check("max_over_time((a + b)[5m:1m])", r#"max_over_time((a{t="a"} + b{t="a"})[5m:1m])"#);
        check("topk(scalar(k), x)", r#"topk(scalar(k{t="a"}), x{t="a"})"#);
        check("1 + 2", "1 + 2");
    }

    #[test]
    fn the_own_header_comes_before_that_of_thanos() {
        let tenancy = Tenancy { header: "X-Team".to_owned(), ..Tenancy::default() };
        let check = |headers: &[(&'static str, &str)], want: &str| {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.insert(*name, value.parse().expect("valid"));
            }
            assert_eq!(tenancy.tenant(&map), want);
        };
        check(&[], "default-tenant");
        check(&[("thanos-tenant", "a")], "a");
        check(&[("thanos-tenant", "a"), ("x-team", "b")], "b");
        check(&[("thanos-tenant", "a"), ("x-team", "")], "a");
        let named = Tenancy { certificate_field: Some(CertificateField::CommonName), ..tenancy };
        let (mut extensions, mut map) = (Extensions::new(), HeaderMap::new());
        map.insert("x-team", "b".parse().expect("valid"));
        let tenant =
            |extensions: &Extensions| named.checked(&map, extensions).map_err(|e| e.message().to_owned());
        assert_eq!(
            tenant(&extensions),
            Err("could not get required certificate field from client cert".to_owned())
        );
        extensions.insert(Arc::new(ClientCertificate::default()));
        assert_eq!(tenant(&extensions), Err("could not get common name field from client cert".to_owned()));
        let certificate = ClientCertificate { common_name: vec!["c".to_owned()], ..Default::default() };
        extensions.insert(Arc::new(certificate));
        assert_eq!(tenant(&extensions), Ok("c".to_owned()));
        assert!(is_valid("a|b") && is_valid("a..b"));
        assert!(!is_valid("../x") && !is_valid("a/b") && !is_valid("..") && !is_valid(""));
    }
}
