//! Lengths of time: literals and arithmetic over `step()` and `range()`.

use super::{
    Parser,
    error::ParseError,
    expr::{SIGN, precedence, takes},
    token::{Kind, Token, Word},
};
use crate::promql::ast::{BinaryOp, Duration, DurationExpr, DurationNode};

/// Context and expectation of errors.
pub(super) type Place<'a> = (&'a str, &'a str);

/// How much belongs to a length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extent {
    /// All operators that follow.
    All,
    /// One operand.
    Operand,
}

/// What waits for an operand.
#[derive(Debug)]
enum Frame {
    Sign { negative: bool, at: Token },
    Binary { op: BinaryOp, at: Token, lhs: Part },
    Paren(Token),
    Of { word: Word, first: Option<Part> },
}

/// An arithmetic with the levels of its tree.
#[derive(Debug)]
struct Part {
    expr: DurationExpr,
    levels: usize,
}

impl Part {
    /// A literal as milliseconds, anything else as it is with its levels.
    fn into_duration(self) -> (Duration, usize) {
        match self.expr.node {
            // Compat: nanoseconds are rounded, milliseconds cut (promql/parser/generated_parser.y).
            DurationNode::Literal { seconds, .. } => {
                (Duration::Ms((seconds * 1e9).round() as i64 / 1_000_000), 0)
            }
            _ => (Duration::Expr(Box::new(self.expr)), self.levels),
        }
    }
}

impl Parser<'_> {
    /// A window or step with the levels of its tree.
    pub(super) fn length(&mut self, place: Place<'_>) -> Result<(Duration, usize), ParseError> {
        let part = self.arithmetic(Vec::new(), Extent::All, place)?;
        let too_short = self.fail_at(&part.expr, "duration must be greater than 0");
        match part.into_duration() {
            // Upstream takes lengths below a millisecond, which are none in milliseconds.
            (Duration::Ms(..=0), _) => Err(too_short),
            length => Ok(length),
        }
    }

    /// What follows `offset`.
    ///
    /// Without a parenthesis in front only one literal or call, with its sign, belongs to it.
    pub(super) fn offset(&mut self, place: Place<'_>) -> Result<(Duration, usize), ParseError> {
        let first = self.peek()?;
        let part = match first.kind.sign() {
            Some(negative) => {
                self.next()?;
                if self.peek()?.kind.sign().is_some() {
                    self.arithmetic(vec![Frame::Sign { negative, at: first }], Extent::All, place)?
                } else {
                    let operand = self.arithmetic(Vec::new(), Extent::Operand, place)?;
                    self.negated(negative, first, operand)?
                }
            }
            None if first.kind == Kind::LeftParen => self.arithmetic(Vec::new(), Extent::All, place)?,
            None => self.arithmetic(Vec::new(), Extent::Operand, place)?,
        };
        if let DurationNode::Literal { seconds, .. } = part.expr.node
            && seconds.is_nan()
        {
            // Compat: upstream takes it, with a value that depends on the machine.
            return Err(self.fail_at(&part.expr, "duration out of range"));
        }
        Ok(part.into_duration())
    }

    fn arithmetic(
        &mut self,
        mut frames: Vec<Frame>,
        extent: Extent,
        place: Place<'_>,
    ) -> Result<Part, ParseError> {
        use BinaryOp::{Add, Div, Mod, Mul, Pow, Sub};
        loop {
            let mut operand = match self.begin_length(&mut frames, place)? {
                Some(part) => part,
                None => continue,
            };
            loop {
                if extent == Extent::Operand && frames.is_empty() {
                    return Ok(operand);
                }
                let token = self.peek()?;
                if let Kind::Operator(op @ (Add | Sub | Mul | Div | Mod | Pow)) = token.kind {
                    operand = self.reduce_length(&mut frames, operand, |before| !takes(op, before))?;
                    self.next()?;
                    self.push_length(&mut frames, Frame::Binary { op, at: token, lhs: operand })?;
                    break;
                }
                operand = self.reduce_length(&mut frames, operand, |_| true)?;
                operand = match (frames.pop(), token.kind) {
                    (None, _) => return Ok(operand),
                    (Some(Frame::Paren(open)), Kind::RightParen) => {
                        self.next()?;
                        self.wrapped(open, operand)?
                    }
                    (Some(Frame::Of { word, first: None }), Kind::Comma) => {
                        self.next()?;
                        frames.push(Frame::Of { word, first: Some(operand) });
                        break;
                    }
                    (Some(Frame::Of { word, first: Some(first) }), Kind::RightParen) => {
                        self.next()?;
                        self.one_of(word, first, operand)?
                    }
                    _ => return Err(self.unexpected(token, place.0, place.1)),
                };
            }
        }
    }

    /// Reads one operand, or what comes before one and waits for it.
    fn begin_length(
        &mut self,
        frames: &mut Vec<Frame>,
        place: Place<'_>,
    ) -> Result<Option<Part>, ParseError> {
        let token = self.peek()?;
        if let Some(negative) = token.kind.sign() {
            self.next()?;
            self.push_length(frames, Frame::Sign { negative, at: token })?;
            return Ok(None);
        }
        match token.kind {
            Kind::Number | Kind::Duration => {
                self.next()?;
                let seconds = self.value(token)?;
                let is_duration = token.kind == Kind::Duration;
                let part = self.duration(DurationNode::Literal { seconds, is_duration }, token.span(), 0)?;
                self.in_range(part, token.span()).map(Some)
            }
            Kind::Word(word @ (Word::Step | Word::Range)) => {
                self.next()?;
                self.expect_in(Kind::LeftParen, place)?;
                let close = self.expect_in(Kind::RightParen, place)?;
                let node = if word == Word::Step { DurationNode::Step } else { DurationNode::Range };
                self.duration(node, (token.start, close.end), 0).map(Some)
            }
            Kind::Word(word @ (Word::MinOf | Word::MaxOf)) => {
                self.next()?;
                self.expect_in(Kind::LeftParen, place)?;
                self.push_length(frames, Frame::Of { word, first: None })?;
                Ok(None)
            }
            Kind::LeftParen => {
                self.next()?;
                self.push_length(frames, Frame::Paren(token))?;
                Ok(None)
            }
            _ => Err(self.unexpected(token, place.0, place.1)),
        }
    }

    /// Applies the signs and operators on top of the stack, as long as `binds` holds for how
    /// strongly they bind.
    fn reduce_length(
        &mut self,
        frames: &mut Vec<Frame>,
        mut operand: Part,
        binds: impl Fn(u8) -> bool,
    ) -> Result<Part, ParseError> {
        loop {
            operand = match frames.pop() {
                Some(Frame::Sign { negative, at }) if binds(SIGN) => self.negated(negative, at, operand)?,
                Some(Frame::Binary { op, at, lhs }) if binds(precedence(op)) => {
                    self.operation(op, at, lhs, operand)?
                }
                other => {
                    frames.extend(other);
                    return Ok(operand);
                }
            };
        }
    }

    fn operation(&self, op: BinaryOp, at: Token, lhs: Part, rhs: Part) -> Result<Part, ParseError> {
        if let (BinaryOp::Div | BinaryOp::Mod, DurationNode::Literal { seconds: 0.0, .. }) =
            (op, &rhs.expr.node)
        {
            let message = if op == BinaryOp::Div { "division by zero" } else { "modulo by zero" };
            return Err(self.fail(message, at.span()));
        }
        let span = (start(&lhs.expr), end(&rhs.expr));
        let levels = lhs.levels.max(rhs.levels);
        let (lhs, rhs) = (Box::new(lhs.expr), Box::new(rhs.expr));
        self.duration(DurationNode::Binary { op, lhs, rhs }, span, levels)
    }

    fn one_of(&self, word: Word, first: Part, second: Part) -> Result<Part, ParseError> {
        // Compat: the place is that of the operands (promql/parser/ast.go).
        let span = (start(&first.expr), end(&second.expr));
        let levels = first.levels.max(second.levels);
        let (a, b) = (Box::new(first.expr), Box::new(second.expr));
        let node = match word {
            Word::MinOf => DurationNode::MinOf(a, b),
            _ => DurationNode::MaxOf(a, b),
        };
        self.duration(node, span, levels)
    }

    fn wrapped(&self, open: Token, inner: Part) -> Result<Part, ParseError> {
        // Compat: parentheses are part of the place in front of a literal only, and never
        // behind; several count as one (promql/parser/parse.go wrapParenDurationExpr).
        let from = match inner.expr.node {
            DurationNode::Paren(_) => return Ok(inner),
            DurationNode::Literal { .. } => open.start,
            _ => start(&inner.expr),
        };
        let span = (from, end(&inner.expr));
        self.duration(DurationNode::Paren(Box::new(inner.expr)), span, inner.levels)
    }

    /// A sign before an operand; that of a literal becomes part of it.
    fn negated(&self, negative: bool, sign: Token, operand: Part) -> Result<Part, ParseError> {
        let Part { mut expr, levels } = operand;
        let span = (sign.start, end(&expr));
        match &mut expr.node {
            DurationNode::Literal { seconds, .. } => {
                if negative {
                    *seconds = -*seconds;
                }
                expr.span = Some(span);
                Ok(Part { expr, levels })
            }
            _ if negative => self.duration(DurationNode::Negate(Box::new(expr)), span, levels),
            _ => Ok(Part { expr, levels }),
        }
    }

    /// A frame becomes a level of the tree, so there may not be more of them.
    fn push_length(&self, frames: &mut Vec<Frame>, frame: Frame) -> Result<(), ParseError> {
        if frames.len() >= self.options.query_depth_max {
            return Err(ParseError::too_deep(self.options.query_depth_max));
        }
        frames.push(frame);
        Ok(())
    }

    fn in_range(&self, part: Part, span: (u32, u32)) -> Result<Part, ParseError> {
        match part.expr.node {
            DurationNode::Literal { seconds, .. } if seconds.abs() > SECONDS_MAX => {
                Err(self.fail("duration out of range", span))
            }
            _ => Ok(part),
        }
    }

    fn duration(&self, node: DurationNode, span: (u32, u32), levels: usize) -> Result<Part, ParseError> {
        if levels >= self.options.query_depth_max {
            return Err(ParseError::too_deep(self.options.query_depth_max));
        }
        Ok(Part { expr: DurationExpr { node, span: Some(span) }, levels: levels + 1 })
    }

    fn expect_in(&mut self, kind: Kind, place: Place<'_>) -> Result<Token, ParseError> {
        let token = self.peek()?;
        if token.kind == kind { self.next() } else { Err(self.unexpected(token, place.0, place.1)) }
    }

    fn fail_at(&self, expr: &DurationExpr, message: &str) -> ParseError {
        self.fail(message, (start(expr), end(expr)))
    }
}

/// What 64 bits of nanoseconds hold, in seconds.
const SECONDS_MAX: f64 = 9_223_372_036.854_776;

fn start(expr: &DurationExpr) -> u32 {
    expr.span.map_or(0, |s| s.0)
}

fn end(expr: &DurationExpr) -> u32 {
    expr.span.map_or(0, |s| s.1)
}
