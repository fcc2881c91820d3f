//! Expressions: operators by precedence, over operands of any kind.
//!
//! The parts that wait for an operand stand on a stack of our own, so a query of any form is
//! read in constant room of the thread's stack.

use super::{
    Parser,
    error::{NO_EXPRESSION, ParseError},
    token::{Kind, Token, Word},
};
use crate::{
    promql::{
        Function,
        ast::{Aggregate, AggregateOp, Binary, BinaryOp, Cardinality, Expr, Matching, Node, find_function},
    },
    store::Grouping,
};

/// How strongly an operator binds.
pub(super) fn precedence(op: BinaryOp) -> u8 {
    match op {
        BinaryOp::Or => 1,
        BinaryOp::And | BinaryOp::Unless => 2,
        BinaryOp::Eq
        | BinaryOp::Ne
        | BinaryOp::Lt
        | BinaryOp::Le
        | BinaryOp::Gt
        | BinaryOp::Ge
        | BinaryOp::TrimUpper
        | BinaryOp::TrimLower => 3,
        BinaryOp::Add | BinaryOp::Sub => 4,
        BinaryOp::Mul | BinaryOp::Div | BinaryOp::Mod | BinaryOp::Atan2 => SIGN,
        BinaryOp::Pow => 6,
    }
}

/// How strongly a sign binds.
pub(super) const SIGN: u8 = 5;

/// True when an operator takes what stands before it from one of precedence `before`.
pub(super) fn takes(op: BinaryOp, before: u8) -> bool {
    precedence(op) > before || op == BinaryOp::Pow && precedence(op) == before
}

/// An expression with the levels of its tree.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) expr: Expr,
    pub(super) levels: usize,
}

/// What waits for an operand.
#[derive(Debug)]
enum Frame {
    Sign { negative: bool, at: Token },
    Binary(Box<Left>),
    Paren(Token),
    Call { name: Token, args: Arguments },
    Aggregate { op: AggregateOp, name: Token, grouping: Option<Grouping>, args: Arguments },
}

/// The left side of an operator.
#[derive(Debug)]
struct Left {
    op: BinaryOp,
    lhs: Part,
    return_bool: bool,
    matching: Matching,
    op_span: (u32, u32),
}

#[derive(Debug, Default)]
struct Arguments {
    exprs: Vec<Expr>,
    /// Levels of the deepest.
    levels: usize,
}

impl Arguments {
    fn push(&mut self, part: Part) {
        self.levels = self.levels.max(part.levels);
        self.exprs.push(part.expr);
    }
}

impl Parser<'_> {
    /// Reads the whole text as one expression.
    pub(super) fn whole(&mut self) -> Result<Expr, ParseError> {
        if self.peek()?.kind == Kind::Finish {
            return Err(self.fail(NO_EXPRESSION, (0, 0)));
        }
        let mut frames: Vec<Frame> = Vec::new();
        loop {
            let mut operand = match self.begin(&mut frames)? {
                Some(part) => part,
                None => continue,
            };
            loop {
                operand = self.modified(operand)?;
                let token = self.peek()?;
                if let Kind::Operator(op) = token.kind {
                    operand = self.reduce(&mut frames, operand, |before| !takes(op, before))?;
                    let left = self.left(op, operand)?;
                    self.push(&mut frames, Frame::Binary(Box::new(left)))?;
                    break;
                }
                operand = self.reduce(&mut frames, operand, |_| true)?;
                match self.close(&mut frames, operand)? {
                    Closed::Operand(part) => operand = part,
                    Closed::Next => break,
                    Closed::Whole(expr) => return Ok(expr),
                }
            }
        }
    }

    /// Reads one operand, or what comes before one and waits for it.
    fn begin(&mut self, frames: &mut Vec<Frame>) -> Result<Option<Part>, ParseError> {
        let token = self.peek()?;
        if let Some(negative) = token.kind.sign() {
            self.next()?;
            self.push(frames, Frame::Sign { negative, at: token })?;
            return Ok(None);
        }
        match token.kind {
            Kind::LeftParen => {
                self.next()?;
                self.push(frames, Frame::Paren(token))?;
                Ok(None)
            }
            Kind::Number | Kind::Duration => {
                self.next()?;
                let value = self.value(token)?;
                let node = Node::Number { value, is_duration: token.kind == Kind::Duration };
                self.leaf(node, token.span()).map(Some)
            }
            Kind::String => {
                self.next()?;
                let bytes = self.unquoted(token)?.into_owned();
                self.leaf(Node::String(bytes), token.span()).map(Some)
            }
            Kind::LeftBrace => self.selector(None).map(Some),
            Kind::Aggregate(op) => {
                self.next()?;
                match self.peek()?.kind {
                    Kind::LeftParen | Kind::Word(Word::By | Word::Without) => {
                        self.aggregation(frames, op, token)
                    }
                    _ => self.selector(Some(token)).map(Some),
                }
            }
            kind if kind.is_metric_name() => {
                self.next()?;
                let names_function = match kind {
                    Kind::Identifier => true,
                    Kind::Word(word) => word.is_function(),
                    _ => false,
                };
                if names_function && self.peek()?.kind == Kind::LeftParen {
                    return self.call(frames, token);
                }
                self.selector(Some(token)).map(Some)
            }
            _ => Err(self.unexpected(token, "", "")),
        }
    }

    /// A call whose name was read.
    fn call(&mut self, frames: &mut Vec<Frame>, name: Token) -> Result<Option<Part>, ParseError> {
        self.next()?;
        if self.peek()?.kind == Kind::RightParen {
            let close = self.next()?;
            return self.called(name, Arguments::default(), close).map(Some);
        }
        self.push(frames, Frame::Call { name, args: Arguments::default() })?;
        Ok(None)
    }

    /// An aggregation whose name was read.
    fn aggregation(
        &mut self,
        frames: &mut Vec<Frame>,
        op: AggregateOp,
        name: Token,
    ) -> Result<Option<Part>, ParseError> {
        // From here on errors say that they stand in an aggregation.
        self.aggregations += 1;
        let grouping = self.grouping()?;
        self.expect(Kind::LeftParen)?;
        if self.peek()?.kind == Kind::RightParen {
            let close = self.next()?;
            return self.aggregated(op, name, grouping, Arguments::default(), close).map(Some);
        }
        self.push(frames, Frame::Aggregate { op, name, grouping, args: Arguments::default() })?;
        Ok(None)
    }

    /// `by (…)` or `without (…)`, if it follows.
    fn grouping(&mut self) -> Result<Option<Grouping>, ParseError> {
        let by = match self.peek()?.kind {
            Kind::Word(Word::By) => true,
            Kind::Word(Word::Without) => false,
            _ => return Ok(None),
        };
        self.next()?;
        let labels = self.labels()?;
        Ok(Some(Grouping { by, labels }))
    }

    /// The operator that was seen, with its modifiers.
    fn left(&mut self, op: BinaryOp, lhs: Part) -> Result<Left, ParseError> {
        let start = self.next()?;
        let (return_bool, mut matching) = self.operator_modifiers()?;
        if op.is_set() && matching.cardinality == Cardinality::OneToOne {
            matching.cardinality = Cardinality::ManyToMany;
        }
        // The next token may have been seen, but only the modifiers were taken.
        Ok(Left { op, lhs, return_bool, matching, op_span: (start.start, self.last_end) })
    }

    /// Applies the signs and operators on top of the stack, as long as `binds` holds for how
    /// strongly they bind.
    fn reduce(
        &mut self,
        frames: &mut Vec<Frame>,
        mut operand: Part,
        binds: impl Fn(u8) -> bool,
    ) -> Result<Part, ParseError> {
        while let Some(top) = frames.last() {
            let before = match top {
                Frame::Sign { .. } => SIGN,
                Frame::Binary(left) => precedence(left.op),
                Frame::Paren(_) | Frame::Call { .. } | Frame::Aggregate { .. } => break,
            };
            if !binds(before) {
                break;
            }
            operand = match frames.pop() {
                Some(Frame::Sign { negative, at }) => self.signed(negative, at, operand)?,
                Some(Frame::Binary(left)) => self.binary(*left, operand)?,
                other => {
                    // Only the two kinds above get here.
                    frames.extend(other);
                    break;
                }
            };
        }
        Ok(operand)
    }

    fn signed(&mut self, negative: bool, at: Token, operand: Part) -> Result<Part, ParseError> {
        let Part { mut expr, levels } = operand;
        let span = (at.start, end_of(&expr));
        if let Node::Number { value, .. } = &mut expr.node {
            if negative {
                *value = -*value;
            }
            return Ok(Part { expr: Expr { span: Some(span), ..expr }, levels });
        }
        self.node(Node::Unary { negative, expr: Box::new(expr) }, span, levels)
    }

    fn binary(&mut self, left: Left, rhs: Part) -> Result<Part, ParseError> {
        let Left { op, lhs, return_bool, matching, op_span } = left;
        let span = (start_of(&lhs.expr), end_of(&rhs.expr));
        let is_filled = matching.fill_left.is_some() || matching.fill_right.is_some();
        if is_filled && !self.options.fill_modifiers {
            return Err(self.fail("binop fill modifiers are experimental and not enabled", span));
        }
        let levels = lhs.levels.max(rhs.levels);
        let (lhs, rhs, op_span) = (lhs.expr, rhs.expr, Some(op_span));
        let binary = Binary { op, lhs, rhs, return_bool, matching, op_span };
        self.node(Node::Binary(Box::new(binary)), span, levels)
    }

    /// Hands an operand, behind which the next token binds nothing, to what waits for it.
    fn close(&mut self, frames: &mut Vec<Frame>, operand: Part) -> Result<Closed, ParseError> {
        let token = self.peek()?;
        let closes = token.kind == Kind::RightParen;
        match frames.pop() {
            None if token.kind == Kind::Finish => Ok(Closed::Whole(operand.expr)),
            Some(Frame::Paren(open)) if closes => {
                self.next()?;
                let Part { expr, levels } = operand;
                let part = self.node(Node::Paren(Box::new(expr)), (open.start, token.end), levels)?;
                Ok(Closed::Operand(part))
            }
            Some(Frame::Call { name, mut args }) if closes || token.kind == Kind::Comma => {
                args.push(operand);
                if closes {
                    self.next()?;
                    return self.called(name, args, token).map(Closed::Operand);
                }
                self.comma()?;
                frames.push(Frame::Call { name, args });
                Ok(Closed::Next)
            }
            Some(Frame::Aggregate { op, name, grouping, mut args })
                if closes || token.kind == Kind::Comma =>
            {
                args.push(operand);
                if closes {
                    self.next()?;
                    return self.aggregated(op, name, grouping, args, token).map(Closed::Operand);
                }
                self.comma()?;
                frames.push(Frame::Aggregate { op, name, grouping, args });
                Ok(Closed::Next)
            }
            _ => Err(self.unexpected(token, "", "")),
        }
    }

    /// A comma, behind which an argument must follow.
    fn comma(&mut self) -> Result<(), ParseError> {
        let comma = self.next()?;
        if self.peek()?.kind.begins_expression() {
            return Ok(());
        }
        Err(self.fail("trailing commas not allowed in function call args", comma.span()))
    }

    fn called(&mut self, name: Token, args: Arguments, close: Token) -> Result<Part, ParseError> {
        let text = self.text_of(name);
        let is_known = |f: &&Function| self.options.x_functions || !f.id.is_x_function();
        let Some(function) = find_function(text).filter(is_known) else {
            return Err(self.fail(&format!("unknown function with name {text:?}"), name.span()));
        };
        if function.experimental && !self.options.experimental_functions {
            return Err(self.fail(&format!("function {text:?} is not enabled"), name.span()));
        }
        let Arguments { exprs: args, levels } = args;
        self.node(Node::Call { function, args }, (name.start, close.end), levels)
    }

    fn aggregated(
        &mut self,
        op: AggregateOp,
        name: Token,
        grouping: Option<Grouping>,
        args: Arguments,
        close: Token,
    ) -> Result<Part, ParseError> {
        let leads = grouping.is_some();
        let grouping = if leads { grouping } else { self.grouping()? };
        let end = if leads || grouping.is_none() { close.end } else { self.last_end };
        self.aggregations -= 1;
        let span = (name.start, end);
        let Arguments { exprs: mut args, levels } = args;
        if args.is_empty() {
            return Err(self.fail("no arguments for aggregate expression provided", span));
        }
        let is_experimental = matches!(op, AggregateOp::Limitk | AggregateOp::LimitRatio);
        if is_experimental && !self.options.experimental_functions {
            let message = format!(
                "{}() is experimental and must be enabled with --enable-feature=promql-experimental-functions",
                op.as_str()
            );
            return Err(self.fail(&message, span));
        }
        let (got, want) = (args.len(), if op.has_param() { 2 } else { 1 });
        let last = args.pop().filter(|_| got == want);
        let Some(expr) = last else {
            let message = format!(
                "wrong number of arguments for aggregate expression provided, expected {want}, got {got}"
            );
            return Err(self.fail(&message, span));
        };
        let param = args.pop();
        self.node(Node::Aggregate(Box::new(Aggregate { op, expr, param, grouping })), span, levels)
    }

    /// A frame becomes a level of the tree, so there may not be more of them.
    fn push(&self, frames: &mut Vec<Frame>, frame: Frame) -> Result<(), ParseError> {
        if frames.len() >= self.options.query_depth_max {
            return Err(ParseError::too_deep(self.options.query_depth_max));
        }
        frames.push(frame);
        Ok(())
    }

    /// A node without operands.
    pub(super) fn leaf(&self, node: Node, span: (u32, u32)) -> Result<Part, ParseError> {
        self.node(node, span, 0)
    }

    /// A node over operands of so many levels.
    pub(super) fn node(&self, node: Node, span: (u32, u32), levels: usize) -> Result<Part, ParseError> {
        if levels >= self.options.query_depth_max {
            return Err(ParseError::too_deep(self.options.query_depth_max));
        }
        Ok(Part { expr: Expr { node, span: Some(span) }, levels: levels + 1 })
    }
}

/// What became of an operand.
enum Closed {
    /// It is part of this one.
    Operand(Part),
    /// Another one must follow.
    Next,
    /// It is the whole query.
    Whole(Expr),
}

pub(super) fn start_of(expr: &Expr) -> u32 {
    expr.span.map_or(0, |s| s.0)
}

pub(super) fn end_of(expr: &Expr) -> u32 {
    expr.span.map_or(0, |s| s.1)
}
