//! Flags of `thanos query`.

use thanoslib_bins_common::server_flags::{GrpcServerFlags, HttpServerFlags, StoreLimitFlags};

use crate::querier::flags::{
    AnswerFlags, ClientFlags, EndpointFlags, EngineFlags, MemoryFlags, ProxyFlags, TelemetryFlags,
    TenancyFlags, WebFlags,
};

/// Query node exposing PromQL enabled Query API with data retrieved from multiple store nodes.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct QueryFlags {
    #[command(flatten)]
    pub http: HttpServerFlags,
    #[command(flatten)]
    pub grpc: GrpcServerFlags,
    #[command(flatten)]
    pub client: ClientFlags,
    #[command(flatten)]
    pub web: WebFlags,
    #[command(flatten)]
    pub engine: EngineFlags,
    #[command(flatten)]
    pub answers: AnswerFlags,
    #[command(flatten)]
    pub endpoints: EndpointFlags,
    #[command(flatten)]
    pub proxy: ProxyFlags,
    #[command(flatten)]
    pub tenancy: TenancyFlags,
    #[command(flatten)]
    pub limits: StoreLimitFlags,
    #[command(flatten)]
    pub telemetry: TelemetryFlags,
    #[command(flatten)]
    pub memory: MemoryFlags,
}
