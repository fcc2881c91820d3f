//! Flags of everything that answers queries over other stores.

use clap::ArgAction;
use thanoslib_bins_common::{
    server_flags::TLS_VERSIONS,
    values::{GoDuration, PromDuration, one_of},
};

/// How other endpoints are reached.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ClientFlags {
    /// Use TLS when talking to the gRPC server.
    #[arg(long = "grpc-client-tls-secure")]
    pub client_tls_secure: bool,
    /// Take the server's certificate unverified.
    #[arg(long = "grpc-client-tls-skip-verify")]
    pub client_tls_skip_verify: bool,
    /// TLS certificate to show to the server.
    #[arg(long = "grpc-client-tls-cert", default_value = "")]
    pub client_tls_cert: String,
    /// TLS key of the certificate to show to the server.
    #[arg(long = "grpc-client-tls-key", default_value = "")]
    pub client_tls_key: String,
    /// TLS authorities that servers are verified against; empty takes those of the system.
    #[arg(long = "grpc-client-tls-ca", default_value = "")]
    pub client_tls_ca: String,
    /// Name of the server that its certificate must have.
    #[arg(long = "grpc-client-server-name", default_value = "")]
    pub client_server_name: String,
    /// Compression of requests to other endpoints.
    #[arg(long = "grpc-compression", default_value = "none", value_parser = one_of(&["snappy", "none"]))]
    pub client_compression: String,
    /// Least version of TLS.
    #[arg(long = "grpc-client-tls-min-version", default_value = "1.3", value_parser = one_of(TLS_VERSIONS))]
    pub client_tls_min_version: String,
}

/// How paths are served.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct WebFlags {
    /// Prefix of all paths; defaults to that of --web.external-prefix.
    #[arg(long = "web.route-prefix", default_value = "")]
    pub route_prefix: String,
    /// Prefix that the outside sees.
    #[arg(long = "web.external-prefix", default_value = "")]
    pub external_prefix: String,
    /// Header that carries the prefix that the outside sees.
    #[arg(long = "web.prefix-header", default_value = "")]
    pub prefix_header: String,
    /// Sends no CORS headers.
    #[arg(long = "web.disable-cors")]
    pub disable_cors: bool,
    /// Serves what changes or ends something, such as ending a query.
    #[arg(long = "web.enable-admin-api")]
    pub enable_admin_api: bool,
    /// Answers Prometheus' remote read over all stores at /api/v1/read.
    #[arg(long = "web.enable-remote-read")]
    pub enable_remote_read: bool,
    /// Query URL that alerts link to.
    #[arg(long = "alert.query-url", default_value = "")]
    pub alert_query_url: String,
    /// File with the configuration of the log of requests.
    #[arg(long = "request.logging-config-file", value_name = "file-path", default_value = "")]
    pub logging_file: String,
    /// Configuration of the log of requests.
    #[arg(long = "request.logging-config", value_name = "content", default_value = "")]
    pub logging: String,
}

/// How queries are evaluated.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct EngineFlags {
    /// Longest time of a query.
    #[arg(long = "query.timeout", default_value = "2m")]
    pub timeout: PromDuration,
    /// Engine whose behaviour is taken where the two of upstream differ.
    #[arg(long = "query.promql-engine", default_value = "prometheus", value_parser = one_of(&["prometheus", "thanos"]))]
    pub engine: String,
    /// Has no effect: the one engine knows all expressions.
    #[arg(long = "query.disable-fallback", hide = true)]
    pub disable_fallback: bool,
    /// Offers xrate, xincrease and xdelta.
    #[arg(long = "query.enable-x-functions")]
    pub x_functions: bool,
    /// local, or distributed: what leaf queriers can evaluate is evaluated there.
    #[arg(long = "query.mode", default_value = "local", value_parser = one_of(&["local", "distributed"]))]
    pub mode: String,
    /// Most queries that run at a time.
    #[arg(long = "query.max-concurrent", default_value_t = 20)]
    pub max_concurrent: usize,
    /// How far an instant selector looks back; 0 takes 5m.
    #[arg(long = "query.lookback-delta", default_value = "0s")]
    pub lookback_delta: GoDuration,
    /// The lookback grows with the resolution asked for.
    #[arg(long = "query.dynamic-lookback-delta", default_value = "true", action = ArgAction::Set, hide = true)]
    pub dynamic_lookback: bool,
    /// Most selects of a query that run at a time.
    #[arg(long = "query.max-concurrent-select", default_value_t = 4)]
    pub max_concurrent_select: usize,
    /// Step of subqueries that name none.
    #[arg(long = "query.default-evaluation-interval", default_value = "1m")]
    pub evaluation_interval: PromDuration,
    /// Least step of range queries that name none.
    #[arg(long = "query.default-step", default_value = "1s")]
    pub default_step: PromDuration,
    /// Label that divides series among leaf queriers; may be repeated or a list with commas.
    #[arg(long = "query.partition-label")]
    pub partition_label: Vec<String>,
    /// Has no effect: queriers with the same labels are never asked for parts of a query.
    #[arg(long = "query.distributed-with-overlapping-interval", hide = true)]
    pub overlapping_interval: bool,
    /// Feature to enable; may be repeated or a list with commas.
    #[arg(long = "enable-feature")]
    pub enable_feature: Vec<String>,
    /// Folder for the list of running queries; empty keeps it in memory alone.
    #[arg(long = "query.active-query-path", default_value = "")]
    pub active_query_path: String,
    /// What windows see where data of several resolutions meet: right or thanos.
    #[arg(long = "query.resolution-seams", default_value = "right", value_parser = one_of(&["right", "thanos"]))]
    pub resolution_seams: String,
    /// No resolution is so coarse that a range holds fewer samples than its function needs.
    #[arg(long = "query.fit-resolution-to-range")]
    pub fit_range: bool,
}

/// What answers hold.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct AnswerFlags {
    /// How replicas are merged.
    #[arg(long = "deduplication.func", default_value = "penalty", value_parser = one_of(&["penalty", "chain", "interval"]))]
    pub dedup_func: String,
    /// What counter functions see of merged replicas: prometheus or thanos.
    #[arg(long = "deduplication.counters", default_value = "prometheus", value_parser = one_of(&["prometheus", "thanos"]))]
    pub dedup_counters: String,
    /// Label that tells replicas apart; may be repeated or a list with commas.
    #[arg(long = "query.replica-label")]
    pub replica_label: Vec<String>,
    /// The resolution that stands for auto in instant queries.
    #[arg(long = "query.instant.default.max_source_resolution", default_value = "0s", hide = true)]
    pub instant_resolution: PromDuration,
    /// How far label calls without times look back; 0 is all time.
    #[arg(long = "query.metadata.default-time-range", default_value = "0s")]
    pub metadata_range: GoDuration,
    /// Resolution follows the step of the query.
    #[arg(long = "query.auto-downsampling")]
    pub auto_downsampling: bool,
    /// A failing store is a warning.
    #[arg(long = "query.partial-response", default_value = "true", action = ArgAction::Set)]
    pub query_partial: bool,
    /// The same for rules and alerts.
    #[arg(long = "rule.partial-response", default_value = "true", action = ArgAction::Set, hide = true)]
    pub rule_partial: bool,
    /// The same for targets.
    #[arg(long = "target.partial-response", default_value = "true", action = ArgAction::Set, hide = true)]
    pub target_partial: bool,
    /// The same for metadata.
    #[arg(long = "metric-metadata.partial-response", default_value = "true", action = ArgAction::Set, hide = true)]
    pub metadata_partial: bool,
    /// The same for exemplars.
    #[arg(long = "exemplar.partial-response", default_value = "true", action = ArgAction::Set, hide = true)]
    pub exemplar_partial: bool,
    /// The same for statistics.
    #[arg(long = "status.partial-response", default_value = "true", action = ArgAction::Set, hide = true)]
    pub status_partial: bool,
}

/// Which endpoints there are.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct EndpointFlags {
    /// Address of an endpoint, also with dns+, dnssrv+ or dnssrvnoa+; may be repeated.
    #[arg(long = "endpoint", value_name = "endpoint")]
    pub endpoint: Vec<String>,
    /// Name of interchangeable endpoints; may be repeated.
    #[arg(long = "endpoint-group", value_name = "endpoint-group")]
    pub group: Vec<String>,
    /// Address of an endpoint that is always asked; may be repeated.
    #[arg(long = "endpoint-strict", value_name = "endpoint-strict")]
    pub strict: Vec<String>,
    /// Name of interchangeable endpoints that are always asked; may be repeated.
    #[arg(long = "endpoint-group-strict", value_name = "endpoint-group-strict")]
    pub group_strict: Vec<String>,
    /// Has no effect here.
    #[arg(long = "inject-test-addresses", value_name = "inject-test-address", hide = true)]
    pub inject_test_addresses: Vec<String>,
    /// File with endpoints in YAML.
    #[arg(long = "endpoint.sd-config-file", value_name = "file-path", default_value = "")]
    pub sd_config_file: String,
    /// Endpoints in YAML.
    #[arg(long = "endpoint.sd-config", value_name = "content", default_value = "")]
    pub sd_config: String,
    /// How often the file of endpoints is read again.
    #[arg(long = "endpoint.sd-config-reload-interval", default_value = "5m")]
    pub sd_config_reload: PromDuration,
    /// Files with targets as Prometheus' file discovery takes them; may be repeated.
    #[arg(long = "store.sd-files", value_name = "path")]
    pub sd_files: Vec<String>,
    /// How often these files are read again.
    #[arg(long = "store.sd-interval", default_value = "5m")]
    pub sd_interval: PromDuration,
    /// How often names are resolved.
    #[arg(long = "store.sd-dns-interval", default_value = "30s")]
    pub dns_interval: PromDuration,
    /// Resolver: miekgdns or golang.
    #[arg(long = "store.sd-dns-resolver", default_value = "miekgdns", hide = true)]
    pub dns_resolver: String,
    /// How long an endpoint that does not answer is kept.
    #[arg(long = "store.unhealthy-timeout", default_value = "5m")]
    pub unhealthy_timeout: PromDuration,
    /// How often endpoints are asked what they are, and how long they may take.
    #[arg(long = "endpoint.info-timeout", default_value = "5s", hide = true)]
    pub info_timeout: PromDuration,
    /// Label of the metric of connections; may be repeated.
    #[arg(
        long = "query.conn-metric.label",
        default_values = ["external_labels", "store_type"],
        value_parser = one_of(&["external_labels", "store_type", "ip_port"])
    )]
    pub conn_metric_label: Vec<String>,
}

impl EndpointFlags {
    /// True when the flags name an endpoint, or where to find some.
    #[cfg(feature = "standalone")]
    pub(crate) fn are_given(&self) -> bool {
        let lists = [&self.endpoint, &self.group, &self.strict, &self.group_strict, &self.sd_files];
        let texts = [&self.sd_config, &self.sd_config_file];
        lists.iter().any(|list| !list.is_empty()) || texts.iter().any(|text| !text.is_empty())
    }
}

/// How stores are asked.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ProxyFlags {
    /// Label of this querier: name="value"; may be repeated.
    #[arg(long = "selector-label", value_name = "<name>=\"<value>\"")]
    pub selector_label: Vec<String>,
    /// File with relabelling that chooses which producers are asked, and which blocks of buckets count.
    #[arg(long = "selector.relabel-config-file", value_name = "file-path", default_value = "")]
    pub relabel_file: String,
    /// Relabelling that chooses which producers are asked, and which blocks of buckets count.
    #[arg(long = "selector.relabel-config", value_name = "content", default_value = "")]
    pub relabel: String,
    /// Longest time to wait for each frame of a store; 0 waits for the deadline of the query.
    #[arg(long = "store.response-timeout", default_value = "0ms")]
    pub response_timeout: PromDuration,
    /// eager reads whole answers ahead, lazy a number of frames.
    #[arg(long = "grpc.proxy-strategy", default_value = "eager", value_parser = one_of(&["eager", "lazy"]), hide = true)]
    pub strategy: String,
    /// Frames of a store that are read ahead with the lazy strategy.
    #[arg(long = "query.lazy-retrieval-max-buffered-responses", default_value_t = 20, hide = true)]
    pub buffered_frames: usize,
    /// Of the members of an endpoint group one is asked, the best as far as is known; each shows as an
    /// endpoint of its own. So it is with stores of thanoslib that say that they have the same blocks
    /// under the same labels. Thanos has no such flag, nor the following ones.
    #[arg(long = "store.replica-groups")]
    pub replica_groups: bool,
    /// A second member of a group is asked when the first is slower than 95 of 100 of its answers.
    #[arg(long = "store.hedge", requires = "replica_groups")]
    pub hedge: bool,
    /// Another member of a group goes on when one fails, also in the middle of its answer.
    #[arg(long = "store.fail-over", requires = "replica_groups")]
    pub fail_over: bool,
    /// Failures in a row after which a store is left alone for a time; 0 never does.
    #[arg(long = "store.breaker-failures", default_value_t = 0)]
    pub breaker_failures: u32,
    /// How long such a store is left alone.
    #[arg(long = "store.breaker-rest", default_value = "10s")]
    pub breaker_rest: PromDuration,
    /// Part of a query's time that one store may take, at most 1; 0 sets no limit.
    #[arg(long = "store.time-share", default_value_t = 0.0)]
    pub time_share: f64,
}

/// Who asks.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct TenancyFlags {
    /// Header that names the tenant.
    #[arg(long = "query.tenant-header", default_value = "THANOS-TENANT")]
    pub header: String,
    /// Tenant of requests that name none.
    #[arg(long = "query.default-tenant-id", default_value = "default-tenant")]
    pub default_tenant: String,
    /// Field of the client's certificate that names the tenant.
    #[arg(
        long = "query.tenant-certificate-field",
        default_value = "",
        value_parser = one_of(&["", "organization", "organizationalUnit", "commonName"])
    )]
    pub certificate_field: String,
    /// Every tenant sees its own series alone.
    #[arg(long = "query.enforce-tenancy")]
    pub enforce: bool,
    /// Label that holds the tenant of a series.
    #[arg(long = "query.tenant-label-name", default_value = "tenant_id")]
    pub label: String,
}

/// What is counted of queries.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct TelemetryFlags {
    /// Bounds of the durations, in seconds; may be repeated.
    #[arg(
        long = "query.telemetry.request-duration-seconds-quantiles",
        default_values_t = [0.1, 0.25, 0.75, 1.25, 1.75, 2.5, 3.0, 5.0, 10.0]
    )]
    pub duration: Vec<f64>,
    /// Bounds of the samples; may be repeated.
    #[arg(
        long = "query.telemetry.request-samples-quantiles",
        default_values_t = [100.0, 1000.0, 10_000.0, 100_000.0, 1_000_000.0]
    )]
    pub samples: Vec<f64>,
    /// Bounds of the series; may be repeated.
    #[arg(
        long = "query.telemetry.request-series-seconds-quantiles",
        default_values_t = [10.0, 100.0, 1000.0, 10_000.0, 100_000.0]
    )]
    pub series: Vec<f64>,
}

/// How much memory queries may hold; Thanos has no such flags.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct MemoryFlags {
    /// Most samples that a query may hold at a time.
    #[arg(long = "query.max-samples", default_value_t = 50_000_000)]
    pub max_samples: u64,
    /// Most memory that one query may hold.
    #[arg(long = "query.max-memory", default_value = "1GiB")]
    pub max_memory: String,
    /// Most memory that all queries may hold together.
    #[arg(long = "memory.limit", default_value = "4GiB")]
    pub limit: String,
}

/// Lists with commas as single values, sorted, each once.
pub(crate) fn listed(values: &[String]) -> Vec<String> {
    let parts = values.iter().flat_map(|v| v.split(',')).map(str::trim).filter(|v| !v.is_empty());
    let mut list: Vec<String> = parts.map(str::to_owned).collect();
    list.sort();
    list.dedup();
    list
}
