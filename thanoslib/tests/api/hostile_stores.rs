//! A store that is broken or means harm: a warning or an error names it, the others answer as ever,
//! and no request takes more memory than it was given.

use std::{sync::Arc, time::Duration};

use thanoslib::{
    ErrorKind, Result,
    budget::Budget,
    context::Context,
    model::Labels,
    promql::{self, Engine, EngineOptions, InstantQuery, QueryValue},
    query::{SelectOptions, StoreQueryable},
    runtime::Inline,
    store::{Conform, MemoryStore, PartialResponse, Proxy, ProxyMember, ProxySettings, Retrieval, Store},
    testing::{FaultyStore, StoreFault},
};

use crate::support::labels;

use Want::{Failed, Warned, Whole};

const MEMORY: u64 = 256 << 10;
/// Series of each store.
const SERIES: usize = 3;
const MINUTE_MS: i64 = 60_000;

/// What a request over a hostile store and a sound one gives.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Want {
    /// All series of both, as if nothing were wrong.
    Whole,
    /// The series of the sound one, perhaps some of the other, and a warning that names the other.
    Warned,
    /// An error that names the hostile one: memory or time is used up.
    Failed,
}

/// A store of a cluster; `able` when it removes replica labels and shards by itself.
fn store(cluster: &str, able: bool) -> Arc<dyn Store> {
    let store = MemoryStore::new(Labels::empty());
    for i in 0..SERIES {
        let i = i.to_string();
        let mut pairs = vec![("__name__", "up"), ("cluster", cluster), ("i", &i)];
        pairs.extend((!able).then_some(("replica", "A")));
        for t in 0..=10 {
            store.push(&labels(&pairs), t * MINUTE_MS, (t + 1) as f64).expect("in order");
        }
    }
    if able { Arc::new(Conform::new(Arc::new(store), Labels::empty())) } else { Arc::new(store) }
}

struct Stage {
    proxy: Arc<Proxy>,
    bad: Arc<FaultyStore>,
    /// Seconds that a query may take.
    patience: u64,
}

impl Stage {
    fn new(fault: &StoreFault, want: Want, able: bool, retrieval: Retrieval) -> Self {
        let sound = store("bad", able);
        let info = Arc::new(sound.info());
        let bad = Arc::new(FaultyStore::new(sound, fault.clone()));
        let good = store("good", true);
        let good_info = Arc::new(good.info());
        let members = vec![
            ProxyMember::remote("hostile:1", Arc::clone(&bad) as _, info),
            ProxyMember::remote("sound:1", good, good_info),
        ];
        let settings = ProxySettings {
            retrieval,
            response_timeout: Some(Duration::from_millis(100)),
            buffered_frames: 4,
            ..ProxySettings::default()
        };
        let patience = if want == Failed { 1 } else { 60 };
        Self { proxy: Arc::new(Proxy::new(Arc::new(members), settings)), bad, patience }
    }

    /// What a query gives: a row of cluster and value for each series, and the warnings.
    async fn query(&self, text: &str, strategy: PartialResponse) -> Result<(Vec<String>, Vec<String>)> {
        let options = SelectOptions {
            replica_labels: vec!["replica".to_owned()],
            partial_response: strategy,
            ..SelectOptions::default()
        };
        let engine = Engine::new(EngineOptions::default(), Arc::new(Inline));
        let expr = promql::parse(text, engine.options()).expect("a query");
        let query = InstantQuery { expr, text: text.into(), time_ms: 10 * MINUTE_MS, lookback_ms: None };
        let budget = Budget::new("query", MEMORY);
        // What has no end may use up the time instead of the memory.
        let ctx = Context::new(Arc::clone(&budget)).with_timeout(Duration::from_secs(self.patience));
        let queryable = StoreQueryable::new(Arc::clone(&self.proxy) as _, options);
        let done = engine.instant(&ctx, Arc::new(queryable), query).await.map(|result| {
            let warnings = result.warnings.iter().map(ToString::to_string).collect();
            let QueryValue::Vector(samples) = result.value else { panic!("no vector") };
            let cluster =
                |l: &Labels| String::from_utf8_lossy(l.get("cluster").unwrap_or_default()).into_owned();
            let mut rows: Vec<_> =
                samples.iter().map(|s| format!("{} {:?}", cluster(&s.labels), s.value)).collect();
            rows.sort();
            (rows, warnings)
        });
        assert!(budget.peak() <= MEMORY);
        // What failed has given everything back, too.
        assert_eq!((budget.used(), self.bad.open_streams()), (0, 0));
        done
    }

    /// Asks for an answer with gaps and for a whole one; says what is not as it should be.
    async fn check(&self, fault: &StoreFault, text: &str, want: Want) -> Option<String> {
        self.bad.set(StoreFault::None);
        let sound = self.query(text, PartialResponse::Abort).await.expect("an answer");
        let good = |rows: &[String]| -> Vec<String> {
            rows.iter().filter(|row| row.starts_with("good")).cloned().collect()
        };
        assert!(!good(&sound.0).is_empty() && sound.1.is_empty(), "{sound:?}");
        self.bad.set(fault.clone());
        let (gaps, whole) =
            (self.query(text, PartialResponse::Warn).await, self.query(text, PartialResponse::Abort).await);
        let named = |text: &str| text.contains("hostile:1") || text.contains(TOLD);
        let fails = |got: &Result<_>, kinds: &[ErrorKind]| {
            got.as_ref().is_err_and(|e| named(e.message()) && kinds.contains(&e.kind()))
        };
        let right = match want {
            Whole => [&gaps, &whole].iter().all(|got| got.as_ref().is_ok_and(|got| *got == sound)),
            Warned => {
                let warned = gaps.as_ref().is_ok_and(|(rows, warnings)| {
                    good(rows) == good(&sound.0) && !warnings.is_empty() && warnings.iter().all(|w| named(w))
                });
                warned && fails(&whole, &[ErrorKind::Unavailable, ErrorKind::Timeout, ErrorKind::Corrupt])
            }
            Failed => [&gaps, &whole].iter().all(|got| fails(got, &[ErrorKind::Limit, ErrorKind::Timeout])),
        };
        let shown = |got: Result<(Vec<String>, Vec<String>)>| {
            let text = format!("{got:?}");
            text.chars().take(1000).collect::<String>()
        };
        (!right).then(|| format!("{fault:?}, {text}, {want:?}:\n  {}\n  {}", shown(gaps), shown(whole)))
    }
}

/// A warning that a store sends by itself.
const TOLD: &str = "half of it is gone";

/// Each fault with what a query gives.
fn cases() -> Vec<(StoreFault, Want)> {
    use StoreFault::{
        BadText, Breaks, Broken, Doubled, Empty, Endless, EndlessChunks, EndlessWarnings, Fails, Far, Giant,
        Hangs, Inverted, OutOfOrder, Repeats, Stops, Warns, Widened,
    };
    vec![
        (Fails(ErrorKind::Unavailable, "gone"), Warned),
        (Hangs, Warned),
        (Breaks(0, ErrorKind::Unavailable, "gone"), Warned),
        (Breaks(2, ErrorKind::Unavailable, "gone"), Warned),
        (Stops(1), Warned),
        (Warns(TOLD), Warned),
        (OutOfOrder, Warned),
        (Doubled, Whole),
        (Repeats, Warned),
        (Empty, Warned),
        (Inverted, Warned),
        (Far, Whole),
        (Widened, Whole),
        // No count, a count without samples, samples cut short, and nonsense.
        (Broken(&[]), Warned),
        (Broken(&[0xff, 0xff]), Warned),
        (Broken(&[0, 120, 2, 0x3f, 0xf0, 0, 0]), Warned),
        (Broken(&[0xff; 64]), Warned),
        (BadText, Whole),
        (Giant(MEMORY as usize), Failed),
        (Endless, Failed),
        (EndlessChunks, Failed),
        (EndlessWarnings(TOLD, 1), Warned),
        (EndlessWarnings(TOLD, 300), Warned),
    ]
}

async fn all(able: bool, retrieval: Retrieval) {
    let mut wrong = Vec::new();
    for (fault, want) in cases() {
        let stage = Stage::new(&fault, want, able, retrieval);
        wrong.extend(stage.check(&fault, "up", want).await);
        wrong.extend(stage.check(&fault, "sum by (cluster) (increase(up[5m]))", want).await);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn hostile_stores_are_named_and_harm_nobody_else() {
    all(true, Retrieval::Eager).await;
    all(true, Retrieval::Lazy).await;
}

#[tokio::test]
async fn hostile_stores_whose_series_are_sorted_anew_harm_nobody_else() {
    all(false, Retrieval::Eager).await;
}
