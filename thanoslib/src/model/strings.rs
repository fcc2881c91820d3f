//! Many strings in one allocation.

use std::fmt;
#[cfg(feature = "store")]
use std::{cmp::Ordering, ops::Range};

use crate::error::{Error, Result};

/// A list of strings whose text lies in one allocation, one behind the other.
///
/// Lists of label values have a million items now and then; what a list costs here hardly depends
/// on their number.
///
/// ```
/// use thanoslib::model::Strings;
/// let values: Strings = ["web", "api", "web"].into_iter().collect();
/// assert_eq!(values.get(1), Some("api"));
/// assert_eq!(values.into_sorted(), ["api", "web"]);
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Strings {
    text: String,
    /// Where each string ends in `text`, which is where the next one begins.
    ends: Vec<usize>,
}

impl Strings {
    /// An empty list.
    pub const fn new() -> Self {
        Self { text: String::new(), ends: Vec::new() }
    }

    /// An empty list with room for so many strings that have so many bytes together.
    pub fn with_capacity(strings: usize, bytes: usize) -> Self {
        Self { text: String::with_capacity(bytes), ends: Vec::with_capacity(strings) }
    }

    /// The strings of `text` that end at `ends`.
    ///
    /// # Errors
    /// `Invalid` when the ends do not ascend, when one lies within a character, or when the last
    /// is not the end of the text.
    pub fn from_parts(text: String, ends: Vec<usize>) -> Result<Self> {
        let sound = ends.is_sorted()
            && ends.last().copied().unwrap_or_default() == text.len()
            && ends.iter().all(|end| text.is_char_boundary(*end));
        if sound { Ok(Self { text, ends }) } else { Err(Error::invalid("ends of strings are wrong")) }
    }

    /// Adds a string at the end.
    #[inline]
    pub fn push(&mut self, string: &str) {
        self.text.push_str(string);
        self.ends.push(self.text.len());
    }

    /// Number of strings.
    #[inline]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// True without strings.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    #[inline]
    fn start(&self, i: usize) -> usize {
        i.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or_default()
    }

    /// String `i`, if there is one.
    #[inline]
    pub fn get(&self, i: usize) -> Option<&str> {
        self.text.get(self.start(i)..*self.ends.get(i)?)
    }

    /// The strings in order.
    #[inline]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        let mut start = 0;
        self.ends.iter().map(move |end| {
            let string = self.text.get(start..*end).unwrap_or_default();
            start = *end;
            string
        })
    }

    /// Keeps the first `len` strings.
    pub fn truncate(&mut self, len: usize) {
        self.text.truncate(self.start(len.min(self.len())));
        self.ends.truncate(len);
    }

    /// Bytes of the text and of what tells where each string ends.
    pub fn size_bytes(&self) -> usize {
        self.text.len() + size_of_val(&*self.ends)
    }

    /// The same strings in byte order, each once.
    #[must_use]
    pub fn into_sorted(self) -> Self {
        if self.iter().is_sorted_by(|a, b| a < b) {
            return self;
        }
        let mut strings: Vec<&str> = self.iter().collect();
        strings.sort_unstable();
        strings.dedup();
        strings.into_iter().collect()
    }
}

/// What stores need.
#[cfg(feature = "store")]
impl Strings {
    /// The strings that bytes spell, those that are no UTF-8 with replacement characters.
    pub(crate) fn from_lossy<'a>(strings: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let (mut text, mut ends) = (Vec::new(), Vec::new());
        for string in strings {
            text.extend_from_slice(string);
            ends.push(text.len());
        }
        let at = |range: Range<usize>| text.get(range).unwrap_or_default();
        // The whole is looked at once, which is faster than one by one.
        let whole =
            str::from_utf8(&text).is_ok_and(|text| ends.iter().all(|end| text.is_char_boundary(*end)));
        if !whole {
            let starts = [0].into_iter().chain(ends.iter().copied());
            return starts.zip(&ends).map(|(from, to)| String::from_utf8_lossy(at(from..*to))).collect();
        }
        Self { text: String::from_utf8(text).unwrap_or_default(), ends }
    }

    /// Adds neighbours of another list at the end.
    pub(crate) fn extend_from(&mut self, other: &Self, range: Range<usize>) {
        let start = other.start(range.start);
        let Some(ends) = other.ends.get(range) else { return };
        let end = ends.last().copied().unwrap_or(start);
        let Some(text) = other.text.get(start..end) else { return };
        let base = self.text.len();
        self.text.push_str(text);
        self.ends.extend(ends.iter().map(|end| end - start + base));
    }

    /// Bytes of the text.
    pub(crate) fn text_bytes(&self) -> usize {
        self.text.len()
    }

    /// The order of string `i` and of string `j` of another list, which are equal up to `from`, and
    /// how many of their bytes are equal; a string that is not there is greater than all others.
    #[inline]
    pub(crate) fn compare(&self, i: usize, other: &Self, j: usize, from: usize) -> (Ordering, usize) {
        let (Some(a), Some(b)) = (self.get(i), other.get(j)) else {
            return (self.get(i).is_none().cmp(&other.get(j).is_none()), 0);
        };
        let (a, b) = (a.as_bytes(), b.as_bytes());
        let shared = from + common(a.get(from..).unwrap_or_default(), b.get(from..).unwrap_or_default());
        (a.get(shared).cmp(&b.get(shared)), shared)
    }
}

/// How many first bytes are equal.
#[cfg(feature = "store")]
#[inline]
fn common(a: &[u8], b: &[u8]) -> usize {
    let ((words_a, _), (words_b, _)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let mut equal = 0;
    for (a, b) in words_a.iter().zip(words_b) {
        let differs = u64::from_le_bytes(*a) ^ u64::from_le_bytes(*b);
        if differs != 0 {
            return equal + (differs.trailing_zeros() / 8) as usize;
        }
        equal += 8;
    }
    let rest = a.iter().zip(b).skip(equal);
    equal + rest.take_while(|(a, b)| a == b).count()
}

impl fmt::Debug for Strings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<S: AsRef<str>> Extend<S> for Strings {
    fn extend<I: IntoIterator<Item = S>>(&mut self, strings: I) {
        strings.into_iter().for_each(|s| self.push(s.as_ref()));
    }
}

impl<S: AsRef<str>> FromIterator<S> for Strings {
    fn from_iter<I: IntoIterator<Item = S>>(strings: I) -> Self {
        let mut list = Self::new();
        list.extend(strings);
        list
    }
}

impl<S: AsRef<str>> PartialEq<[S]> for Strings {
    fn eq(&self, other: &[S]) -> bool {
        self.iter().eq(other.iter().map(AsRef::as_ref))
    }
}

impl<S: AsRef<str>> PartialEq<&[S]> for Strings {
    fn eq(&self, other: &&[S]) -> bool {
        *self == **other
    }
}

impl<S: AsRef<str>, const N: usize> PartialEq<[S; N]> for Strings {
    fn eq(&self, other: &[S; N]) -> bool {
        *self == other[..]
    }
}

impl<S: AsRef<str>> PartialEq<Vec<S>> for Strings {
    fn eq(&self, other: &Vec<S>) -> bool {
        *self == other[..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_gives_back_its_strings() {
        let mut list: Strings = ["b", "", "é", "a", "b"].into_iter().collect();
        assert_eq!(list, ["b", "", "é", "a", "b"]);
        assert_eq!((list.len(), list.get(2), list.get(5)), (5, Some("é"), None));
        assert_eq!(format!("{list:?}"), r#"["b", "", "é", "a", "b"]"#);
        assert_eq!(list.clone().into_sorted(), ["", "a", "b", "é"]);
        list.truncate(9);
        assert_eq!(list.len(), 5);
        list.truncate(3);
        assert_eq!(list, ["b", "", "é"]);
        list.truncate(0);
        assert!(list.is_empty());
        assert_eq!(list, Strings::new());
    }

    #[cfg(feature = "store")]
    #[test]
    fn neighbours_are_added_together() {
        let list: Strings = ["b", "", "é", "a", "b"].into_iter().collect();
        let mut other = Strings::with_capacity(2, 2);
        other.push("x");
        other.extend_from(&list, 1..4);
        other.extend_from(&list, 4..6);
        assert_eq!(other, vec!["x", "", "é", "a"]);
    }

    #[test]
    fn parts_are_checked() {
        let check = |text: &str, ends: &[usize], want: Option<&[&str]>| {
            let got = Strings::from_parts(text.to_owned(), ends.to_vec()).ok();
            assert_eq!(got.is_some(), want.is_some());
            assert!(got.iter().zip(want).all(|(got, want)| *got == *want), "{text} {ends:?}");
        };
        check("", &[], Some(&[]));
        check("", &[0], Some(&[""]));
        check("éa", &[2, 2, 3], Some(&["é", "", "a"]));
        check("éa", &[1, 3], None);
        check("ab", &[1], None);
        check("ab", &[3], None);
        check("ab", &[2, 1], None);
    }

    #[cfg(feature = "store")]
    #[test]
    fn bytes_that_are_no_text_are_replaced_string_by_string() {
        let check = |strings: &[&[u8]], want: &[&str]| {
            assert_eq!(Strings::from_lossy(strings.iter().copied()), *want);
        };
        check(&[b"a", b"", "é".as_bytes()], &["a", "", "é"]);
        check(&[b"a\xff", b"b"], &["a\u{fffd}", "b"]);
        // Together they would be a character.
        check(&[b"\xc3", b"\xa9"], &["\u{fffd}", "\u{fffd}"]);
    }

    #[cfg(feature = "store")]
    #[test]
    fn strings_are_compared_from_a_place_on() {
        let check = |a: &str, b: &str| {
            let list: Strings = [a, b].into_iter().collect();
            let shared = a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count();
            for from in 0..=shared {
                assert_eq!(list.compare(0, &list, 1, from), (a.cmp(b), shared), "{a} {b}");
            }
        };
        check("", "");
        check("", "a");
        check("abcdefgh", "abcdefgh");
        check("abcdefghi", "abcdefgh");
        check("abcdefghijklmnopq", "abcdefghijklmnopr");
        check("abcdXfghijklmnopq", "abcdYfghijklmnopr");
        let list: Strings = ["a"].into_iter().collect();
        assert_eq!(list.compare(0, &list, 1, 0), (Ordering::Less, 0));
        assert_eq!(list.compare(1, &list, 2, 0), (Ordering::Equal, 0));
    }
}
