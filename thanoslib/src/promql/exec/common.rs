//! The value of a part that stands at several places of a query.

use std::collections::HashMap;

use crate::{
    error::{Error, Result},
    promql::{
        Annotations,
        ast::{Expr, Node},
        plan::{PlanNode, operands},
    },
};

use super::{
    Looked,
    eval::{Evaluator, Value, samples},
    meter::block_bytes,
};

/// A value that is needed again.
#[derive(Debug)]
pub(super) struct Kept {
    value: Value,
    /// Remarks made while it was evaluated, for its first place.
    annotations: Annotations,
    /// Samples looked at, which count for each place.
    looked: Looked,
    /// Places that have not got it yet.
    left: usize,
}

impl Evaluator<'_> {
    /// The value of a common part, which the first place has evaluated.
    pub(super) fn common(&mut self, node: &PlanNode<'_>, i: usize) -> Result<Value> {
        let parts = self.parts;
        let Some(part) = parts.get(i) else {
            return Err(Error::internal("a common part is not in the plan"));
        };
        if part.uses == 1 {
            return self.eval(&part.node);
        }
        if self.commons.len() <= i {
            self.commons.resize_with(i + 1, || None);
        }
        if self.commons[i].is_none() {
            let before = std::mem::take(&mut self.annotations);
            let (value, looked) = self.counted(node.steps.count, |e| e.eval(&part.node))?;
            let annotations = std::mem::replace(&mut self.annotations, before);
            self.commons[i] = Some(Kept { value, annotations, looked, left: part.uses });
        }
        let Some(mut kept) = self.commons[i].take() else {
            return Err(Error::internal("a common part has no value"));
        };
        kept.left = kept.left.saturating_sub(1);
        self.looked.merge(&kept.looked);
        self.annotations.merge(self.moved(&kept.annotations, part.node.expr, node.expr));
        if kept.left == 0 {
            return Ok(kept.value);
        }
        if let Value::Vector(blocks) = &kept.value {
            let bytes = blocks.iter().map(block_bytes).sum();
            self.leases.push(self.shared.ctx.budget().reserve(bytes)?);
            self.shared.meter.hold(samples(&kept.value))?;
        }
        let value = kept.value.clone();
        self.commons[i] = Some(kept);
        Ok(value)
    }

    /// Remarks on one place of a part as if they were made on another, which is equal but for where its
    /// nodes stand.
    fn moved(&self, annotations: &Annotations, from: &Expr, to: &Expr) -> Annotations {
        if annotations.is_empty() || std::ptr::eq(from, to) {
            return annotations.clone();
        }
        let mut starts = HashMap::new();
        pair(from, to, &mut starts);
        let text = self.shared.text.as_bytes();
        annotations.moved(|position| {
            let start = offset(text, position)?;
            let start = *starts.get(&start)?;
            crate::promql::scope::position_at(text, start as usize)
        })
    }
}

/// Notes where the nodes of one tree stand in an equal one.
fn pair(from: &Expr, to: &Expr, starts: &mut HashMap<u32, u32>) {
    let mut note = |a: Option<(u32, u32)>, b: Option<(u32, u32)>| {
        if let Some((a, b)) = a.zip(b) {
            starts.insert(a.0, b.0);
        }
    };
    note(from.span, to.span);
    if let (Node::Binary(a), Node::Binary(b)) = (&from.node, &to.node) {
        note(a.op_span, b.op_span);
    }
    operands(from).into_iter().zip(operands(to)).for_each(|(a, b)| pair(a, b, starts));
}

/// The byte that stands at a line and column, both from 1.
fn offset(text: &[u8], (line, column): (u32, u32)) -> Option<u32> {
    let mut start = 0;
    for _ in 1..line {
        start += text.get(start..)?.iter().position(|b| *b == b'\n')? + 1;
    }
    u32::try_from(start).ok()?.checked_add(column.checked_sub(1)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promql::scope::position_at;

    #[test]
    fn positions_are_offsets() {
        let text = b"a +\n  b\n+ c";
        for start in 0..text.len() {
            let position = position_at(text, start).expect("inside");
            assert_eq!(offset(text, position), Some(start as u32), "{start}");
        }
        assert_eq!(offset(text, (9, 1)), None);
    }
}
