//! Series of a remote read in the order of their final labels, as they come.
//!
//! A Prometheus sends its series by the order of their own labels. External labels are the same for
//! all of them, so two series keep their order when they differ in a label that both have, and when
//! each has a label that the other lacks: the lesser name comes first with the external labels, too.
//! Only where the labels of one series are the first labels of another can the order change, since
//! where the shorter one ends an external label may follow. Series that begin with all the labels of
//! one stand behind it without a gap, and so a series is held back as long as those come.
//!
//! This holds when no series has a label of its own with the name of an external label. Whoever cannot
//! know that sorts the whole answer. That labels ascend is checked for every series sent.
//!
//! Invariant: knows series as labels and bytes; reads nothing.

use std::ops::Range;

use bytes::Bytes;

use crate::{
    chunk::Encoding,
    error::{Error, Result},
    model::{Aggr, Interval, Label, Labels, LabelsRef},
    series::BatchBuilder,
};

/// A chunk that is held.
#[derive(Clone, Debug)]
pub(super) struct HeldChunk {
    pub(super) interval: Interval,
    pub(super) encoding: Encoding,
    /// What the samples lie in, which chunks share.
    pub(super) buffer: Bytes,
    /// Where they lie.
    pub(super) data: Range<usize>,
}

impl HeldChunk {
    /// Adds it to the series begun last.
    pub(super) fn put(&self, out: &mut BatchBuilder) {
        out.chunk_in(self.interval, Aggr::Raw, self.encoding, true, &self.buffer, self.data.clone());
    }
}

/// A series that others may still come before.
#[derive(Debug)]
struct Pending {
    own: Labels,
    labels: Labels,
    chunks: Vec<HeldChunk>,
}

/// How the final labels of series are made.
#[derive(Clone, Debug)]
pub(super) struct Overlay {
    /// External labels of the server, which it adds to the series that it sends.
    external: Labels,
    /// Those that series go out with.
    kept: Labels,
}

impl Overlay {
    /// External labels, and the names of labels that are removed, which are all of external ones.
    pub(super) fn new(external: &Labels, removed: &[String]) -> Self {
        let kept = external.filter(|l| !removed.iter().any(|name| name.as_bytes() == l.name));
        Self { external: external.clone(), kept }
    }

    /// Appends the flat labels of a series: its own, and the final ones.
    ///
    /// `pairs` are those that the server sent; labels equal to an external one count as that.
    fn split(&self, pairs: &mut [(&[u8], &[u8])], own: &mut Vec<u8>, labels: &mut Vec<u8>) {
        if !pairs.is_sorted() {
            pairs.sort_unstable();
        }
        let mut external = self.kept.iter().peekable();
        let mut last = None;
        for (name, value) in pairs.iter().copied() {
            if value.is_empty() || name.is_empty() || last.replace(name) == Some(name) {
                continue;
            }
            while let Some(label) = external.next_if(|l| l.name <= name) {
                label.append_flat(labels);
            }
            let label = Label { name, value };
            match self.external.get(name) {
                Some(same) if same == value => {}
                Some(_) => label.append_flat(own),
                None => {
                    label.append_flat(own);
                    label.append_flat(labels);
                }
            }
        }
        external.for_each(|label| label.append_flat(labels));
    }
}

/// Brings series into the order of their final labels.
#[derive(Debug)]
pub(super) struct Order {
    overlay: Overlay,
    pending: Vec<Pending>,
    pending_bytes: u64,
    /// Final labels of the series that was sent last.
    last: Option<Labels>,
    own: Vec<u8>,
    labels: Vec<u8>,
}

/// What one held series or chunk costs beside its bytes.
const HELD_BYTES: u64 = 96;

impl Order {
    pub(super) fn new(overlay: Overlay) -> Self {
        let (own, labels) = (Vec::new(), Vec::new());
        Self { overlay, pending: Vec::new(), pending_bytes: 0, last: None, own, labels }
    }

    /// Bytes of the series that are held back.
    pub(super) fn held_bytes(&self) -> u64 {
        self.pending_bytes
    }

    /// Takes a series, or a further part of the one before, and sends what can be sent.
    ///
    /// # Errors
    /// `Unavailable` when the server does not keep the order.
    pub(super) fn push(
        &mut self,
        pairs: &mut [(&[u8], &[u8])],
        chunks: impl Iterator<Item = HeldChunk>,
        out: &mut BatchBuilder,
    ) -> Result<()> {
        self.own.clear();
        self.labels.clear();
        self.overlay.split(pairs, &mut self.own, &mut self.labels);
        let bytes = HELD_BYTES + (self.own.len() + self.labels.len()) as u64;
        if let Some(first) = self.pending.first()
            && !self.own.starts_with(first.own.as_bytes())
        {
            self.send(out)?;
        }
        self.pending_bytes += bytes;
        match self.pending.last_mut() {
            Some(last) if last.own.as_bytes() == self.own => {
                for chunk in chunks {
                    self.pending_bytes += HELD_BYTES + chunk.data.len() as u64;
                    last.chunks.push(chunk);
                }
            }
            _ => {
                let chunks: Vec<HeldChunk> = chunks.collect();
                self.pending_bytes += chunks.iter().map(|c| HELD_BYTES + c.data.len() as u64).sum::<u64>();
                let flat = |bytes: &[u8]| LabelsRef::from_flat(bytes).to_labels();
                self.pending.push(Pending { own: flat(&self.own), labels: flat(&self.labels), chunks });
            }
        }
        Ok(())
    }

    /// Sends all that is held back.
    pub(super) fn send(&mut self, out: &mut BatchBuilder) -> Result<()> {
        if self.pending.len() > 1 {
            self.pending.sort_by(|a, b| a.labels.cmp(&b.labels));
        }
        for series in self.pending.drain(..) {
            if self.last.as_ref().is_some_and(|last| *last >= series.labels) {
                return Err(Error::unavailable(format!(
                    "series {} of Prometheus comes out of order, since it has a label with the name of an \
                     external label",
                    series.labels
                )));
            }
            out.series(series.labels.view());
            for chunk in series.chunks {
                chunk.put(out);
            }
            self.last = Some(series.labels);
        }
        self.pending_bytes = 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn labels(text: &str) -> Labels {
        Labels::from_pairs(text.split_whitespace().filter_map(|pair| pair.split_once('=')))
    }

    /// Sends series with these own labels as a server would; gives the final labels, or how many were
    /// held at most.
    fn run(external: &str, removed: &[&str], series: &[Labels]) -> Result<(Vec<Labels>, usize)> {
        let external = labels(external);
        let removed: Vec<String> = removed.iter().map(|r| (*r).to_owned()).collect();
        let mut order = Order::new(Overlay::new(&external, &removed));
        let (mut out, mut held) = (BatchBuilder::default(), 0);
        for own in series {
            // The labels of the series win when a server adds its external ones.
            let sent = Labels::from_pairs(external.iter().chain(own.iter()).map(|l| (l.name, l.value)));
            let mut pairs: Vec<_> = sent.iter().map(|l| (l.name, l.value)).collect();
            order.push(&mut pairs, std::iter::empty(), &mut out)?;
            held = held.max(order.pending.len());
        }
        order.send(&mut out)?;
        let batch = out.finish();
        Ok((batch.iter().map(|s| s.labels().to_labels()).collect(), held))
    }

    fn check(external: &str, removed: &[&str], series: &[&str], want: &[&str], want_held: usize) {
        let series: Vec<_> = series.iter().map(|s| labels(s)).collect();
        assert!(series.is_sorted());
        let (got, held) = run(external, removed, &series).expect("in order");
        assert_eq!(got, want.iter().map(|s| labels(s)).collect::<Vec<_>>());
        assert_eq!(held, want_held);
    }

    #[test]
    fn series_that_begin_alike_change_places() {
        check("b=e", &[], &["a=1", "a=1 z=2"], &["a=1 b=e", "a=1 b=e z=2"], 2);
        check("zz=e", &[], &["a=1", "a=1 z=2"], &["a=1 z=2 zz=e", "a=1 zz=e"], 2);
        check("zz=e", &["zz"], &["a=1", "a=1 z=2"], &["a=1", "a=1 z=2"], 2);
        check(
            "c=e m=f",
            &[],
            &["a=1 d=1", "a=1 n=1", "a=2"],
            &["a=1 c=e d=1 m=f", "a=1 c=e m=f n=1", "a=2 c=e m=f"],
            1,
        );
    }

    #[test]
    fn labels_with_the_name_of_an_external_one_are_found_out() {
        let series: Vec<_> = ["a=1 b=x z=1", "a=1 c=0"].map(labels).to_vec();
        let e = run("b=e", &[], &series).expect_err("out of order");
        assert!(e.message().contains("out of order"), "{e}");
        // Where the order is kept, the external label wins.
        check("b=e", &[], &["a=1 b=x", "a=2"], &["a=1 b=e", "a=2 b=e"], 1);
    }

    proptest! {
        #[test]
        fn the_order_is_that_of_the_final_labels(
            sets in proptest::collection::btree_set(proptest::collection::btree_map("[acegik]{1,2}", "[12]", 1..4), 0..12),
            external in proptest::collection::btree_map("[bdfhj]{1,2}", "[12]", 0..4),
            removed in 0usize..3,
        ) {
            let mut series: Vec<Labels> = sets.iter().map(|set| Labels::from_pairs(set.iter())).collect();
            series.sort();
            let text: Vec<String> = external.iter().map(|(n, v)| format!("{n}={v}")).collect();
            let removed: Vec<&str> = external.keys().take(removed).map(String::as_str).collect();
            let (got, _) = run(&text.join(" "), &removed, &series).expect("in order");
            let kept = external.iter().filter(|(n, _)| !removed.contains(&n.as_str()));
            let kept: Vec<_> = kept.map(|(n, v)| (n.as_bytes(), v.as_bytes())).collect();
            let mut want: Vec<Labels> = series
                .iter()
                .map(|s| Labels::from_pairs(s.iter().map(|l| (l.name, l.value)).chain(kept.iter().copied())))
                .collect();
            want.sort();
            prop_assert_eq!(got, want);
        }
    }
}
