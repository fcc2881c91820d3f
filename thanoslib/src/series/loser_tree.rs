//! Choosing the smallest of several ascending inputs, again and again.

use std::cmp::Ordering;

/// A tournament whose nodes remember the loser, so that the input that has moved on plays
/// only against those that lost to it.
///
/// Keys stay with their inputs; the tree knows how much of its key each loser shares with
/// the winner. An input that shares more with the key that went out last is smaller, which
/// settles most matches without a look at the keys.
#[derive(Debug, Default)]
pub(crate) struct LoserTree {
    /// The winner, then the losers of the matches above each other: those of the children of
    /// `i` are at `2 * i` and `2 * i + 1`.
    nodes: Vec<Player>,
    /// Scratch of [`LoserTree::build`].
    winners: Vec<Player>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Player {
    input: usize,
    /// How much of its key is that of whom it lost to; for the winner, that of the key before.
    shared: usize,
}

impl LoserTree {
    /// Plays all matches anew between `inputs` inputs.
    ///
    /// `compare(a, b, from)` gives the order of two inputs' keys that are equal up to `from`,
    /// and how much of them is equal. An input without a key is greater than all others.
    pub(crate) fn build(
        &mut self,
        inputs: usize,
        mut compare: impl FnMut(usize, usize, usize) -> (Ordering, usize),
    ) {
        self.nodes.clear();
        self.nodes.resize(inputs, Player::default());
        self.winners.clear();
        self.winners.resize(inputs, Player::default());
        self.winners.extend((0..inputs).map(|input| Player { input, shared: 0 }));
        for i in (1..inputs).rev() {
            let (a, b) = (self.winners[2 * i], self.winners[2 * i + 1]);
            let (order, shared) = compare(a.input, b.input, 0);
            let (winner, loser) = if first(order, a.input, b.input) { (a, b) } else { (b, a) };
            self.winners[i] = winner;
            self.nodes[i] = Player { shared, ..loser };
        }
        if let (Some(top), Some(winner)) = (self.nodes.first_mut(), self.winners.get(1.min(inputs))) {
            *top = *winner;
        }
    }

    /// The input with the smallest key; of equal keys that of the first input.
    pub(crate) fn winner(&self) -> Option<usize> {
        self.nodes.first().map(|p| p.input)
    }

    /// The winner, and how much of its key is that of the key that went out before; nothing is known
    /// of the first one.
    #[cfg(feature = "store")]
    pub(crate) fn winner_shared(&self) -> Option<(usize, usize)> {
        self.nodes.first().map(|p| (p.input, p.shared))
    }

    /// Plays the matches of the winner, whose key has become greater or is gone.
    ///
    /// `shared` tells how much of its key is that of the key before; nothing when it is gone.
    pub(crate) fn replay(
        &mut self,
        shared: usize,
        mut compare: impl FnMut(usize, usize, usize) -> (Ordering, usize),
    ) {
        let Some(input) = self.winner() else { return };
        let mut player = Player { input, shared };
        let mut i = (input + self.nodes.len()) / 2;
        while let Some(node) = self.nodes.get_mut(i).filter(|_| i > 0) {
            match node.shared.cmp(&player.shared) {
                Ordering::Less => {}
                Ordering::Greater => std::mem::swap(node, &mut player),
                Ordering::Equal => {
                    let (order, shared) = compare(player.input, node.input, player.shared);
                    if !first(order, player.input, node.input) {
                        std::mem::swap(node, &mut player);
                    }
                    node.shared = shared;
                }
            }
            i /= 2;
        }
        if let Some(top) = self.nodes.first_mut() {
            *top = player;
        }
    }
}

fn first(order: Ordering, a: usize, b: usize) -> bool {
    order.then(a.cmp(&b)) == Ordering::Less
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::{Labels, LabelsRef};

    fn merged(inputs: &[Vec<Labels>]) -> Vec<(Labels, usize)> {
        let mut heads: Vec<_> = inputs.iter().map(|i| i.iter()).collect();
        let mut keys: Vec<Option<LabelsRef<'_>>> =
            heads.iter_mut().map(|h| h.next().map(Labels::view)).collect();
        fn compare(a: Option<LabelsRef<'_>>, b: Option<LabelsRef<'_>>, from: usize) -> (Ordering, usize) {
            match (a, b) {
                (Some(a), Some(b)) => a.cmp_from(b, from),
                (a, b) => (a.is_none().cmp(&b.is_none()), 0),
            }
        }
        let mut tree = LoserTree::default();
        tree.build(inputs.len(), |a, b, from| compare(keys[a], keys[b], from));
        let mut out = Vec::new();
        while let Some(winner) = tree.winner() {
            let Some(key) = keys[winner] else { break };
            out.push((key.to_labels(), winner));
            keys[winner] = heads[winner].next().map(Labels::view);
            let shared = keys[winner].map_or(0, |next| key.cmp_from(next, 0).1);
            tree.replay(shared, |a, b, from| compare(keys[a], keys[b], from));
        }
        out
    }

    fn labels() -> impl Strategy<Value = Labels> {
        let value = prop_oneof![4 => "[ab]{1,3}", 1 => "a{254,257}"];
        prop::collection::btree_map("[abc]{1,2}", value, 0..4).prop_map(Labels::from_iter)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]
        #[test]
        fn inputs_come_out_in_order(
            inputs in prop::collection::vec(prop::collection::btree_set(labels(), 0..12), 0..9)
        ) {
            let inputs: Vec<Vec<Labels>> = inputs.into_iter().map(|i| i.into_iter().collect()).collect();
            let mut want: Vec<(Labels, usize)> = Vec::new();
            for (i, labels) in inputs.iter().enumerate() {
                want.extend(labels.iter().map(|l| (l.clone(), i)));
            }
            want.sort();
            prop_assert_eq!(merged(&inputs), want);
        }
    }
}
