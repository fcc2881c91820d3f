//! A store over a server that answers as it is told.

use futures::TryStreamExt;

use super::{
    mock::{Asked, Mock, Reply},
    *,
};
use crate::{
    ErrorKind,
    budget::Budget,
    chunk::Encoding,
    encoding::{crc32c, put_snappy_block, put_uvarint},
    model::{Matcher, SampleColumns},
    store::{Frame, PartialResponse, ShardInfo},
};

const STREAMED: &str = "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse";

/// A field of bytes.
fn field(number: u64, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_uvarint(&mut out, number << 3 | 2);
    put_uvarint(&mut out, bytes.len() as u64);
    [out.as_slice(), bytes].concat()
}

fn pairs(text: &str) -> Vec<u8> {
    let pairs = text.split_whitespace().filter_map(|pair| pair.split_once('='));
    pairs.flat_map(|(n, v)| field(1, &[field(1, n.as_bytes()), field(2, v.as_bytes())].concat())).collect()
}

/// A frame with one series, a chunk for each number.
fn frame(labels: &str, chunks: &[u8]) -> Vec<u8> {
    let mut series = pairs(labels);
    for n in chunks {
        series.extend(field(2, &[&[0x08, *n, 0x10, *n, 0x18, 1][..], &field(4, &[*n])].concat()));
    }
    let message = field(1, &series);
    let mut out = Vec::new();
    put_uvarint(&mut out, message.len() as u64);
    out.extend_from_slice(&crc32c(&message).to_be_bytes());
    out.extend(message);
    out
}

/// What every server here answers beside remote reads.
fn known(asked: &Asked, own_cluster: bool) -> Option<Reply> {
    let path = asked.target.split('?').next().unwrap_or_default();
    Some(match path {
        "/p/api/v1/status/buildinfo" => Reply::json(r#"{"status":"success","data":{"version":"2.42.0"}}"#),
        "/p/metrics" => Reply::new(200, "text/plain", b"a 1\nprometheus_tsdb_lowest_timestamp_seconds 1.5\n"),
        "/p/api/v1/status/config" => Reply::json(
            r#"{"status":"success","data":{"yaml":"global:\n  external_labels: {cluster: eu, replica: A}\n"}}"#,
        ),
        "/p/api/v1/label/cluster/values" if own_cluster => {
            Reply::json(r#"{"status":"success","data":["x"]}"#)
        }
        "/p/api/v1/label/cluster/values" | "/p/api/v1/label/replica/values" => {
            Reply::json(r#"{"status":"success","data":[]}"#)
        }
        _ => return None,
    })
}

async fn start(
    own_cluster: bool,
    answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static,
) -> (Mock, PrometheusStore) {
    let mock = Mock::start(move |asked| known(asked, own_cluster).unwrap_or_else(|| answer(asked))).await;
    let client = PrometheusClient::new(&format!("{}/p", mock.address), &HttpClientConfig::default());
    let store = PrometheusStore::new(client.expect("an address"));
    store.refresh(&Context::default()).await.expect("the server answers");
    mock.asked.lock().expect("no panic holds the lock").clear();
    (mock, store)
}

fn request(matchers: &[(&str, &str)]) -> SeriesRequest {
    let matchers = matchers.iter().map(|(n, v)| Matcher::equal(*n, *v)).collect();
    SeriesRequest::new(Interval::new(0, 100_000), matchers)
}

/// Each series of an answer with the first byte of each chunk, and the sizes of the batches.
async fn collect(stream: SeriesStream) -> Result<(Vec<String>, Vec<usize>)> {
    let frames: Vec<Frame> = stream.try_collect().await?;
    let (mut series, mut sizes) = (Vec::<String>::new(), Vec::new());
    for frame in &frames {
        let Frame::Batch(batch) = frame else { panic!("{frame:?}") };
        sizes.push(batch.len());
        for s in batch.iter() {
            let chunks: Vec<u8> = s.chunks().filter_map(|c| c.data().first().copied()).collect();
            series.push(format!("{} {chunks:?}", s.labels()));
        }
    }
    Ok((series, sizes))
}

#[tokio::test]
async fn what_a_refresh_tells_is_known() {
    let (mock, store) = start(false, |_| Reply::json("{}")).await;
    let info = store.info();
    assert_eq!(info.label_sets, [Labels::from_pairs([("cluster", "eu"), ("replica", "A")])]);
    assert_eq!((info.component, info.interval), ("sidecar", Some(Interval::new(1_500, i64::MAX))));
    assert_eq!(store.version().as_deref(), Some("2.42.0"));
    // The version is asked for once.
    store.refresh(&Context::default()).await.expect("the server answers");
    assert!(!mock.targets().iter().any(|t| t.contains("buildinfo")), "{:?}", mock.targets());
}

#[tokio::test]
async fn series_leave_as_they_come() {
    let frames = [
        frame("__name__=up cluster=eu replica=A", &[1]),
        frame("__name__=up cluster=eu job=a replica=A", &[2]),
        frame("__name__=up cluster=eu job=a replica=A", &[3]),
        frame("__name__=up cluster=eu job=a replica=A zone=1", &[4]),
        frame("__name__=up cluster=eu job=b replica=A", &[5]),
    ];
    let stream = frames.concat();
    for piece in [1, 7, 50, 10_000] {
        let pieces: Vec<Vec<u8>> = stream.chunks(piece).map(<[u8]>::to_vec).collect();
        let (mock, store) =
            start(false, move |_| Reply { pieces: pieces.clone(), ..Reply::new(200, STREAMED, b"") }).await;
        let budget = Budget::new("test", 1 << 20);
        let ctx = Context::new(Arc::clone(&budget));
        let (series, _) =
            collect(store.series(&ctx, request(&[("__name__", "up"), ("cluster", "eu")])).await.expect("ok"))
                .await
                .expect("sound");
        assert_eq!(
            series,
            [
                r#"{__name__="up", cluster="eu", job="a", replica="A"} [2, 3]"#,
                r#"{__name__="up", cluster="eu", job="a", replica="A", zone="1"} [4]"#,
                r#"{__name__="up", cluster="eu", job="b", replica="A"} [5]"#,
                r#"{__name__="up", cluster="eu", replica="A"} [1]"#,
            ]
        );
        assert_eq!(budget.used(), 0, "everything is given back");
        let asked = mock.asked.lock().expect("no panic holds the lock")[0].clone();
        assert_eq!((asked.method.as_str(), asked.target.as_str()), ("POST", "/p/api/v1/read"));
        let body = crate::remote::encode_read_request(
            Interval::new(1_500, 100_000),
            &[Matcher::equal("__name__", "up")],
        );
        assert_eq!(asked.body, body, "the oldest time is known, and external labels stay here");
        assert!(
            asked.head.contains("content-encoding: snappy")
                && asked.head.contains("x-prometheus-remote-read-version: 0.1.0")
        );
        assert_eq!(store.metrics().frames.sum(), 5.0);
    }
}

#[tokio::test]
async fn answers_are_sorted_anew_where_the_order_is_not_known() {
    let stream = [
        frame("__name__=up cluster=x replica=A z=1", &[1]),
        frame("__name__=up a=2 cluster=eu replica=A", &[2]),
    ]
    .concat();
    let answer = move |_: &Asked| Reply::new(200, STREAMED, &stream);
    let (_mock, store) = start(true, answer).await;
    let mut all = request(&[("__name__", "up")]);
    let (series, _) =
        collect(store.series(&Context::default(), all.clone()).await.expect("ok")).await.expect("sound");
    let want = [
        r#"{__name__="up", a="2", cluster="eu", replica="A"} [2]"#,
        r#"{__name__="up", cluster="eu", replica="A", z="1"} [1]"#,
    ];
    assert_eq!(series, want);
    // Replica labels, also of the series themselves, shards and limits.
    all.without_replica_labels = ["replica", "a", "z"].map(str::to_owned).to_vec();
    let (series, _) =
        collect(store.series(&Context::default(), all.clone()).await.expect("ok")).await.expect("sound");
    assert_eq!(series, [r#"{__name__="up", cluster="eu"} [1, 2]"#]);
    all.without_replica_labels.clear();
    all.limit = 1;
    let (series, _) =
        collect(store.series(&Context::default(), all.clone()).await.expect("ok")).await.expect("sound");
    assert_eq!(series, want[..1]);
    all.limit = 0;
    let mut found = Vec::new();
    for index in 0..2 {
        all.shard = Some(ShardInfo { index, total: 2, by: true, labels: vec!["a".to_owned()] });
        found.extend(
            collect(store.series(&Context::default(), all.clone()).await.expect("ok"))
                .await
                .expect("sound")
                .0,
        );
    }
    found.sort();
    assert_eq!(found, want);
}

#[tokio::test]
async fn samples_are_cut_into_chunks() {
    let sample = |i: u8| field(2, &[&[0x09][..], &1.5f64.to_le_bytes(), &[0x10, i]].concat());
    // A float histogram without buckets at 200.
    let histogram = field(4, &[&[0x11][..], &3f64.to_le_bytes(), &[0x78, 0xc8, 0x01]].concat());
    let samples: Vec<u8> = (1..=121).flat_map(sample).collect();
    let series = [pairs("__name__=up cluster=eu replica=A"), samples, histogram].concat();
    let mut body = Vec::new();
    put_snappy_block(&mut body, &field(1, &field(1, &series)));
    let (_mock, store) = start(false, move |_| Reply::new(200, "application/x-protobuf", &body)).await;
    let stream = store.series(&Context::default(), request(&[("__name__", "up")])).await.expect("ok");
    let frames: Vec<Frame> = stream.try_collect().await.expect("sound");
    let Some(Frame::Batch(batch)) = frames.first() else { panic!("{frames:?}") };
    let series = batch.get(0).expect("one");
    let metas: Vec<_> =
        series.chunks().map(|c| (c.meta.interval.mint, c.meta.interval.maxt, c.meta.encoding)).collect();
    assert_eq!(
        metas,
        [(1, 120, Encoding::Xor), (121, 121, Encoding::Xor), (200, 200, Encoding::FloatHistogram)]
    );
    let mut samples = SampleColumns::default();
    for chunk in series.chunks() {
        crate::chunk::Chunk { encoding: chunk.meta.encoding, data: chunk.data() }
            .decode_into(&mut samples)
            .expect("sound");
    }
    assert_eq!((samples.floats.len(), samples.histograms.counts.as_slice()), (121, &[3.0][..]));
}

async fn fails(reply: Reply, skip_chunks: bool, kind: ErrorKind, words: &str) {
    let (_mock, store) = start(false, move |_| reply.clone()).await;
    let request = SeriesRequest { skip_chunks, ..request(&[("__name__", "up")]) };
    let ctx = Context::new(Budget::new("test", 100_000));
    let answer = match store.series(&ctx, request).await {
        Ok(stream) => collect(stream).await,
        Err(e) => Err(e),
    };
    let e: Error = answer.expect_err(words);
    assert!(e.kind() == kind && e.message().contains(words), "{:?} {e}", e.kind());
}

#[tokio::test]
async fn failures_are_told() {
    let read = |status, content_type, body: &[u8]| Reply::new(status, content_type, body);
    fails(
        read(400, "text/plain", b"no\n"),
        false,
        ErrorKind::Invalid,
        "request failed with code 400 Bad Request; msg no",
    )
    .await;
    fails(read(500, "text/plain", b"no"), false, ErrorKind::Unavailable, "request failed with code 500")
        .await;
    fails(
        read(200, "text/html", b"no"),
        false,
        ErrorKind::Internal,
        "not supported remote read content type: text/html",
    )
    .await;
    fails(read(200, STREAMED, &frame("a=1", &[1])[..9]), false, ErrorKind::Corrupt, "ends inside of a frame")
        .await;
    let mut bad = frame("a=1", &[1]);
    bad[3] ^= 1;
    fails(read(200, STREAMED, &bad), false, ErrorKind::Corrupt, "checksum mismatch").await;
    let mut huge = Vec::new();
    put_uvarint(&mut huge, 40_000_000);
    fails(read(200, STREAMED, &huge), false, ErrorKind::Limit, "budget used up").await;
    put_uvarint(&mut huge, 4_000_000_000);
    fails(read(200, STREAMED, &huge[4..]), false, ErrorKind::Corrupt, "frame is too long").await;
    let cut = Reply { pieces: vec![frame("a=1", &[1]), Vec::new()], cut: true, ..read(200, STREAMED, b"") };
    fails(cut, false, ErrorKind::Unavailable, "read body").await;
    fails(read(200, "application/x-protobuf", b"\xff\xff\xff\xff\x0f"), false, ErrorKind::Corrupt, "snappy")
        .await;
    for (status, kind) in [
        (400, ErrorKind::Invalid),
        (404, ErrorKind::NotFound),
        (422, ErrorKind::Internal),
        (503, ErrorKind::Unavailable),
        (500, ErrorKind::Internal),
        (418, ErrorKind::Internal),
    ] {
        let words = format!("expected 2xx response, got {status}. Body: {{\"status\":\"error\"}}");
        fails(read(status, "application/json", b"{\"status\":\"error\"}"), true, kind, &words).await;
    }
    fails(
        read(200, "application/json", b"{\"status\":\"error\",\"error\":\"why\"}"),
        true,
        ErrorKind::Internal,
        "why",
    )
    .await;
    fails(read(200, "text/html", b"<html>"), true, ErrorKind::Internal, "bad answer").await;
    let client =
        PrometheusClient::new("http://127.0.0.1:1", &HttpClientConfig::default()).expect("an address");
    let store = PrometheusStore::new(client);
    let e = store.refresh(&Context::default()).await.expect_err("nobody listens");
    assert_eq!(e.kind(), ErrorKind::Unavailable);
    let e =
        store.series(&Context::default(), request(&[("a", "b")])).await.err().expect("labels are not known");
    assert!(e.message().contains("external labels yet"), "{e}");
    let (_mock, store) = start(false, |_| Reply::json("{}")).await;
    let e = store
        .series(&Context::default(), request(&[("cluster", "eu")]))
        .await
        .err()
        .expect("nothing is left");
    assert_eq!(
        (e.kind(), e.message()),
        (ErrorKind::Invalid, "no matchers specified (excluding external labels)")
    );
}

#[tokio::test]
async fn series_without_samples_come_from_the_api() {
    let body = r#"{"status":"success","data":[{"__name__":"up","job":"b","replica":"x"},{"__name__":"up","job":"a"}]}"#;
    let (mock, store) = start(false, move |_| Reply::json(body)).await;
    let mut all = SeriesRequest { skip_chunks: true, limit: 5, ..request(&[("__name__", "up")]) };
    let (series, _) =
        collect(store.series(&Context::default(), all.clone()).await.expect("ok")).await.expect("sound");
    let want = [
        r#"{__name__="up", cluster="eu", job="a", replica="A"} []"#,
        r#"{__name__="up", cluster="eu", job="b", replica="A"} []"#,
    ];
    assert_eq!(series, want);
    all.without_replica_labels = vec!["replica".to_owned(), "job".to_owned()];
    let (series, _) =
        collect(store.series(&Context::default(), all.clone()).await.expect("ok")).await.expect("sound");
    assert_eq!(series, [r#"{__name__="up", cluster="eu"} []"#]);
    all.matchers.push(Matcher::equal("cluster", "us"));
    let (series, _) =
        collect(store.series(&Context::default(), all).await.expect("ok")).await.expect("sound");
    assert!(series.is_empty());
    let targets = mock.targets();
    assert_eq!(
        targets[0],
        "/p/api/v1/series?end=100&limit=5&match%5B%5D=%7B__name__%3D%22up%22%7D&start=1.5"
    );
    assert_eq!(targets[1], "/p/api/v1/series?end=100&match%5B%5D=%7B__name__%3D%22up%22%7D&start=1.5");
    assert_eq!(targets.len(), 2);
}

#[tokio::test]
async fn label_calls_know_external_labels() {
    let answer = |asked: &Asked| {
        if asked.target.contains("/values") {
            return Reply::json(r#"{"status":"success","data":["b","a"],"warnings":["a gap"]}"#);
        }
        if asked.target.contains("nothing") {
            return Reply::json(r#"{"status":"success","data":[]}"#);
        }
        match asked.target.contains("/series") {
            true => Reply::json(r#"{"status":"success","data":[{"a":"1"}]}"#),
            false => Reply::json(r#"{"status":"success","data":["__name__","cluster","job"]}"#),
        }
    };
    let (mock, store) = start(false, answer).await;
    let ctx = Context::default();
    let at = Interval::new(0, 2_000);
    let names = |matchers: Vec<Matcher>| LabelNamesRequest::new(at, matchers);
    let got = store.label_names(&ctx, names(Vec::new())).await.expect("ok");
    assert_eq!(got.names, ["__name__", "cluster", "job", "replica"]);
    let got = store.label_names(&ctx, names(vec![Matcher::equal("nothing", "x")])).await.expect("ok");
    assert!(got.names.is_empty());
    let without =
        LabelNamesRequest { without_replica_labels: vec!["replica".to_owned()], ..names(Vec::new()) };
    assert_eq!(store.label_names(&ctx, without).await.expect("ok").names, ["__name__", "cluster", "job"]);
    let values = |label: &str, matchers: Vec<Matcher>| LabelValuesRequest::new(label, at, matchers);
    let got = store.label_values(&ctx, values("job", Vec::new())).await.expect("ok");
    assert_eq!((got.values, got.warnings.iter().count()), (["a", "b"].iter().collect(), 1));
    let check = async |label: &str, matchers: &[(&str, &str)], want: &[&str]| {
        let matchers = matchers.iter().map(|(n, v)| Matcher::equal(*n, *v)).collect();
        assert_eq!(
            store.label_values(&ctx, values(label, matchers)).await.expect("ok").values,
            want,
            "{label}"
        );
    };
    check("cluster", &[], &["eu"]).await;
    check("cluster", &[("job", "a")], &["eu"]).await;
    check("cluster", &[("nothing", "a")], &[]).await;
    check("cluster", &[("replica", "B")], &[]).await;
    check("job", &[("cluster", "us")], &[]).await;
    let replica = LabelValuesRequest {
        without_replica_labels: vec!["replica".to_owned()],
        partial_response: PartialResponse::Abort,
        ..values("replica", Vec::new())
    };
    assert!(store.label_values(&ctx, replica).await.expect("ok").values.is_empty());
    let e = store.label_values(&ctx, values("", Vec::new())).await.expect_err("no name");
    assert_eq!((e.kind(), e.message()), (ErrorKind::Invalid, "label name parameter cannot be empty"));
    assert_eq!(
        mock.targets(),
        [
            "/p/api/v1/labels?end=2&start=0",
            "/p/api/v1/labels?end=2&match%5B%5D=%7Bnothing%3D%22x%22%7D&start=0",
            "/p/api/v1/labels?end=2&start=0",
            "/p/api/v1/label/job/values?end=2&start=0",
            "/p/api/v1/series?end=2&limit=1&match%5B%5D=%7Bjob%3D%22a%22%7D&start=0",
            "/p/api/v1/series?end=2&limit=1&match%5B%5D=%7Bnothing%3D%22a%22%7D&start=0",
        ]
    );
}

#[tokio::test]
async fn secrets_travel_in_the_head() {
    let dir = tempfile::tempdir().expect("tempdir");
    let file = dir.path().join("token");
    std::fs::write(&file, "t2\n").expect("write");
    let check = async |yaml: &str, want: &str| {
        let mock = Mock::start(|_| Reply::json(r#"{"status":"success","data":[]}"#)).await;
        let config = HttpClientConfig::parse(yaml).expect("sound");
        let client = PrometheusClient::new(&mock.address, &config).expect("an address");
        client.get::<Vec<String>>(&Context::default(), &["x"], &[]).await.expect("ok");
        let head = mock.asked.lock().expect("no panic holds the lock")[0].head.clone();
        assert!(head.contains(want), "{head}");
    };
    check("{}", "user-agent: thanos/").await;
    check("bearer_token: t1", "authorization: bearer t1\r\n").await;
    check(&format!("bearer_token_file: {}", file.display()), "authorization: bearer t2\r\n").await;
    check("basic_auth: {username: u, password: p}", "authorization: basic dtpw\r\n").await;
    check(
        &format!("basic_auth: {{username: u, password_file: {}}}", file.display()),
        "authorization: basic dtp0mg==\r\n",
    )
    .await;
}
