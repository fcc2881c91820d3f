//! All sources of endpoints together, kept fresh.

use std::{
    fmt,
    future::Future,
    path::PathBuf,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use super::{
    ClientSettings, DnsProvider, EndpointEntry, EndpointsConfig, FileTargets, Lookup, Resolve,
    files::read_text,
};
use crate::{
    context::Context,
    error::{Error, Result},
    query::{EndpointSpec, EndpointSpecs},
};

/// How often files are looked at for changes.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Where endpoints come from; plain data.
///
/// ```
/// use thanoslib::discovery::{DiscoverySettings, EndpointEntry};
/// let settings = DiscoverySettings {
///     entries: vec![EndpointEntry::new("dns+store.example:10901")],
///     ..DiscoverySettings::default()
/// };
/// assert_eq!(settings.dns_interval.as_secs(), 30);
/// ```
#[derive(Clone, Debug)]
pub struct DiscoverySettings {
    /// Endpoints that are given one by one.
    pub entries: Vec<EndpointEntry>,
    /// The text of a configuration.
    pub config: Option<String>,
    /// The file of a configuration, which is watched. Not together with the text.
    pub config_file: Option<PathBuf>,
    /// The configuration is read at least so often. Default: 5 min.
    pub config_interval: Duration,
    /// Target files; `*` and `?` may stand in the last part of a path.
    pub target_files: Vec<String>,
    /// Target files are read at least so often. Default: 5 min.
    pub target_files_interval: Duration,
    /// Names are looked up so often, and in this time. Default: 30 s.
    pub dns_interval: Duration,
    /// How endpoints are spoken to that no configuration says more of.
    pub client: ClientSettings,
}

impl Default for DiscoverySettings {
    fn default() -> Self {
        let five_minutes = Duration::from_secs(300);
        Self {
            entries: Vec::new(),
            config: None,
            config_file: None,
            config_interval: five_minutes,
            target_files: Vec::new(),
            target_files_interval: five_minutes,
            dns_interval: Duration::from_secs(30),
            client: ClientSettings::default(),
        }
    }
}

/// Takes the settings that endpoints name in [`EndpointSpec::client`].
///
/// See [`Discovery`].
pub trait ClientSink: fmt::Debug + Send + Sync + 'static {
    /// Makes settings known by a name.
    ///
    /// # Errors
    /// What is wrong with them; endpoints that name them are left out.
    fn set_client(&self, name: &str, settings: &ClientSettings) -> Result<()>;
}

/// All sources of endpoints together.
///
/// ```no_run
/// # use std::sync::Arc;
/// # use thanoslib::discovery::{ClientSink, Discovery, DiscoverySettings, DnsResolver, HostLookup};
/// # async fn f(settings: DiscoverySettings, clients: Arc<dyn ClientSink>) -> thanoslib::Result<()> {
/// let resolver = Arc::new(DnsResolver::new(HostLookup::Servers)?);
/// let discovery = Discovery::new(settings, resolver, clients).await?;
/// discovery.run(std::future::pending()).await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Discovery {
    settings: DiscoverySettings,
    clients: Arc<dyn ClientSink>,
    files: FileTargets,
    endpoints: DnsProvider,
    groups: DnsProvider,
    state: RwLock<State>,
    reload_failures: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    /// Text of the configuration in use.
    text: String,
    /// Entries of the configuration and those given one by one, with the name of their settings.
    entries: Vec<(EndpointEntry, Option<String>)>,
    /// Name of the settings of target files.
    default_client: Option<String>,
}

impl Discovery {
    /// Reads configuration and files, and looks all names up once.
    ///
    /// # Errors
    /// `Invalid` for a configuration or an entry that is not sound; later ones are only logged.
    pub async fn new(
        settings: DiscoverySettings,
        resolver: Arc<dyn Resolve>,
        clients: Arc<dyn ClientSink>,
    ) -> Result<Self> {
        if settings.config.is_some() && settings.config_file.is_some() {
            return Err(Error::invalid("endpoint configuration: both a text and a file are given"));
        }
        let discovery = Self {
            files: FileTargets::new(settings.target_files.clone()),
            endpoints: DnsProvider::new(Arc::clone(&resolver)),
            groups: DnsProvider::new(resolver),
            state: RwLock::default(),
            reload_failures: AtomicU64::new(0),
            clients,
            settings,
        };
        let text = discovery.text().await?;
        discovery.apply(text)?;
        discovery.files.refresh().await;
        discovery.resolve().await;
        Ok(discovery)
    }

    /// Keeps everything fresh until `shutdown` ends.
    pub async fn run(&self, shutdown: impl Future<Output = ()> + Send) {
        let fresh = async {
            let mut resolved = Instant::now();
            let DiscoverySettings { config_interval, target_files_interval, dns_interval, .. } =
                self.settings;
            // What is looked at every second is read in any longer interval, too.
            let look_every = LOOK_EVERY.min(config_interval).min(target_files_interval).min(dns_interval);
            loop {
                tokio::time::sleep(look_every.max(Duration::from_millis(1))).await;
                let changed = self.reload().await | self.files.refresh().await;
                if changed || resolved.elapsed() >= self.settings.dns_interval {
                    self.resolve().await;
                    resolved = Instant::now();
                }
            }
        };
        tokio::select! {
            () = shutdown => {}
            () = fresh => {}
        }
    }

    /// Reads the configuration again; true when it has changed. A bad one leaves the old.
    pub async fn reload(&self) -> bool {
        let text = match self.text().await {
            Ok(text) => text,
            Err(error) => return self.refused(&error),
        };
        if self.state.read().unwrap_or_else(PoisonError::into_inner).text == text {
            return false;
        }
        match self.apply(text) {
            Ok(()) => true,
            Err(error) => self.refused(&error),
        }
    }

    fn refused(&self, error: &Error) -> bool {
        self.reload_failures.fetch_add(1, Ordering::Relaxed);
        tracing::error!(%error, "endpoint configuration cannot be used, the old one stays");
        false
    }

    /// How often a configuration could not be used.
    pub fn reload_failures(&self) -> u64 {
        self.reload_failures.load(Ordering::Relaxed)
    }

    /// Looks all names up, in the time until the next round.
    pub async fn resolve(&self) {
        let (mut endpoints, mut groups) = (self.files.addresses(), Vec::new());
        for (entry, _) in &self.state.read().unwrap_or_else(PoisonError::into_inner).entries {
            let names = if entry.group { &mut groups } else { &mut endpoints };
            names.push(entry.address.clone());
        }
        let ctx = Context::default().with_timeout(self.settings.dns_interval);
        futures::join!(self.endpoints.resolve(&ctx, &endpoints), self.groups.resolve(&ctx, &groups));
    }

    /// The addresses that a group stands for.
    pub fn group_members(&self, group: &str) -> Arc<[String]> {
        self.groups.addresses(group)
    }

    /// The names of endpoints, and what they stand for.
    pub fn endpoint_names(&self) -> &DnsProvider {
        &self.endpoints
    }

    /// The names of groups, and what they stand for.
    pub fn group_names(&self) -> &DnsProvider {
        &self.groups
    }

    /// The target files.
    pub fn files(&self) -> &FileTargets {
        &self.files
    }

    async fn text(&self) -> Result<String> {
        match &self.settings.config_file {
            Some(file) => read_text(file).await,
            None => Ok(self.settings.config.clone().unwrap_or_default()),
        }
    }

    fn apply(&self, text: String) -> Result<()> {
        let mut config = EndpointsConfig::parse(&text)?;
        config.endpoints.extend(self.settings.entries.iter().cloned());
        config.check()?;
        let default = config.default_client(&self.settings.client);
        let mut entries = Vec::with_capacity(config.endpoints.len());
        for entry in config.endpoints {
            let settings = entry.own_client(&default).unwrap_or_else(|| default.clone());
            match self.client(&settings) {
                Ok(client) => entries.push((entry, client)),
                Err(error) => {
                    tracing::error!(address = %entry.address, %error, "endpoint is left out: its client settings cannot be used");
                }
            }
        }
        let default_client = self.client(&default)?;
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = State { text, entries, default_client };
        Ok(())
    }

    /// The name of settings; `None` for those that apply where none are named.
    fn client(&self, settings: &ClientSettings) -> Result<Option<String>> {
        if *settings == self.settings.client {
            return Ok(None);
        }
        let name = settings.name();
        self.clients.set_client(&name, settings)?;
        Ok(Some(name))
    }
}

impl EndpointSpecs for Discovery {
    fn specs(&self) -> Vec<EndpointSpec> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let mut specs = Vec::new();
        for (entry, client) in &state.entries {
            let spec = |address: &str| EndpointSpec {
                strict: entry.strict,
                group: entry.group,
                service_config: entry.service_config.clone(),
                client: client.clone(),
                ..EndpointSpec::new(address)
            };
            if entry.group || !is_dynamic(&entry.address) {
                specs.push(spec(&entry.address));
            } else {
                specs.extend(self.endpoints.addresses(&entry.address).iter().map(|a| spec(a)));
            }
        }
        for name in self.files.addresses() {
            let spec = |address: &str| EndpointSpec {
                client: state.default_client.clone(),
                ..EndpointSpec::new(address)
            };
            specs.extend(self.endpoints.addresses(&name).iter().map(|address| spec(address)));
        }
        specs
    }
}

fn is_dynamic(address: &str) -> bool {
    Lookup::parse(address).is_ok_and(|lookup| lookup.is_dynamic())
}
