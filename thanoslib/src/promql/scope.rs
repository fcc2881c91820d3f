//! What operators share while one query is evaluated.

use crate::{context::Context, error::Result};

use super::{Annotations, EngineOptions, Steps, ast::Expr};

/// What operators share while one query is evaluated.
#[derive(Debug)]
pub(crate) struct Scope<'a> {
    /// Steps of the (sub)query that is evaluated.
    pub(crate) steps: Steps,
    /// Settings.
    pub(crate) options: &'a EngineOptions,
    /// When to stop.
    pub(crate) ctx: &'a Context,
    /// The query text, to turn spans into lines and columns.
    pub(crate) text: &'a str,
    /// Remarks so far.
    pub(crate) annotations: &'a mut Annotations,
}

impl Scope<'_> {
    /// Line and byte column of the start of a node, both from 1, if the front end knows it.
    pub(crate) fn position(&self, expr: &Expr) -> Option<(u32, u32)> {
        self.position_of(expr.span)
    }

    /// [`position`](Self::position) of the node with this span.
    pub(crate) fn position_of(&self, span: Option<(u32, u32)>) -> Option<(u32, u32)> {
        position_at(self.text.as_bytes(), span?.0 as usize)
    }

    /// Adds a warning that blames `expr`.
    pub(crate) fn warn(&mut self, expr: &Expr, text: impl AsRef<str>) {
        let position = self.position(expr);
        self.annotations.warn(text, position);
    }

    /// Adds an info that blames `expr`.
    pub(crate) fn info(&mut self, expr: &Expr, text: impl AsRef<str>) {
        let position = self.position(expr);
        self.annotations.info(text, position);
    }

    /// Adds a warning that blames the node with this span.
    pub(crate) fn warn_at(&mut self, span: Option<(u32, u32)>, text: impl AsRef<str>) {
        let position = self.position_of(span);
        self.annotations.warn(text, position);
    }

    /// Adds an info that blames the node with this span.
    pub(crate) fn info_at(&mut self, span: Option<(u32, u32)>, text: impl AsRef<str>) {
        let position = self.position_of(span);
        self.annotations.info(text, position);
    }

    /// Fails when the query must stop.
    pub(crate) fn check(&self) -> Result<()> {
        self.ctx.check()
    }
}

/// Line and column of a byte, both from 1; `None` behind the text.
pub(crate) fn position_at(text: &[u8], start: usize) -> Option<(u32, u32)> {
    let before = text.get(..start)?;
    let line = before.iter().filter(|b| **b == b'\n').count() as u32 + 1;
    let line_start = before.iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
    Some((line, (start - line_start) as u32 + 1))
}
