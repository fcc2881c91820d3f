//! Remarks of the engine about a query: warnings and infos.

use std::{collections::BTreeMap, fmt::Write};

use super::functions::dates::Rfc3339;
use crate::model::float::{General, write_general_precision};

/// Warnings and infos of one query, each text once.
///
/// Texts begin with `PromQL warning: ` or `PromQL info: `; the position ` (line:column)` of
/// the blamed expression is kept apart and appended when positions are known.
///
/// ```
/// use thanoslib::promql::Annotations;
/// let mut annotations = Annotations::default();
/// annotations.warn("a quantile outside of 0 to 1", None);
/// annotations.warn("a quantile outside of 0 to 1", None);
/// assert_eq!((annotations.warnings().count(), annotations.infos().count()), (1, 0));
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Annotations {
    warnings: BTreeMap<String, Option<(u32, u32)>>,
    infos: BTreeMap<String, Option<(u32, u32)>>,
    /// Infos of which those of one text tell the numbers of all.
    repairs: BTreeMap<String, (Repairs, Option<(u32, u32)>)>,
}

/// Classic histograms whose counts shrank towards higher bounds and were lifted.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Repairs {
    /// Least and greatest bound whose count was lifted.
    pub(crate) bounds: (f64, f64),
    /// Greatest lift.
    pub(crate) max_diff: f64,
    /// Times of the first and the last one in ms.
    pub(crate) times_ms: (i64, i64),
    /// How many more than one Prometheus says there were.
    pub(crate) more: i64,
}

impl Repairs {
    /// Counts the ones of both together.
    fn merge(&mut self, other: &Self) {
        self.bounds = (self.bounds.0.min(other.bounds.0), self.bounds.1.max(other.bounds.1));
        self.max_diff = self.max_diff.max(other.max_diff);
        let (own, times) = (self.times_ms, other.times_ms);
        self.times_ms = (own.0.min(times.0), own.1.max(times.1));
        // Compat: wraps as it does upstream, where sums are merged with themselves.
        self.more = self.more.wrapping_add(other.more).wrapping_add(1);
    }

    fn text(&self, of: &str) -> String {
        // Compat: the text has whole seconds (util/annotations).
        let time = |t: i64| Rfc3339(t.saturating_sub(t.rem_euclid(1000)));
        let (from, to) = (time(self.times_ms.0), time(self.times_ms.1));
        let mut diff = String::new();
        // Writing to a string does not fail.
        let _ = write_general_precision(&mut diff, self.max_diff, 2);
        let (min, max) = (General(self.bounds.0), General(self.bounds.1));
        let count = self.more.wrapping_add(1);
        let mut text = of.to_owned();
        let _ = write!(
            text,
            ", from buckets {min} to {max}, with a max diff of {diff}, over {count} samples from {from} to {to}"
        );
        text
    }
}

impl Annotations {
    /// Adds a warning; of equal texts the later position stays.
    pub fn warn(&mut self, text: impl AsRef<str>, position: Option<(u32, u32)>) {
        self.warnings.insert(format!("PromQL warning: {}", text.as_ref()), position);
    }

    /// Adds an info; of equal texts the later position stays.
    pub fn info(&mut self, text: impl AsRef<str>, position: Option<(u32, u32)>) {
        self.infos.insert(format!("PromQL info: {}", text.as_ref()), position);
    }

    /// Adds an info about repairs; of equal texts the first position stays.
    pub(crate) fn repaired(&mut self, text: String, repairs: Repairs, position: Option<(u32, u32)>) {
        match self.repairs.get_mut(&text) {
            Some((own, _)) => own.merge(&repairs),
            None => drop(self.repairs.insert(text, (repairs, position))),
        }
    }

    /// Adds all of `other`.
    pub fn merge(&mut self, other: Annotations) {
        self.warnings.extend(other.warnings);
        self.infos.extend(other.infos);
        for (text, (repairs, position)) in other.repairs {
            self.repaired(text, repairs, position);
        }
    }

    /// The same remarks at other positions; those that `to` does not know stay where they are.
    pub(crate) fn moved(&self, to: impl Fn((u32, u32)) -> Option<(u32, u32)>) -> Self {
        let place = |position: &Option<(u32, u32)>| position.map(|p| to(p).unwrap_or(p));
        let all = |of: &BTreeMap<String, Option<(u32, u32)>>| {
            of.iter().map(|(text, position)| (text.clone(), place(position))).collect()
        };
        let repairs = self.repairs.iter().map(|(t, (r, p))| (t.clone(), (r.clone(), place(p))));
        Self { warnings: all(&self.warnings), infos: all(&self.infos), repairs: repairs.collect() }
    }

    /// Warnings in text order.
    pub fn warnings(&self) -> impl Iterator<Item = String> + '_ {
        self.warnings.iter().map(render)
    }

    /// Infos in text order.
    pub fn infos(&self) -> impl Iterator<Item = String> + '_ {
        self.all_infos().into_iter().map(|(text, position)| render((&text, &position)))
    }

    /// Infos in text order with their positions.
    fn all_infos(&self) -> BTreeMap<String, Option<(u32, u32)>> {
        let mut all = self.infos.clone();
        all.extend(
            self.repairs.iter().map(|(text, (repairs, position))| {
                (format!("PromQL info: {}", repairs.text(text)), *position)
            }),
        );
        all
    }

    /// Warnings, then infos, each in text order, without positions: what Thanos' API shows.
    pub fn texts(&self) -> impl Iterator<Item = String> + '_ {
        self.warnings.keys().cloned().chain(self.all_infos().into_keys())
    }

    /// True without remarks.
    pub fn is_empty(&self) -> bool {
        self.warnings.is_empty() && self.infos.is_empty() && self.repairs.is_empty()
    }
}

fn render((text, position): (&String, &Option<(u32, u32)>)) -> String {
    match position {
        Some((line, column)) => format!("{text} ({line}:{column})"),
        None => text.clone(),
    }
}
