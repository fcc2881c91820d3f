//! Groups of stores that hold the same data: one is asked, another goes on.

use std::{sync::Arc, time::Duration};

use thanoslib::{
    ErrorKind,
    context::Context,
    model::{Interval, Labels},
    store::{Breaker, LabelNamesRequest, Proxy, ProxyMember, ProxySettings, Store, Tolerance},
    testing::{FaultyStore, StoreFault},
};

use crate::{
    conform::conforming,
    proxy::{faulty, request},
    support::{any, stream},
};

/// Twins with `n` series, each with its fault.
fn twins(n: usize, faults: [StoreFault; 2]) -> (Vec<ProxyMember>, [Arc<FaultyStore>; 2]) {
    let [first, second] = faults;
    let (mut a, one) = faulty("a", n, first);
    let (mut b, two) = faulty("b", n, second);
    (a.group, b.group) = (Some("g".into()), Some("g".into()));
    (vec![a, b], [one, two])
}

fn proxy(members: Vec<ProxyMember>, tolerance: Tolerance) -> Proxy {
    Proxy::new(Arc::new(members), ProxySettings { tolerance, ..ProxySettings::default() })
}

fn groups() -> Tolerance {
    Tolerance { groups: true, ..Tolerance::default() }
}

async fn answer(store: &dyn Store) -> (usize, Vec<String>) {
    let got = stream(store, request()).await.expect("an answer");
    // Each series once, with its one chunk.
    assert!(got.series.iter().all(|(_, chunks)| *chunks == 1), "{:?}", got.series);
    (got.labels().len(), got.warnings)
}

#[tokio::test]
async fn one_of_a_group_is_asked() {
    let (members, [a, b]) = twins(5, [StoreFault::None, StoreFault::None]);
    let all = proxy(members.clone(), Tolerance::default());
    assert_eq!(answer(&all).await, (5, vec![]));
    assert_eq!((a.calls(), b.calls()), (1, 1), "off unless set");
    assert_eq!(answer(&proxy(members, groups())).await, (5, vec![]));
    assert_eq!(a.calls() + b.calls(), 3);
}

#[tokio::test]
async fn another_goes_on_in_the_middle() {
    let gone = |after| StoreFault::Breaks(after, ErrorKind::Unavailable, "gone");
    for after in 0..6 {
        let (members, _) = twins(5, [gone(after), StoreFault::None]);
        let over = Tolerance { fail_over: true, ..groups() };
        assert_eq!(answer(&proxy(members, over)).await, (5, vec![]), "after {after} frames");
    }
    // Without fail-over, and when all fail, the gap is told.
    let (members, _) = twins(5, [gone(2), gone(3)]);
    let text = |address: &str| format!("receive series from Addr: {address} MinTime: 0 MaxTime: 0: gone");
    assert_eq!(answer(&proxy(members.clone(), groups())).await, (2, vec![text("a")]));
    let over = Tolerance { fail_over: true, ..groups() };
    assert_eq!(answer(&proxy(members, over)).await, (3, vec![text("b")]));
}

#[tokio::test]
async fn another_is_asked_where_one_knows_of_a_gap() {
    let (members, _) = twins(5, [StoreFault::Warns("a block is missing"), StoreFault::None]);
    let over = Tolerance { fail_over: true, ..groups() };
    assert_eq!(answer(&proxy(members, over)).await, (5, vec![]));
}

#[tokio::test]
async fn label_calls_fail_over() {
    let (members, [a, b]) = twins(5, [StoreFault::Fails(ErrorKind::Unavailable, "gone"), StoreFault::None]);
    let names = LabelNamesRequest::new(Interval::ALL, vec![any()]);
    let over = Tolerance { fail_over: true, ..groups() };
    let got = proxy(members, over).label_names(&Context::default(), names).await.expect("names");
    assert_eq!((got.names.len(), got.warnings.iter().count()), (2, 0));
    assert_eq!((a.calls(), b.calls()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_slow_member_is_hedged() {
    let (members, [a, b]) =
        twins(5, [StoreFault::Slow(Duration::from_millis(20)), StoreFault::Slow(Duration::from_millis(30))]);
    let hedged = proxy(members, Tolerance { hedge: true, ..groups() });
    for _ in 0..20 {
        assert_eq!(answer(&hedged).await, (5, vec![]));
    }
    let before = a.calls() + b.calls();
    assert!(before <= 22, "one for each answer, but for those that were slower than most");
    a.set(StoreFault::Hangs);
    let begin = tokio::time::Instant::now();
    assert_eq!(answer(&hedged).await, (5, vec![]));
    assert!(begin.elapsed() <= Duration::from_millis(60), "{:?}", begin.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_again_and_again_is_left_alone_for_a_time() {
    let (member, store) = faulty("a", 3, StoreFault::Fails(ErrorKind::Unavailable, "gone"));
    let breaker = Some(Breaker { failures: 3, rest: Duration::from_secs(10) });
    let guarded = proxy(vec![member], Tolerance { breaker, ..Tolerance::default() });
    for _ in 0..10 {
        let (series, warnings) = answer(&guarded).await;
        assert_eq!((series, warnings.len()), (0, 1), "no gap is silent");
    }
    assert_eq!(store.calls(), 3);
    store.set(StoreFault::None);
    assert_eq!(answer(&guarded).await.0, 0);
    tokio::time::advance(Duration::from_secs(10)).await;
    assert_eq!(answer(&guarded).await, (3, vec![]));
    assert_eq!(answer(&guarded).await, (3, vec![]));
}

#[tokio::test(start_paused = true)]
async fn a_store_gets_a_part_of_the_time() {
    let (hung, _) = faulty("a", 3, StoreFault::Stops(1));
    let (good, _) = faulty("b", 5, StoreFault::None);
    let timed = proxy(vec![hung, good], Tolerance { store_time: Some(0.5), ..Tolerance::default() });
    let ctx = Context::default().with_timeout(Duration::from_secs(10));
    let begin = tokio::time::Instant::now();
    let frames = timed.series(&ctx, request()).await.expect("a stream");
    let frames: Vec<_> = futures::StreamExt::collect(frames).await;
    assert!(frames.iter().all(Result::is_ok), "the rest answers in time");
    assert_eq!(begin.elapsed(), Duration::from_secs(5));
    let warnings = frames.iter().filter(|f| matches!(f, Ok(thanoslib::Frame::Warning(_)))).count();
    assert_eq!(warnings, 1);
}

#[tokio::test]
async fn equal_labels_do_not_prove_equal_data() {
    // Twins by their labels, one of which lacks what the other has: both are asked, whichever
    // order they come in, since nothing says that they are a group.
    let member = |address: &str, series: &[&[(&str, &str)]]| {
        let store = conforming(&[("cluster", "eu"), ("replica", "A")], series);
        let info = Arc::new(store.info());
        ProxyMember::remote(address, store, info)
    };
    let whole: &[&[(&str, &str)]] = &[&[("a", "1")], &[("a", "2")]];
    let members = vec![member("whole", whole), member("lacks", &whole[..1])];
    let everything = Tolerance { fail_over: true, hedge: true, ..groups() };
    let mut reversed = members.clone();
    reversed.reverse();
    let a = stream(&proxy(members, everything.clone()), request()).await.expect("an answer");
    let b = stream(&proxy(reversed, everything), request()).await.expect("an answer");
    assert_eq!(a.labels(), b.labels());
    let want: Vec<Labels> = a.labels();
    assert_eq!(want.len(), 2);
}
