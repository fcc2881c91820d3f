//! Cuts what a select gives into blocks of series, one for each job.

use futures::{Stream, StreamExt, stream};

use crate::{
    budget::Lease,
    error::{Error, Result},
    model::Warnings,
    promql::{SelectFrame, SelectStream, SelectedSeries},
};

/// Series that one job takes.
const BLOCK_SERIES: usize = 256;

/// Series for one job, with the gaps that were told between them.
pub(super) struct Batch {
    pub(super) series: Vec<SelectedSeries>,
    /// Bytes reserved for the series.
    pub(super) lease: Lease,
    pub(super) warnings: Warnings,
}

pub(super) fn expanding(e: Error) -> Error {
    e.context("expanding series")
}

/// Bytes of a series as it comes.
fn series_bytes(series: &SelectedSeries) -> u64 {
    (series.labels.as_bytes().len() + series.data.size_bytes()) as u64
}

/// The frames of a select on their way into blocks.
struct Cut {
    frames: SelectStream,
    waiting: std::vec::IntoIter<SelectedSeries>,
    /// Bytes reserved for the series that wait.
    lease: Lease,
    ended: bool,
}

/// Cuts the frames of a select into blocks of a fixed number of series; `lease` takes the
/// bytes of series when they arrive.
pub(super) fn blocks(frames: SelectStream, lease: Lease) -> impl Stream<Item = Result<Batch>> + Send {
    let cut = Cut { frames, waiting: Vec::new().into_iter(), lease, ended: false };
    stream::try_unfold(cut, |mut cut| async move {
        let (mut series, mut warnings) = (Vec::new(), Warnings::default());
        loop {
            series.extend(cut.waiting.by_ref().take(BLOCK_SERIES - series.len()));
            if series.len() == BLOCK_SERIES || cut.ended {
                break;
            }
            match cut.frames.next().await {
                Some(Ok(SelectFrame::Series(arrived))) => {
                    cut.lease.grow(arrived.iter().map(series_bytes).sum())?;
                    cut.waiting = arrived.into_iter();
                }
                Some(Ok(SelectFrame::Warning(w))) => warnings.push(w),
                Some(Err(e)) => return Err(expanding(e)),
                None => cut.ended = true,
            }
        }
        let lease = cut.lease.split(series.iter().map(series_bytes).sum());
        let empty = series.is_empty() && warnings.is_empty();
        Ok((!empty).then_some((Batch { series, lease, warnings }, cut)))
    })
}
