//! Stores that say that they have the same blocks are a group, for as long as they say so.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use thanoslib::{
    Result, SystemClock,
    apis::Apis,
    bucket::Bucket,
    context::Context,
    model::Labels,
    query::{Connect, EndpointInfo, EndpointSet, EndpointSettings, EndpointSpec, Peer},
    store::{
        Abilities, BlockSet, LabelNames, LabelNamesRequest, LabelValues, LabelValuesRequest, Proxy,
        ProxySettings, SeriesRequest, SeriesStream, Store, StoreInfo, Stores, Tolerance,
    },
};

use crate::{
    proxy::request,
    support::{Block, Streamed, block_set, id, labels, stream},
};

/// A store gateway that counts how often it is asked.
#[derive(Debug)]
struct Gateway {
    blocks: Arc<BlockSet>,
    asked: AtomicUsize,
}

#[async_trait]
impl Store for Gateway {
    fn info(&self) -> StoreInfo {
        self.blocks.info()
    }

    fn abilities(&self) -> Abilities {
        self.blocks.abilities()
    }

    async fn series(&self, ctx: &Context, request: SeriesRequest) -> Result<SeriesStream> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.blocks.series(ctx, request).await
    }

    async fn label_names(&self, ctx: &Context, request: LabelNamesRequest) -> Result<LabelNames> {
        self.blocks.label_names(ctx, request).await
    }

    async fn label_values(&self, ctx: &Context, request: LabelValuesRequest) -> Result<LabelValues> {
        self.blocks.label_values(ctx, request).await
    }
}

/// A connection to one of the gateways, by its number.
#[derive(Debug)]
struct Near(Arc<Gateway>);

#[async_trait]
impl Peer for Near {
    async fn info(&self, _: &Context) -> Result<EndpointInfo> {
        Ok(EndpointInfo::of_store(self.0.info()))
    }

    fn apis(&self) -> Apis {
        Apis { store: Some(Arc::clone(&self.0) as _), ..Apis::default() }
    }
}

#[derive(Debug)]
struct Gateways(Vec<Arc<Gateway>>);

#[async_trait]
impl Connect for Gateways {
    async fn connect(&self, spec: &EndpointSpec) -> Result<Arc<dyn Peer>> {
        let number: usize = spec.address.parse().expect("a number");
        Ok(Arc::new(Near(Arc::clone(&self.0[number]))))
    }
}

/// Twins over buckets of their own with the same blocks, in either order, and what watches them.
struct Stage {
    buckets: Vec<Bucket>,
    gateways: Vec<Arc<Gateway>>,
    endpoints: Arc<EndpointSet>,
    proxy: Proxy,
}

impl Stage {
    async fn new(external: [&'static str; 2], order: [&str; 2]) -> Self {
        let (mut buckets, mut gateways) = (Vec::new(), Vec::new());
        for cluster in external {
            let bucket = Bucket::memory("test");
            for n in [1, 2] {
                let series = [labels(&[("__name__", "up"), ("block", &n.to_string())])];
                let external: &[(&str, &str)] =
                    if cluster.is_empty() { &[] } else { &[("cluster", cluster)] };
                Block::steady(n, external, &series).put(&bucket).await;
            }
            gateways.push(Arc::new(Gateway { blocks: block_set(&bucket).await, asked: AtomicUsize::new(0) }));
            buckets.push(bucket);
        }
        let specs: Vec<_> = order.map(EndpointSpec::new).to_vec();
        let settings =
            EndpointSettings { info_timeout: Duration::from_secs(5), ..EndpointSettings::default() };
        let connect = Arc::new(Gateways(gateways.clone()));
        let endpoints = Arc::new(EndpointSet::new(Arc::new(specs), connect, Arc::new(SystemClock), settings));
        endpoints.update().await;
        let tolerance = Tolerance { groups: true, fail_over: true, ..Tolerance::default() };
        let settings = ProxySettings { tolerance, ..ProxySettings::default() };
        let proxy = Proxy::new(Arc::clone(&endpoints) as _, settings);
        Self { buckets, gateways, endpoints, proxy }
    }

    /// The answer, and how many were asked for it.
    async fn answer(&self) -> (Streamed, usize) {
        let asked = || self.gateways.iter().map(|g| g.asked.load(Ordering::Relaxed)).sum::<usize>();
        let before = asked();
        (stream(&self.proxy, request()).await.expect("an answer"), asked() - before)
    }

    /// Takes the second block out of the bucket of one of them.
    async fn lose(&self, one: usize) {
        for file in ["meta.json", "index", "chunks/000001"] {
            self.buckets[one].delete(&format!("{}/{file}", id(2))).await.expect("deleted");
        }
    }

    async fn sync(&self) {
        for gateway in &self.gateways {
            gateway.blocks.sync(&Context::default()).await.expect("a sync");
        }
        self.endpoints.update().await;
    }
}

fn both(cluster: &str) -> Vec<Labels> {
    ["1", "2"].map(|n| labels(&[("__name__", "up"), ("block", n), ("cluster", cluster)])).to_vec()
}

#[tokio::test]
async fn twins_are_a_group_only_while_their_blocks_are_the_same() {
    for (order, lacks) in [(["0", "1"], 0), (["0", "1"], 1), (["1", "0"], 0)] {
        let stage = Stage::new(["eu", "eu"], order).await;
        let (whole, asked) = stage.answer().await;
        assert_eq!((whole.labels(), asked), (both("eu"), 1));
        // One of them loses a block: whichever would be asked, the answer is whole.
        stage.lose(lacks).await;
        stage.sync().await;
        let (got, asked) = stage.answer().await;
        assert_eq!((&got, asked), (&whole, 2), "{order:?}, {lacks}");
        // The other one, too: they are equal again.
        stage.lose(1 - lacks).await;
        stage.sync().await;
        let (got, asked) = stage.answer().await;
        assert_eq!((got.labels(), asked), (both("eu")[..1].to_vec(), 1));
    }
}

#[tokio::test]
async fn stores_of_other_labels_and_of_none_are_no_twins() {
    let stage = Stage::new(["eu", "us"], ["0", "1"]).await;
    let (got, asked) = stage.answer().await;
    assert_eq!((got.labels().len(), asked), (4, 2));
    let stage = Stage::new(["", ""], ["0", "1"]).await;
    let (got, asked) = stage.answer().await;
    assert_eq!((got.labels().len(), asked), (2, 2));
    assert!(stage.endpoints.stores().iter().all(|m| m.group.is_none() && m.info.blocks_hash.is_some()));
}
