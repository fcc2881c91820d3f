//! From matchers to the series that satisfy them.
//!
//! First [`plan_postings`] tells which postings lists are needed, then
//! [`PostingsPlan::series`] computes the series from their bytes.

use super::{
    ListRef, Postings, PostingsTable, SortedIds, intersects,
    postings::{intersect_any, subtract_all},
    subtract, union,
};
use crate::{
    error::{DecodeError, Result},
    model::{Matcher, Regex},
};

/// Which postings lists answer a set of matchers, and how.
///
/// A series is wanted when it is in some list of every `any` group and in no list of
/// `none`. An absent label counts as the empty value: a matcher that accepts it takes away
/// the series whose value it refuses, every other matcher adds those whose value it accepts.
///
/// ```
/// use std::io::Cursor;
/// use thanoslib::{index::{IndexFile, IndexWriter, plan_postings}, model::{Labels, Matcher}};
/// let mut writer = IndexWriter::new(Cursor::new(Vec::new()), ["job", "api"])?;
/// let id = writer.add(Labels::from_pairs([("job", "api")]).view(), &[])?;
/// let index = IndexFile::open(writer.finish()?.into_inner().into())?;
/// let plan = plan_postings(&index.index().table, &[Matcher::equal("job", "api")]);
/// assert_eq!(plan.lists().len(), 1);
/// assert_eq!(plan.series(|list| Ok(index.postings(list)?))?, [id]);
/// # Ok::<(), thanoslib::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PostingsPlan {
    any: Vec<Vec<ListRef>>,
    none: Vec<ListRef>,
}

/// Finds the postings lists that answer `matchers`.
///
/// No matchers select nothing, and so does a matcher that no value can satisfy.
/// Compat: Prometheus `tsdb/querier.go`; a set of alternatives is looked up, other regular
/// expressions are run over the values of the label.
pub fn plan_postings(table: &PostingsTable, matchers: &[Matcher]) -> PostingsPlan {
    let mut plan = PostingsPlan::default();
    let mut everything = !matchers.is_empty();
    for m in matchers {
        let name = m.name().as_bytes();
        let any_value = m.regex().is_some_and(Regex::matches_all);
        if any_value && !m.is_negative() {
            continue;
        }
        if m.matches_empty() {
            plan.none.extend(lists_where(table, m, false));
            continue;
        }
        // The empty name has one list only, that of all series, whose value is empty.
        let lists = if name.is_empty() || any_value { Vec::new() } else { lists_where(table, m, true) };
        if lists.is_empty() {
            return PostingsPlan::default();
        }
        everything = false;
        plan.any.push(lists);
    }
    if everything {
        match table.all() {
            Some(all) => plan.any.push(vec![all]),
            None => return PostingsPlan::default(),
        }
    }
    plan
}

/// The values that a matcher names; none when it does not name all that it means.
pub(super) fn spelled(m: &Matcher) -> Vec<&[u8]> {
    match m.regex() {
        Some(regex) => regex.set_matches().iter().map(String::as_bytes).collect(),
        None => vec![m.value()],
    }
}

/// The lists of the values of the matcher's label that it accepts, or those it refuses.
fn lists_where(table: &PostingsTable, m: &Matcher, accepted: bool) -> Vec<ListRef> {
    let name = m.name().as_bytes();
    if name.is_empty() {
        return Vec::new();
    }
    // True when exactly the values that the matcher names are wanted.
    if m.is_negative() != accepted {
        let spelled = spelled(m);
        if !spelled.is_empty() {
            let values = spelled.into_iter().filter(|v| !v.is_empty());
            let mut lists: Vec<_> = values.filter_map(|v| table.find(name, v)).collect();
            lists.sort_unstable();
            lists.dedup();
            return lists;
        }
    }
    let wanted = |value: &[u8]| !value.is_empty() && m.matches(value) == accepted;
    table.values(name).filter(|(value, _)| wanted(value)).map(|(_, list)| list).collect()
}

impl PostingsPlan {
    /// True when no series can match, so that nothing needs to be read.
    pub fn is_empty(&self) -> bool {
        self.any.is_empty()
    }

    /// The lists whose bytes are needed, in file order, each once.
    pub fn lists(&self) -> Vec<ListRef> {
        let mut lists: Vec<_> = self.any.iter().flatten().chain(&self.none).copied().collect();
        lists.sort_unstable();
        lists.dedup();
        lists
    }

    /// Computes the wanted series, ascending, from the bytes of the lists.
    ///
    /// # Errors
    /// What `get` fails with, which gives the list at a place.
    pub fn series<'a>(&self, mut get: impl FnMut(ListRef) -> Result<Postings<'a>>) -> Result<Vec<u32>> {
        let mut groups = Vec::with_capacity(self.any.len());
        for group in &self.any {
            let lists = group.iter().map(|l| get(*l)).collect::<Result<Vec<_>>>()?;
            groups.push((lists.iter().map(SortedIds::count).sum::<usize>(), lists));
        }
        groups.sort_by_key(|(count, _)| *count);
        let mut groups = groups.into_iter();
        let Some((_, first)) = groups.next() else { return Ok(Vec::new()) };
        let mut out = union(&first);
        for (_, lists) in groups {
            if out.is_empty() {
                break;
            }
            intersect_any(&mut out, &lists);
        }
        if !out.is_empty() {
            let none = self.none.iter().map(|l| get(*l)).collect::<Result<Vec<_>>>()?;
            subtract_all(&mut out, &none);
        }
        Ok(out)
    }
}

/// The values of `name`, in order, that some series of `series` has.
///
/// `get` gives the list at a place; the lists of one label lie side by side in the file.
/// A series has one value of a label, so no list is read once all series have theirs.
///
/// # Errors
/// What `get` fails with.
pub fn label_values<'t, 'a>(
    table: &'t PostingsTable,
    name: &[u8],
    series: &[u32],
    mut get: impl FnMut(ListRef) -> Result<Postings<'a>>,
) -> Result<Vec<&'t [u8]>> {
    let mut out = Vec::new();
    let mut left = series.to_vec();
    for (value, list) in table.values(name) {
        if left.is_empty() {
            break;
        }
        let list = get(list)?;
        if intersects(&list, &left) {
            out.push(value);
            subtract(&mut left, &list);
        }
    }
    Ok(out)
}

/// A postings list inside of the bytes of a whole file.
pub(super) fn list_in(file: &[u8], list: ListRef) -> Result<Postings<'_>, DecodeError> {
    let bytes = file.get(list.start as usize..list.end as usize);
    let bytes = bytes.ok_or(DecodeError::new("postings list outside of the file", list.start as usize))?;
    Postings::parse(bytes, list.start)
}
