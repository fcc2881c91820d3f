//! What every store must keep, whoever wrote it.

use std::{collections::BTreeSet, sync::Arc};

use futures::TryStreamExt;

use crate::{
    chunk::{Chunk, Encoding},
    context::Context,
    error::{Error, Result},
    model::{Interval, Labels, LabelsBuilder, MatchOp, Matcher},
    series::{Aggr, SampleColumns},
    store::{
        Conform, Frame, LabelNamesRequest, LabelValuesRequest, Projection, SeriesRequest, ShardInfo, Store,
    },
};

/// Checks a store against the contract of [`Store`]: order of labels, matchers, label calls,
/// and, through [`Conform`], shards, limits and replica labels.
///
/// The store must hold at least one series. What it claims in its abilities is checked on the
/// store itself; everything is checked on the conforming store around it.
///
/// # Errors
/// The first promise that is not kept, with the request that showed it.
pub async fn store_contract(store: &Arc<dyn Store>) -> Result<()> {
    let ctx = Context::default();
    let info = store.info();
    same("abilities", &[store.abilities()], &[info.abilities])?;
    let everything = all_series(store, &ctx, every(Interval::ALL)).await?;
    if everything.is_empty() {
        return Err(Error::invalid("the contract needs a store with at least one series"));
    }
    ascending(&everything, "series")?;
    matchers(store, &ctx, &everything).await?;
    label_calls(store, &ctx, &everything).await?;
    time(store, &ctx, &everything).await?;
    let external = if info.label_sets.len() == 1 { info.label_sets[0].clone() } else { Labels::empty() };
    let conform: Arc<dyn Store> = Arc::new(Conform::new(Arc::clone(store), external));
    let final_series = all_series(&conform, &ctx, every(Interval::ALL)).await?;
    ascending(&final_series, "conforming series")?;
    shards(&conform, &ctx, &final_series).await?;
    limits(&conform, &ctx, &final_series).await?;
    replica_labels(&conform, &ctx, &final_series).await?;
    projections(&conform, &ctx, &final_series).await?;
    if info.abilities.sharding {
        shards(store, &ctx, &everything).await?;
    }
    if info.abilities.without_replica_labels {
        replica_labels(store, &ctx, &everything).await?;
    }
    if info.abilities.limit {
        limits(store, &ctx, &everything).await?;
    }
    if info.abilities.projection {
        projections(store, &ctx, &everything).await?;
    }
    Ok(())
}

/// A request for every series: a matcher that all label values satisfy.
fn every(interval: Interval) -> SeriesRequest {
    let all = Matcher::new(MatchOp::Regex, "__name__", ".*").expect("a sound pattern");
    SeriesRequest::new(interval, vec![all])
}

async fn all_series(store: &Arc<dyn Store>, ctx: &Context, request: SeriesRequest) -> Result<Vec<Labels>> {
    let mut stream = store.series(ctx, request).await?;
    let mut series: Vec<Labels> = Vec::new();
    let mut open = false;
    while let Some(frame) = stream.try_next().await? {
        let Frame::Batch(batch) = frame else { continue };
        for (i, s) in batch.iter().enumerate() {
            let labels = s.labels().to_labels();
            // Only the first of a batch may go on with the last of the batch before.
            if !(i == 0 && open && series.last() == Some(&labels)) {
                series.push(labels);
            }
        }
        open = !batch.is_empty();
    }
    Ok(series)
}

fn ascending(series: &[Labels], what: &str) -> Result<()> {
    for pair in series.windows(2) {
        if pair[0] >= pair[1] {
            return Err(Error::internal(format!("{what} do not ascend: {} before {}", pair[0], pair[1])));
        }
    }
    Ok(())
}

fn same(what: &str, got: &impl std::fmt::Debug, want: &(impl std::fmt::Debug + ?Sized)) -> Result<()> {
    let (got, want) = (format!("{got:?}"), format!("{want:?}"));
    if got == want {
        return Ok(());
    }
    Err(Error::internal(format!("{what}: got {got}, want {want}")))
}

async fn matchers(store: &Arc<dyn Store>, ctx: &Context, all: &[Labels]) -> Result<()> {
    let labels = &all[all.len() / 2];
    for label in labels.iter() {
        let (name, value) = (text(label.name), text(label.value));
        for op in [MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex, MatchOp::NotRegex] {
            let pattern =
                if matches!(op, MatchOp::Regex | MatchOp::NotRegex) { quote(&value) } else { value.clone() };
            let matcher = Matcher::new(op, name.clone(), pattern)?;
            let mut request = every(Interval::ALL);
            request.matchers.push(matcher.clone());
            let got = all_series(store, ctx, request).await?;
            let want: Vec<_> = all.iter().filter(|l| matcher.matches_labels(l.view())).collect();
            same(&format!("series for {matcher}"), &got, &want)?;
        }
    }
    let nothing = SeriesRequest::new(Interval::ALL, vec![Matcher::equal("__name__", "\u{1}no such metric")]);
    same("series of an unknown metric", &all_series(store, ctx, nothing).await?, &[] as &[Labels])?;
    let without = SeriesRequest::new(Interval::ALL, Vec::new());
    same("series without matchers", &all_series(store, ctx, without).await?, &[] as &[Labels])
}

fn quote(value: &str) -> String {
    let mut out = String::new();
    for c in value.chars() {
        if c.is_ascii_punctuation() {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

async fn label_calls(store: &Arc<dyn Store>, ctx: &Context, all: &[Labels]) -> Result<()> {
    label_calls_for(store, ctx, all, None).await?;
    let names = names_of(all);
    for label in all[all.len() / 2].iter() {
        let matcher = Matcher::equal(text(label.name), text(label.value));
        label_calls_for(store, ctx, all, Some(matcher)).await?;
    }
    // A matcher that keeps only the series without a label.
    for name in &names {
        label_calls_for(store, ctx, all, Some(Matcher::equal(name.clone(), ""))).await?;
    }
    let unknown = LabelValuesRequest::new("no_such_label", Interval::ALL, Vec::new());
    same("values of an unknown label", &store.label_values(ctx, unknown).await?.values, &[(); 0])
}

fn names_of(series: &[Labels]) -> BTreeSet<String> {
    series.iter().flat_map(Labels::iter).map(|l| text(l.name)).collect()
}

/// Names, and values of every name, of the series that a matcher keeps.
async fn label_calls_for(
    store: &Arc<dyn Store>,
    ctx: &Context,
    all: &[Labels],
    matcher: Option<Matcher>,
) -> Result<()> {
    let kept: Vec<Labels> =
        all.iter().filter(|l| matcher.as_ref().is_none_or(|m| m.matches_labels(l.view()))).cloned().collect();
    let shown = matcher.as_ref().map(|m| format!(" for {m}")).unwrap_or_default();
    let matchers: Vec<Matcher> = matcher.into_iter().collect();
    let got = store.label_names(ctx, LabelNamesRequest::new(Interval::ALL, matchers.clone())).await?.names;
    same(&format!("label names{shown}"), &got, &names_of(&kept).iter().collect::<Vec<_>>())?;
    for name in names_of(all) {
        let values: BTreeSet<String> = kept.iter().filter_map(|l| l.get(&name)).map(text).collect();
        let request = LabelValuesRequest::new(name.clone(), Interval::ALL, matchers.clone());
        let got = store.label_values(ctx, request).await?.values;
        same(&format!("values of {name}{shown}"), &got, &values.iter().collect::<Vec<_>>())?;
    }
    Ok(())
}

async fn time(store: &Arc<dyn Store>, ctx: &Context, all: &[Labels]) -> Result<()> {
    let Some(held) = store.info().interval else {
        return Err(Error::internal("a store with series says that it holds no time"));
    };
    let inside = all_series(store, ctx, every(held)).await?;
    same("series of the advertised time", &inside, all)?;
    if held.mint > i64::MIN {
        let before = all_series(store, ctx, every(Interval::new(i64::MIN, held.mint - 1))).await?;
        same("series before the advertised time", &before, &[] as &[Labels])?;
    }
    if held.maxt < i64::MAX {
        let after = all_series(store, ctx, every(Interval::new(held.maxt + 1, i64::MAX))).await?;
        same("series after the advertised time", &after, &[] as &[Labels])?;
    }
    chunks(store, ctx).await
}

/// Chunks overlap the wanted time, can be decoded, and hold the times that they say.
async fn chunks(store: &Arc<dyn Store>, ctx: &Context) -> Result<()> {
    let mut samples = SampleColumns::default();
    let mut stream = store.series(ctx, every(Interval::ALL)).await?;
    while let Some(frame) = stream.try_next().await? {
        let Frame::Batch(batch) = frame else { continue };
        for series in batch.iter() {
            for chunk in
                series.chunks().filter(|c| c.meta.encoding != Encoding::None && c.meta.aggr == Aggr::Raw)
            {
                let wrong = |what: &str| Error::internal(format!("a chunk of {} {what}", series.labels()));
                samples.clear();
                Chunk { encoding: chunk.meta.encoding, data: chunk.data() }
                    .decode_into(&mut samples)
                    .map_err(|e| wrong(&format!("cannot be decoded: {e}")))?;
                let times = samples.floats.ts.iter().chain(&samples.histograms.ts);
                if times.clone().any(|t| !chunk.meta.interval.contains(*t)) {
                    return Err(wrong("holds samples outside of its time"));
                }
                if times.count() == 0 {
                    return Err(wrong("is empty"));
                }
            }
        }
    }
    let mut labels_only = every(Interval::ALL);
    labels_only.skip_chunks = true;
    let mut stream = store.series(ctx, labels_only).await?;
    while let Some(frame) = stream.try_next().await? {
        let Frame::Batch(batch) = frame else { continue };
        if let Some(series) = batch.iter().find(|s| s.chunk_count() > 0) {
            return Err(Error::internal(format!(
                "{} has chunks, but only labels were asked",
                series.labels()
            )));
        }
    }
    Ok(())
}

async fn shards(store: &Arc<dyn Store>, ctx: &Context, all: &[Labels]) -> Result<()> {
    for by in [true, false] {
        let mut union = Vec::new();
        for index in 0..3 {
            let mut request = every(Interval::ALL);
            request.shard = Some(ShardInfo { index, total: 3, by, labels: vec!["__name__".to_owned()] });
            union.extend(all_series(store, ctx, request).await?);
        }
        union.sort();
        same("all shards together", &union, all)?;
    }
    Ok(())
}

async fn limits(store: &Arc<dyn Store>, ctx: &Context, all: &[Labels]) -> Result<()> {
    for limit in [1, all.len(), all.len() + 1] {
        let mut request = every(Interval::ALL);
        request.limit = limit;
        let got = all_series(store, ctx, request).await?;
        same(&format!("limit {limit}"), &got, &all[..limit.min(all.len())])?;
    }
    Ok(())
}

async fn replica_labels(store: &Arc<dyn Store>, ctx: &Context, all: &[Labels]) -> Result<()> {
    let names: BTreeSet<String> = all.iter().flat_map(Labels::iter).map(|l| text(l.name)).collect();
    for name in names.iter().filter(|n| *n != "__name__") {
        let mut request = every(Interval::ALL);
        request.without_replica_labels = vec![name.clone()];
        let got = all_series(store, ctx, request).await?;
        let want: BTreeSet<Labels> = all.iter().map(|l| l.filter(|x| x.name != name.as_bytes())).collect();
        same(&format!("series without {name}"), &got, &want.iter().collect::<Vec<_>>())?;
    }
    Ok(())
}

async fn projections(store: &Arc<dyn Store>, ctx: &Context, all: &[Labels]) -> Result<()> {
    let hash_label = "__contract_hash__";
    let names = names_of(all);
    for name in names.iter().map(String::as_str).chain([""]) {
        for include in [true, false] {
            let mut request = every(Interval::ALL);
            let labels = vec![name.to_owned()];
            request.projection = Some(Projection { include, labels, hash_label: hash_label.to_owned() });
            let got = all_series(store, ctx, request).await?;
            ascending(&got, "projected series")?;
            let want: BTreeSet<Labels> = all
                .iter()
                .map(|l| {
                    let kept = l.filter(|x| (x.name == name.as_bytes()) == include);
                    let mut out = LabelsBuilder::from_labels(kept.view());
                    out.set(hash_label, l.hash().to_string());
                    out.labels()
                })
                .collect();
            same(&format!("series projected on {name:?}"), &got, &want.iter().collect::<Vec<_>>())?;
        }
    }
    Ok(())
}
