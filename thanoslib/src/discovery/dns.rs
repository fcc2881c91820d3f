//! Names and the addresses they stand for, refreshed.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use futures::{StreamExt, stream};

use super::{Lookup, LookupKind, Resolve};
use crate::{
    context::Context,
    error::{Error, Result},
};

/// Names looked up at the same time.
const CONCURRENT: usize = 64;

/// Counters of a provider.
///
/// See [`DnsProvider`].
#[derive(Debug, Default)]
pub struct DnsStatistics {
    /// Names that were looked up.
    pub lookups: AtomicU64,
    /// Names that could not be looked up.
    pub failures: AtomicU64,
}

/// Keeps the addresses of names.
///
/// ```no_run
/// # async fn f() -> thanoslib::Result<()> {
/// use std::sync::Arc;
/// use thanoslib::{Context, discovery::{DnsProvider, DnsResolver, HostLookup}};
/// let provider = DnsProvider::new(Arc::new(DnsResolver::new(HostLookup::Servers)?));
/// let names = ["dns+store.example:10901".to_owned()];
/// provider.resolve(&Context::default(), &names).await;
/// println!("{:?}", provider.addresses(&names[0]));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct DnsProvider {
    resolver: Arc<dyn Resolve>,
    known: RwLock<BTreeMap<String, Arc<[String]>>>,
    statistics: DnsStatistics,
}

impl DnsProvider {
    /// A provider that knows no name yet.
    pub fn new(resolver: Arc<dyn Resolve>) -> Self {
        Self { resolver, known: RwLock::default(), statistics: DnsStatistics::default() }
    }

    /// Looks all names up.
    ///
    /// A name that fails keeps its addresses; names that are not among `names` any more are
    /// forgotten in a round in which no name fails.
    pub async fn resolve(&self, ctx: &Context, names: &[String]) {
        let wanted: BTreeSet<&String> = names.iter().collect();
        let lookups: Vec<_> = wanted
            .iter()
            .map(|name| async { ((*name).clone(), ctx.run(self.look_up(name)).await) })
            .collect();
        let found: Vec<(String, Result<Vec<String>>)> =
            stream::iter(lookups).buffered(CONCURRENT).collect().await;
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let mut failed = false;
        for (name, addresses) in found {
            self.statistics.lookups.fetch_add(1, Ordering::Relaxed);
            match addresses {
                Ok(mut addresses) => {
                    if addresses.is_empty() {
                        tracing::warn!(%name, "nothing found");
                    }
                    addresses.sort();
                    addresses.dedup();
                    known.insert(name, Arc::from(addresses));
                }
                Err(error) => {
                    failed = true;
                    self.statistics.failures.fetch_add(1, Ordering::Relaxed);
                    tracing::warn!(%name, %error, "name cannot be looked up");
                }
            }
        }
        if !failed {
            known.retain(|name, _| wanted.contains(name));
        }
    }

    /// The addresses that a name stands for, sorted.
    pub fn addresses(&self, name: &str) -> Arc<[String]> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.get(name).cloned().unwrap_or_default()
    }

    /// Each name with the number of its addresses.
    pub fn results(&self) -> Vec<(String, usize)> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.iter().map(|(name, addresses)| (name.clone(), addresses.len())).collect()
    }

    /// What was counted so far.
    pub fn statistics(&self) -> &DnsStatistics {
        &self.statistics
    }

    async fn look_up(&self, name: &str) -> Result<Vec<String>> {
        let lookup = Lookup::parse(name)?;
        let port = lookup.port.clone().unwrap_or_default();
        let at = |ip: IpAddr| lookup.address(&ip.to_string(), &port);
        match (lookup.kind, lookup.ip()) {
            (LookupKind::Literal, _) => Ok(vec![name.to_owned()]),
            (LookupKind::Dns | LookupKind::DualStack, Some(ip)) => Ok(vec![at(ip)]),
            (LookupKind::Dns, None) => {
                Ok(self.resolver.host(&lookup.host).await?.into_iter().map(at).collect())
            }
            (LookupKind::DualStack, None) => {
                Ok(self.both_families(&lookup.host).await?.into_iter().map(at).collect())
            }
            (LookupKind::Srv | LookupKind::SrvNoA, _) => self.services(&lookup).await,
        }
    }

    /// Addresses of both families; an error only if nothing was found.
    async fn both_families(&self, host: &str) -> Result<Vec<IpAddr>> {
        let (six, four) = futures::join!(self.resolver.ipv6(host), self.resolver.ipv4(host));
        let mut found: Vec<IpAddr> = six.iter().flatten().copied().map(IpAddr::V6).collect();
        found.extend(four.iter().flatten().copied().map(IpAddr::V4));
        match (six, four) {
            (Err(six), Err(four)) => Err(Error::unavailable(format!("{six}; {four}"))),
            (Err(e), _) | (_, Err(e)) if found.is_empty() => Err(e),
            _ => Ok(found),
        }
    }

    async fn services(&self, lookup: &Lookup) -> Result<Vec<String>> {
        let mut found = Vec::new();
        for (target, port) in self.resolver.srv(&lookup.host).await? {
            let port = lookup.port.clone().unwrap_or_else(|| port.to_string());
            let target = target.trim_end_matches('.');
            if lookup.kind == LookupKind::SrvNoA {
                found.push(lookup.address(target, &port));
                continue;
            }
            let hosts = self.resolver.host(target).await?;
            found.extend(hosts.into_iter().map(|ip| lookup.address(&ip.to_string(), &port)));
        }
        Ok(found)
    }
}
