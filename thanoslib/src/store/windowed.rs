//! A store of which only a part of the time is served.

use std::sync::Arc;

use async_trait::async_trait;
use futures::{StreamExt, stream};

use super::{
    Abilities, LabelNames, LabelNamesRequest, LabelValues, LabelValuesRequest, SeriesRequest, SeriesStream,
    Store, StoreInfo,
};
use crate::{
    clock::Clock,
    context::Context,
    error::Result,
    model::{Interval, TimeWindow},
};

/// A store that answers for a window of time alone, however much it holds.
///
/// Compat: the time of each producer is told whole, as Thanos tells it; that of the store is clipped.
///
/// ```
/// use std::sync::Arc;
/// use thanoslib::{Interval, Labels, MemoryStore, Store, SystemClock, store::Windowed};
/// let store = MemoryStore::new(Labels::empty());
/// store.push(&Labels::from_pairs([("__name__", "up")]), 15_000, 1.0)?;
/// store.push(&Labels::from_pairs([("__name__", "up")]), 90_000, 1.0)?;
/// let store = Windowed::new(Arc::new(store), Interval::new(0, 60_000).into(), Arc::new(SystemClock));
/// assert_eq!(store.info().interval, Some(Interval::new(15_000, 60_000)));
/// # Ok::<(), thanoslib::Error>(())
/// ```
#[derive(Debug)]
pub struct Windowed {
    inner: Arc<dyn Store>,
    window: TimeWindow,
    clock: Arc<dyn Clock>,
}

impl Windowed {
    /// The store within a window.
    pub fn new(inner: Arc<dyn Store>, window: TimeWindow, clock: Arc<dyn Clock>) -> Self {
        Self { inner, window, clock }
    }

    fn clip(&self, interval: Interval) -> Option<Interval> {
        let window = self.window.at(self.clock.now_ms());
        let clipped = Interval::new(interval.mint.max(window.mint), interval.maxt.min(window.maxt));
        // What a request that ends before it begins means is the inner store's to say.
        (clipped.mint <= clipped.maxt || interval.mint > interval.maxt).then_some(clipped)
    }
}

#[async_trait]
impl Store for Windowed {
    fn info(&self) -> StoreInfo {
        let info = self.inner.info();
        StoreInfo { interval: info.interval.and_then(|interval| self.clip(interval)), ..info }
    }

    fn abilities(&self) -> Abilities {
        self.inner.abilities()
    }

    fn may_have(&self, label: &[u8]) -> bool {
        self.inner.may_have(label)
    }

    async fn series(&self, ctx: &Context, request: SeriesRequest) -> Result<SeriesStream> {
        match self.clip(request.interval) {
            Some(interval) => self.inner.series(ctx, SeriesRequest { interval, ..request }).await,
            None => Ok(stream::empty().boxed()),
        }
    }

    async fn label_names(&self, ctx: &Context, request: LabelNamesRequest) -> Result<LabelNames> {
        match self.clip(request.interval) {
            Some(interval) => self.inner.label_names(ctx, LabelNamesRequest { interval, ..request }).await,
            None => Ok(LabelNames::default()),
        }
    }

    async fn label_values(&self, ctx: &Context, request: LabelValuesRequest) -> Result<LabelValues> {
        match self.clip(request.interval) {
            Some(interval) => self.inner.label_values(ctx, LabelValuesRequest { interval, ..request }).await,
            None => Ok(LabelValues::default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt;

    use super::*;
    use crate::{
        clock::ManualClock,
        model::{Labels, Matcher, TimeBound},
        store::{Frame, MemoryStore},
    };

    #[tokio::test]
    async fn nothing_outside_of_the_window_is_told() {
        let inner = MemoryStore::new(Labels::empty());
        for t in [10_000, 20_000, 30_000] {
            let labels = Labels::from_pairs([("__name__", "up"), ("t", &t.to_string())]);
            inner.push(&labels, t, 1.0).expect("memory");
        }
        let clock = Arc::new(ManualClock::new(25_000));
        let window = TimeWindow { min: TimeBound::At(15_000), max: TimeBound::FromNow(0) };
        let store = Windowed::new(Arc::new(inner), window, Arc::clone(&clock) as Arc<dyn Clock>);
        let ctx = Context::default();
        let asked = async |interval: Interval| {
            let up = vec![Matcher::equal("__name__", "up")];
            let frames = store.series(&ctx, SeriesRequest::new(interval, up.clone())).await;
            let frames: Vec<Frame> = frames.expect("sound").try_collect().await.expect("sound");
            let series: usize =
                frames.iter().map(|f| if let Frame::Batch(b) = f { b.len() } else { 0 }).sum();
            let values = store.label_values(&ctx, LabelValuesRequest::new("t", interval, up.clone())).await;
            assert_eq!(values.expect("sound").values.len(), series, "{interval:?}");
            let names = store.label_names(&ctx, LabelNamesRequest::new(interval, up)).await;
            assert_eq!(names.expect("sound").names.is_empty(), series == 0, "{interval:?}");
            series
        };
        assert_eq!(asked(Interval::ALL).await, 1);
        assert_eq!(asked(Interval::new(0, 14_999)).await, 0);
        assert_eq!(store.info().interval, Some(Interval::new(15_000, 25_000)));
        clock.set(40_000);
        assert_eq!(asked(Interval::ALL).await, 2);
        assert_eq!(asked(Interval::new(30_000, 50_000)).await, 1);
        assert_eq!(store.info().interval, Some(Interval::new(15_000, 30_000)));
        clock.set(0);
        assert_eq!((asked(Interval::ALL).await, store.info().interval), (0, None));
    }
}
