//! What stands behind an operand: `[range]`, `[range:step]`, `offset`, `@`, `anchored`, `smoothed`.

use super::{
    Parser,
    error::ParseError,
    expr::{Part, end_of, start_of},
    token::{Kind, Token, Word},
};
use crate::promql::ast::{At, Duration, Expr, Extension, Node, Subquery, VectorSelector};

/// What errors in brackets expect.
const LENGTH: &str = "number, duration, step(), or range()";

impl Parser<'_> {
    /// Applies all modifiers that follow an operand.
    pub(super) fn modified(&mut self, mut part: Part) -> Result<Part, ParseError> {
        loop {
            let token = self.peek()?;
            match token.kind {
                Kind::LeftBracket => part = self.bracketed(part)?,
                Kind::Word(Word::Offset) => {
                    self.next()?;
                    let (offset, levels) = self.offset(("offset", LENGTH))?;
                    self.set_offset(&mut part.expr, offset)?;
                    part.levels = part.levels.max(levels + 1);
                    if part.levels > self.options.query_depth_max {
                        return Err(ParseError::too_deep(self.options.query_depth_max));
                    }
                }
                Kind::At => {
                    self.next()?;
                    self.at_modifier(&mut part.expr)?;
                }
                Kind::Word(Word::Anchored) => {
                    self.next()?;
                    self.extend(&mut part.expr, Extension::Anchored)?;
                }
                Kind::Word(Word::Smoothed) => {
                    self.next()?;
                    self.extend(&mut part.expr, Extension::Smoothed)?;
                }
                _ => return Ok(part),
            }
        }
    }

    fn bracketed(&mut self, part: Part) -> Result<Part, ParseError> {
        let open = self.next()?;
        let (range, mut levels) = self.length(("subquery or range selector", LENGTH))?;
        let token = self.peek()?;
        match token.kind {
            Kind::RightBracket => {
                self.next()?;
                return self.windowed(part, open, range, levels);
            }
            Kind::Colon => self.next()?,
            _ => return Err(self.unexpected(token, "subquery or range", "\":\" or \"]\"")),
        };
        let step = if self.peek()?.kind == Kind::RightBracket {
            None
        } else {
            let context = ("subquery selector", "number, duration, step(), range(), or \"]\"");
            let (step, more) = self.length(context)?;
            levels = levels.max(more);
            Some(step)
        };
        let close = self.peek()?;
        if close.kind != Kind::RightBracket {
            return Err(self.unexpected(close, "subquery selector", "\"]\""));
        }
        self.next()?;
        let span = (start_of(&part.expr), close.end);
        levels = levels.max(part.levels);
        let subquery = Subquery { expr: part.expr, range, step, offset: Duration::ZERO, at: None };
        self.node(Node::Subquery(Box::new(subquery)), span, levels)
    }

    /// `selector[range]`
    fn windowed(
        &mut self,
        part: Part,
        open: Token,
        range: Duration,
        levels: usize,
    ) -> Result<Part, ParseError> {
        let brackets = (open.start, self.last_end);
        let span = (start_of(&part.expr), self.last_end);
        let Node::Vector(selector) = part.expr.node else {
            return Err(self.fail("ranges only allowed for vector selectors", brackets));
        };
        if selector.offset != Duration::ZERO {
            return Err(self.fail("no offset modifiers allowed before range", brackets));
        }
        if selector.at.is_some() {
            return Err(self.fail("no @ modifiers allowed before range", brackets));
        }
        self.node(Node::Matrix { selector, range }, span, levels)
    }

    fn set_offset(&self, expr: &mut Expr, offset: Duration) -> Result<(), ParseError> {
        let span = (start_of(expr), end_of(expr));
        match modifiers(&mut expr.node) {
            Some((old, _)) if *old != Duration::ZERO => {
                Err(self.fail("offset may not be set multiple times", span))
            }
            Some((old, _)) => {
                *old = offset;
                expr.span = Some((span.0, self.last_end));
                Ok(())
            }
            None => Err(self.fail(&misplaced("offset"), span)),
        }
    }

    fn at_modifier(&mut self, expr: &mut Expr) -> Result<(), ParseError> {
        const CONTEXT: (&str, &str) = ("@", "timestamp");
        let span = (start_of(expr), end_of(expr));
        let at = match self.peek()?.kind {
            Kind::Word(word @ (Word::Start | Word::End)) => {
                self.next()?;
                for kind in [Kind::LeftParen, Kind::RightParen] {
                    let token = self.peek()?;
                    if token.kind != kind {
                        return Err(self.unexpected(token, CONTEXT.0, CONTEXT.1));
                    }
                    self.next()?;
                }
                if word == Word::Start { At::Start } else { At::End }
            }
            _ => {
                let seconds = self.signed_value(CONTEXT.0, CONTEXT.1)?;
                let ms = (seconds * 1000.0).round();
                let limit = 2f64.powi(63);
                if !(-limit..limit).contains(&ms) {
                    let mut shown = String::new();
                    let message = match crate::model::float::write_fixed(&mut shown, seconds, 6) {
                        Ok(()) => format!("timestamp out of bounds for @ modifier: {shown}"),
                        Err(_) => "timestamp out of bounds for @ modifier".to_owned(),
                    };
                    return Err(self.fail(&message, span));
                }
                At::Time(ms as i64)
            }
        };
        match modifiers(&mut expr.node) {
            Some((_, Some(_))) => Err(self.fail("@ <timestamp> may not be set multiple times", span)),
            Some((_, old)) => {
                *old = Some(at);
                expr.span = Some((span.0, self.last_end));
                Ok(())
            }
            None => Err(self.fail(&misplaced("@"), span)),
        }
    }

    /// The place of the node stays without the modifier.
    fn extend(&self, expr: &mut Expr, extension: Extension) -> Result<(), ParseError> {
        let span = (start_of(expr), end_of(expr));
        let word = extension.as_str();
        if !self.options.extended_range_selectors {
            return Err(self.fail(&format!("{word} modifier is experimental and not enabled"), span));
        }
        let selector = match &mut expr.node {
            Node::Vector(selector) | Node::Matrix { selector, .. } => selector,
            Node::Subquery(_) => {
                return Err(self.fail(&format!("{word} modifier is not supported for subqueries"), span));
            }
            _ => return Err(self.fail(&format!("{word} modifier not implemented"), span)),
        };
        match selector.extension {
            Some(other) if other != extension => {
                Err(self.fail("anchored and smoothed modifiers cannot be used together", span))
            }
            _ => {
                selector.extension = Some(extension);
                Ok(())
            }
        }
    }
}

fn misplaced(modifier: &str) -> String {
    format!(
        "{modifier} modifier must be preceded by an instant vector selector or range vector selector or a subquery"
    )
}

/// Offset and `@` of the nodes that have them.
fn modifiers(node: &mut Node) -> Option<(&mut Duration, &mut Option<At>)> {
    match node {
        Node::Vector(VectorSelector { offset, at, .. })
        | Node::Matrix { selector: VectorSelector { offset, at, .. }, .. } => Some((offset, at)),
        Node::Subquery(s) => Some((&mut s.offset, &mut s.at)),
        _ => None,
    }
}
