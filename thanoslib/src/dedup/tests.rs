use super::*;
use crate::{
    ErrorKind,
    chunk::{Chunk, Encoding, XorAppender},
    series::{Aggr, FloatColumn, SampleColumns},
};

type Samples = Vec<(i64, f64)>;

fn encode(samples: &[(i64, f64)]) -> Vec<u8> {
    let mut appender = XorAppender::new();
    samples.iter().for_each(|&(t, v)| appender.append(t, v).expect("room"));
    appender.into_bytes()
}

fn interval(samples: &[(i64, f64)]) -> Interval {
    Interval::new(samples[0].0, samples[samples.len() - 1].0)
}

/// Deduplicates replicas of one raw chunk each.
fn dedup(counters: Counters, function: &str, replicas: &[&[(i64, f64)]]) -> Samples {
    let data: Vec<Vec<u8>> = replicas.iter().map(|r| encode(r)).collect();
    let chunks: Vec<[SeriesChunk<'_>; 1]> = replicas
        .iter()
        .zip(&data)
        .map(|(r, data)| [SeriesChunk::raw(interval(r), Chunk { encoding: Encoding::Xor, data })])
        .collect();
    let members: Vec<&[SeriesChunk<'_>]> = chunks.iter().map(|c| &c[..]).collect();
    let request = DedupRequest { algorithm: Algorithm::Penalty, counters, function, interval: Interval::ALL };
    let mut out = SampleColumns::default();
    let outcome = Deduplicator::new(request).dedup(&members, &mut out).expect("sound");
    assert!(!outcome.rewritten);
    listed(&out.floats)
}

fn listed(floats: &FloatColumn) -> Samples {
    floats.ts.iter().copied().zip(floats.vs.iter().copied()).collect()
}

/// What the samples add up to, resets taken into account.
fn increase(samples: &[(i64, f64)]) -> f64 {
    samples.windows(2).map(|w| if w[1].1 < w[0].1 { w[1].1 } else { w[1].1 - w[0].1 }).sum()
}

fn resets(samples: &[(i64, f64)]) -> usize {
    samples.windows(2).filter(|w| w[1].1 < w[0].1).count()
}

#[track_caller]
fn check(function: &str, replicas: &[&[(i64, f64)]], expected: &[(i64, f64)]) {
    assert_eq!(dedup(Counters::Prometheus, function, replicas), expected, "{function}");
}

fn seconds(samples: &[(i64, f64)]) -> Samples {
    samples.iter().map(|&(t, v)| (t * 1000, v)).collect()
}

#[test]
fn one_replica_gives_its_stored_samples() {
    let a = seconds(&[(10, 5.0), (20, 9.0), (30, 2.0), (40, 4.0)]);
    for function in ["", "rate", "increase", "irate", "resets", "xrate"] {
        check(function, &[&a], &a);
    }
    let thanos = dedup(Counters::Thanos, "rate", &[&a]);
    assert_eq!(thanos, seconds(&[(10, 5.0), (20, 9.0), (30, 11.0), (40, 13.0)]));
}

#[test]
fn a_lower_replica_is_lifted_until_it_falls_itself() {
    let a = seconds(&[(10, 100.0), (20, 110.0)]);
    let b = seconds(&[(11, 50.0), (21, 60.0), (31, 70.0), (41, 80.0), (51, 85.0), (61, 3.0), (71, 4.0)]);
    // The sample at 31 s is lost to the penalty of a gap that may yet end.
    let lifted = seconds(&[(10, 100.0), (20, 110.0), (41, 110.0), (51, 115.0), (61, 3.0), (71, 4.0)]);
    for function in ["rate", "increase", "irate", "resets"] {
        check(function, &[&a, &b], &lifted);
    }
    let stored = seconds(&[(10, 100.0), (20, 110.0), (41, 80.0), (51, 85.0), (61, 3.0), (71, 4.0)]);
    for function in ["", "delta", "xrate", "last_over_time"] {
        check(function, &[&a, &b], &stored);
    }
}

#[test]
fn a_reset_that_the_new_replica_saw_stays() {
    let a = seconds(&[(10, 100.0), (20, 110.0)]);
    let b = seconds(&[(11, 101.0), (14, 104.0), (42, 1.0), (52, 3.0), (62, 5.0)]);
    let expected = seconds(&[(10, 100.0), (20, 110.0), (42, 1.0), (52, 3.0), (62, 5.0)]);
    check("rate", &[&a, &b], &expected);
}

#[test]
fn a_replica_that_was_not_there_before_is_not_lifted() {
    let a = seconds(&[(10, 100.0), (20, 110.0)]);
    let b = seconds(&[(50, 1.0), (60, 3.0)]);
    check("increase", &[&a, &b], &[&a[..], &b[..]].concat());
}

#[test]
fn stale_markers_are_neither_values_nor_lifted() {
    let stale = crate::model::stale_nan();
    let a = seconds(&[(10, 100.0), (20, 110.0), (25, stale)]);
    let b = seconds(&[(11, 50.0), (21, 60.0), (31, 70.0), (41, stale), (51, 80.0)]);
    let got = dedup(Counters::Prometheus, "rate", &[&a, &b]);
    let bits =
        |samples: &[(i64, f64)]| -> Vec<_> { samples.iter().map(|(t, v)| (*t, v.to_bits())).collect() };
    // The lift is taken at the first value of the other replica, past its marker.
    let want = seconds(&[(10, 100.0), (20, 110.0), (25, stale), (41, stale), (51, 110.0)]);
    assert_eq!(bits(&got), bits(&want));
}

/// A counter that grows by 2.5 a second and restarts at 500 s.
fn scrapes(offset_ms: i64, gap: (i64, i64)) -> Samples {
    (0..80)
        .map(|i| i * 15_000 + offset_ms)
        .filter(|t| !(gap.0 * 1000..gap.1 * 1000).contains(t))
        .map(|t| (t, 2.5 * (if t < 500_000 { t } else { t - 500_000 }) as f64 / 1000.0))
        .collect()
}

#[test]
fn an_ha_pair_with_gaps_increases_like_one_whole_replica() {
    let whole = scrapes(0, (0, 0));
    for (a, b) in [((300, 420), (700, 800)), ((470, 530), (100, 160)), ((900, 1300), (0, 60))] {
        let (a, b) = (scrapes(0, a), scrapes(7_100, b));
        for pair in [[&a[..], &b[..]], [&b[..], &a[..]]] {
            let got = dedup(Counters::Prometheus, "increase", &pair);
            let error = (increase(&got) - increase(&whole)).abs();
            // Half an interval may be missing at each end, and one around the restart.
            assert!(error <= 2.0 * 15.0 * 2.5, "off by {error}");
            assert_eq!(resets(&got), 1);
            assert!(got.windows(2).all(|w| w[0].0 < w[1].0));
        }
    }
}

#[test]
fn deduplicating_again_changes_nothing() {
    let (a, b) = (scrapes(0, (300, 420)), scrapes(7_100, (700, 800)));
    for function in ["", "rate"] {
        let once = dedup(Counters::Prometheus, function, &[&a, &b]);
        assert_eq!(dedup(Counters::Prometheus, function, &[&once]), once);
        assert_eq!(dedup(Counters::Prometheus, function, &[&once, &once]), once);
    }
}

#[test]
fn a_counter_aggregate_rewrites_the_whole_series() {
    let raw = encode(&[(700, 4.0), (800, 6.0)]);
    let aggregate = encode(&[(100, 5.0), (300, 9.0), (600, 12.0), (600, 1.0)]);
    let chunk = |data| Chunk { encoding: Encoding::Xor, data };
    let chunks = [
        SeriesChunk::empty(Interval::new(300, 600)).with(Aggr::Counter, chunk(&aggregate)),
        SeriesChunk::raw(Interval::new(700, 800), chunk(&raw)),
    ];
    let request = |counters| DedupRequest {
        algorithm: Algorithm::Penalty,
        counters,
        function: "rate",
        interval: Interval::new(0, 700),
    };
    let expected = vec![(100, 5.0), (300, 9.0), (600, 12.0), (700, 15.0)];
    for (counters, rewritten) in [(Counters::Prometheus, true), (Counters::Thanos, false)] {
        let mut deduplicator = Deduplicator::new(request(counters));
        let mut out = SampleColumns::default();
        let outcome = deduplicator.dedup(&[&chunks], &mut out).expect("sound");
        assert_eq!((listed(&out.floats), outcome), (expected.clone(), Outcome { rewritten }));
        out.clear();
        let outcome = deduplicator.concat(&chunks, &mut out).expect("sound");
        assert_eq!((listed(&out.floats), outcome), (expected.clone(), Outcome { rewritten }));
    }
}

#[test]
fn concatenated_chunks_skip_what_overlaps() {
    let data = [
        encode(&[(10, 1.0), (20, 2.0), (30, 3.0)]),
        encode(&[(20, 20.0), (25, 25.0), (40, 4.0)]),
        encode(&[(35, 35.0)]),
        encode(&[(50, 5.0)]),
    ];
    let chunks: Vec<_> = data
        .iter()
        .map(|data| SeriesChunk::raw(Interval::new(0, 0), Chunk { encoding: Encoding::Xor, data }))
        .collect();
    let request = DedupRequest {
        algorithm: Algorithm::Penalty,
        counters: Counters::Prometheus,
        function: "",
        interval: Interval::new(15, 45),
    };
    let mut out = SampleColumns::default();
    Deduplicator::new(request).concat(&chunks, &mut out).expect("sound");
    assert_eq!(listed(&out.floats), [(20, 2.0), (30, 3.0), (40, 4.0)]);
}

#[test]
fn what_can_not_be_read_is_an_error_beside_the_rest() {
    let sound = encode(&[(10, 1.0)]);
    let at = Interval::new(10, 10);
    let raw = |data| SeriesChunk::raw(at, Chunk { encoding: Encoding::Xor, data });
    let request = |function| DedupRequest {
        algorithm: Algorithm::Penalty,
        counters: Counters::Prometheus,
        function,
        interval: Interval::ALL,
    };
    let cases: [(&str, SeriesChunk<'_>, &str); 3] = [
        ("", raw(&[0, 9, 1]), "chunk claims more samples than it has bits at offset 0"),
        (
            "max",
            SeriesChunk::empty(at).with(Aggr::Min, Chunk { encoding: Encoding::Xor, data: &sound }),
            "no valid chunk found",
        ),
        ("", SeriesChunk::empty(at), "no valid chunk found"),
    ];
    for (function, bad, text) in cases {
        let mut out = SampleColumns::default();
        let error = Deduplicator::new(request(function)).dedup(&[&[raw(&sound)], &[bad]], &mut out);
        let error = error.expect_err("one chunk is bad");
        assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Corrupt, text));
        assert_eq!(listed(&out.floats), [(10, 1.0)]);
    }
    let many = vec![raw(&sound); 513];
    let error = Deduplicator::new(request("")).dedup(&[&many], &mut SampleColumns::default());
    assert_eq!(error.map_err(|e| e.kind()), Err(ErrorKind::Limit));
    let some = vec![raw(&sound); 512];
    let mut out = SampleColumns::default();
    assert!(Deduplicator::new(request("")).dedup(&[&some], &mut out).is_ok());
    assert_eq!(listed(&out.floats), [(10, 1.0)]);
}

#[test]
fn minima_pass_over_histograms() {
    // What a block gives of downsampled histograms: a chunk without data.
    let none = Chunk { encoding: Encoding::None, data: &[] };
    let data = encode(&[(30, 1.0)]);
    let floats = Chunk { encoding: Encoding::Xor, data: &data };
    for (function, aggr) in [("min_over_time", Aggr::Min), ("max", Aggr::Max)] {
        let request = DedupRequest {
            algorithm: Algorithm::Penalty,
            counters: Counters::Prometheus,
            function,
            interval: Interval::ALL,
        };
        let chunks = [
            SeriesChunk::raw(Interval::new(10, 20), none),
            SeriesChunk::empty(Interval::new(30, 30)).with(aggr, floats),
        ];
        let mut out = SampleColumns::default();
        Deduplicator::new(request).dedup(&[&chunks], &mut out).expect("nothing is wrong");
        assert_eq!(listed(&out.floats), [(30, 1.0)]);
    }
}
