//! Both providers keep the contract of stores.

use std::sync::Arc;

use external_provider::{SensorChunks, SensorRows};
use thanoslib::{
    Result,
    model::{Interval, Labels},
    store::{ChunkStore, SourceStore},
    testing::store_contract,
};

fn rows() -> SensorRows {
    let sensors = ["kitchen", "attic", "cellar"].map(str::to_owned).to_vec();
    SensorRows { sensors, interval: Interval::new(60_000, 180 * 60_000) }
}

#[tokio::test]
async fn rows_keep_the_contract() -> Result<()> {
    let site = Labels::from_pairs([("site", "home")]);
    store_contract(&SourceStore::conforming(Arc::new(rows()), site)).await
}

#[tokio::test]
async fn chunks_keep_the_contract() -> Result<()> {
    let site = Labels::from_pairs([("site", "home")]);
    let chunks = SensorChunks::new(&rows())?;
    store_contract(&ChunkStore::conforming(Arc::new(chunks), site)).await
}
