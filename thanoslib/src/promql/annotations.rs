//! Remarks of the engine about a query: warnings and infos.

use std::collections::BTreeMap;

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

    /// Adds all of `other`.
    pub fn merge(&mut self, other: Annotations) {
        self.warnings.extend(other.warnings);
        self.infos.extend(other.infos);
    }

    /// The same remarks at other positions; those that `to` does not know stay where they are.
    pub(crate) fn moved(&self, to: impl Fn((u32, u32)) -> Option<(u32, u32)>) -> Self {
        let place = |position: &Option<(u32, u32)>| position.map(|p| to(p).unwrap_or(p));
        let all = |of: &BTreeMap<String, Option<(u32, u32)>>| {
            of.iter().map(|(text, position)| (text.clone(), place(position))).collect()
        };
        Self { warnings: all(&self.warnings), infos: all(&self.infos) }
    }

    /// Warnings in text order.
    pub fn warnings(&self) -> impl Iterator<Item = String> + '_ {
        self.warnings.iter().map(render)
    }

    /// Infos in text order.
    pub fn infos(&self) -> impl Iterator<Item = String> + '_ {
        self.infos.iter().map(render)
    }

    /// Warnings, then infos, each in text order, without positions: what Thanos' API shows.
    pub fn texts(&self) -> impl Iterator<Item = String> + '_ {
        self.warnings.keys().chain(self.infos.keys()).cloned()
    }

    /// True without remarks.
    pub fn is_empty(&self) -> bool {
        self.warnings.is_empty() && self.infos.is_empty()
    }
}

fn render((text, position): (&String, &Option<(u32, u32)>)) -> String {
    match position {
        Some((line, column)) => format!("{text} ({line}:{column})"),
        None => text.clone(),
    }
}
