//! Ascending lists of series numbers, wherever they lie.

/// A series number as it is stored.
///
/// See [`SortedIds`].
pub trait Id: Copy {
    /// The number.
    fn value(self) -> u32;
}

impl Id for u32 {
    #[inline(always)]
    fn value(self) -> u32 {
        self
    }
}

impl Id for [u8; 4] {
    #[inline(always)]
    fn value(self) -> u32 {
        u32::from_be_bytes(self)
    }
}

/// An ascending list of series numbers without repeats.
///
/// Operations read the numbers where they lie: in a vector, or big-endian in the bytes of
/// an index file.
///
/// ```
/// use thanoslib::index::{intersect, subtract, union};
/// let mut set = union(&[vec![1, 3, 5], vec![2, 3]]);
/// assert_eq!(set, [1, 2, 3, 5]);
/// intersect(&mut set, &vec![2, 3, 4]);
/// subtract(&mut set, &vec![3]);
/// assert_eq!(set, [2]);
/// ```
pub trait SortedIds {
    /// How the numbers are stored.
    type Id: Id;

    /// The numbers in order.
    fn ids(&self) -> &[Self::Id];

    /// Number of ids.
    fn count(&self) -> usize {
        self.ids().len()
    }
}

impl SortedIds for &[u32] {
    type Id = u32;

    fn ids(&self) -> &[u32] {
        self
    }
}

impl SortedIds for Vec<u32> {
    type Id = u32;

    fn ids(&self) -> &[u32] {
        self
    }
}

/// First and last number of a list.
pub(super) fn ends<I: Id>(ids: &[I]) -> Option<(u32, u32)> {
    Some((ids.first()?.value(), ids.last()?.value()))
}

/// The part of a list that lies between `low` and `high`, both inside.
pub(super) fn between<I: Id>(ids: &[I], low: u32, high: u32) -> &[I] {
    let start = ids.partition_point(|id| id.value() < low);
    let rest = ids.get(start..).unwrap_or_default();
    let end = rest.partition_point(|id| id.value() <= high);
    rest.get(..end).unwrap_or_default()
}

/// Writes what stays of a vector over its front, while the rest is still read.
///
/// Numbers come in pieces of at most [`PIECE`]; each is decided without branches into a
/// buffer on the stack, so that neither place needs a check.
pub(super) struct Sieve {
    kept: [u32; PIECE],
    len: usize,
    /// Numbers written to the vector.
    pub(super) written: usize,
}

/// Numbers that are sieved at a time.
pub(super) const PIECE: usize = 64;

impl Sieve {
    pub(super) fn new() -> Self {
        Self { kept: [0; PIECE], len: 0, written: 0 }
    }

    /// Keeps `id` if `keep` is 1, drops it if 0; at most [`PIECE`] times between flushes.
    #[inline(always)]
    pub(super) fn offer(&mut self, id: u32, keep: usize) {
        self.kept[self.len % PIECE] = id;
        self.len += keep;
    }

    /// Moves what was kept to the vector, of which at least as much was read.
    #[inline(always)]
    pub(super) fn flush(&mut self, set: &mut [u32]) {
        let end = self.written + self.len;
        if let (Some(to), Some(from)) = (set.get_mut(self.written..end), self.kept.get(..self.len)) {
            to.copy_from_slice(from);
        }
        (self.written, self.len) = (end, 0);
    }
}
