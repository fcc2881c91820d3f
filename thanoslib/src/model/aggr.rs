//! The aggregates of downsampled data.

/// Which values a chunk holds: the samples themselves or one aggregate of windows.
///
/// ```
/// use thanoslib::{downsample::aggregates_for, model::Aggr};
/// assert_eq!(aggregates_for("max_over_time"), [Aggr::Max]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Aggr {
    /// Samples as scraped.
    Raw = 0,
    /// Number of samples in each window.
    Count = 1,
    /// Sum of the samples in each window.
    Sum = 2,
    /// Smallest sample in each window.
    Min = 3,
    /// Largest sample in each window.
    Max = 4,
    /// Counter value, resets added up, with the true first and last raw values.
    Counter = 5,
}
