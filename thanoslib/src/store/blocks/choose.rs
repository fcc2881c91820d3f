//! Which blocks answer a request: the coarsest resolution allowed, holes filled by finer ones.

use crate::{
    block::BlockId,
    model::{Interval, Resolution, TimeRange},
};

/// A block of one producer that may be chosen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chosen {
    pub(super) id: BlockId,
    pub(super) range: TimeRange,
    pub(super) resolution: Resolution,
}

/// The blocks of one producer that answer `interval` at no more than `max_resolution_ms`.
///
/// Source: Thanos `pkg/store/bucket.go`, `getFor`.
pub(super) fn choose(blocks: &[Chosen], interval: Interval, max_resolution_ms: i64) -> Vec<BlockId> {
    let mut sorted = blocks.to_vec();
    sorted.sort_by_key(|b| (b.range.mint, b.range.maxt, b.id));
    let mut out = Vec::new();
    let levels: Vec<Resolution> =
        Resolution::ALL.iter().rev().copied().filter(|r| r.window_ms() <= max_resolution_ms).collect();
    fill(&sorted, &levels, interval.mint, interval.maxt, &mut out);
    out
}

fn fill(blocks: &[Chosen], levels: &[Resolution], mint: i64, maxt: i64, out: &mut Vec<BlockId>) {
    let Some((level, finer)) = levels.split_first() else { return };
    if mint > maxt {
        return;
    }
    let mut start = mint;
    for block in blocks.iter().filter(|b| b.resolution == *level) {
        if block.range.maxt <= mint {
            continue;
        }
        if block.range.mint > maxt {
            break;
        }
        fill(blocks, finer, start, block.range.mint.saturating_sub(1), out);
        out.push(block.id);
        start = start.max(block.range.maxt);
    }
    fill(blocks, finer, start, maxt, out);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(blocks: &[(u128, i64, i64, Resolution)], at: (i64, i64), max_ms: i64, want: &[u128]) {
        let blocks: Vec<Chosen> = blocks
            .iter()
            .map(|(id, mint, maxt, resolution)| Chosen {
                id: BlockId::from_parts(0, *id),
                range: TimeRange::new(*mint, *maxt),
                resolution: *resolution,
            })
            .collect();
        let got = choose(&blocks, Interval::new(at.0, at.1), max_ms);
        let want: Vec<BlockId> = want.iter().map(|id| BlockId::from_parts(0, *id)).collect();
        assert_eq!(got, want);
    }

    #[test]
    fn holes_of_a_coarse_resolution_are_filled_by_finer_blocks() {
        use Resolution::{FiveMinutes, OneHour, Raw};
        let blocks = [
            (1, 0, 100, Raw),
            (2, 100, 200, Raw),
            (3, 200, 300, Raw),
            (4, 100, 200, FiveMinutes),
            (5, 0, 100, FiveMinutes),
            (6, 100, 200, OneHour),
        ];
        check(&blocks, (0, 299), 0, &[1, 2, 3]);
        check(&blocks, (0, 299), 299_999, &[1, 2, 3]);
        check(&blocks, (0, 299), 300_000, &[5, 4, 3]);
        check(&blocks, (0, 299), i64::MAX, &[5, 6, 3]);
        check(&blocks, (100, 199), i64::MAX, &[6]);
        check(&blocks, (300, 400), 0, &[]);
        check(&blocks, (100, 100), 0, &[2]);
    }
}
