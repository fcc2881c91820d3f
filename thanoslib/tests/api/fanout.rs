//! One store over several: joined answers, warnings, aborts.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use futures::{StreamExt, stream as streams};
use thanoslib::{
    Error, ErrorKind, Result,
    context::Context,
    model::{Interval, Labels, Matcher},
    store::{
        Conform, Fanout, LabelNames, LabelNamesRequest, LabelValues, LabelValuesRequest, Member, MemoryStore,
        PartialResponse, SeriesRequest, SeriesStream, Store, StoreInfo,
    },
};

use crate::{
    conform::{add, conforming},
    support::{any, labels, stream},
};

/// A store that does something wrong, or takes its time, around a sound one.
#[derive(Debug)]
struct Odd {
    inner: Arc<dyn Store>,
    how: How,
    /// Set when a stream that this store gave is dropped.
    dropped: Arc<AtomicBool>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum How {
    /// Every call fails.
    Fails(ErrorKind),
    /// Streams end with an error after the first frame.
    Breaks,
    /// No call is ever answered.
    Hangs,
    /// Streams give their series and then no end.
    NeverEnds,
    /// Every call panics, since nobody should make it.
    Unasked,
}

/// Sets its flag when dropped.
struct Flag(Arc<AtomicBool>);

impl Drop for Flag {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Odd {
    async fn meet(&self) -> Result<()> {
        match self.how {
            How::Fails(kind) => Err(Error::new(kind, "out of order")),
            How::Hangs => std::future::pending().await,
            How::Unasked => panic!("this member has nothing to say"),
            How::Breaks | How::NeverEnds => Ok(()),
        }
    }
}

#[async_trait]
impl Store for Odd {
    fn info(&self) -> StoreInfo {
        self.inner.info()
    }

    async fn series(&self, ctx: &Context, request: SeriesRequest) -> Result<SeriesStream> {
        self.meet().await?;
        let flag = Flag(Arc::clone(&self.dropped));
        let inner = self.inner.series(ctx, request).await?.map(move |frame| {
            let _held = &flag;
            frame
        });
        Ok(match self.how {
            How::Breaks => {
                let broken = streams::iter([Err(Error::unavailable("connection lost"))]);
                inner.take(1).chain(broken).boxed()
            }
            How::NeverEnds => inner.chain(streams::pending()).boxed(),
            _ => inner.boxed(),
        })
    }

    async fn label_names(&self, ctx: &Context, request: LabelNamesRequest) -> Result<LabelNames> {
        self.meet().await?;
        self.inner.label_names(ctx, request).await
    }

    async fn label_values(&self, ctx: &Context, request: LabelValuesRequest) -> Result<LabelValues> {
        self.meet().await?;
        self.inner.label_values(ctx, request).await
    }
}

fn member(name: &str, store: Arc<dyn Store>) -> Member {
    Member { name: name.to_owned(), store }
}

/// A member `odd` with one series, and the flag that its stream was dropped.
fn odd(how: How) -> (Member, Arc<AtomicBool>) {
    let dropped = Arc::new(AtomicBool::new(false));
    let inner = conforming(&[("cluster", "odd")], &[&[("a", "odd")]]);
    (member("odd", Arc::new(Odd { inner, how, dropped: Arc::clone(&dropped) })), dropped)
}

fn good() -> Member {
    member("good", conforming(&[("cluster", "eu")], &[&[("a", "1")], &[("a", "2")]]))
}

fn fanout(members: Vec<Member>) -> Fanout {
    Fanout::new("query", members)
}

fn request() -> SeriesRequest {
    SeriesRequest::new(Interval::ALL, vec![any()])
}

#[tokio::test]
async fn members_are_joined_in_label_order() {
    let one = MemoryStore::new(Labels::empty());
    let two = MemoryStore::new(Labels::empty());
    for (store, a, t) in [(&one, "1", 0), (&two, "2", 0), (&one, "3", 0), (&two, "3", 60), (&one, "4", 5)] {
        add(store, &labels(&[("a", a)]), t);
    }
    // An equal chunk of both replicas is kept once.
    add(&two, &labels(&[("a", "4")]), 5);
    let whole = |store| Arc::new(Conform::new(Arc::new(store), Labels::empty()));
    let joined = fanout(vec![member("one", whole(one)), member("two", whole(two))]);
    let got = stream(&joined, request()).await.expect("an answer");
    let chunks: Vec<(Labels, usize)> =
        [("1", 1), ("2", 1), ("3", 2), ("4", 1)].map(|(a, n)| (labels(&[("a", a)]), n)).to_vec();
    assert_eq!((got.series, got.warnings), (chunks, vec![]));
    let limited = stream(&joined, SeriesRequest { limit: 2, ..request() }).await.expect("an answer");
    assert_eq!(limited.labels(), [labels(&[("a", "1")]), labels(&[("a", "2")])]);
}

#[tokio::test]
async fn a_fanout_without_members_answers_nothing() {
    let got = stream(&fanout(vec![]), request()).await.expect("an answer");
    assert_eq!(got, crate::support::Streamed::default());
    assert_eq!(fanout(vec![]).info().interval, None);
}

#[tokio::test]
async fn label_calls_join_sort_and_cut() {
    let members = vec![good(), member("us", conforming(&[("cluster", "us")], &[&[("a", "0"), ("b", "x")]]))];
    let store = fanout(members);
    let ctx = Context::default();
    let names = store.label_names(&ctx, LabelNamesRequest::new(Interval::ALL, vec![])).await.expect("names");
    assert_eq!(names.names, ["a", "b", "cluster"]);
    for (limit, want) in [(0, &["0", "1", "2"][..]), (2, &["0", "1"])] {
        let request = LabelValuesRequest { limit, ..LabelValuesRequest::new("a", Interval::ALL, vec![]) };
        assert_eq!(store.label_values(&ctx, request).await.expect("values").values, want);
    }
}

#[tokio::test]
async fn members_that_cannot_have_an_answer_are_not_asked() {
    let (unasked, _) = odd(How::Unasked);
    let store = fanout(vec![good(), unasked]);
    let eu = vec![any(), Matcher::equal("cluster", "eu")];
    let got = stream(&store, SeriesRequest::new(Interval::ALL, eu.clone())).await.expect("an answer");
    assert_eq!(got.labels().len(), 2);
    let ctx = Context::default();
    let names = store.label_names(&ctx, LabelNamesRequest::new(Interval::ALL, eu)).await.expect("names");
    assert_eq!(names.names, ["a", "cluster"]);
    let later = Interval::new(1, 2);
    let got = stream(&store, SeriesRequest::new(later, vec![any()])).await.expect("an answer");
    assert_eq!(got.labels(), [] as [Labels; 0], "all samples lie at 0");
}

#[tokio::test]
async fn a_member_that_fails_is_a_warning_that_names_it() {
    for kind in [ErrorKind::Unavailable, ErrorKind::Corrupt, ErrorKind::Internal, ErrorKind::Denied] {
        let (failing, _) = odd(How::Fails(kind));
        let store = fanout(vec![failing, good()]);
        let got = stream(&store, request()).await.expect("an answer");
        assert_eq!((got.labels().len(), got.warnings), (2, vec!["odd: out of order".to_owned()]));
        let ctx = Context::default();
        let names = store.label_names(&ctx, LabelNamesRequest::new(Interval::ALL, vec![])).await;
        let names = names.expect("names");
        assert_eq!((names.names.len(), names.warnings.iter().count()), (2, 1), "{kind:?}");
        assert_eq!(names.warnings.iter().next().map(|w| w.origin.as_str()), Some("odd"));
        let values = LabelValuesRequest::new("a", Interval::ALL, vec![]);
        let values = store.label_values(&ctx, values).await.expect("values");
        assert_eq!((values.values.len(), values.warnings.iter().count()), (2, 1), "{kind:?}");
    }
}

#[tokio::test]
async fn a_member_that_fails_ends_a_request_without_partial_answers() {
    let (failing, _) = odd(How::Fails(ErrorKind::Unavailable));
    let store = fanout(vec![failing, good()]);
    let partial_response = PartialResponse::Abort;
    let ctx = Context::default();
    let series = stream(&store, SeriesRequest { partial_response, ..request() }).await;
    let names = LabelNamesRequest { partial_response, ..LabelNamesRequest::new(Interval::ALL, vec![]) };
    let names = store.label_names(&ctx, names).await;
    let values =
        LabelValuesRequest { partial_response, ..LabelValuesRequest::new("a", Interval::ALL, vec![]) };
    let values = store.label_values(&ctx, values).await;
    for e in [series.expect_err("an abort"), names.expect_err("an abort"), values.expect_err("an abort")] {
        assert_eq!((e.kind(), e.message()), (ErrorKind::Unavailable, "odd: out of order"));
    }
}

#[tokio::test]
async fn errors_of_the_request_itself_are_no_warnings() {
    for kind in [ErrorKind::Invalid, ErrorKind::Limit, ErrorKind::Cancelled, ErrorKind::Timeout] {
        let (failing, _) = odd(How::Fails(kind));
        let e = stream(&fanout(vec![failing, good()]), request()).await.expect_err("an error");
        assert_eq!(e.kind(), kind);
    }
}

#[tokio::test]
async fn a_stream_that_breaks_keeps_what_came_before() {
    let (broken, _) = odd(How::Breaks);
    let store = fanout(vec![broken, good()]);
    let got = stream(&store, request()).await.expect("an answer");
    assert_eq!((got.labels().len(), got.warnings), (3, vec!["odd: connection lost".to_owned()]));
    let partial_response = PartialResponse::Abort;
    let e = stream(&store, SeriesRequest { partial_response, ..request() }).await.expect_err("an abort");
    assert_eq!((e.kind(), e.message()), (ErrorKind::Unavailable, "odd: connection lost"));
}

#[tokio::test]
async fn an_error_drops_the_streams_of_the_others() {
    let (endless, dropped) = odd(How::NeverEnds);
    let (broken, _) = odd(How::Breaks);
    let store = fanout(vec![endless, broken]);
    let asked = SeriesRequest { partial_response: PartialResponse::Abort, ..request() };
    let mut answer = store.series(&Context::default(), asked).await.expect("a stream");
    let mut failed = false;
    while let Some(frame) = answer.next().await {
        failed = frame.is_err();
        if failed {
            break;
        }
    }
    assert!(failed, "the broken member ends the request");
    assert!(dropped.load(Ordering::Relaxed), "the work of the other one stops");
    assert!(answer.next().await.is_none(), "nothing comes after an error");
}

#[tokio::test]
async fn dropping_an_answer_drops_the_streams_behind_it() {
    let (endless, dropped) = odd(How::NeverEnds);
    let store = fanout(vec![endless, good()]);
    let answer = store.series(&Context::default(), request()).await.expect("a stream");
    assert!(!dropped.load(Ordering::Relaxed));
    drop(answer);
    assert!(dropped.load(Ordering::Relaxed));
}

#[tokio::test(start_paused = true)]
async fn a_member_that_hangs_ends_with_the_deadline() {
    let (hanging, _) = odd(How::Hangs);
    let store = fanout(vec![hanging, good()]);
    let ctx = Context::default().with_timeout(Duration::from_secs(5));
    let e = store.series(&ctx, request()).await.err().expect("a timeout");
    assert_eq!(e.kind(), ErrorKind::Timeout);
    let names = store.label_names(&ctx, LabelNamesRequest::new(Interval::ALL, vec![])).await;
    assert_eq!(names.expect_err("a timeout").kind(), ErrorKind::Timeout);
}
