//! The samples of an anchored or smoothed range as such.

use crate::{
    error::{Error, Result},
    model::Interval,
    promql::ast::Extension,
    series::{FloatColumn, SampleColumns},
};

use super::{
    Window,
    extended::{edges, values},
    window::Samples,
};

/// A range and how its edges are found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Edged {
    /// The range is after this.
    pub(crate) start_ms: i64,
    /// The range ends with this.
    pub(crate) end_ms: i64,
    /// The samples that edges may be found of.
    pub(crate) reach: Interval,
    /// How edges are found.
    pub(crate) extension: Extension,
}

impl Edged {
    /// The floats between the edges and a float at each edge; nothing when no float tells of the
    /// range.
    ///
    /// # Errors
    /// `Invalid` when there are histograms.
    pub(crate) fn cut(&self, columns: &SampleColumns) -> Result<SampleColumns> {
        let columns = columns.within(self.reach);
        if !columns.histograms.is_empty() {
            return Err(Error::invalid(format!(
                "{} modifier is not supported with histograms",
                self.extension.as_str()
            )));
        }
        let (ts, vs) = (&columns.floats.ts, &columns.floats.vs);
        let mut cut = SampleColumns::default();
        if ts.is_empty() {
            return Ok(cut);
        }
        let (start_ms, end_ms, smoothed) =
            (self.start_ms, self.end_ms, self.extension == Extension::Smoothed);
        let samples = Samples { ft: ts, fv: vs, fs: &[], ht: &[], hv: &[], hs: &[], grain: None };
        let (f, h) = (0..ts.len(), 0..0);
        let w = Window { samples: &samples, step: 0, t_ms: end_ms, start_ms, end_ms, f, h };
        let Some(found) = edges(ts, &w.f, start_ms, end_ms, smoothed) else {
            return Ok(cut);
        };
        let (left, right) = values(ts, vs, &w, found, (smoothed, false));
        let floats: &mut FloatColumn = &mut cut.floats;
        floats.push(start_ms, left);
        for i in (found.0..=found.1).filter(|i| start_ms < ts[*i] && ts[*i] < end_ms) {
            floats.push(ts[i], vs[i]);
        }
        floats.push(end_ms, right);
        Ok(cut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_get_values() {
        let check = |extension, want: &[(i64, f64)]| {
            let mut columns = SampleColumns::default();
            (0..6).for_each(|i| columns.floats.push(i * 10, i as f64));
            let reach = Interval::new(0, if extension == Extension::Smoothed { 50 } else { 35 });
            let cut = Edged { start_ms: 15, end_ms: 35, reach, extension }.cut(&columns).expect("floats");
            let got: Vec<_> = cut.floats.ts.into_iter().zip(cut.floats.vs).collect();
            assert_eq!(got, want, "{extension:?}");
        };
        check(Extension::Anchored, &[(15, 1.0), (20, 2.0), (30, 3.0), (35, 3.0)]);
        check(Extension::Smoothed, &[(15, 1.5), (20, 2.0), (30, 3.0), (35, 3.5)]);
    }
}
