//! Chunks that overlap become chunks of different replicas.

use super::SeriesChunk;

/// Distributes chunks, sorted by time, so that no two of one list overlap or touch.
///
/// Each goes to the first list whose last chunk ends before it begins. No chunks give one
/// empty list.
///
/// Source: Thanos `pkg/dedup/iter.go`.
pub(crate) fn split_overlaps<'a>(chunks: &[SeriesChunk<'a>]) -> Vec<Vec<SeriesChunk<'a>>> {
    let mut lists: Vec<Vec<SeriesChunk<'a>>> = vec![Vec::new()];
    for chunk in chunks {
        let free = |list: &&mut Vec<SeriesChunk<'a>>| {
            list.last().is_none_or(|last| last.interval.maxt < chunk.interval.mint)
        };
        match lists.iter_mut().find(free) {
            Some(list) => list.push(*chunk),
            None => lists.push(vec![*chunk]),
        }
    }
    lists
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Interval;

    fn check(chunks: &[(i64, i64)], expected: &[&[(i64, i64)]]) {
        let of = |&(a, b): &(i64, i64)| SeriesChunk::empty(Interval::new(a, b));
        let chunks: Vec<_> = chunks.iter().map(of).collect();
        let got: Vec<Vec<_>> = split_overlaps(&chunks)
            .iter()
            .map(|l| l.iter().map(|c| (c.interval.mint, c.interval.maxt)).collect())
            .collect();
        assert_eq!(got, expected);
    }

    #[test]
    fn a_chunk_goes_where_the_last_one_ended_before_it() {
        check(
            &[(0, 20), (0, 30), (21, 50), (31, 60), (100, 160)],
            &[&[(0, 20), (21, 50), (100, 160)], &[(0, 30), (31, 60)]],
        );
        check(&[(50, 55), (55, 100)], &[&[(50, 55)], &[(55, 100)]]);
        check(&[], &[&[]]);
    }
}
