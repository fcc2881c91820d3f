//! The store over many: whom it asks, what it tells, what it does about bad stores.

use std::{sync::Arc, time::Duration};

use futures::StreamExt;
use thanoslib::{
    ErrorKind,
    budget::Budget,
    context::{Context, Tally},
    model::{Interval, Labels, Matcher, relabel::parse_relabel},
    store::{
        Conform, Fanout, Frame, LabelNamesRequest, LabelValuesRequest, Member, MemoryStore, PartialResponse,
        Proxy, ProxyMember, ProxySettings, Retrieval, SeriesRequest, Store, StoreInfo, TsdbSelector,
    },
    testing::{FaultyStore, StoreFault, store_contract},
};

use crate::{
    conform::{add, conforming},
    support::{any, labels, stream},
};

/// A store with `n` series and a fault, and the proxy's view of it.
pub(crate) fn faulty(address: &str, n: usize, fault: StoreFault) -> (ProxyMember, Arc<FaultyStore>) {
    let series: Vec<[(&str, String); 1]> = (0..n).map(|i| [("a", format!("{i:04}"))]).collect();
    let store = MemoryStore::new(Labels::empty());
    for pairs in &series {
        add(&store, &Labels::from_pairs(pairs.iter().map(|(k, v)| (*k, v.as_str()))), 0);
    }
    let sound: Arc<dyn Store> = Arc::new(Conform::new(Arc::new(store), labels(&[("cluster", "eu")])));
    let info = Arc::new(sound.info());
    let store = Arc::new(FaultyStore::new(sound, fault));
    (ProxyMember::remote(address, Arc::clone(&store) as _, info), store)
}

fn good() -> ProxyMember {
    let store = conforming(&[("cluster", "us")], &[&[("a", "1")], &[("a", "2")]]);
    let info = Arc::new(store.info());
    ProxyMember::remote("good", store, info)
}

pub(crate) fn request() -> SeriesRequest {
    SeriesRequest::new(Interval::ALL, vec![any()])
}

fn abort() -> SeriesRequest {
    SeriesRequest { partial_response: PartialResponse::Abort, ..request() }
}

fn proxy(members: Vec<ProxyMember>, settings: ProxySettings) -> Proxy {
    Proxy::new(Arc::new(members), settings)
}

/// Settings by both ways of reading, with a timeout.
fn both(response_timeout: Option<Duration>) -> [ProxySettings; 2] {
    [Retrieval::Eager, Retrieval::Lazy].map(|retrieval| ProxySettings {
        retrieval,
        response_timeout,
        buffered_frames: 2,
        ..ProxySettings::default()
    })
}

/// Number of series, and warnings.
async fn answer(store: &dyn Store, request: SeriesRequest) -> (usize, Vec<String>) {
    let got = stream(store, request).await.expect("an answer");
    (got.labels().len(), got.warnings)
}

const EU: &str = "Addr: bad MinTime: 0 MaxTime: 0";

#[tokio::test]
async fn a_proxy_keeps_the_contract_that_it_can() {
    let members = vec![
        Member {
            name: "one".to_owned(),
            store: conforming(&[("cluster", "eu")], &[&[("a", "1"), ("b", "2")]]),
        },
        Member {
            name: "two".to_owned(),
            store: conforming(&[("cluster", "us")], &[&[("a", "1")], &[("a", "3")]]),
        },
    ];
    let fanout: Arc<dyn Store> = Arc::new(Fanout::new("query", members.clone()));
    store_contract(&fanout).await.expect("the contract");
    let proxy = Proxy::new(Arc::new(members), ProxySettings::default());
    let want = stream(&*fanout, request()).await.expect("an answer");
    assert_eq!(stream(&proxy, request()).await.expect("an answer"), want);
    for limit in [1, 2, 3, 4] {
        let got = stream(&proxy, SeriesRequest { limit, ..request() }).await.expect("an answer");
        assert_eq!(got.labels(), want.labels()[..limit.min(3)]);
    }
    let e = stream(&proxy, SeriesRequest::new(Interval::ALL, vec![])).await.expect_err("no matchers");
    assert_eq!(e.message(), "no matchers specified (excluding selector labels)");
    let ctx = Context::default();
    let e = proxy.label_values(&ctx, LabelValuesRequest::new("", Interval::ALL, vec![])).await;
    assert_eq!(e.expect_err("no name").message(), "label name parameter cannot be empty");
}

#[tokio::test]
async fn replica_labels_are_removed_for_stores_that_cannot() {
    let store = |replica: &str| -> ProxyMember {
        let store = MemoryStore::new(Labels::empty());
        for a in ["1", "2"] {
            add(&store, &labels(&[("a", a), ("b", "x"), ("replica", replica)]), 0);
            add(&store, &labels(&[("a", a), ("c", "y"), ("replica", replica)]), 0);
        }
        ProxyMember::local(replica, Arc::new(store))
    };
    let proxy = proxy(vec![store("A"), store("B")], ProxySettings::default());
    let without = SeriesRequest { without_replica_labels: vec!["replica".to_owned()], ..request() };
    let got = stream(&proxy, without).await.expect("an answer").labels();
    let want = [("1", "b", "x"), ("1", "c", "y"), ("2", "b", "x"), ("2", "c", "y")];
    assert_eq!(got, want.map(|(a, name, v)| labels(&[("a", a), (name, v)])));
}

#[tokio::test]
async fn selector_labels_are_matched_and_told() {
    let settings = ProxySettings { selector_labels: labels(&[("region", "r1")]), ..ProxySettings::default() };
    let proxy = proxy(vec![good()], settings.clone());
    let with =
        |value: &str| SeriesRequest { matchers: vec![any(), Matcher::equal("region", value)], ..request() };
    assert_eq!(answer(&proxy, with("r1")).await, (2, vec![]));
    assert_eq!(answer(&proxy, with("r2")).await, (0, vec![]));
    let only = SeriesRequest { matchers: vec![Matcher::equal("region", "r1")], ..request() };
    assert_eq!(stream(&proxy, only).await.expect_err("nothing is left").kind(), ErrorKind::Invalid);
    assert_eq!(proxy.info().label_sets, [labels(&[("cluster", "us"), ("region", "r1")])]);
    let empty = Proxy::new(Arc::new(Vec::<ProxyMember>::new()), settings);
    let info: StoreInfo = empty.info();
    assert_eq!((info.label_sets, info.interval), (vec![labels(&[("region", "r1")])], Some(Interval::ALL)));
}

#[tokio::test]
async fn a_tsdb_selector_hides_producers() {
    let rules = parse_relabel("- {action: drop, source_labels: [cluster], regex: eu}").expect("rules");
    let selector = Some(Arc::new(TsdbSelector::new(&rules).expect("sound")));
    let (eu, asked) = faulty("bad", 3, StoreFault::Unasked);
    let proxy =
        proxy(vec![eu, good()], ProxySettings { tsdb_selector: selector, ..ProxySettings::default() });
    assert_eq!(answer(&proxy, request()).await, (2, vec![]));
    assert_eq!(asked.calls(), 0);
    assert_eq!(proxy.info().label_sets, [labels(&[("cluster", "us")])]);
}

#[tokio::test]
async fn no_stores_at_all_end_only_requests_for_everything() {
    let empty = proxy(Vec::new(), ProxySettings::default());
    assert_eq!(answer(&empty, request()).await, (0, vec![]));
    assert_eq!(stream(&empty, abort()).await.expect_err("no stores").message(), "No StoreAPIs available");
    let other = SeriesRequest { matchers: vec![Matcher::equal("cluster", "asia")], ..abort() };
    assert_eq!(answer(&proxy(vec![good()], ProxySettings::default()), other).await, (0, vec![]));
}

#[tokio::test(start_paused = true)]
async fn failures_are_warnings_in_upstreams_words_or_the_end() {
    let dead = StoreFault::Fails(ErrorKind::Unavailable, "rpc error: code = Unavailable desc = refused");
    let broken = StoreFault::Breaks(2, ErrorKind::Unavailable, "rpc error: code = Unavailable desc = EOF");
    let check = async |fault: StoreFault, want: usize, text: &str, aborted: bool| {
        for settings in both(Some(Duration::from_secs(1))) {
            let (bad, _) = faulty("bad", 3, fault.clone());
            let proxy = proxy(vec![bad, good()], settings);
            let text = text.replace('@', EU);
            assert_eq!(answer(&proxy, request()).await, (want, vec![text.clone()]), "{fault:?}");
            let e = stream(&proxy, abort()).await.expect_err("an abort");
            let text = if aborted { format!("rpc error: code = Aborted desc = {text}") } else { text };
            assert_eq!(e.message(), text);
        }
    };
    let refused = r#"fetch series for {cluster="eu"} @: rpc error: code = Unavailable desc = refused"#;
    check(dead, 2, refused, false).await;
    check(broken, 4, "receive series from @: rpc error: code = Unavailable desc = EOF", true).await;
    let silent =
        "failed to receive any data in 1s from @: rpc error: code = Canceled desc = context canceled";
    check(StoreFault::Hangs, 2, silent, true).await;
    check(StoreFault::Stops(1), 3, silent, true).await;
    check(StoreFault::Warns("half of it is gone"), 5, "half of it is gone", true).await;
    let order = r#"receive series from @: series out of order: {a="0001", cluster="eu"} after {a="0002", cluster="eu"}"#;
    check(StoreFault::OutOfOrder, 3, order, true).await;
    let repeats = r#"receive series from @: series {a="0002", cluster="eu"} came 1000 times"#;
    check(StoreFault::Repeats, 5, repeats, true).await;
    check(StoreFault::Empty, 5, "receive series from @: 10000 frames without a series", true).await;
    let inverted = r#"receive series from @: series {a="0000", cluster="eu"} has a chunk from 9 to 0"#;
    check(StoreFault::Inverted, 2, inverted, true).await;
}

#[tokio::test(start_paused = true)]
async fn slow_but_steady_stores_are_waited_for() {
    for settings in both(Some(Duration::from_secs(1))) {
        let (slow, _) = faulty("slow", 20, StoreFault::SlowFrames(Duration::from_millis(900)));
        assert_eq!(answer(&proxy(vec![slow, good()], settings), request()).await, (22, vec![]));
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_while_the_buffer_is_full() {
    let (store, _) = faulty("a", 50, StoreFault::SlowFrames(Duration::from_millis(100)));
    let [_, lazy] = both(Some(Duration::from_secs(1)));
    let proxy = proxy(vec![store, good()], lazy);
    let mut frames = proxy.series(&Context::default(), request()).await.expect("a stream");
    let mut series = 0;
    while let Some(frame) = frames.next().await {
        match frame.expect("no error") {
            Frame::Batch(batch) => series += batch.len(),
            Frame::Warning(warning) => panic!("{warning}"),
            _ => {}
        }
        // Who reads takes longer than a store may.
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    assert_eq!(series, 52);
}

#[tokio::test(start_paused = true)]
async fn the_first_series_leave_before_the_last_store_is_done() {
    for settings in both(None) {
        let (slow, _) = faulty("slow", 2000, StoreFault::SlowFrames(Duration::from_millis(10)));
        let proxy = proxy(vec![slow, good()], settings);
        let mut frames = proxy.series(&Context::default(), request()).await.expect("a stream");
        let begin = tokio::time::Instant::now();
        while let Some(frame) = frames.next().await {
            if matches!(frame, Ok(Frame::Batch(batch)) if !batch.is_empty()) {
                break;
            }
        }
        assert!(begin.elapsed() <= Duration::from_secs(4), "{:?}", begin.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn dropping_an_answer_ends_all_streams_behind_it() {
    for settings in both(None) {
        let (one, a) = faulty("a", 50, StoreFault::SlowFrames(Duration::from_millis(10)));
        let (two, b) = faulty("b", 50, StoreFault::Stops(3));
        let proxy = proxy(vec![one, two], settings);
        let mut frames = proxy.series(&Context::default(), request()).await.expect("a stream");
        let _ = tokio::time::timeout(Duration::from_millis(200), frames.next()).await;
        assert_eq!((a.open_streams(), b.open_streams()), (1, 1));
        drop(frames);
        assert_eq!((a.open_streams(), b.open_streams()), (0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn every_call_ends_by_its_deadline() {
    let (hung, _) = faulty("hung", 3, StoreFault::Hangs);
    let proxy = proxy(vec![hung, good()], ProxySettings::default());
    let ctx = Context::default().with_timeout(Duration::from_secs(5));
    let begin = tokio::time::Instant::now();
    let names = proxy.label_names(&ctx, LabelNamesRequest::new(Interval::ALL, vec![])).await;
    assert_eq!(names.expect_err("a timeout").kind(), ErrorKind::Timeout);
    let mut frames = proxy.series(&ctx, request()).await.expect("a stream");
    let mut last = None;
    while let Some(frame) = frames.next().await {
        last = frame.err().map(|e| e.kind());
    }
    assert_eq!(last, Some(ErrorKind::Timeout));
    assert_eq!(begin.elapsed(), Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn label_calls_join_and_warn() {
    let (bad, store) = faulty("bad", 3, StoreFault::Fails(ErrorKind::Unavailable, "gone"));
    let settings =
        ProxySettings { response_timeout: Some(Duration::from_secs(1)), ..ProxySettings::default() };
    let proxy = proxy(vec![bad, good()], settings);
    let ctx = Context::default();
    let values = |partial_response| LabelValuesRequest {
        partial_response,
        ..LabelValuesRequest::new("cluster", Interval::ALL, vec![])
    };
    let got = proxy.label_values(&ctx, values(PartialResponse::Warn)).await.expect("values");
    let texts: Vec<String> = got.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        (got.values, texts),
        (["us"].iter().collect(), vec![format!("fetch label values from store {EU}: gone")])
    );
    let e = proxy.label_values(&ctx, values(PartialResponse::Abort)).await.expect_err("an abort");
    assert_eq!(e.message(), format!("fetch label values from store {EU}: gone"));
    store.set(StoreFault::Hangs);
    let got = proxy.label_names(&ctx, LabelNamesRequest::new(Interval::ALL, vec![])).await.expect("names");
    assert_eq!((got.names.len(), got.warnings.iter().count()), (2, 1));
    store.set(StoreFault::None);
    let got = proxy.label_values(&ctx, values(PartialResponse::Warn)).await.expect("values");
    assert_eq!(got.values, ["eu", "us"]);
}

#[tokio::test]
async fn memory_is_that_of_the_request_and_its_lack_is_no_fault_of_a_store() {
    let store = |address: &str| faulty(address, 400, StoreFault::None).0;
    for settings in both(None) {
        let proxy = proxy(vec![store("a"), store("b")], settings);
        let budget = Budget::new("query", 1 << 20);
        let ctx = Context::new(Arc::clone(&budget));
        let mut frames = proxy.series(&ctx, request()).await.expect("a stream");
        while let Some(frame) = frames.next().await {
            drop(frame.expect("enough memory"));
        }
        drop(frames);
        assert_eq!(budget.used(), 0);
        assert!(budget.peak() > 0);
        let tiny = Context::new(Budget::new("query", 100));
        let mut frames = proxy.series(&tiny, request()).await.expect("a stream");
        let mut error = None;
        while let Some(frame) = frames.next().await {
            error = frame.err().map(|e| e.kind()).or(error);
        }
        assert_eq!(error, Some(ErrorKind::Limit));
    }
}

#[tokio::test]
async fn what_stores_answered_is_noted() {
    let (store, _) = faulty("a", 3, StoreFault::None);
    let (none, _) = faulty("b", 0, StoreFault::None);
    let mut none = none;
    none.info = Arc::clone(&store.info);
    let proxy = proxy(vec![store, none], ProxySettings::default());
    let tally = Tally::default();
    let ctx = Context::default().with_tally(Some(tally.clone()));
    let frames = proxy.series(&ctx, request()).await.expect("a stream");
    let _all: Vec<_> = frames.collect().await;
    let noted: Vec<_> = tally.costs().into_iter().map(|c| (c.name, c.series, c.chunks, c.samples)).collect();
    assert_eq!(noted, [("a".to_owned(), 3, 3, 3), ("b".to_owned(), 0, 0, 0)]);
    assert_eq!(proxy.statistics().empty_streams(), 1);
}

#[tokio::test]
async fn what_is_missing_is_told_as_a_figure() {
    let (whole, _) = faulty("a", 3, StoreFault::None);
    let (gone, _) = faulty("b", 3, StoreFault::Fails(ErrorKind::Unavailable, "gone"));
    let (warns, _) = faulty("c", 3, StoreFault::Warns("a block is missing"));
    let (breaks, _) = faulty("d", 3, StoreFault::Breaks(1, ErrorKind::Unavailable, "gone"));
    let check = async |members: &[&ProxyMember], want: &str| {
        let proxy = proxy(members.iter().map(|m| (*m).clone()).collect(), ProxySettings::default());
        let ctx = Context::default();
        let frames = proxy.series(&ctx, request()).await.expect("a stream");
        let _all: Vec<_> = frames.collect().await;
        assert_eq!(ctx.coverage().to_string(), want);
    };
    check(&[&whole], "stores=1/1, time=1.0000").await;
    check(&[&whole, &gone], "stores=1/2, time=0.5000").await;
    check(&[&whole, &gone, &warns, &breaks], "stores=1/4, time=0.2500").await;
    let ctx = Context::default();
    let names = LabelNamesRequest::new(Interval::ALL, vec![any()]);
    let labels = proxy(vec![whole, gone], ProxySettings::default());
    labels.label_names(&ctx, names).await.expect("a partial answer");
    assert_eq!(ctx.coverage().to_string(), "stores=1/2, time=0.5000");
}
