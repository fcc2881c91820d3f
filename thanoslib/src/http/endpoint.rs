//! Paths and methods of the API.

use axum::http::Method;

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endpoint<'a> {
    Query,
    QueryRange,
    QueryExplain,
    QueryRangeExplain,
    FormatQuery,
    ParseQuery,
    Labels,
    /// The label name as it stands in the path, percent-encoded.
    LabelValues(&'a str),
    Series,
    Stores,
    Rules,
    Alerts,
    Targets,
    Metadata,
    Exemplars,
    BuildInfo,
    RuntimeInfo,
    Flags,
    Config,
    Tsdb,
    ActiveQueries,
    KillQuery,
    RemoteRead,
}

/// Paths in the router's own spelling.
pub(super) const PATHS: &[&str] = &[
    "/api/v1/query",
    "/api/v1/query_range",
    "/api/v1/query_explain",
    "/api/v1/query_range_explain",
    "/api/v1/format_query",
    "/api/v1/parse_query",
    "/api/v1/labels",
    "/api/v1/label/{name}/values",
    "/api/v1/series",
    "/api/v1/stores",
    "/api/v1/rules",
    "/api/v1/alerts",
    "/api/v1/targets",
    "/api/v1/metadata",
    "/api/v1/query_exemplars",
    "/api/v1/status/buildinfo",
    "/api/v1/status/runtimeinfo",
    "/api/v1/status/flags",
    "/api/v1/status/config",
    "/api/v1/status/tsdb",
    "/api/v1/status/active_queries",
    "/api/v1/status/active_queries/kill",
    "/api/v1/read",
];

const GET: &[Method] = &[Method::GET];
const POST: &[Method] = &[Method::POST];
const GET_POST: &[Method] = &[Method::GET, Method::POST];

/// The endpoint of a path with its methods.
pub(super) fn find(path: &str) -> Option<(Endpoint<'_>, &'static [Method])> {
    let rest = path.strip_prefix("/api/v1/")?;
    Some(match rest {
        "query" => (Endpoint::Query, GET_POST),
        "query_range" => (Endpoint::QueryRange, GET_POST),
        "query_explain" => (Endpoint::QueryExplain, GET_POST),
        "query_range_explain" => (Endpoint::QueryRangeExplain, GET_POST),
        "format_query" => (Endpoint::FormatQuery, GET_POST),
        "parse_query" => (Endpoint::ParseQuery, GET_POST),
        "labels" => (Endpoint::Labels, GET_POST),
        "series" => (Endpoint::Series, GET_POST),
        "query_exemplars" => (Endpoint::Exemplars, GET_POST),
        "stores" => (Endpoint::Stores, GET),
        "rules" => (Endpoint::Rules, GET),
        "alerts" => (Endpoint::Alerts, GET),
        "targets" => (Endpoint::Targets, GET),
        "metadata" => (Endpoint::Metadata, GET),
        "status/buildinfo" => (Endpoint::BuildInfo, GET),
        "status/runtimeinfo" => (Endpoint::RuntimeInfo, GET),
        "status/flags" => (Endpoint::Flags, GET),
        "status/config" => (Endpoint::Config, GET),
        "status/tsdb" => (Endpoint::Tsdb, GET),
        "status/active_queries" => (Endpoint::ActiveQueries, GET),
        "status/active_queries/kill" => (Endpoint::KillQuery, POST),
        "read" => (Endpoint::RemoteRead, POST),
        _ => {
            let name = rest.strip_prefix("label/")?.strip_suffix("/values")?;
            (Endpoint::LabelValues(name), GET)
        }
    })
}

impl Endpoint<'_> {
    /// True when the answer depends on who asks.
    ///
    /// Compat: thanos `pkg/api/query/v1.go` looks at the tenant of these calls only.
    pub(super) fn is_of_tenants(self) -> bool {
        matches!(
            self,
            Self::Query
                | Self::QueryRange
                | Self::QueryExplain
                | Self::QueryRangeExplain
                | Self::Labels
                | Self::LabelValues(_)
                | Self::Series
                | Self::Tsdb
        )
    }

    /// The `handler` label of the request metrics, as upstream names it.
    pub(super) fn handler_name(self) -> &'static str {
        match self {
            Endpoint::Query => "query",
            Endpoint::QueryRange => "query_range",
            Endpoint::QueryExplain => "query_explain",
            Endpoint::QueryRangeExplain => "query_range_explain",
            Endpoint::FormatQuery => "format_query",
            Endpoint::ParseQuery => "parse_query",
            Endpoint::Labels => "label_names",
            Endpoint::LabelValues(_) => "label_values",
            Endpoint::Series => "series",
            Endpoint::Stores => "stores",
            Endpoint::Rules => "rules",
            Endpoint::Alerts => "alerts",
            Endpoint::Targets => "targets",
            Endpoint::Metadata => "metadata",
            Endpoint::Exemplars => "exemplars",
            Endpoint::BuildInfo => "status_build",
            Endpoint::RuntimeInfo => "status_runtime",
            Endpoint::Flags => "status_flags",
            Endpoint::Config => "status_config",
            Endpoint::Tsdb => "status_tsdb",
            Endpoint::ActiveQueries => "status_active_queries",
            Endpoint::KillQuery => "kill_query",
            Endpoint::RemoteRead => "remote_read",
        }
    }
}
