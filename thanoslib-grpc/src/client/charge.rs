//! Memory for messages on their way: long ones are charged when their heads come.

use std::sync::Arc;

use thanoslib::budget::{Budget, Lease};
use tonic::Status;

/// Length from which a message is charged before it is there; shorter ones wait in the windows of
/// the connection.
const LONG_BYTES: usize = 64 << 10;

/// The budget of a call, on its way to the link.
#[derive(Clone, Debug)]
pub(super) struct BudgetSlot(pub(super) Arc<Budget>);

/// What is reserved for the message that is coming in.
#[derive(Debug)]
pub(super) struct Charge {
    budget: Arc<Budget>,
    lease: Option<Lease>,
}

impl Charge {
    pub(super) fn new(slot: BudgetSlot) -> Self {
        Self { budget: slot.0, lease: None }
    }

    /// Holds as much as the message that is not there yet, of `len` bytes, and nothing when there is
    /// none: whoever takes a message charges it.
    pub(super) fn hold(&mut self, len: usize) -> Result<(), Status> {
        if self.lease.as_ref().map_or(0, Lease::bytes) == len as u64 {
            return Ok(());
        }
        self.lease = None;
        if len >= LONG_BYTES {
            let lease = self.budget.reserve(len as u64);
            let lease =
                lease.map_err(|e| Status::resource_exhausted(format!("message of {len} bytes: {e}")))?;
            self.lease = Some(lease);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_message_is_held_at_a_time() {
        let budget = Budget::new("query", 1 << 20);
        let mut charge = Charge::new(BudgetSlot(Arc::clone(&budget)));
        for (len, held) in
            [(100, 0), (1 << 20, 1 << 20), (1 << 20, 1 << 20), (LONG_BYTES, LONG_BYTES as u64), (0, 0)]
        {
            charge.hold(len).expect("enough memory");
            assert_eq!(budget.used(), held, "{len}");
        }
        let refused = charge.hold((1 << 20) + 1).expect_err("too much");
        assert!(refused.message().starts_with("message of 1048577 bytes: query budget used up"), "{refused}");
        assert_eq!(budget.used(), 0);
    }
}
