//! Records what the operators of a query cost.

use std::{
    sync::{Mutex, PoisonError},
    time::Instant,
};

use crate::{
    context::StoreCost,
    promql::plan::{Costs, OperatorCost},
};

/// Where costs are recorded, if a query is analyzed.
#[derive(Debug, Default)]
pub(super) struct Recorder(Mutex<Costs>);

/// Whose cost it is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Whose {
    /// A node of the tree above the leaves.
    Node(usize),
    /// What is computed of each series of a leaf.
    Leaf(usize),
    /// The aggregation of a leaf.
    Aggregate(usize),
    /// A read.
    Read(usize),
}

impl Recorder {
    /// Adds to the cost of an operator; peaks are the greater ones.
    pub(super) fn add(&self, whose: Whose, cost: &OperatorCost) {
        // Nothing panics while it is locked.
        let mut costs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (list, i) = match whose {
            Whose::Node(i) => (&mut costs.nodes, i),
            Whose::Leaf(i) => (&mut costs.leaves, i),
            Whose::Aggregate(i) => (&mut costs.aggregates, i),
            Whose::Read(i) => (&mut costs.reads, i),
        };
        if list.len() <= i {
            list.resize(i + 1, OperatorCost::default());
        }
        list[i].add(cost);
    }

    /// Notes what each of the stores cost that answered a read.
    pub(super) fn stores(&self, read: usize, stores: Vec<StoreCost>) {
        let mut costs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if costs.stores.len() <= read {
            costs.stores.resize_with(read + 1, Vec::new);
        }
        costs.stores[read] = stores;
    }

    /// What was recorded so far.
    pub(super) fn costs(&self) -> Costs {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Nanoseconds since a time.
pub(super) fn since(begun: Instant) -> u64 {
    u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX)
}
