//! Endpoints from flags: where they are found, how they are reached, and the watch over them.

use std::{
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use futures::FutureExt;
use thanoslib::{
    clock::Clock,
    discovery::{
        self, ClientSink, Discovery, DiscoverySettings, DnsProvider, DnsResolver, EndpointEntry, HostLookup,
    },
    metrics::{Collect, Kind, TextWriter},
    query::{EndpointSet, EndpointSettings, EndpointSpec, EndpointSpecs},
};
use thanoslib_bins_common::env::TextPair;
use thanoslib_grpc::client::{ClientMetrics, Connector, GroupMembers};

use super::{
    clients,
    flags::{ClientFlags, EndpointFlags},
    serve::Task,
};

/// The endpoints of a querier.
#[derive(Clone, Debug)]
pub(crate) struct Endpoints {
    pub(crate) set: Arc<EndpointSet>,
    calls: Arc<ClientMetrics>,
    discovery: Arc<Discovery>,
}

impl Endpoints {
    /// Finds what the flags name; nothing is connected yet.
    pub(crate) async fn open(
        flags: &EndpointFlags,
        client: &ClientFlags,
        query_timeout: Duration,
        replica_groups: bool,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        let global = clients::settings(client);
        let groups = Arc::new(Groups::default());
        let calls = Arc::new(ClientMetrics::default());
        let connector = Connector::new(clients::to_grpc(&global)?)?
            .with_groups(Arc::clone(&groups) as _)
            .with_metrics(Arc::clone(&calls));
        let connector = Arc::new(connector);
        let resolver = match flags.dns_resolver.as_str() {
            "miekgdns" => HostLookup::Servers,
            "golang" => HostLookup::System,
            other => bail!("unknown --store.sd-dns-resolver {other:?}: take miekgdns or golang"),
        };
        let sink = Arc::new(Clients(Arc::clone(&connector)));
        let resolver = Arc::new(DnsResolver::new(resolver)?);
        let discovery = Discovery::new(settings(flags, global)?, resolver, sink)
            .await
            .context("unable to load config initially")?;
        let discovery = Arc::new(discovery);
        // Set once, right here.
        let _ = groups.0.set(Arc::clone(&discovery));
        let (info_timeout, unhealthy_timeout) = (flags.info_timeout.0, flags.unhealthy_timeout.0);
        let watched = EndpointSettings {
            info_timeout,
            unhealthy_timeout,
            close_delay: info_timeout.max(unhealthy_timeout).max(query_timeout),
        };
        let specs: Arc<dyn EndpointSpecs> = match replica_groups {
            true => Arc::new(Members(Arc::clone(&discovery))),
            false => Arc::clone(&discovery) as _,
        };
        let set = EndpointSet::new(specs, connector, clock, watched);
        Ok(Self { set: Arc::new(set), calls, discovery })
    }

    /// What keeps discovery and watch going.
    pub(crate) fn tasks(&self) -> Vec<Task> {
        let (set, discovery) = (Arc::clone(&self.set), Arc::clone(&self.discovery));
        vec![
            Box::new(move |stopped| async move { set.run(stopped).await }.boxed()),
            Box::new(move |stopped| async move { discovery.run(stopped).await }.boxed()),
        ]
    }
}

fn settings(flags: &EndpointFlags, client: discovery::ClientSettings) -> Result<DiscoverySettings> {
    let mut entries = Vec::new();
    for (addresses, strict, group) in [
        (&flags.endpoint, false, false),
        (&flags.group, false, true),
        (&flags.strict, true, false),
        (&flags.group_strict, true, true),
    ] {
        for address in addresses.iter().filter(|a| !a.is_empty()) {
            entries.push(EndpointEntry { strict, group, ..EndpointEntry::new(address) });
        }
    }
    let file = Some(PathBuf::from(&flags.sd_config_file)).filter(|f| !f.as_os_str().is_empty());
    let text =
        TextPair { flag: "endpoint.sd-config", text: Some(flags.sd_config.as_str()), file: file.as_deref() };
    // A file is read by discovery, which watches it.
    let config = match (&file, text.get()?) {
        (None, text) => text,
        (Some(_), _) => None,
    };
    Ok(DiscoverySettings {
        entries,
        config,
        config_file: file,
        config_interval: flags.sd_config_reload.0,
        target_files: flags.sd_files.clone(),
        target_files_interval: flags.sd_interval.0,
        dns_interval: flags.dns_interval.0,
        client,
    })
}

/// The members of groups, known once discovery is there.
#[derive(Debug, Default)]
struct Groups(OnceLock<Arc<Discovery>>);

impl GroupMembers for Groups {
    fn members(&self, group: &str) -> Arc<[String]> {
        self.0.get().map(|d| d.group_members(group)).unwrap_or_else(|| Arc::new([]))
    }
}

/// The members of each group as endpoints of their own that hold the same data.
#[derive(Debug)]
struct Members(Arc<Discovery>);

impl EndpointSpecs for Members {
    fn specs(&self) -> Vec<EndpointSpec> {
        let (groups, mut specs): (Vec<_>, Vec<_>) = self.0.specs().into_iter().partition(|s| s.group);
        for group in groups {
            let members = self.0.group_members(&group.address);
            specs.extend(members.iter().map(|address| EndpointSpec {
                address: address.clone(),
                group: false,
                service_config: None,
                replicas: Some(group.address.clone()),
                ..group.clone()
            }));
        }
        specs
    }
}

/// Hands the settings that a configuration names to the connector.
#[derive(Debug)]
struct Clients(Arc<Connector>);

impl ClientSink for Clients {
    fn set_client(&self, name: &str, settings: &discovery::ClientSettings) -> thanoslib::Result<()> {
        self.0.set_client(name, clients::to_grpc(settings)?)
    }
}

impl Collect for Endpoints {
    fn collect(&self, out: &mut TextWriter) {
        self.calls.collect(out);
        let name = "thanos_store_nodes_grpc_connections";
        out.family(name, "Endpoints that requests go to.", Kind::Gauge);
        let mut counts = std::collections::BTreeMap::<(String, &str), u64>::new();
        for connection in self.set.connections() {
            *counts.entry((connection.external_labels, connection.component)).or_default() += 1;
        }
        for ((labels, component), n) in &counts {
            out.sample(name, &[("external_labels", labels), ("store_type", component)], *n as f64);
        }
        out.single(
            "thanos_query_duplicated_endpoint_addresses_total",
            "Addresses that were named more than once.",
            Kind::Counter,
            self.set.duplicates() as f64,
        );
        names(out, "thanos_query_endpoints", self.discovery.endpoint_names());
        names(out, "thanos_query_endpoint_groups", self.discovery.group_names());
    }
}

/// What is counted of names that are looked up.
fn names(out: &mut TextWriter, prefix: &str, names: &DnsProvider) {
    let results = format!("{prefix}_dns_provider_results");
    out.family(&results, "Addresses that a name stands for.", Kind::Gauge);
    for (name, n) in names.results() {
        out.sample(&results, &[("addr", &name)], n as f64);
    }
    let statistics = names.statistics();
    let lookups = statistics.lookups.load(std::sync::atomic::Ordering::Relaxed);
    out.single(&format!("{prefix}_dns_lookups_total"), "Names looked up.", Kind::Counter, lookups as f64);
    let failures = statistics.failures.load(std::sync::atomic::Ordering::Relaxed);
    out.single(
        &format!("{prefix}_dns_failures_total"),
        "Names that were not found.",
        Kind::Counter,
        failures as f64,
    );
}
