//! How Series answers are cut into frames, and how they fail.

use thanoslib::ErrorKind;
use thanoslib_grpc::{
    convert,
    pb::thanos::{
        LabelMatcher, PartialResponseStrategy, SeriesRequest, series_response::Result as Frame,
        store_client::StoreClient,
    },
    server::Settings,
    tonic::{Code, Status},
};

use super::fixture::{Scripted, Server, Step, scripted, steps};

/// What a client sees: a word for each frame, and how the call ended.
async fn ask(server: &Server, request: SeriesRequest) -> (Vec<String>, Result<(), Status>) {
    let mut client = StoreClient::new(server.channel.clone()).max_decoding_message_size(usize::MAX);
    let mut words = Vec::new();
    let mut frames = match client.series(request).await {
        Ok(frames) => frames.into_inner(),
        Err(status) => return (words, Err(status)),
    };
    loop {
        match frames.message().await {
            Ok(Some(frame)) => {
                words.push(match frame.message().expect("our own").result.expect("a frame holds something") {
                    Frame::Series(s) => format!("series {}", s.chunks.len()),
                    Frame::Batch(b) => format!("batch {}", b.series.len()),
                    Frame::Warning(w) => format!("warning {}", convert::text(&w)),
                    Frame::Hints(h) => format!("hints {:?}", convert::queried_blocks(&h)),
                })
            }
            Ok(None) => return (words, Ok(())),
            Err(status) => return (words, Err(status)),
        }
    }
}

async fn check(server: Server, request: SeriesRequest, want: &[&str], end: Result<(), (Code, &str)>) {
    let (words, ended) = ask(&server, request).await;
    assert_eq!(words, want);
    let ended = ended.map_err(|s| (s.code(), s.message().to_owned()));
    assert_eq!(ended, end.map_err(|(c, m)| (c, m.to_owned())));
    server.stop().await;
}

fn batches_of(n: i64) -> SeriesRequest {
    SeriesRequest { response_batch_size: n, ..SeriesRequest::default() }
}

fn one(name: &'static str) -> Step {
    Step::Batch(vec![(name, vec![1])])
}

#[tokio::test]
async fn frames_hold_what_the_client_asked_for() {
    let three = || vec![Step::Batch(vec![("1", vec![1]), ("2", vec![1, 1]), ("3", vec![])])];
    check(steps(three()).await, batches_of(0), &["series 1", "series 2", "series 0"], Ok(())).await;
    check(steps(three()).await, batches_of(1), &["series 1", "series 2", "series 0"], Ok(())).await;
    check(steps(three()).await, batches_of(2), &["batch 2", "batch 1"], Ok(())).await;
    check(steps(Vec::new()).await, batches_of(2), &[], Ok(())).await;
}

#[tokio::test]
async fn warnings_keep_their_place_between_batches() {
    let script = vec![one("1"), Step::Warning("gap"), one("2")];
    check(steps(script).await, batches_of(3), &["batch 1", "warning gap", "batch 1"], Ok(())).await;
}

#[tokio::test]
async fn abort_ends_the_answer_at_the_first_warning() {
    let script = || vec![one("1"), Step::Warning("gap"), one("2")];
    let request =
        SeriesRequest { partial_response_strategy: PartialResponseStrategy::Abort.into(), ..batches_of(1) };
    check(steps(script()).await, request, &["series 1"], Err((Code::Aborted, "gap"))).await;
    let request = SeriesRequest { partial_response_disabled: true, ..batches_of(1) };
    check(steps(script()).await, request, &["series 1"], Err((Code::Aborted, "gap"))).await;
}

#[tokio::test]
async fn failures_have_the_code_of_their_kind() {
    let at_once = vec![Step::Error(ErrorKind::Limit, "too many series: 11 of 10")];
    let want = Err((Code::ResourceExhausted, "too many series: 11 of 10"));
    check(steps(at_once).await, batches_of(1), &[], want).await;
    let later = vec![one("1"), Step::Error(ErrorKind::Unavailable, "gone")];
    check(steps(later).await, batches_of(1), &["series 1"], Err((Code::Unavailable, "gone"))).await;
}

#[tokio::test]
async fn bad_requests_are_refused() {
    let matcher =
        |r#type, value: &str| LabelMatcher { r#type, name: "a".to_owned(), value: value.to_owned().into() };
    let request = SeriesRequest { matchers: vec![matcher(9, "x")], ..batches_of(1) };
    let want = Err((Code::InvalidArgument, "unrecognized label matcher type 9"));
    check(steps(vec![one("1")]).await, request, &[], want).await;
    let request = SeriesRequest { aggregates: vec![0, 6], ..batches_of(1) };
    let want = Err((Code::InvalidArgument, "aggregates[1]: unknown value 6"));
    check(steps(vec![one("1")]).await, request, &[], want).await;
    let server = steps(vec![one("1")]).await;
    let request = SeriesRequest { matchers: vec![matcher(2, "(")], ..batches_of(1) };
    let (words, ended) = ask(&server, request).await;
    assert_eq!((words.len(), ended.expect_err("no pattern").code()), (0, Code::InvalidArgument));
    server.stop().await;
}

#[tokio::test]
async fn a_series_larger_than_a_frame_is_split() {
    let script = vec![Step::Batch(vec![("1", vec![700 << 10; 5]), ("2", vec![1])])];
    let want = ["series 2", "series 2", "series 1", "series 1"];
    check(steps(script.clone()).await, batches_of(1), &want, Ok(())).await;
    check(steps(script).await, batches_of(64), &["batch 1", "batch 1", "batch 2"], Ok(())).await;
}

#[tokio::test]
async fn a_frame_may_pass_the_default_limits_of_tonic() {
    let script = vec![Step::Batch(vec![("1", vec![9 << 20])])];
    check(steps(script).await, batches_of(1), &["series 1"], Ok(())).await;
}

#[tokio::test]
async fn hints_are_sent_when_they_are_wanted() {
    let script = || Scripted { steps: vec![one("1"), Step::Hints("01X")], ..Scripted::default() };
    check(scripted(script(), Settings::default()).await, batches_of(1), &["series 1"], Ok(())).await;
    let wanted = Settings { series_hints: true, ..Settings::default() };
    let want = ["series 1", "hints [\"01X\"]"];
    check(scripted(script(), wanted).await, batches_of(1), &want, Ok(())).await;
}
