//! Room in columns for decoded samples.

use std::iter::repeat_n;

use crate::model::FloatColumn;

/// Lengthens `out` by `n` samples and gives their slots; known start times become 0 there.
pub(super) fn grow(out: &mut FloatColumn, n: usize) -> (&mut [i64], &mut [f64]) {
    let start = out.len();
    // Of a constant, unlike that of `resize`, which becomes one call that clears memory.
    out.ts.extend(repeat_n(0, n));
    out.vs.extend(repeat_n(0.0, n));
    if !out.st.is_empty() {
        out.st.resize(start + n, 0);
    }
    (&mut out.ts[start..], &mut out.vs[start..])
}
