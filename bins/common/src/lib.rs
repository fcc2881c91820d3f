//! What the thanos commands share.
