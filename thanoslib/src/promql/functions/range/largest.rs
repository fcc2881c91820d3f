//! How many samples a window holds at most.

use super::RangeCall;

impl RangeCall {
    /// Most samples that any window holds; a histogram counts by its size, which `weigh` tells of
    /// each of those at `ht`.
    pub(crate) fn largest_window(&self, ft: &[i64], ht: &[i64], weigh: impl Fn(usize) -> u64) -> u64 {
        let (mut f, mut h) = (0..0, 0..0);
        // Of the histograms inside the window.
        let (mut weight, mut largest) = (0, 0);
        for step in 0..self.steps.count {
            let end_ms = self.reference.time(self.steps.time(step));
            self.advance(ft, end_ms, &mut f);
            let before = h.clone();
            self.advance(ht, end_ms, &mut h);
            if h != before {
                let (gone, come) = (before.start..h.start.min(before.end), h.start.max(before.end)..h.end);
                weight -= gone.map(&weigh).sum::<u64>();
                weight += come.map(&weigh).sum::<u64>();
            }
            largest = largest.max(f.len() as u64 + weight);
        }
        largest
    }
}
