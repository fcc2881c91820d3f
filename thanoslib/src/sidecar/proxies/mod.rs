//! The other APIs of a Prometheus, with its external labels on everything that has labels.
//!
//! Invariant: asks the server at each call and keeps nothing.

mod exemplars;
mod metadata;
mod rules;
mod status;
mod targets;

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Deserializer};

use crate::{
    apis::Apis,
    model::{
        Labels, LabelsBuilder, Warning, Warnings,
        duration::{UnixTime, parse_rfc3339},
    },
    store::prometheus::PrometheusStore,
};

/// Rules, targets, metadata, exemplars and statistics of the Prometheus behind a store.
///
/// ```
/// use std::sync::Arc;
/// use thanoslib::sidecar::PrometheusApis;
/// use thanoslib::store::prometheus::{HttpClientConfig, PrometheusClient, PrometheusStore};
/// let client = PrometheusClient::new("http://localhost:9090", &HttpClientConfig::default())?;
/// let apis = PrometheusApis::apis(Arc::new(PrometheusStore::new(client)));
/// assert!(apis.rules.is_some() && apis.query.is_none());
/// # Ok::<(), thanoslib::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct PrometheusApis {
    store: Arc<PrometheusStore>,
}

impl PrometheusApis {
    /// The store and all APIs beside.
    pub fn apis(store: Arc<PrometheusStore>) -> Apis {
        let all = Arc::new(Self { store: Arc::clone(&store) });
        Apis {
            store: Some(store),
            rules: Some(Arc::clone(&all) as _),
            targets: Some(Arc::clone(&all) as _),
            metadata: Some(Arc::clone(&all) as _),
            exemplars: Some(Arc::clone(&all) as _),
            status: Some(all),
            query: None,
        }
    }

    /// Labels with the external ones laid over, which win.
    fn overlay(&self, labels: &TextMap) -> Labels {
        let mut out = LabelsBuilder::from_labels(labels.labels().view());
        for label in self.store.external_labels().iter() {
            out.set(label.name, label.value);
        }
        out.labels()
    }
}

/// Labels or annotations as JSON has them; a null is none.
#[derive(Debug, Default)]
struct TextMap(BTreeMap<String, String>);

impl TextMap {
    fn labels(&self) -> Labels {
        Labels::from_pairs(&self.0)
    }
}

impl<'de> Deserialize<'de> for TextMap {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Ok(Self(Option::deserialize(d)?.unwrap_or_default()))
    }
}

/// A time as text; the year 1 is none.
fn time<'de, D: Deserializer<'de>>(d: D) -> Result<Option<UnixTime>, D::Error> {
    let text = Option::<String>::deserialize(d)?.unwrap_or_default();
    Ok(parse_rfc3339(&text).filter(|t| t.secs > YEAR_1_SECS))
}

/// What Go prints for a time that was never set.
const YEAR_1_SECS: i64 = -62_135_596_800;

fn warnings(texts: Vec<String>) -> Warnings {
    let mut out = Warnings::default();
    out.extend(texts.into_iter().map(Warning::new));
    out
}

#[cfg(test)]
mod tests;
