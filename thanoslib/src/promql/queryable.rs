//! Where the engine gets its samples from.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use futures::stream::BoxStream;

use super::{Grain, LogicalPlan};
use crate::{
    context::Context,
    error::{Error, Result},
    model::{Interval, Labels, Matcher, Warning},
    series::SampleColumns,
    store::SelectHints,
};

/// A view of series that the engine selects from.
///
/// ```
/// use futures::{StreamExt, stream};
/// use thanoslib::promql::{Queryable, Select, SelectFrame, SelectStream, SelectedSeries, SeriesData};
/// use thanoslib::{Context, Labels, Result, SampleColumns};
///
/// /// A series that is 1 at every minute.
/// #[derive(Debug)]
/// struct One(thanoslib::Interval);
///
/// impl SeriesData for One {
///     fn decode(&self, out: &mut SampleColumns) -> Result<()> {
///         (self.0.mint..=self.0.maxt).filter(|t| t % 60_000 == 0).for_each(|t| out.floats.push(t, 1.0));
///         Ok(())
///     }
///
///     fn size_bytes(&self) -> usize {
///         size_of::<Self>()
///     }
/// }
///
/// #[derive(Debug)]
/// struct Ones;
///
/// #[async_trait::async_trait]
/// impl Queryable for Ones {
///     async fn select(&self, _: &Context, select: Select) -> Result<SelectStream> {
///         let data = Box::new(One(select.interval));
///         let series = SelectedSeries { labels: Labels::from_pairs([("__name__", "one")]), data };
///         Ok(stream::iter([Ok(SelectFrame::Series(vec![series]))]).boxed())
///     }
/// }
/// ```
#[async_trait]
pub trait Queryable: fmt::Debug + Send + Sync + 'static {
    /// Streams every series that satisfies the matchers, each label set once, in label order.
    async fn select(&self, ctx: &Context, select: Select) -> Result<SelectStream>;

    /// True when [`select_joined`](Self::select_joined) reads both at once and gives each the very
    /// samples of a select of its own. Their matchers are equal and their intervals touch.
    fn joins(&self, one: &Select, other: &Select) -> bool {
        let _ = (one, other);
        false
    }

    /// Answers several selects of which each two are to be [joined](Self::joins), by one stream of
    /// the series of any; a series gives the samples of each by [`SeriesData::decode_of`].
    ///
    /// # Errors
    /// `Unsupported` unless implemented; it is not called where nothing is to be joined.
    async fn select_joined(&self, ctx: &Context, selects: Vec<Select>) -> Result<SelectStream> {
        let _ = (ctx, selects);
        Err(Error::unsupported("selects cannot be joined here"))
    }

    /// What is decided about a select besides what it says, such as the resolution, for people.
    fn explain(&self, select: &Select) -> Option<String> {
        let _ = select;
        None
    }

    /// Takes parts out of a query that are evaluated elsewhere; `None`, the default, evaluates all of it
    /// over this queryable.
    fn distribute(&self, plan: &LogicalPlan) -> Option<Distributed> {
        let _ = plan;
        None
    }

    /// Labels that matchers see although series come without them, such as those that tell replicas
    /// apart.
    fn hidden_labels(&self) -> &[String] {
        &[]
    }
}

/// A query of which parts are evaluated elsewhere.
///
/// See [`Queryable::distribute`].
#[derive(Clone, Debug)]
pub struct Distributed {
    /// The query with selectors in place of these parts.
    pub plan: LogicalPlan,
    /// What answers these selectors, and all others.
    pub queryable: Arc<dyn Queryable>,
}

/// One selector of a query.
///
/// See [`Queryable`].
#[derive(Clone, Debug, PartialEq)]
pub struct Select {
    /// The samples that may be looked at, both ends inside.
    pub interval: Interval,
    /// All must match.
    pub matchers: Vec<Matcher>,
    /// What becomes of the samples.
    pub hints: SelectHints,
}

/// The answer of [`Queryable::select`].
pub type SelectStream = BoxStream<'static, Result<SelectFrame>>;

/// One item of a [`SelectStream`].
///
/// See [`Queryable`].
#[derive(Debug)]
pub enum SelectFrame {
    /// Series in label order.
    Series(Vec<SelectedSeries>),
    /// A known gap of the answer.
    Warning(Warning),
}

/// A series whose samples are still encoded.
///
/// See [`Queryable`].
#[derive(Debug)]
pub struct SelectedSeries {
    /// Labels.
    pub labels: Labels,
    /// The encoded samples.
    pub data: Box<dyn SeriesData>,
}

/// Encoded samples of one series; decoding computes and never waits.
///
/// See [`Queryable`].
pub trait SeriesData: fmt::Debug + Send + Sync {
    /// Appends the samples inside the selected interval, in time order, to `out`.
    ///
    /// Start timestamps are given where they are known.
    fn decode(&self, out: &mut SampleColumns) -> Result<()>;

    /// Appends the same samples as [`decode`](Self::decode) and tells what they stand for.
    ///
    /// `out` and `grain` come empty; `grain` stays so when all samples are scraped ones. Samples just
    /// outside the selected interval may come too, for functions that look at the parts of windows.
    fn decode_grained(&self, out: &mut SampleColumns, grain: &mut Grain) -> Result<()> {
        debug_assert!(grain.stretches.is_empty(), "the grain comes empty");
        self.decode(out)
    }

    /// The samples of one of the selects that were joined, by its number; else those of the only one.
    fn decode_of(&self, select: usize, out: &mut SampleColumns, grain: &mut Grain) -> Result<()> {
        let _ = select;
        self.decode_grained(out, grain)
    }

    /// Bytes held.
    fn size_bytes(&self) -> usize;
}

impl SeriesData for SampleColumns {
    fn decode(&self, out: &mut SampleColumns) -> Result<()> {
        for i in 0..self.floats.len() {
            out.floats.push_st(self.floats.start(i), self.floats.ts[i], self.floats.vs[i]);
        }
        for i in 0..self.histograms.len() {
            out.histograms.push(self.histograms.ts[i], &self.histograms.get(i));
            out.histograms.set_last_start(self.histograms.start(i));
        }
        Ok(())
    }

    fn size_bytes(&self) -> usize {
        self.floats.len() * 16 + self.histograms.len() * 64 + self.histograms.buckets.len() * 8
    }
}
