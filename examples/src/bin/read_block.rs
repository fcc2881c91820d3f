//! Prints the first series of a block: its labels, chunks and samples.
//!
//! `cargo run -p thanoslib-examples --bin read_block -- DIR/01ABC…`

use std::sync::Arc;

use anyhow::{Context as _, Result};
use futures::TryStreamExt;
use thanoslib::{
    Block, Chunk, Context, Interval, LocalReader, MatchOp, Matcher, SampleColumns, block::BlockSelect,
};

/// Series that are printed.
const SERIES: usize = 10;

#[tokio::main]
async fn main() -> Result<()> {
    let dir = std::env::args().nth(1).context("name the folder of a block")?;
    let ctx = Context::default();
    let block = Block::open(&ctx, Arc::new(LocalReader::new(dir))).await?;
    let meta = block.meta();
    println!("block {} covers {}, {} series", meta.ulid, meta.range(), meta.stats.num_series);
    let all = Matcher::new(MatchOp::Regex, "__name__", ".*")?;
    let select = BlockSelect {
        matchers: vec![all],
        interval: Interval::ALL,
        skip_chunks: false,
        aggregates: Vec::new(),
    };
    let mut batches = block.select(&ctx, select).await?;
    let mut printed = 0;
    while let Some(batch) = batches.try_next().await? {
        for series in batch.series.iter() {
            let mut samples = SampleColumns::default();
            for chunk in series.chunks() {
                Chunk { encoding: chunk.meta.encoding, data: chunk.data() }.decode_into(&mut samples)?;
            }
            println!("{}: {} chunks, {} samples", series.labels(), series.chunk_count(), samples.len());
            printed += 1;
            if printed == SERIES {
                return Ok(());
            }
        }
    }
    Ok(())
}
