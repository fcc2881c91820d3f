//! Sorted lists of strings joined into one.

use crate::{model::Strings, series::LoserTree};

/// The strings of all lists in byte order, each once; the lists have theirs so.
pub(crate) fn union(mut lists: Vec<Strings>) -> Strings {
    lists.retain(|list| !list.is_empty());
    if lists.len() < 2 {
        return lists.pop().unwrap_or_default();
    }
    let most = lists.iter().max_by_key(|list| list.len());
    let (strings, bytes) = most.map_or((0, 0), |list| (list.len(), list.text_bytes()));
    let mut out = Strings::with_capacity(strings, bytes);
    let mut heads = vec![0; lists.len()];
    let mut tree = LoserTree::default();
    let compare =
        |heads: &[usize], a: usize, b: usize, from| lists[a].compare(heads[a], &lists[b], heads[b], from);
    tree.build(lists.len(), |a, b, from| compare(&heads, a, b, from));
    // Strings that the list `of` has next to each other and that are not out yet.
    let (mut of, mut run) = (0, 0..0);
    while let Some((winner, shared_before)) = tree.winner_shared() {
        let at = heads[winner];
        let Some(string) = lists[winner].get(at) else { break };
        // Shared whole with the one before, and that is not longer: the same.
        let last = lists[of].get(usize::wrapping_sub(run.end, 1)).filter(|_| !run.is_empty());
        let again = last.is_some_and(|last| last.len() == string.len() && shared_before >= string.len());
        if !again {
            if winner == of && run.end == at && !run.is_empty() {
                run.end += 1;
            } else {
                out.extend_from(&lists[of], run);
                (of, run) = (winner, at..at + 1);
            }
        }
        heads[winner] += 1;
        let shared = match lists[winner].get(at + 1) {
            Some(_) => lists[winner].compare(at, &lists[winner], at + 1, 0).1,
            None => 0,
        };
        tree.replay(shared, |a, b, from| compare(&heads, a, b, from));
    }
    out.extend_from(&lists[of], run);
    out
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lists_are_joined() {
        let check = |lists: &[&[&str]], want: &[&str]| {
            let lists = lists.iter().map(|list| list.iter().collect()).collect();
            assert_eq!(union(lists), *want);
        };
        check(&[], &[]);
        check(&[&[], &[""], &[]], &[""]);
        check(&[&["a", "b"], &["c"], &["a", "b"]], &["a", "b", "c"]);
        check(&[&["", "ab", "abc"], &["a", "abc", "abcd"]], &["", "a", "ab", "abc", "abcd"]);
    }

    proptest! {
        #[test]
        fn a_union_is_that_of_sets(
            sets in prop::collection::vec(prop::collection::btree_set("[abé]{0,3}|a{7,9}[bc]", 0..20), 0..7)
        ) {
            let want: BTreeSet<String> = sets.iter().flatten().cloned().collect();
            let lists = sets.iter().map(|set| set.iter().collect()).collect();
            prop_assert_eq!(union(lists), want.into_iter().collect::<Vec<_>>());
        }
    }
}
