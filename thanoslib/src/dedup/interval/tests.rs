use proptest::prelude::*;

use crate::{
    chunk::{Chunk, Encoding, XorAppender},
    dedup::{Algorithm, Counters, DedupRequest, Deduplicator, SeriesChunk},
    model::{Interval, SampleColumns, stale_nan},
};

type Samples = Vec<(i64, f64)>;

/// A chunk that was written.
#[derive(Clone, Debug)]
struct Written {
    interval: Interval,
    data: Vec<u8>,
}

/// The samples as chunks of so many.
fn chunks(samples: &[(i64, f64)], size: usize) -> Vec<Written> {
    let write = |part: &[(i64, f64)]| {
        let mut appender = XorAppender::new();
        part.iter().for_each(|(t, v)| appender.append(*t, *v).expect("in order"));
        let interval = Interval::new(part[0].0, part[part.len() - 1].0);
        Written { interval, data: appender.into_bytes() }
    };
    samples.chunks(size.max(1)).map(write).collect()
}

/// What a query over `interval` sees; it reads no chunk that it need not read.
fn ask(replicas: &[Vec<Written>], interval: Interval, function: &str) -> Samples {
    let reads = Algorithm::Interval.reads(interval);
    let mut seen: Vec<SeriesChunk<'_>> = replicas
        .iter()
        .flatten()
        .filter(|c| c.interval.overlaps(reads))
        .map(|c| SeriesChunk::raw(c.interval, Chunk { encoding: Encoding::Xor, data: &c.data }))
        .collect();
    seen.sort_by_key(|c| (c.interval.mint, c.interval.maxt));
    if seen.is_empty() {
        return Vec::new();
    }
    let algorithm = Algorithm::Interval;
    let request = DedupRequest { algorithm, counters: Counters::Prometheus, function, interval };
    let mut out = SampleColumns::default();
    Deduplicator::new(request).dedup(&[&seen], &mut out).expect("sound chunks");
    out.floats.ts.into_iter().zip(out.floats.vs).collect()
}

fn ask_all(replicas: &[Samples]) -> Samples {
    let written: Vec<_> = replicas.iter().map(|r| chunks(r, 120)).collect();
    ask(&written, Interval::ALL, "")
}

/// Scrapes from `from` to before `to`, in seconds, all of the value `v`.
fn scrapes(from: i64, to: i64, every: i64, v: f64) -> Samples {
    (from..to).step_by(every as usize).map(|t| (t * 1000, v)).collect()
}

fn check(replicas: &[Samples], want: &[Samples]) {
    let want: Samples = want.concat();
    assert_eq!(ask_all(replicas), want);
    let reversed: Vec<Samples> = replicas.iter().rev().cloned().collect();
    assert_eq!(ask_all(&reversed), want, "in another order");
}

#[test]
fn the_replica_without_gaps_owns_its_slot() {
    let a = scrapes(3, 900, 15, 1.0);
    let b = scrapes(10, 900, 15, 2.0);
    check(&[a.clone(), b.clone()], std::slice::from_ref(&a));
    // The owner misses one scrape of each slot: the other one has them all.
    let gaps: Samples = a.iter().filter(|(t, _)| t % 300_000 != 93_000).copied().collect();
    check(&[gaps, b.clone()], std::slice::from_ref(&b));
}

#[test]
fn one_missed_scrape_is_filled() {
    // Both have a gap in the first slot, of one and of two scrapes.
    let without = |samples: &Samples, gone: &[i64]| -> Samples {
        samples.iter().filter(|(t, _)| !gone.contains(&(t / 1000))).copied().collect()
    };
    let a = scrapes(3, 300, 15, 1.0);
    let b = without(&scrapes(10, 300, 15, 2.0), &[205, 220]);
    let gap = without(&a, &[93]);
    let filled: Samples = gap.iter().copied().chain([(85_000, 2.0)]).collect();
    let mut want: Samples = filled;
    want.sort_by_key(|(t, _)| *t);
    // 85 is nearer than half an interval to 78 + 15 / 2 on neither side: 78 + 7 = 85, 108 - 7 = 101.
    want.retain(|(t, v)| *v == 1.0 || *t == 85_000 || *t == 100_000);
    let got = ask_all(&[gap, b]);
    assert!(got.iter().any(|(t, v)| *v == 2.0 && (85_000..=101_000).contains(t)), "{got:?}");
    let widest = got.windows(2).map(|w| w[1].0 - w[0].0).max();
    assert!(widest.is_some_and(|w| w <= 22_000), "{widest:?}");
}

#[test]
fn long_gaps_lose_nothing() {
    // One replica is away for an hour, the other for another hour (upstream issues 981, 2890).
    let all = |phase, v| scrapes(phase, 6 * 3600, 30, v);
    let away = |samples: Samples, from: i64, to: i64| -> Samples {
        samples.into_iter().filter(|(t, _)| !(from..to).contains(&(t / 1000))).collect()
    };
    let a = away(all(1, 1.0), 3600, 7200);
    let b = away(all(16, 2.0), 10_800, 14_400);
    let got = ask_all(&[a, b]);
    let widest = got.windows(2).map(|w| w[1].0 - w[0].0).max();
    assert!(widest.is_some_and(|w| w <= 60_000), "{widest:?}");
    assert!(got.len() >= 6 * 120 - 4, "{}", got.len());
}

/// Penalty dedup leaves out the second replica's samples in the first seconds of every query, so that a
/// query that is split drops at each border (upstream issue 9034).
#[test]
fn a_split_query_drops_nothing_at_its_borders() {
    const HOUR: i64 = 3_600_000;
    // The first replica is away around each border.
    let away = |t: i64| (t + 120_000) % HOUR < 240_000;
    let a: Samples = scrapes(3, 6 * 3600, 15, 1.0).into_iter().filter(|(t, _)| !away(*t)).collect();
    let b = scrapes(10, 6 * 3600, 15, 2.0);
    let written = [chunks(&a, 120), chunks(&b, 120)];
    let whole = ask(&written, Interval::new(0, 6 * HOUR - 1), "");
    let parts: Vec<Samples> =
        (0..6).map(|h| ask(&written, Interval::new(h * HOUR, (h + 1) * HOUR - 1), "")).collect();
    assert_eq!(parts.concat(), whole);
    let widest = whole.windows(2).map(|w| w[1].0 - w[0].0).max();
    assert!(widest.is_some_and(|w| w <= 30_000), "{widest:?}");
}

/// One replica is as Prometheus has it, whichever function asks and however replicas are merged.
#[test]
fn one_replica_stays_as_it_is_for_every_function() {
    let mut samples = scrapes(3, 4000, 15, 0.0);
    for (i, (_, v)) in samples.iter_mut().enumerate() {
        // A counter with resets.
        *v = (i % 53) as f64;
    }
    samples.push((4_010_000, stale_nan()));
    samples.extend(scrapes(4100, 5000, 15, 7.0));
    let bits =
        |samples: &Samples| -> Vec<(i64, u64)> { samples.iter().map(|(t, v)| (*t, v.to_bits())).collect() };
    let written = chunks(&samples, 50);
    for function in [
        "",
        "rate",
        "irate",
        "increase",
        "resets",
        "delta",
        "idelta",
        "changes",
        "deriv",
        "avg_over_time",
        "max_over_time",
        "sum_over_time",
        "count_over_time",
        "last_over_time",
        "xrate",
        "xincrease",
        "predict_linear",
        "quantile_over_time",
        "sum",
        "max",
    ] {
        for algorithm in [Algorithm::Penalty, Algorithm::Chain, Algorithm::Interval] {
            let chunk = |w: &'_ Written| (w.interval, w.data.clone());
            let parts: Vec<_> = written.iter().map(chunk).collect();
            let seen: Vec<SeriesChunk<'_>> = parts
                .iter()
                .map(|(i, data)| SeriesChunk::raw(*i, Chunk { encoding: Encoding::Xor, data }))
                .collect();
            let request =
                DedupRequest { algorithm, counters: Counters::Prometheus, function, interval: Interval::ALL };
            let mut out = SampleColumns::default();
            Deduplicator::new(request).dedup(&[&seen], &mut out).expect("sound chunks");
            let got: Samples = out.floats.ts.into_iter().zip(out.floats.vs).collect();
            assert_eq!(bits(&got), bits(&samples), "{algorithm:?} {function:?}");
        }
    }
}

#[test]
fn a_replica_that_ends_hands_over() {
    let a = scrapes(3, 1000, 15, 1.0);
    let b = scrapes(10, 2000, 15, 2.0);
    let got = ask_all(&[a, b]);
    assert_eq!(got.last().map(|(t, _)| *t), Some(1_990_000));
    assert!(got.windows(2).all(|w| w[1].0 - w[0].0 <= 23_000));
}

#[test]
fn stale_marks_end_a_series_only_where_all_end() {
    let mut a = scrapes(3, 100, 15, 1.0);
    a.push((108_000, stale_nan()));
    let b = scrapes(10, 200, 15, 2.0);
    let got = ask_all(&[a.clone(), b]);
    assert!(got.iter().all(|(_, v)| !v.is_nan()), "{got:?}");
    let alone = ask_all(&[a, vec![(20_000, 5.0)]]);
    assert!(alone.last().is_some_and(|(_, v)| v.is_nan()), "{alone:?}");
}

#[test]
fn resets_stay_and_changes_of_the_replica_are_none() {
    // B counts the same events, but began with less.
    let value = |t: i64| t as f64;
    let a: Samples =
        scrapes(3, 700, 15, 0.0).into_iter().map(|(t, _)| (t, 1000.0 + value(t / 1000))).collect();
    let b: Samples = scrapes(10, 1500, 15, 0.0)
        .into_iter()
        .map(|(t, _)| (t, if t < 1_200_000 { value(t / 1000) } else { value(t / 1000 - 1200) }))
        .collect();
    let written = [chunks(&a, 120), chunks(&b, 120)];
    let got = ask(&written, Interval::ALL, "rate");
    let falls: Vec<i64> = got.windows(2).filter(|w| w[1].1 < w[0].1).map(|w| w[1].0).collect();
    assert_eq!(falls, [1_210_000], "the real one alone");
    let increase: f64 = got.windows(2).map(|w| if w[1].1 < w[0].1 { w[1].1 } else { w[1].1 - w[0].1 }).sum();
    // From 3 s to 1490 s, less the part of an interval in which the counter began anew.
    assert!((increase - 1487.0).abs() <= 15.0, "{increase}");
}

/// Replicas that scrape one counter, each at times of its own, with gaps.
fn replicas() -> impl Strategy<Value = (i64, Vec<Samples>)> {
    let every = prop::sample::select(vec![10_000_i64, 15_000, 30_000, 60_000]);
    let replica =
        (0_i64..1000, prop::collection::vec((0_i64..14_400_000, 0_i64..1_200_000), 0..4), any::<u64>());
    (every, prop::collection::vec(replica, 2..4)).prop_map(|(every, list)| {
        let replica = |(phase, gaps, seed): (i64, Vec<(i64, i64)>, u64)| -> Samples {
            let begin = 1_700_000_000_000 + phase * every / 1000;
            let mut noise = seed | 1;
            (0..14_400_000 / every)
                .map(|i| begin + i * every)
                .map(|t| {
                    noise ^= noise << 13;
                    noise ^= noise >> 7;
                    noise ^= noise << 17;
                    t + (noise % 40) as i64
                })
                .filter(|t| {
                    let at = t - 1_700_000_000_000;
                    !gaps.iter().any(|(from, len)| (*from..from + len).contains(&at))
                })
                .map(|t| (t, (t - 1_699_990_000_000) as f64 / 1000.0))
                .collect()
        };
        (every, list.into_iter().map(replica).collect())
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn every_query_sees_the_same(
        (every, replicas) in replicas(),
        from in 0_i64..14_400_000,
        len in 0_i64..5_000_000,
        size in 20_usize..130,
    ) {
        let written: Vec<_> = replicas.iter().map(|r| chunks(r, size)).collect();
        let whole = ask(&written, Interval::ALL, "");
        let part = Interval::new(1_700_000_000_000 + from, 1_700_000_000_000 + from + len);
        let want: Samples = whole.iter().filter(|(t, _)| part.contains(*t)).copied().collect();
        prop_assert_eq!(&ask(&written, part, ""), &want, "a part");
        let reversed: Vec<_> = written.iter().rev().cloned().collect();
        prop_assert_eq!(&ask(&reversed, part, ""), &want, "in another order");

        // No sample that no replica has, and none twice.
        let mut known: Vec<(i64, u64)> = replicas.concat().iter().map(|(t, v)| (*t, v.to_bits())).collect();
        known.sort_unstable();
        prop_assert!(whole.iter().all(|(t, v)| known.binary_search(&(*t, v.to_bits())).is_ok()));
        prop_assert!(whole.windows(2).all(|w| w[0].0 < w[1].0));

        // Where some replica has every scrape, little is missing.
        for pair in whole.windows(2) {
            let (a, b) = (pair[0].0, pair[1].0);
            if b - a > 2 * every + 200 {
                let covered = |r: &Samples| {
                    let inside: Vec<i64> = r.iter().map(|(t, _)| *t).filter(|t| *t > a + every && *t < b - every).collect();
                    inside.len() as i64 > (b - a) / every - 2 && !inside.is_empty()
                };
                prop_assert!(!replicas.iter().any(covered), "from {} to {}", a, b);
            }
        }

        // All count the same events: so does the merge, whatever it changes to.
        let rate = ask(&written, Interval::ALL, "rate");
        if let [first, .., last] = rate.as_slice() {
            let gained = last.1 - first.1;
            let time = (last.0 - first.0) as f64 / 1000.0;
            prop_assert!(rate.windows(2).all(|w| w[0].1 <= w[1].1), "it never falls");
            prop_assert!((gained - time).abs() <= 1e-3, "{} in {} s", gained, time);
        }
    }
}
