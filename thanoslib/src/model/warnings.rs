//! Gaps of an answer, as values.

use std::fmt;

use super::{Interval, Labels};

/// A known gap in an answer: what is missing and why.
///
/// ```
/// use thanoslib::model::{Interval, Warning};
/// let gap = Warning::new("connection refused").origin("eu1").interval(Interval::new(0, 60_000));
/// assert_eq!((gap.origin.as_str(), gap.interval.is_some()), ("eu1", true));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Warning {
    /// What happened, for people.
    pub message: String,
    /// Which store or block is concerned; empty when unknown.
    pub origin: String,
    /// The time that may be missing, if it is known.
    pub interval: Option<Interval>,
    /// The labels of the data that may be missing, if they are known.
    pub labels: Option<Labels>,
}

impl Warning {
    /// A warning that is only a text.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), origin: String::new(), interval: None, labels: None }
    }

    /// The same warning with the name of the store or block that it is about.
    #[must_use]
    pub fn origin(mut self, origin: impl Into<String>) -> Self {
        self.origin = origin.into();
        self
    }

    /// The same warning with the time that may be missing.
    #[must_use]
    pub fn interval(mut self, interval: Interval) -> Self {
        self.interval = Some(interval);
        self
    }

    /// The same warning with the labels of the data that may be missing.
    #[must_use]
    pub fn labels(mut self, labels: Labels) -> Self {
        self.labels = Some(labels);
        self
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Most warnings that an answer carries; the rest is counted.
const WARNINGS_MAX: usize = 1000;

/// The warnings of one answer, each text once.
///
/// ```
/// use thanoslib::model::{Warning, Warnings};
/// let mut warnings = Warnings::default();
/// warnings.push(Warning::new("a block is missing"));
/// warnings.push(Warning::new("a block is missing"));
/// assert_eq!(warnings.iter().count(), 1);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Warnings {
    list: Vec<Warning>,
    omitted: usize,
}

impl Warnings {
    /// Adds a warning unless an equal one is there.
    pub fn push(&mut self, warning: Warning) {
        if self.list.contains(&warning) {
            return;
        }
        if self.list.len() < WARNINGS_MAX {
            self.list.push(warning);
        } else {
            self.omitted += 1;
        }
    }

    /// Adds those of another part of the answer.
    pub fn merge(&mut self, other: Self) {
        self.omitted += other.omitted;
        self.extend(other.list);
    }

    /// The warnings in order of arrival.
    pub fn iter(&self) -> impl Iterator<Item = &Warning> {
        self.list.iter()
    }

    /// How many warnings were dropped because there were too many.
    pub fn omitted(&self) -> usize {
        self.omitted
    }

    /// True when nothing is known to be missing.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

impl Extend<Warning> for Warnings {
    fn extend<I: IntoIterator<Item = Warning>>(&mut self, warnings: I) {
        for w in warnings {
            self.push(w);
        }
    }
}
