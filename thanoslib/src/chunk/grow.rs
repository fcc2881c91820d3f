//! Room in columns for decoded samples.

use crate::model::FloatColumn;

/// Lengthens `out` by `n` samples and gives their slots; known start times become 0 there.
pub(super) fn grow(out: &mut FloatColumn, n: usize) -> (&mut [i64], &mut [f64]) {
    let start = out.len();
    out.ts.resize(start + n, 0);
    out.vs.resize(start + n, 0.0);
    if !out.st.is_empty() {
        out.st.resize(start + n, 0);
    }
    (&mut out.ts[start..], &mut out.vs[start..])
}
