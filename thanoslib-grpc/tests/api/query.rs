//! Queries of a peer: the order of an answer, and how failures are told.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt, stream};
use thanoslib::{
    Error, ErrorKind, Result,
    apis::{Apis, QueryApi, QueryFrame, QueryStream, QueryTime, RemoteQuery},
    context::Context,
    model::{Labels, Warning},
    promql::MatrixSeries,
};
use thanoslib_grpc::{
    client::ClientSettings,
    pb::thanos::{QueryRequest, query_client::QueryClient, query_response::Result as Part},
    server::Settings,
    tonic::{Code, transport::Endpoint},
};

use super::fixture::{peer, serve_apis};

/// Answers what the text of a query says.
#[derive(Debug)]
struct Fake;

#[async_trait]
impl QueryApi for Fake {
    async fn query(&self, _ctx: &Context, query: RemoteQuery) -> Result<QueryStream> {
        let series = |n: i32| {
            let one = |i| MatrixSeries {
                labels: Labels::from_pairs([("i", format!("{i}"))]),
                floats: vec![(1_000, f64::from(i))],
                histograms: Vec::new(),
            };
            Ok(QueryFrame::Series((0..n).map(one).collect()))
        };
        let warning = |text: &str| Ok(QueryFrame::Warning(Warning::new(text.to_owned())));
        let stats = || Ok(QueryFrame::Stats { samples_total: 5, samples_peak: 3 });
        let frames: Vec<Result<QueryFrame>> = match query.text.as_str() {
            "bad" => return Err(Error::invalid("1:1: parse error")),
            "full" => vec![warning("one"), warning("two"), series(3), series(2), stats()],
            "fails" => vec![Err(Error::corrupt("found duplicate series"))],
            "breaks" => vec![series(1), Err(Error::unavailable("store gone"))],
            "limit" => vec![Err(Error::limit("too many samples"))],
            "hangs" => return Ok(stream::pending().boxed()),
            other => panic!("no such query: {other}"),
        };
        Ok(stream::iter(frames).boxed())
    }
}

fn apis() -> Apis {
    Apis { query: Some(Arc::new(Fake)), ..Apis::default() }
}

fn range() -> QueryTime {
    QueryTime::Range { start_ms: 0, end_ms: 60_000, step_ms: 15_000 }
}

async fn ask(query: RemoteQuery) -> Result<Vec<String>> {
    let (address, _stop, _) = serve_apis(apis(), Settings::default()).await;
    let peer = peer(&address, ClientSettings::default()).await;
    let frames = peer.apis().query.expect("a client").query(&Context::default(), query).await?;
    let show = |frame| match frame {
        QueryFrame::Series(list) => format!("series {}", list.len()),
        QueryFrame::Warning(w) => format!("warning {w}"),
        QueryFrame::Stats { samples_total, samples_peak } => format!("stats {samples_total} {samples_peak}"),
        other => panic!("{other:?}"),
    };
    frames.map_ok(show).try_collect().await
}

#[tokio::test]
async fn warnings_come_first_and_stats_last() {
    let check = async |time, batch_series, want: &[&str]| {
        let query = RemoteQuery { batch_series, ..RemoteQuery::new("full", time) };
        assert_eq!(ask(query).await.expect("an answer"), want);
    };
    for time in [range(), QueryTime::Instant { t_ms: None }] {
        let singles =
            ["warning one, two", "series 1", "series 1", "series 1", "series 1", "series 1", "stats 5 3"];
        check(time, 0, &singles).await;
        check(time, 4, &["warning one, two", "series 4", "series 1", "stats 5 3"]).await;
        check(time, 64, &["warning one, two", "series 5", "stats 5 3"]).await;
    }
}

#[tokio::test]
async fn failures_are_told_as_thanos_tells_them() {
    let check = async |text: &str, time, partial_response, want: Result<&[&str], &str>| {
        let query = RemoteQuery { partial_response, ..RemoteQuery::new(text, time) };
        let got = ask(query).await.map_err(|e| e.to_string());
        let want = want.map(|w| w.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>()).map_err(str::to_owned);
        assert_eq!(got, want, "{text}");
    };
    let instant = || QueryTime::Instant { t_ms: Some(1_000) };
    let unknown = Err("rpc error: code = Unknown desc = 1:1: parse error");
    let aborted = Err("rpc error: code = Aborted desc = found duplicate series");
    check("bad", instant(), true, unknown).await;
    check("bad", range(), true, unknown).await;
    check("fails", instant(), false, aborted).await;
    check("fails", instant(), true, Ok(&["warning found duplicate series"])).await;
    check("fails", range(), true, aborted).await;
    check("breaks", instant(), true, Ok(&["series 1", "warning store gone"])).await;
    check("limit", range(), true, Err("rpc error: code = ResourceExhausted desc = too many samples")).await;
}

#[tokio::test]
async fn a_query_ends_by_its_deadline() {
    let query = RemoteQuery { timeout: Some(Duration::from_secs(1)), ..RemoteQuery::new("hangs", range()) };
    assert_eq!(ask(query).await.expect_err("it hangs").kind(), ErrorKind::Timeout);
}

#[tokio::test]
async fn an_unknown_engine_is_refused_and_a_message_holds_one_part() {
    let (address, _stop, _) = serve_apis(apis(), Settings::default()).await;
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address");
    let mut client = QueryClient::new(endpoint.connect().await.expect("the server listens"));
    let status = client.query(QueryRequest { engine: 9, ..Default::default() }).await.expect_err("no engine");
    assert_eq!((status.code(), status.message()), (Code::InvalidArgument, "engine: unknown value 9"));
    let request = QueryRequest { query: "full".to_owned(), ..Default::default() };
    let mut parts = client.query(request).await.expect("an answer").into_inner();
    let first = parts.message().await.expect("no error").expect("a part").result;
    assert_eq!(first, Some(Part::Warnings("one, two".into())));
}
