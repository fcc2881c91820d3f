//! A plan together with the tree that it borrows.

use super::Plan;
use crate::promql::ast::Expr;

self_cell::self_cell!(
    /// A folded expression with its plan, built once and shared by all jobs of a query.
    pub(crate) struct Planned {
        owner: Expr,
        #[covariant]
        dependent: Plan,
    }

    impl {Debug}
);

impl Planned {
    /// The plan.
    pub(crate) fn plan(&self) -> &Plan<'_> {
        self.borrow_dependent()
    }
}
