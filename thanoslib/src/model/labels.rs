//! Label sets in one flat allocation.

use std::{borrow::Borrow, cmp::Ordering, fmt, sync::Arc};

use xxhash_rust::xxh64::{Xxh64, xxh64};

/// Name of the label that holds the metric name.
pub(crate) const LABEL_NAME: &str = "__name__";

const SEPARATOR: u8 = 0xff;

/// One name and value of a label set; both are byte strings, nearly always UTF-8.
///
/// ```
/// use thanoslib::model::Labels;
/// let labels = Labels::from_pairs([("job", "api"), ("zone", "a")]);
/// let names: Vec<&[u8]> = labels.iter().map(|label| label.name).collect();
/// assert_eq!(names, [&b"job"[..], b"zone"]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label<'a> {
    /// Name, never empty.
    pub name: &'a [u8],
    /// Value; an empty value means that the label is absent.
    pub value: &'a [u8],
}

impl Label<'_> {
    /// Appends the flat bytes of this label, the layout of [`Labels`], for arenas that
    /// are filled in name order. Strings are cut at 16 MiB.
    pub fn append_flat(self, out: &mut Vec<u8>) {
        append_flat_string(self.name, out);
        append_flat_string(self.value, out);
    }
}

/// Appends one string of a label in flat form; it is cut at 16 MiB.
pub(crate) fn append_flat_string(s: &[u8], out: &mut Vec<u8>) {
    put_string(out, &s[..s.len().min(STRING_MAX)]);
}

/// The sorted set of labels that identifies a series, shared and cheap to clone.
///
/// **Layout**: for each label in name order, name then value, each with its length in
/// front: one byte, or `0xff` and three bytes little-endian for 255 and more.
///
/// Order is that of Prometheus' `labels.Compare`: pairwise name then value, by bytes; a
/// set that is a prefix of the other comes first.
///
/// ```
/// use thanoslib::model::Labels;
/// let labels = Labels::from_pairs([("job", "api"), ("__name__", "up")]);
/// assert_eq!(labels.to_string(), r#"{__name__="up", job="api"}"#);
/// assert_eq!(labels.get("job"), Some(&b"api"[..]));
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Labels(Arc<[u8]>);

/// A borrowed label set in the same layout as [`Labels`], such as a slice of an arena.
///
/// ```
/// use thanoslib::model::Labels;
/// let labels = Labels::from_pairs([("job", "api"), ("replica", "1")]);
/// let view = labels.view();
/// assert_eq!(view.filter(|label| label.name != b"replica").to_string(), r#"{job="api"}"#);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct LabelsRef<'a>(&'a [u8]);

impl Default for Labels {
    fn default() -> Self {
        Self(Arc::from(&[][..]))
    }
}

impl Labels {
    /// The set without labels.
    pub fn empty() -> Self {
        Self::default()
    }

    /// Builds a set from pairs in any order; empty values are dropped, of equal names the last wins.
    pub fn from_pairs<N: AsRef<[u8]>, V: AsRef<[u8]>>(pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        let mut builder = LabelsBuilder::default();
        for (name, value) in pairs {
            builder.set(name.as_ref(), value.as_ref());
        }
        builder.labels()
    }

    /// A view of this set.
    pub fn view(&self) -> LabelsRef<'_> {
        LabelsRef(&self.0)
    }

    /// The flat bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Value of the label `name`, if present.
    pub fn get(&self, name: impl AsRef<[u8]>) -> Option<&[u8]> {
        self.view().get(name)
    }

    /// The metric name, or an empty string.
    pub fn metric_name(&self) -> &[u8] {
        self.get(LABEL_NAME).unwrap_or_default()
    }

    /// Labels in name order.
    pub fn iter(&self) -> LabelsIter<'_> {
        self.view().iter()
    }

    /// Number of labels.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// True for the set without labels.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// XXH64 of the flat bytes: equal to Prometheus' `Labels.Hash` in its default build.
    pub fn hash(&self) -> u64 {
        self.view().hash()
    }

    /// XXH64 of `name 0xff value 0xff` of each label: group keys, sharding, hash rings.
    pub fn stable_hash(&self) -> u64 {
        self.view().stable_hash()
    }

    /// Stable hash of the labels named in `names`, which must be sorted.
    pub fn hash_for(&self, names: &[&str]) -> u64 {
        self.view().hash_for(names)
    }

    /// Stable hash of all labels but the metric name and those in `names`, which must be sorted.
    pub fn hash_without(&self, names: &[&str]) -> u64 {
        self.view().hash_without(names)
    }

    /// The set with only the labels for which `keep` is true.
    #[must_use]
    pub fn filter(&self, keep: impl FnMut(Label<'_>) -> bool) -> Self {
        self.view().filter(keep)
    }
}

impl<'a> LabelsRef<'a> {
    /// The set without labels.
    pub const EMPTY: LabelsRef<'static> = LabelsRef(&[]);

    /// Wraps flat bytes that a [`Labels`] or a [`LabelsBuilder`] made.
    ///
    /// Bytes of another origin give a set with wrong labels, never a panic.
    pub fn from_flat(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The flat bytes.
    pub fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// Copies into a shared set.
    pub fn to_labels(self) -> Labels {
        Labels(Arc::from(self.0))
    }

    /// Value of the label `name`, if present.
    pub fn get(self, name: impl AsRef<[u8]>) -> Option<&'a [u8]> {
        let name = name.as_ref();
        for label in self.iter() {
            match label.name.cmp(name) {
                Ordering::Less => {}
                Ordering::Equal => return Some(label.value),
                Ordering::Greater => return None,
            }
        }
        None
    }

    /// Labels in name order.
    pub fn iter(self) -> LabelsIter<'a> {
        LabelsIter(self.0)
    }

    /// True for the set without labels.
    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// See [`Labels::hash`].
    pub fn hash(self) -> u64 {
        xxh64(self.0, 0)
    }

    /// See [`Labels::stable_hash`].
    pub fn stable_hash(self) -> u64 {
        stable_hash(self.iter())
    }

    /// See [`Labels::hash_for`].
    pub fn hash_for(self, names: &[&str]) -> u64 {
        stable_hash(self.iter().filter(|l| names.iter().any(|n| n.as_bytes() == l.name)))
    }

    /// See [`Labels::hash_without`].
    pub fn hash_without(self, names: &[&str]) -> u64 {
        stable_hash(
            self.iter()
                .filter(|l| l.name != LABEL_NAME.as_bytes() && !names.iter().any(|n| n.as_bytes() == l.name)),
        )
    }

    /// See [`Labels::filter`].
    pub fn filter(self, mut keep: impl FnMut(Label<'_>) -> bool) -> Labels {
        // What is kept mostly lies together.
        let (mut run, mut out) = (0..0, Vec::new());
        let mut rest = self.iter();
        loop {
            let from = self.0.len() - rest.0.len();
            let Some(label) = rest.next() else { break };
            if !keep(label) {
                continue;
            }
            if run.end != from {
                out.extend_from_slice(&self.0[run]);
                run = from..from;
            }
            run.end = self.0.len() - rest.0.len();
        }
        if out.is_empty() {
            return Labels(Arc::from(&self.0[run]));
        }
        out.extend_from_slice(&self.0[run]);
        Labels(Arc::from(out))
    }

    /// Appends the flat bytes of the labels for which `keep` is true.
    #[cfg(feature = "promql")]
    pub(crate) fn filter_into(self, mut keep: impl FnMut(Label<'_>) -> bool, out: &mut Vec<u8>) {
        let mut rest = self.iter();
        loop {
            let from = self.0.len() - rest.0.len();
            let Some(label) = rest.next() else { break };
            if keep(label) {
                out.extend_from_slice(&self.0[from..self.0.len() - rest.0.len()]);
            }
        }
    }
}

fn stable_hash<'a>(labels: impl Iterator<Item = Label<'a>>) -> u64 {
    let mut hash = Xxh64::new(0);
    for label in labels {
        hash.update(label.name);
        hash.update(&[SEPARATOR]);
        hash.update(label.value);
        hash.update(&[SEPARATOR]);
    }
    hash.digest()
}

fn put(out: &mut Vec<u8>, label: Label<'_>) {
    for s in [label.name, label.value] {
        put_string(out, s);
    }
}

fn put_string(out: &mut Vec<u8>, s: &[u8]) {
    match s.len() {
        n @ 0..255 => out.push(n as u8),
        // Three bytes hold lengths up to 16 MiB; the builder cuts longer strings.
        n => out.extend_from_slice(&[0xff, n as u8, (n >> 8) as u8, (n >> 16) as u8]),
    }
    out.extend_from_slice(s);
}

/// Longest label name or value that the flat layout can hold.
const STRING_MAX: usize = (1 << 24) - 1;

#[inline]
fn take<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (&first, rest) = bytes.split_first()?;
    let (n, rest) = if first < 0xff {
        (usize::from(first), rest)
    } else {
        let (n, rest) = rest.split_first_chunk::<3>()?;
        (usize::from(n[0]) | usize::from(n[1]) << 8 | usize::from(n[2]) << 16, rest)
    };
    let (s, rest) = rest.split_at_checked(n)?;
    *bytes = rest;
    Some(s)
}

/// Labels of a set in name order.
///
/// See [`Label`].
#[derive(Clone, Debug)]
pub struct LabelsIter<'a>(&'a [u8]);

impl<'a> Iterator for LabelsIter<'a> {
    type Item = Label<'a>;

    #[inline]
    fn next(&mut self) -> Option<Label<'a>> {
        let name = take(&mut self.0)?;
        let value = take(&mut self.0)?;
        Some(Label { name, value })
    }
}

impl Ord for LabelsRef<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.cmp_from(*other, 0).0
    }
}

impl LabelsRef<'_> {
    /// The order of two sets whose strings are equal up to the place `from`, and the place
    /// where the first string begins that differs.
    ///
    /// Places are offsets into the flat bytes of either set, which are equal up to there.
    pub(crate) fn cmp_from(self, other: Self, from: usize) -> (Ordering, usize) {
        let (Some(a), Some(b)) = (self.0.get(from..), other.0.get(from..)) else {
            return (self.0.len().cmp(&other.0.len()), from);
        };
        let differ = mismatch(a, b);
        if differ == a.len().min(b.len()) {
            return (a.len().cmp(&b.len()), from + differ);
        }
        // Strings alternate between names and values on both sides alike, up to the one
        // that the difference lies in.
        let (mut at, mut rest) = (0, a);
        while take(&mut rest).is_some() && a.len() - rest.len() <= differ {
            at = a.len() - rest.len();
        }
        let (mut x, mut y) = (&a[at..], &b[at..]);
        (take(&mut x).cmp(&take(&mut y)), from + at)
    }
}

/// Length of the part that two slices begin with alike.
#[inline]
fn mismatch(a: &[u8], b: &[u8]) -> usize {
    let len = a.len().min(b.len());
    let (mut x, mut y) = (&a[..len], &b[..len]);
    while let (Some((p, p_rest)), Some((q, q_rest))) =
        (x.split_first_chunk::<8>(), y.split_first_chunk::<8>())
    {
        let differ = u64::from_le_bytes(*p) ^ u64::from_le_bytes(*q);
        if differ != 0 {
            return len - x.len() + (differ.trailing_zeros() / 8) as usize;
        }
        (x, y) = (p_rest, q_rest);
    }
    len - x.len() + x.iter().zip(y).take_while(|(p, q)| p == q).count()
}

impl PartialOrd for LabelsRef<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Labels {
    fn cmp(&self, other: &Self) -> Ordering {
        self.view().cmp(&other.view())
    }
}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for LabelsRef<'_> {
    /// Prometheus' text: `{a="1", b="2"}`; names that are not plain identifiers are quoted.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (i, label) in self.iter().enumerate() {
            if i > 0 {
                f.write_str(", ")?;
            }
            if is_legacy_label_name(label.name) {
                f.write_str(&String::from_utf8_lossy(label.name))?;
            } else {
                super::float::write_quoted(f, label.name)?;
            }
            f.write_str("=")?;
            super::float::write_quoted(f, label.value)?;
        }
        f.write_str("}")
    }
}

/// True for `[a-zA-Z_][a-zA-Z0-9_]*`.
pub(crate) fn is_legacy_label_name(name: &[u8]) -> bool {
    !name.is_empty()
        && !name[0].is_ascii_digit()
        && name.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'_')
}

impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.view().fmt(f)
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.view(), f)
    }
}

impl fmt::Debug for LabelsRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Borrow<[u8]> for Labels {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl<N: AsRef<[u8]>, V: AsRef<[u8]>> FromIterator<(N, V)> for Labels {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        Self::from_pairs(pairs)
    }
}

/// Changes a label set; later calls win, an empty value removes the label.
///
/// ```
/// use thanoslib::model::{Labels, LabelsBuilder};
/// let labels = Labels::from_pairs([("job", "api"), ("replica", "1")]);
/// let mut builder = LabelsBuilder::from_labels(labels.view());
/// builder.set("cluster", "eu1").remove("replica");
/// assert_eq!(builder.labels().to_string(), r#"{cluster="eu1", job="api"}"#);
/// ```
#[derive(Clone, Debug, Default)]
pub struct LabelsBuilder {
    /// Sorted by name, at most one entry a name.
    labels: Vec<(Vec<u8>, Vec<u8>)>,
}

impl LabelsBuilder {
    /// A builder that starts with the labels of `base`.
    pub fn from_labels(base: LabelsRef<'_>) -> Self {
        Self { labels: base.iter().map(|l| (l.name.to_vec(), l.value.to_vec())).collect() }
    }

    /// Sets or replaces a label; an empty value removes it. Strings are cut at 16 MiB.
    pub fn set(&mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> &mut Self {
        let (name, value) = (name.as_ref(), value.as_ref());
        let name = &name[..name.len().min(STRING_MAX)];
        let value = &value[..value.len().min(STRING_MAX)];
        match self.labels.binary_search_by(|(n, _)| n.as_slice().cmp(name)) {
            Ok(i) if value.is_empty() => {
                self.labels.remove(i);
            }
            Ok(i) => self.labels[i].1 = value.to_vec(),
            Err(_) if value.is_empty() => {}
            Err(i) => self.labels.insert(i, (name.to_vec(), value.to_vec())),
        }
        self
    }

    /// Removes a label.
    pub fn remove(&mut self, name: impl AsRef<[u8]>) -> &mut Self {
        self.set(name, [])
    }

    /// Value of a label as set so far.
    pub fn get(&self, name: impl AsRef<[u8]>) -> Option<&[u8]> {
        let i = self.labels.binary_search_by(|(n, _)| n.as_slice().cmp(name.as_ref())).ok()?;
        Some(&self.labels[i].1)
    }

    /// The finished set.
    pub fn labels(&self) -> Labels {
        let mut out = Vec::new();
        self.append_flat(&mut out);
        Labels(Arc::from(out))
    }

    /// Appends the flat bytes of the finished set, for arenas.
    pub fn append_flat(&self, out: &mut Vec<u8>) {
        for (name, value) in &self.labels {
            put(out, Label { name, value });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        Labels::from_pairs(pairs.iter().copied())
    }

    #[test]
    fn sets_are_sorted_unique_and_without_empty_values() {
        let l = labels(&[("b", "2"), ("a", "1"), ("c", ""), ("b", "3")]);
        assert_eq!(l.to_string(), r#"{a="1", b="3"}"#);
        assert_eq!((l.get("b"), l.get("c"), l.len()), (Some(&b"3"[..]), None, 2));
    }

    #[test]
    fn order_compares_strings_not_length_prefixes() {
        let (short, long) = (labels(&[("a", "zz")]), labels(&[("a", &"b".repeat(300))]));
        assert!(long < short);
        assert!(labels(&[("a", "1")]) < labels(&[("a", "1"), ("b", "1")]));
        assert!(labels(&[("a", "1\0")]) > labels(&[("a", "1")]));
        assert!(labels(&[("a", "2")]) < labels(&[("b", "1")]));
    }

    #[test]
    fn order_equals_that_of_pairs() {
        let long = |c: char, n: usize| c.to_string().repeat(n);
        let values = ["a".into(), "ab".into(), "b".into(), "\0".into(), long('a', 254), long('a', 255)];
        let values: Vec<String> = values.into_iter().chain([long('a', 300), long('b', 256)]).collect();
        let mut sets = vec![Labels::empty()];
        for x in &values {
            sets.push(labels(&[("n", x)]));
            sets.push(labels(&[(x, "v"), ("zz", "w")]));
            sets.extend(values.iter().map(|y| labels(&[("job", x), ("n", y)])));
        }
        for a in &sets {
            for b in &sets {
                let pairs =
                    |l: &Labels| l.iter().map(|l| (l.name.to_vec(), l.value.to_vec())).collect::<Vec<_>>();
                let want = pairs(a).cmp(&pairs(b));
                let (got, at) = a.view().cmp_from(b.view(), 0);
                assert_eq!(got, want, "{a} {b}");
                assert_eq!(a.as_bytes()[..at], b.as_bytes()[..at]);
                assert_eq!(a.view().cmp_from(b.view(), at), (want, at), "{a} {b}");
            }
        }
    }

    #[test]
    fn long_values_survive() {
        for n in [254, 255, 256, 5000, 70_000] {
            let value = "x".repeat(n);
            let l = labels(&[("a", &value), ("b", "1")]);
            assert_eq!(l.get("a"), Some(value.as_bytes()));
            assert_eq!(l.get("b"), Some(&b"1"[..]));
        }
    }

    #[test]
    fn foreign_bytes_do_not_panic() {
        for bytes in [&[3u8, 1][..], &[0xff, 0, 0], &[0xff, 1, 0, 0], &[1, b'a', 0xff, 9, 9, 9]] {
            let l = LabelsRef::from_flat(bytes);
            assert_eq!(l.iter().count(), 0);
            assert_eq!(l.cmp(&l), Ordering::Equal);
        }
    }
}
