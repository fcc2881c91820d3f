//! What stands between an operator and its right operand, and lists of labels.

use super::{
    Parser,
    error::ParseError,
    token::{Kind, Word},
};
use crate::promql::ast::{Cardinality, Matching};

const CONTEXT: &str = "grouping opts";

impl Parser<'_> {
    /// `bool`, `on` or `ignoring` with its grouping, and values for missing series.
    pub(super) fn operator_modifiers(&mut self) -> Result<(bool, Matching), ParseError> {
        let mut matching = Matching::default();
        let return_bool = self.take_word(Word::Bool)?;
        let on = match self.peek()?.kind {
            Kind::Word(Word::On) => Some(true),
            Kind::Word(Word::Ignoring) => Some(false),
            _ => None,
        };
        if let Some(on) = on {
            self.next()?;
            (matching.on, matching.labels) = (on, self.labels()?);
            matching.cardinality = match self.peek()?.kind {
                Kind::Word(Word::GroupLeft) => Cardinality::ManyToOne,
                Kind::Word(Word::GroupRight) => Cardinality::OneToMany,
                _ => Cardinality::OneToOne,
            };
            if matching.cardinality != Cardinality::OneToOne {
                self.next()?;
                matching.include = self.included_labels()?;
            }
        }
        self.fills(&mut matching)?;
        Ok((return_bool, matching))
    }

    fn included_labels(&mut self) -> Result<Vec<String>, ParseError> {
        let token = self.peek()?;
        if token.kind == Kind::LeftParen {
            return self.labels();
        }
        if token.kind.begins_expression() {
            return Ok(Vec::new());
        }
        Err(self.unexpected(token, CONTEXT, "\"(\""))
    }

    fn fills(&mut self, matching: &mut Matching) -> Result<(), ParseError> {
        if self.take_word(Word::Fill)? {
            let value = self.fill_value()?;
            (matching.fill_left, matching.fill_right) = (Some(value), Some(value));
        } else if self.take_word(Word::FillLeft)? {
            matching.fill_left = Some(self.fill_value()?);
            if self.take_word(Word::FillRight)? {
                matching.fill_right = Some(self.fill_value()?);
            }
        } else if self.take_word(Word::FillRight)? {
            matching.fill_right = Some(self.fill_value()?);
            if self.take_word(Word::FillLeft)? {
                matching.fill_left = Some(self.fill_value()?);
            }
        }
        Ok(())
    }

    /// `(v)` with an optional sign.
    fn fill_value(&mut self) -> Result<f64, ParseError> {
        self.expect(Kind::LeftParen)?;
        let value = self.signed_value("", "")?;
        self.expect(Kind::RightParen)?;
        Ok(value)
    }

    /// A number or duration with an optional sign.
    pub(super) fn signed_value(&mut self, context: &str, expected: &str) -> Result<f64, ParseError> {
        let negative = self.peek()?.kind.sign();
        if negative.is_some() {
            self.next()?;
        }
        let token = self.peek()?;
        if !matches!(token.kind, Kind::Number | Kind::Duration) {
            return Err(self.unexpected(token, context, expected));
        }
        self.next()?;
        let value = self.value(token)?;
        Ok(if negative == Some(true) { -value } else { value })
    }

    /// `(label, …)`; a comma may stand behind the last.
    pub(super) fn labels(&mut self) -> Result<Vec<String>, ParseError> {
        let open = self.peek()?;
        if open.kind != Kind::LeftParen {
            return Err(self.unexpected(open, CONTEXT, "\"(\""));
        }
        self.next()?;
        let mut labels = Vec::new();
        while self.peek()?.kind != Kind::RightParen {
            labels.push(self.label()?);
            let token = self.peek()?;
            match token.kind {
                Kind::RightParen => break,
                Kind::Comma => self.next()?,
                _ => return Err(self.unexpected(token, CONTEXT, "\",\" or \")\"")),
            };
        }
        self.next()?;
        Ok(labels)
    }

    fn label(&mut self) -> Result<String, ParseError> {
        let token = self.peek()?;
        if token.kind == Kind::String {
            self.next()?;
            let bytes = self.unquoted(token)?;
            return match std::str::from_utf8(&bytes) {
                Ok(text) if !text.is_empty() => Ok(text.to_owned()),
                _ => {
                    let shown = crate::model::float::Quoted(&bytes);
                    Err(self.fail(&format!("invalid label name for grouping: {shown}"), token.span()))
                }
            };
        }
        if !token.kind.is_label() {
            return Err(self.unexpected(token, CONTEXT, "label"));
        }
        self.next()?;
        Ok(self.text_of(token).to_owned())
    }

    fn take_word(&mut self, word: Word) -> Result<bool, ParseError> {
        let found = self.peek()?.kind == Kind::Word(word);
        if found {
            self.next()?;
        }
        Ok(found)
    }
}
