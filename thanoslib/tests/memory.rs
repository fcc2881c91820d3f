//! What is held in memory while an index is written, or series are aggregated, does not grow with the
//! number of series.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use thanoslib::{
    index::{ChunkRef, IndexChunk, IndexFile, IndexWriter},
    model::{Interval, Labels},
};

/// Counts the bytes that are allocated, and the most that were at any time.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);
/// Held by the test that counts.
static ALONE: Mutex<()> = Mutex::new(());

fn count(more: usize, less: usize) {
    let held = HELD.fetch_add(more, Ordering::Relaxed) + more;
    PEAK.fetch_max(held, Ordering::Relaxed);
    HELD.fetch_sub(less, Ordering::Relaxed);
}

// SAFETY: every call is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: the caller keeps the rules of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(0, layout.size());
        // SAFETY: the caller keeps the rules of `dealloc`.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size, layout.size());
        // SAFETY: the caller keeps the rules of `realloc`.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Entries that the writer may hold: fewer than the smaller index has.
const ENTRIES_MAX: usize = 20_000;

/// Writes an index of a million divided by `step` series, all with the same strings; gives the
/// most memory that was held.
fn write(step: usize) -> (usize, std::fs::File) {
    let value = |prefix: char, i: usize| format!("{prefix}{i:02}");
    let file = tempfile::tempfile().expect("a file");
    let mut symbols: Vec<String> = ["a", "b", "c", "job", "one"].map(str::to_owned).into();
    symbols.extend(['a', 'b', 'c'].iter().flat_map(|p| (0..100).map(|i| value(*p, i))));
    symbols.sort();
    let before = HELD.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let writer = IndexWriter::new(file, symbols).expect("a file");
    let mut writer = writer.with_entries_max(ENTRIES_MAX);
    let mut series = 0;
    for (a, b) in (0..100).flat_map(|a| (0..100).map(move |b| (a, b))) {
        // Of each hundred that differ in the last label, some; which ones depends on the others.
        for c in (0..100).filter(|c| (c + a + b) % step == 0) {
            let (a, b, c) = (value('a', a), value('b', b), value('c', c));
            let labels = Labels::from_pairs([("a", a.as_str()), ("b", &b), ("c", &c), ("job", "one")]);
            let chunk = IndexChunk { interval: Interval::new(0, 1), reference: ChunkRef(8 + series * 20) };
            writer.add(labels.view(), &[chunk]).expect("ascending");
            series += 1;
        }
    }
    assert_eq!(series as usize, 1_000_000 / step);
    let file = writer.finish().expect("a file");
    (PEAK.load(Ordering::Relaxed) - before, file)
}

#[test]
fn memory_of_the_index_writer_does_not_grow_with_series() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    // A million series take minutes without optimisation; all of them with the variable.
    let all = !cfg!(debug_assertions) || std::env::var_os("THANOSLIB_MILLION").is_some();
    let (small, file) = write(100);
    let index = IndexFile::open(read(file).into()).expect("an index");
    let list = |name: &str, value: &str| {
        let list = index.index().table.find(name.as_bytes(), value.as_bytes()).expect("a list");
        index.postings(list).expect("sound").len()
    };
    assert_eq!(
        (list("", ""), list("job", "one"), list("a", "a07"), list("c", "c99")),
        (10_000, 10_000, 100, 100)
    );
    drop(index);
    let (large, _) = write(if all { 1 } else { 10 });
    println!("{small} bytes for 10 000 series, {large} for {}", if all { 1_000_000 } else { 100_000 });
    assert!(large * 10 <= small * 11 && small * 10 <= large * 11, "{small} bytes became {large}");
}

fn read(mut file: std::fs::File) -> Vec<u8> {
    use std::io::{Read, Seek, SeekFrom};
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0)).expect("a file");
    file.read_to_end(&mut bytes).expect("a file");
    bytes
}

#[cfg(feature = "promql")]
mod queries {
    use std::sync::Arc;

    use futures::{StreamExt, stream};
    use thanoslib::{
        Context, Engine, EngineOptions, Labels, QueryValue, RangeQuery, Result, SampleColumns,
        promql::{self, Queryable, Select, SelectFrame, SelectStream, SelectedSeries, SeriesData},
        runtime::{Compute, Inline, Pool},
    };

    use super::*;

    /// A counter that is scraped once a second for four minutes.
    #[derive(Debug)]
    struct Counter(usize);

    impl SeriesData for Counter {
        fn decode(&self, out: &mut SampleColumns) -> Result<()> {
            (0..240).for_each(|i| out.floats.push(i * 1000, (self.0 as i64 + i) as f64));
            Ok(())
        }

        fn size_bytes(&self) -> usize {
            size_of::<Self>()
        }
    }

    /// So many counters, which are made when they are asked for.
    #[derive(Debug)]
    struct Counters(usize);

    #[async_trait::async_trait]
    impl Queryable for Counters {
        async fn select(&self, _: &Context, _: Select) -> Result<SelectStream> {
            let series = |i: usize| {
                let (i, group) = (format!("{i:07}"), format!("{}", i % 10));
                let labels = Labels::from_pairs([("__name__", "x"), ("a", &i), ("group", &group)]);
                SelectedSeries { labels, data: Box::new(Counter(group.len())) }
            };
            let frame = move |from: usize| Ok(SelectFrame::Series((from..from + 100).map(series).collect()));
            Ok(stream::iter((0..self.0).step_by(100).map(frame)).boxed())
        }
    }

    /// The most memory that is held while a query over so many series runs.
    fn peak(on: &Arc<dyn Compute>, text: &str, series: usize) -> usize {
        let engine = Engine::new(EngineOptions::default(), Arc::clone(on));
        let expr = promql::parse(text, engine.options()).expect("parses");
        let (start_ms, end_ms, step_ms, lookback_ms) = (0, 240_000, 1000, None);
        let query = RangeQuery { expr, text: text.into(), start_ms, end_ms, step_ms, lookback_ms };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let before = HELD.load(Ordering::Relaxed);
        PEAK.store(before, Ordering::Relaxed);
        let answer = runtime.block_on(engine.range(&Context::default(), Arc::new(Counters(series)), query));
        let QueryValue::Matrix(matrix) = answer.expect("an answer").value else { panic!("a matrix") };
        assert_eq!(matrix.len(), 10, "{text}");
        PEAK.load(Ordering::Relaxed) - before
    }

    #[test]
    fn memory_of_aggregations_does_not_grow_with_series() {
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let inline: Arc<dyn Compute> = Arc::new(Inline);
        for text in ["sum by (group) (x)", "sum by (group) (rate(x[10s]))", "max by (group) (x)"] {
            let (small, large) = (peak(&inline, text, 2_000), peak(&inline, text, 20_000));
            println!("{text}: {small} bytes for 2 000 series, {large} for 20 000");
            assert!(large * 10 <= small * 11, "{text}: {small} bytes became {large}");
            // The columns of ten groups, and little else.
            assert!(large < 1 << 20, "{text}: {large} bytes");
        }
        let pool: Arc<dyn Compute> = Arc::new(Pool::new(4).expect("threads"));
        let text = "sum by (group) (rate(x[10s]))";
        // Four jobs run and four wait to, eight wait to be taken in and eight are taken in: 256 series
        // each, with 240 values that are not folded yet once they ran. All series would be 38 MB.
        let ahead = 20 * 256 * 240 * size_of::<f64>();
        let (small, large) = (peak(&pool, text, 2_000), peak(&pool, text, 20_000));
        println!("{text} on 4 threads: {small} bytes for 2 000 series, {large} for 20 000");
        assert!(small.max(large) < ahead + (2 << 20), "{small} bytes, {large} bytes");
    }
}
