//! Chunks that do not decode: the answer goes on without them, or tells whose they are.

use std::{collections::BTreeMap, sync::Arc};

use super::samples::StoredSeries;
use crate::{
    chunk::Encoding,
    dedup::{SeriesChunk, windows},
    error::{Error, ErrorKind, Result},
    model::{Interval, Warning},
    promql::Grain,
    series::{SampleColumns, SeriesView},
    store::PartialResponse,
};

/// The sound chunks of a series of which some do not decode, with a warning in `grain` for each store
/// that sent one and was not told of before.
///
/// # Errors
/// The first of these chunks with its store, where no partial answer is wanted; `e` when each
/// chunk by itself is sound.
pub(super) fn left_out<'a>(
    series: &'a StoredSeries,
    e: Error,
    grain: &mut Grain,
) -> Result<Vec<SeriesChunk<'a>>> {
    let (mut sound, mut broken) = (Vec::new(), BTreeMap::new());
    let mut scratch = SampleColumns::default();
    for view in series.views() {
        for (chunk, origin) in windows(view).zip(origins(view)) {
            match fault(&mut scratch, &chunk) {
                None => sound.push(chunk),
                Some(fault) => drop(broken.entry(origin).or_insert((chunk.interval, fault))),
            }
        }
    }
    if broken.is_empty() {
        return Err(e);
    }
    let labels = series.views().next().map(|s| s.labels().to_labels()).unwrap_or_default();
    let mut told = series.selection.told();
    for (origin, (at, fault)) in broken {
        let from =
            origin.as_ref().map(|origin| format!("receive series from {origin}: ")).unwrap_or_default();
        let Interval { mint, maxt } = at;
        let text = format!("{from}a chunk of {labels} from {mint} to {maxt} does not decode: {fault}");
        if series.selection.partial_response == PartialResponse::Abort {
            return Err(Error::new(ErrorKind::Corrupt, text));
        }
        if told.insert(origin.clone()) {
            let warning = Warning::new(text).interval(at).labels(labels.clone());
            grain.gaps.push(warning.origin(origin.as_deref().unwrap_or_default()));
        }
    }
    Ok(sound)
}

/// The store of each window of a series.
fn origins(series: SeriesView<'_>) -> impl Iterator<Item = Option<Arc<str>>> {
    let firsts = series.chunks().enumerate().filter(|(i, c)| *i == 0 || c.meta.first);
    firsts.map(|(_, c)| c.origin().cloned())
}

/// Why a window does not decode.
fn fault(scratch: &mut SampleColumns, chunk: &SeriesChunk<'_>) -> Option<Error> {
    scratch.clear();
    // That a chunk came without data is told elsewhere.
    let mut parts = chunk.parts().filter(|part| part.encoding != Encoding::None);
    parts.find_map(|part| part.decode_into(scratch).err()).map(Error::from)
}
