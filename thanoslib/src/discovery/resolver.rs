//! Asking DNS.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use async_trait::async_trait;
use hickory_resolver::{
    TokioResolver, config::ResolveHosts, lookup::Lookup, net::NetError, proto::rr::RData,
};

use crate::error::{Error, Result};

/// Asks DNS; nothing found is an empty answer.
///
/// See [`DnsResolver`].
#[async_trait]
pub trait Resolve: fmt::Debug + Send + Sync + 'static {
    /// The addresses of a host, those of the family that is preferred or all.
    async fn host(&self, name: &str) -> Result<Vec<IpAddr>>;
    /// The IPv4 addresses of a host.
    async fn ipv4(&self, name: &str) -> Result<Vec<Ipv4Addr>>;
    /// The IPv6 addresses of a host.
    async fn ipv6(&self, name: &str) -> Result<Vec<Ipv6Addr>>;
    /// Hosts and ports of a service.
    async fn srv(&self, name: &str) -> Result<Vec<(String, u16)>>;
}

/// Where the addresses of a host for `dns+` come from.
///
/// See [`DnsResolver`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum HostLookup {
    /// From the servers of `/etc/resolv.conf`: IPv6, or IPv4 if there is none.
    #[default]
    Servers,
    /// From the system, all families.
    System,
}

/// Asks the DNS servers that the system is configured for.
///
/// ```no_run
/// use thanoslib::discovery::{DnsResolver, HostLookup, Resolve};
/// # async fn f() -> thanoslib::Result<()> {
/// let resolver = DnsResolver::new(HostLookup::Servers)?;
/// println!("{:?}", resolver.srv("_grpc._tcp.store.example").await?);
/// # Ok(())
/// # }
/// ```
pub struct DnsResolver {
    servers: TokioResolver,
    hosts: HostLookup,
}

impl fmt::Debug for DnsResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DnsResolver").field("hosts", &self.hosts).finish_non_exhaustive()
    }
}

impl DnsResolver {
    /// A resolver by the configuration of the system.
    ///
    /// # Errors
    /// `Invalid` when the configuration cannot be read.
    pub fn new(hosts: HostLookup) -> Result<Self> {
        let wrong = |e: NetError| Error::invalid(format!("DNS configuration of the system: {e}"));
        let mut builder = TokioResolver::builder_tokio().map_err(wrong)?;
        // Each round asks anew; a name that was removed must not stay for its time to live.
        builder.options_mut().cache_size = 0;
        builder.options_mut().use_hosts_file = ResolveHosts::Never;
        Ok(Self { servers: builder.build().map_err(wrong)?, hosts })
    }
}

#[async_trait]
impl Resolve for DnsResolver {
    async fn host(&self, name: &str) -> Result<Vec<IpAddr>> {
        if self.hosts == HostLookup::System {
            return system(name).await;
        }
        let six = self.ipv6(name).await;
        if let Ok(found) = &six
            && !found.is_empty()
        {
            return Ok(found.iter().copied().map(IpAddr::V6).collect());
        }
        Ok(self.ipv4(name).await?.into_iter().map(IpAddr::V4).collect())
    }

    async fn ipv4(&self, name: &str) -> Result<Vec<Ipv4Addr>> {
        let address = |data: &RData| if let RData::A(a) = data { Some(a.0) } else { None };
        found(self.servers.ipv4_lookup(name).await, name, address)
    }

    async fn ipv6(&self, name: &str) -> Result<Vec<Ipv6Addr>> {
        let address = |data: &RData| if let RData::AAAA(a) = data { Some(a.0) } else { None };
        found(self.servers.ipv6_lookup(name).await, name, address)
    }

    async fn srv(&self, name: &str) -> Result<Vec<(String, u16)>> {
        let target = |data: &RData| match data {
            RData::SRV(srv) => Some((srv.target.to_ascii(), srv.port)),
            _ => None,
        };
        found(self.servers.srv_lookup(name).await, name, target)
    }
}

fn found<T>(
    answer: Result<Lookup, NetError>,
    name: &str,
    wanted: impl Fn(&RData) -> Option<T>,
) -> Result<Vec<T>> {
    match answer {
        Ok(lookup) => Ok(lookup.answers().iter().filter_map(|record| wanted(&record.data)).collect()),
        Err(e) if e.is_no_records_found() => Ok(Vec::new()),
        Err(e) => Err(Error::unavailable(format!("lookup {name}: {e}"))),
    }
}

/// The addresses that the system gives for a host.
async fn system(name: &str) -> Result<Vec<IpAddr>> {
    match tokio::net::lookup_host((name, 0)).await {
        Ok(found) => Ok(found.map(|address| address.ip()).collect()),
        // The system library has texts, no codes, for names that do not exist.
        Err(e) if ["not known", "No address associated"].iter().any(|t| e.to_string().contains(t)) => {
            Ok(Vec::new())
        }
        Err(e) => Err(Error::unavailable(format!("lookup {name}: {e}")).with_source(e)),
    }
}
