//! A plain store behind `Conform` keeps the whole contract.

use std::sync::Arc;

use thanoslib::{
    ErrorKind, Result,
    budget::Budget,
    chunk::{Encoding, XorAppender},
    context::Context,
    model::{Interval, Labels, MatchOp, Matcher, Strings},
    store::{
        Conform, Frame, LabelNamesRequest, LabelValuesRequest, MemoryStore, Projection, SeriesRequest,
        ShardInfo, Store,
    },
};

use crate::support::{any, labels, stream};

/// Adds a chunk of the sample 1 at this time.
pub(crate) fn add(store: &MemoryStore, series: &Labels, t_ms: i64) {
    let mut chunk = XorAppender::new();
    chunk.append(t_ms, 1.0).expect("a sample");
    let at = Interval::new(t_ms, t_ms);
    store.append(series, at, Encoding::Xor, chunk.into_bytes().into()).expect("a chunk");
}

/// A conforming store of one sample for each of these series.
pub(crate) fn conforming(external: &[(&str, &str)], series: &[&[(&str, &str)]]) -> Arc<dyn Store> {
    let store = MemoryStore::new(labels(external));
    for pairs in series {
        add(&store, &labels(pairs), 0);
    }
    Arc::new(Conform::new(Arc::new(store), labels(external)))
}

fn request(matchers: &[Matcher]) -> SeriesRequest {
    SeriesRequest::new(Interval::ALL, matchers.to_vec())
}

async fn series(store: &Arc<dyn Store>, request: SeriesRequest) -> Vec<Labels> {
    stream(&**store, request).await.expect("an answer").labels()
}

/// Label sets with these pairs.
fn sets(list: &[&[(&str, &str)]]) -> Vec<Labels> {
    list.iter().map(|pairs| labels(pairs)).collect()
}

async fn names(store: &Arc<dyn Store>, request: LabelNamesRequest) -> Vec<String> {
    store.label_names(&Context::default(), request).await.expect("names").names
}

async fn values(store: &Arc<dyn Store>, request: LabelValuesRequest) -> Strings {
    store.label_values(&Context::default(), request).await.expect("values").values
}

#[tokio::test]
async fn external_labels_win_over_those_of_series() {
    let store = conforming(&[("cluster", "eu")], &[&[("a", "1"), ("cluster", "old")], &[("a", "2")]]);
    let want = sets(&[&[("a", "1"), ("cluster", "eu")], &[("a", "2"), ("cluster", "eu")]]);
    assert_eq!(series(&store, request(&[any()])).await, want);
    let cluster = LabelValuesRequest::new("cluster", Interval::ALL, vec![]);
    assert_eq!(values(&store, cluster).await, ["eu"]);
    assert_eq!(series(&store, request(&[Matcher::equal("cluster", "old")])).await, [] as [Labels; 0]);
}

#[tokio::test]
async fn series_that_differ_only_below_external_labels_become_one() {
    let store = conforming(&[("cluster", "eu")], &[&[("a", "1"), ("cluster", "old")], &[("a", "1")]]);
    let got = stream(&*store, request(&[any()])).await.expect("an answer");
    // Their chunks are equal, and equal chunks are kept once.
    assert_eq!(got.series, [(labels(&[("a", "1"), ("cluster", "eu")]), 1)]);
}

#[tokio::test]
async fn matchers_on_external_labels_decide_for_all_series() {
    let store = conforming(&[("cluster", "eu")], &[&[("a", "1")], &[("a", "2")]]);
    for (op, value, found) in [
        (MatchOp::Equal, "eu", 2),
        (MatchOp::Equal, "us", 0),
        (MatchOp::Equal, "", 0),
        (MatchOp::NotEqual, "us", 2),
        (MatchOp::NotEqual, "eu", 0),
        (MatchOp::Regex, "e.", 2),
        (MatchOp::NotRegex, "e.", 0),
    ] {
        let matcher = Matcher::new(op, "cluster", value).expect("a matcher");
        let both = [matcher.clone(), Matcher::new(MatchOp::Regex, "a", ".+").expect("a matcher")];
        assert_eq!(series(&store, request(&both)).await.len(), found, "{matcher}");
        let asked = LabelValuesRequest::new("a", Interval::ALL, vec![matcher.clone()]);
        assert_eq!(values(&store, asked).await.len(), found, "{matcher}");
        let asked = LabelNamesRequest::new(Interval::ALL, vec![matcher.clone()]);
        assert_eq!(names(&store, asked).await.is_empty(), found == 0, "{matcher}");
    }
}

/// As the store gateway answers: with its matchers used up a request has none, and one
/// without matchers selects nothing. Label calls without matchers mean all series.
#[tokio::test]
async fn matchers_on_external_labels_alone_select_no_series_but_their_labels() {
    let store = conforming(&[("cluster", "eu")], &[&[("a", "1")], &[("a", "2")]]);
    let eu = Matcher::equal("cluster", "eu");
    assert_eq!(series(&store, request(std::slice::from_ref(&eu))).await, [] as [Labels; 0]);
    let asked = LabelValuesRequest::new("a", Interval::ALL, vec![eu]);
    assert_eq!(values(&store, asked).await, ["1", "2"]);
}

#[tokio::test]
async fn series_are_sorted_by_their_final_labels() {
    // Stored, {a="1"} comes before {a="1",z="0"}; with m between a and z it comes after none.
    let stored: &[&[(&str, &str)]] =
        &[&[("a", "1")], &[("a", "1"), ("b", "1")], &[("a", "1"), ("z", "0")], &[("z", "1")]];
    let store = conforming(&[("m", "x")], stored);
    let got = series(&store, request(&[any()])).await;
    assert_eq!(got.len(), 4);
    assert!(got.is_sorted(), "{got:?}");
    assert_eq!(got[0], labels(&[("a", "1"), ("b", "1"), ("m", "x")]), "what was second is first");
}

#[tokio::test]
async fn removing_a_replica_label_joins_and_sorts_series() {
    let store = MemoryStore::new(Labels::empty());
    for (i, pairs) in
        [[("a", "1"), ("r", "A")], [("a", "1"), ("r", "B")], [("q", "0"), ("r", "A")]].iter().enumerate()
    {
        add(&store, &labels(pairs), i as i64);
    }
    let store: Arc<dyn Store> = Arc::new(Conform::new(Arc::new(store), Labels::empty()));
    let without = vec!["r".to_owned()];
    let asked = SeriesRequest { without_replica_labels: without.clone(), ..request(&[any()]) };
    let got = stream(&*store, asked).await.expect("an answer");
    assert_eq!(got.series, [(labels(&[("a", "1")]), 2), (labels(&[("q", "0")]), 1)]);
    // Matchers still see what is removed from the answer.
    let asked =
        SeriesRequest { without_replica_labels: without.clone(), ..request(&[Matcher::equal("r", "B")]) };
    assert_eq!(series(&store, asked).await, sets(&[&[("a", "1")]]));
    let asked = LabelNamesRequest {
        without_replica_labels: without.clone(),
        ..LabelNamesRequest::new(Interval::ALL, vec![])
    };
    assert_eq!(names(&store, asked).await, ["a", "q"]);
    let asked = LabelValuesRequest {
        without_replica_labels: without,
        ..LabelValuesRequest::new("r", Interval::ALL, vec![])
    };
    assert_eq!(values(&store, asked).await, [] as [&str; 0]);
}

#[tokio::test]
async fn an_external_replica_label_can_be_removed() {
    let store = conforming(&[("cluster", "eu"), ("replica", "A")], &[&[("a", "1")], &[("z", "1")]]);
    let asked = SeriesRequest {
        without_replica_labels: vec!["replica".to_owned()],
        ..request(&[Matcher::equal("replica", "A"), any()])
    };
    let want = sets(&[&[("a", "1"), ("cluster", "eu")], &[("cluster", "eu"), ("z", "1")]]);
    assert_eq!(series(&store, asked).await, want);
}

/// A conforming store of so many series.
fn many(count: usize) -> Arc<dyn Store> {
    let store = MemoryStore::new(labels(&[("cluster", "eu")]));
    for i in 0..count {
        add(
            &store,
            &labels(&[("__name__", "up"), ("i", &format!("{i:04}")), ("pod", &format!("{}", i % 7))]),
            0,
        );
    }
    Arc::new(Conform::new(Arc::new(store), labels(&[("cluster", "eu")])))
}

#[tokio::test]
async fn shards_are_disjoint_and_complete() {
    let store = many(600);
    let all = series(&store, request(&[any()])).await;
    for (by, names) in
        [(true, &["pod"][..]), (true, &[]), (false, &["i"]), (false, &[]), (true, &["cluster"])]
    {
        let mut union = Vec::new();
        let mut used = 0;
        for index in 0..3 {
            let labels: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
            let shard = Some(ShardInfo { index, total: 3, by, labels });
            let part = series(&store, SeriesRequest { shard, ..request(&[any()]) }).await;
            assert!(part.is_sorted());
            used += usize::from(!part.is_empty());
            union.extend(part);
        }
        union.sort();
        assert_eq!(union, all, "by {by} {names:?}");
        let one = by && (names.is_empty() || names == ["cluster"]);
        assert_eq!(used == 1, one, "equal hash labels share a shard: by {by} {names:?}");
    }
    let shard = Some(ShardInfo { index: 0, total: 0, by: true, labels: vec![] });
    assert_eq!(series(&store, SeriesRequest { shard, ..request(&[any()]) }).await, all, "no shards at all");
}

#[tokio::test]
async fn limits_are_exact() {
    let store = many(600);
    let all = series(&store, request(&[any()])).await;
    for limit in [1, 255, 256, 257, 512, 599, 600, 601] {
        let got = series(&store, SeriesRequest { limit, ..request(&[any()]) }).await;
        assert_eq!(got, all[..limit.min(600)], "limit {limit}");
    }
    // The limit counts what the shard keeps.
    let shard = Some(ShardInfo { index: 1, total: 2, by: false, labels: vec![] });
    let whole = series(&store, SeriesRequest { shard: shard.clone(), ..request(&[any()]) }).await;
    let cut = series(&store, SeriesRequest { shard, limit: 10, ..request(&[any()]) }).await;
    assert_eq!(cut, whole[..10]);
    let without_replica_labels = vec!["pod".to_owned(), "i".to_owned()];
    let joined =
        series(&store, SeriesRequest { without_replica_labels, limit: 2, ..request(&[any()]) }).await;
    assert_eq!(joined, sets(&[&[("__name__", "up"), ("cluster", "eu")]]));
    let asked = LabelValuesRequest { limit: 3, ..LabelValuesRequest::new("i", Interval::ALL, vec![]) };
    assert_eq!(values(&store, asked).await, ["0000", "0001", "0002"]);
    let asked = LabelNamesRequest { limit: 2, ..LabelNamesRequest::new(Interval::ALL, vec![]) };
    assert_eq!(names(&store, asked).await, ["__name__", "cluster"]);
}

#[tokio::test]
async fn a_projection_keeps_series_apart_by_their_hash() {
    let store = many(40);
    let all = series(&store, request(&[any()])).await;
    for (include, names) in [(true, vec!["pod".to_owned()]), (false, vec!["i".to_owned()]), (true, vec![])] {
        let projection =
            Some(Projection { include, labels: names.clone(), hash_label: "__hash__".to_owned() });
        let mut want: Vec<Labels> = all
            .iter()
            .map(|l| {
                let kept = l.iter().filter(|x| names.iter().any(|n| n.as_bytes() == x.name) == include);
                let hash = l.hash().to_string();
                let kept = kept.map(|l| (l.name, l.value)).chain([(&b"__hash__"[..], hash.as_bytes())]);
                Labels::from_pairs(kept)
            })
            .collect();
        want.sort();
        let asked = SeriesRequest { projection: projection.clone(), ..request(&[any()]) };
        assert_eq!(series(&store, asked).await, want, "{names:?}");
        // Shards are told by all labels, also by those that are not sent.
        let mut union = Vec::new();
        for index in 0..2 {
            let shard = Some(ShardInfo { index, total: 2, by: true, labels: vec!["i".to_owned()] });
            let asked = SeriesRequest { projection: projection.clone(), shard, ..request(&[any()]) };
            let part = series(&store, asked).await;
            assert!(!part.is_empty() && part.is_sorted());
            union.extend(part);
        }
        union.sort();
        assert_eq!(union, want);
    }
    let nameless = Some(Projection { include: true, labels: vec![], hash_label: String::new() });
    let asked = SeriesRequest { projection: nameless, ..request(&[any()]) };
    let error = stream(&*store, asked).await.expect_err("no name for the hash");
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn a_request_without_matchers_selects_nothing() {
    let store = many(3);
    assert_eq!(series(&store, request(&[])).await, [] as [Labels; 0]);
}

#[tokio::test]
async fn sorting_anew_is_charged_to_the_request() -> Result<()> {
    let store = many(600);
    let ctx = Context::new(Budget::new("query", 4_000));
    let error = match store.series(&ctx, request(&[any()])).await {
        Err(e) => e,
        Ok(mut answer) => {
            let first = futures::StreamExt::next(&mut answer).await.expect("a frame");
            first.expect_err("too little memory")
        }
    };
    assert_eq!(error.kind(), ErrorKind::Limit);
    assert_eq!(ctx.budget().used(), 0);
    let ctx = Context::new(Budget::new("query", 1 << 20));
    let mut answer = store.series(&ctx, request(&[any()])).await?;
    let first = futures::StreamExt::next(&mut answer).await.expect("a frame")?;
    assert!(matches!(first, Frame::Batch(batch) if !batch.is_empty()));
    assert!(ctx.budget().used() > 0, "what is sorted is held");
    drop(answer);
    assert_eq!(ctx.budget().used(), 0);
    Ok(())
}
