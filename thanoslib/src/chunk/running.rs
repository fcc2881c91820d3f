//! Integers that chunks hold as changes of changes.

/// A number and its change since the sample before.
#[derive(Clone, Copy, Debug, Default)]
pub struct Running {
    pub(super) value: i64,
    pub(super) delta: i64,
}

impl Running {
    pub(super) fn step(&mut self, dod: i64) {
        self.delta = self.delta.wrapping_add(dod);
        self.value = self.value.wrapping_add(self.delta);
    }
}

/// Turns absolute buckets into deltas to the bucket before.
pub(super) fn relative(buckets: &mut [i64]) {
    for i in (1..buckets.len()).rev() {
        buckets[i] = buckets[i].wrapping_sub(buckets[i - 1]);
    }
}
