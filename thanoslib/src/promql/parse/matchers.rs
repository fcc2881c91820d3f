//! Vector selectors: a name, matchers in braces, or both.

use super::{
    Parser,
    error::ParseError,
    expr::Part,
    token::{Kind, Token},
};
use crate::{
    model::{LABEL_NAME, MatchOp, Matcher},
    promql::ast::{BinaryOp, Node, VectorSelector},
};

const CONTEXT: &str = "label matching";

impl Parser<'_> {
    /// A selector whose name, if it has one, was read.
    pub(super) fn selector(&mut self, name: Option<Token>) -> Result<Part, ParseError> {
        let first = self.peek()?;
        let start = name.map_or(first.start, |name| name.start);
        let mut matchers = if first.kind == Kind::LeftBrace { self.matchers()? } else { Vec::new() };
        let name = name.map(|name| self.text_of(name).to_owned());
        if let Some(name) = &name {
            matchers.push(Matcher::equal(LABEL_NAME, name.as_str()));
        }
        let selector = VectorSelector { name, matchers, ..VectorSelector::default() };
        self.leaf(Node::Vector(selector), (start, self.last_end))
    }

    /// `{…}`
    fn matchers(&mut self) -> Result<Vec<Matcher>, ParseError> {
        self.next()?;
        let mut matchers = Vec::new();
        loop {
            let token = self.peek()?;
            match token.kind {
                Kind::RightBrace => break,
                Kind::Identifier | Kind::String => matchers.push(self.matcher()?),
                _ => return Err(self.unexpected(token, CONTEXT, "identifier or \"}\"")),
            }
            let token = self.peek()?;
            match token.kind {
                Kind::RightBrace => break,
                Kind::Comma => self.next()?,
                _ => return Err(self.unexpected(token, CONTEXT, "\",\" or \"}\"")),
            };
        }
        self.next()?;
        Ok(matchers)
    }

    fn matcher(&mut self) -> Result<Matcher, ParseError> {
        let label = self.next()?;
        let is_quoted = label.kind == Kind::String;
        let name = if is_quoted { self.utf8(label)? } else { self.text_of(label).to_owned() };
        let token = self.peek()?;
        let op = match token.kind {
            Kind::Assign => MatchOp::Equal,
            Kind::Operator(BinaryOp::Ne) => MatchOp::NotEqual,
            Kind::Regex => MatchOp::Regex,
            Kind::NotRegex => MatchOp::NotRegex,
            _ if is_quoted => return Ok(Matcher::equal(LABEL_NAME, name)),
            _ => return Err(self.unexpected(token, CONTEXT, "label matching operator")),
        };
        self.next()?;
        let value = self.peek()?;
        if value.kind != Kind::String {
            return Err(self.unexpected(value, CONTEXT, "string"));
        }
        self.next()?;
        let bytes = self.unquoted(value)?.into_owned();
        Matcher::new(op, name, bytes).map_err(|e| self.fail(e.message(), (label.start, value.end)))
    }

    /// The value of a string that must be text.
    pub(super) fn utf8(&self, token: Token) -> Result<String, ParseError> {
        let bytes = self.unquoted(token)?.into_owned();
        String::from_utf8(bytes)
            .map_err(|_| self.fail("label names and values must be valid UTF-8", token.span()))
    }
}
