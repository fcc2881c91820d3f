//! Cuts a query into tokens.
//!
//! There are four ways to read on: outside of brackets; inside braces, where nothing is a
//! keyword; between `[` and the first number; and from there to `]`, where names are refused.
//!
//! Invariant: reads every byte a bounded number of times and allocates for errors only.

mod number;

use super::{
    error::ParseError,
    literal,
    token::{Kind, Token, Word},
};
use crate::promql::ast::BinaryOp;

/// Reads tokens from the front of a text.
#[derive(Debug)]
pub(super) struct Lexer<'a> {
    text: &'a [u8],
    at: usize,
    /// Parentheses that are open.
    parens: u32,
    in_braces: bool,
    brackets: Brackets,
    /// A colon stood since the last `[`.
    has_colon: bool,
    /// A number stood after a `[` of this query.
    has_duration: bool,
}

/// Where the lexer is with regard to `[` and `]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Brackets {
    Outside,
    /// Before the first number.
    Begun,
    /// After it.
    Inside,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        Self {
            text,
            at: 0,
            parens: 0,
            in_braces: false,
            brackets: Brackets::Outside,
            has_colon: false,
            has_duration: false,
        }
    }

    /// The next token; [`Kind::Finish`] at the end, as often as asked.
    ///
    /// # Errors
    /// What can be no token, blaming the rest of the text.
    pub(super) fn token(&mut self) -> Result<Token, ParseError> {
        self.skip_blanks();
        if self.in_braces {
            return self.inside_braces();
        }
        if self.brackets == Brackets::Begun {
            return self.begun_brackets();
        }
        self.statement()
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    /// Passes blanks, and comments where they may stand.
    fn skip_blanks(&mut self) {
        loop {
            match self.peek() {
                Some(b' ' | b'\t' | b'\n' | b'\r') => self.at += 1,
                // Compat: not before the first number of a bracket (promql/parser/lex.go).
                Some(b'#') if self.in_braces || self.brackets != Brackets::Begun => {
                    let rest = &self.text[self.at..];
                    self.at += rest.iter().position(|b| matches!(b, b'\n' | b'\r')).unwrap_or(rest.len());
                }
                _ => return,
            }
        }
    }

    fn statement(&mut self) -> Result<Token, ParseError> {
        use BinaryOp::{Add, Div, Eq, Ge, Gt, Le, Lt, Mod, Mul, Ne, Pow, Sub, TrimLower, TrimUpper};
        let start = self.at;
        let Some(b) = self.peek() else {
            return match (self.parens, self.brackets) {
                (0, Brackets::Outside) => Ok(self.emit(Kind::Finish, start)),
                (0, _) => Err(self.fail("unclosed left bracket", start)),
                _ => Err(self.fail("unclosed left parenthesis", start)),
            };
        };
        let next = self.text.get(self.at + 1).copied();
        let (kind, length) = match (b, next) {
            (b',', _) => (Kind::Comma, 1),
            (b'*', _) => (Kind::Operator(Mul), 1),
            (b'/', _) => (Kind::Operator(Div), 1),
            (b'%', _) => (Kind::Operator(Mod), 1),
            (b'+', _) => (Kind::Operator(Add), 1),
            (b'-', _) => (Kind::Operator(Sub), 1),
            (b'^', _) => (Kind::Operator(Pow), 1),
            (b'@', _) => (Kind::At, 1),
            (b'=', Some(b'=')) => (Kind::Operator(Eq), 2),
            (b'=', Some(b'~')) => return Err(self.fail("unexpected character after '=': '~'", start)),
            (b'=', _) => (Kind::Assign, 1),
            (b'!', Some(b'=')) => (Kind::Operator(Ne), 2),
            (b'!', _) => return Err(self.fail_char("unexpected character after '!':", start, start + 1)),
            (b'<', Some(b'=')) => (Kind::Operator(Le), 2),
            (b'<', Some(b'/')) => (Kind::Operator(TrimUpper), 2),
            (b'<', _) => (Kind::Operator(Lt), 1),
            (b'>', Some(b'=')) => (Kind::Operator(Ge), 2),
            (b'>', Some(b'/')) => (Kind::Operator(TrimLower), 2),
            (b'>', _) => (Kind::Operator(Gt), 1),
            (b'0'..=b'9', _) | (b'.', Some(b'0'..=b'9')) => return self.number(),
            (b'"' | b'\'' | b'`', _) => return self.string(),
            (b':', _) | (b'_' | b'a'..=b'z' | b'A'..=b'Z', _) => {
                return if self.brackets == Brackets::Outside { self.name() } else { self.inside_brackets() };
            }
            (b'(', _) => {
                self.parens += 1;
                (Kind::LeftParen, 1)
            }
            (b')', _) => return self.right_paren(),
            (b'{', _) => {
                self.in_braces = true;
                (Kind::LeftBrace, 1)
            }
            (b'[', _) => {
                if self.brackets != Brackets::Outside {
                    return Err(self.fail("unexpected left bracket '['", start));
                }
                (self.brackets, self.has_colon) = (Brackets::Begun, false);
                (Kind::LeftBracket, 1)
            }
            (b']', _) => {
                if self.brackets == Brackets::Outside {
                    return Err(self.fail("unexpected right bracket ']'", start));
                }
                self.brackets = Brackets::Outside;
                (Kind::RightBracket, 1)
            }
            _ => return Err(self.fail_char("unexpected character:", start, start)),
        };
        self.at += length;
        Ok(self.emit(kind, start))
    }

    fn right_paren(&mut self) -> Result<Token, ParseError> {
        let start = self.at;
        self.at += 1;
        match self.parens.checked_sub(1) {
            Some(parens) => {
                self.parens = parens;
                Ok(self.emit(Kind::RightParen, start))
            }
            // Compat: blamed after the character (promql/parser/lex.go).
            None => Err(self.fail("unexpected right parenthesis ')'", self.at)),
        }
    }

    fn inside_braces(&mut self) -> Result<Token, ParseError> {
        let start = self.at;
        let Some(b) = self.peek() else {
            return Err(self.fail("unexpected end of input inside braces", start));
        };
        let next = self.text.get(self.at + 1).copied();
        let (kind, length) = match (b, next) {
            (b'_' | b'a'..=b'z' | b'A'..=b'Z', _) => (Kind::Identifier, self.word_length(false)),
            (b',', _) => (Kind::Comma, 1),
            (b'"' | b'\'' | b'`', _) => return self.string(),
            (b'=', Some(b'~')) => (Kind::Regex, 2),
            (b'=', _) => (Kind::Assign, 1),
            (b'!', Some(b'~')) => (Kind::NotRegex, 2),
            (b'!', Some(b'=')) => (Kind::Operator(BinaryOp::Ne), 2),
            (b'!', _) => {
                return Err(self.fail_char(
                    "unexpected character after '!' inside braces:",
                    start,
                    start + 1,
                ));
            }
            (b'{', _) => return Err(self.fail("unexpected left brace '{'", start)),
            (b'}', _) => {
                self.in_braces = false;
                (Kind::RightBrace, 1)
            }
            _ => return Err(self.fail_char("unexpected character inside braces:", start, start)),
        };
        self.at += length;
        Ok(self.emit(kind, start))
    }

    /// Between `[` and the first number.
    fn begun_brackets(&mut self) -> Result<Token, ParseError> {
        use BinaryOp::{Add, Div, Mod, Mul, Pow, Sub};
        let start = self.at;
        let Some(b) = self.peek() else {
            return Err(self.fail("unexpected end of input in duration expression", start));
        };
        let kind = match b {
            b']' => {
                (self.brackets, self.has_colon) = (Brackets::Outside, false);
                Kind::RightBracket
            }
            b':' => {
                // Compat: blamed after the character (promql/parser/lex.go).
                let at = start + 1;
                if !self.has_duration {
                    return Err(self.fail("unexpected colon before duration in duration expression", at));
                }
                if self.has_colon {
                    return Err(self.fail("unexpected repeated colon in duration expression", at));
                }
                self.has_colon = true;
                Kind::Colon
            }
            b'(' => {
                self.parens += 1;
                Kind::LeftParen
            }
            b')' => return self.right_paren(),
            b'+' => Kind::Operator(Add),
            b'-' => Kind::Operator(Sub),
            b'*' => Kind::Operator(Mul),
            b'/' => Kind::Operator(Div),
            b'%' => Kind::Operator(Mod),
            b'^' => Kind::Operator(Pow),
            b',' => Kind::Comma,
            b'0'..=b'9' => return self.first_number(),
            b'.' if self.text.get(start + 1).is_some_and(u8::is_ascii_digit) => return self.first_number(),
            _ => {
                return match self.duration_word() {
                    Some(token) => Ok(token),
                    None => Err(self.fail_char("unexpected character in duration expression:", start, start)),
                };
            }
        };
        self.at += 1;
        Ok(self.emit(kind, start))
    }

    fn first_number(&mut self) -> Result<Token, ParseError> {
        self.has_duration = true;
        self.brackets = Brackets::Inside;
        self.number()
    }

    /// A colon or name after the first number of a bracket.
    fn inside_brackets(&mut self) -> Result<Token, ParseError> {
        let start = self.at;
        if self.peek() == Some(b':') {
            if self.has_colon {
                return Err(self.fail("unexpected colon ':'", start));
            }
            self.has_colon = true;
            self.at += 1;
            return Ok(self.emit(Kind::Colon, start));
        }
        match self.duration_word() {
            Some(token) => Ok(token),
            None => {
                let message = format!("unexpected character: {}, expected ':'", self.shown(start));
                Err(self.fail(&message, start))
            }
        }
    }

    /// A word that durations may hold.
    fn duration_word(&mut self) -> Option<Token> {
        let start = self.at;
        let letters = |b: &&u8| b.is_ascii_alphabetic() || **b == b'_';
        let length = self.text[start..].iter().take_while(letters).count();
        match Kind::of_name(&self.text[start..start + length]) {
            kind @ Kind::Word(Word::Step | Word::Range | Word::MaxOf | Word::MinOf) => {
                self.at += length;
                Some(self.emit(kind, start))
            }
            _ => None,
        }
    }

    fn word_length(&self, with_colons: bool) -> usize {
        let in_name = |b: &&u8| b.is_ascii_alphanumeric() || **b == b'_' || with_colons && **b == b':';
        self.text[self.at..].iter().take_while(in_name).count()
    }

    fn name(&mut self) -> Result<Token, ParseError> {
        let start = self.at;
        self.at += self.word_length(true);
        let mut kind = Kind::of_name(&self.text[start..self.at]);
        let is_fill = matches!(kind, Kind::Word(Word::Fill | Word::FillLeft | Word::FillRight));
        if is_fill && !self.is_before_paren() {
            kind = Kind::Identifier;
        }
        Ok(self.emit(kind, start))
    }

    /// True when the next byte that is no blank opens a parenthesis.
    fn is_before_paren(&self) -> bool {
        let rest = self.text[self.at..].iter();
        rest.copied().find(|b| !matches!(b, b' ' | b'\t' | b'\n' | b'\r')) == Some(b'(')
    }

    fn string(&mut self) -> Result<Token, ParseError> {
        let start = self.at;
        self.at = literal::string_end(self.text, start).map_err(|message| self.fail(&message, start))?;
        Ok(self.emit(Kind::String, start))
    }

    fn number(&mut self) -> Result<Token, ParseError> {
        let start = self.at;
        let scanned = number::scan(&self.text[start..]);
        let end = start + scanned.length;
        match scanned.kind {
            Some(kind) => {
                self.at = end;
                Ok(self.emit(kind, start))
            }
            None => {
                let read = String::from_utf8_lossy(&self.text[start..end.min(self.text.len())]);
                let read = crate::model::float::Quoted::text(&read).to_string();
                Err(self.fail(&format!("bad number or duration syntax: {read}"), start))
            }
        }
    }

    fn emit(&self, kind: Kind, start: usize) -> Token {
        Token { kind, start: start as u32, end: self.at as u32 }
    }

    /// An error that blames everything from `start`.
    fn fail(&self, message: &str, start: usize) -> ParseError {
        ParseError::at(message, self.text, (start as u32, self.text.len() as u32))
    }

    /// An error whose message ends with the character at `at`.
    fn fail_char(&self, message: &str, start: usize, at: usize) -> ParseError {
        self.fail(&format!("{message} {}", self.shown(at)), start)
    }

    /// The character at `at` in single quotes.
    fn shown(&self, at: usize) -> String {
        literal::quoted_char(literal::char_at(self.text, at).map_or(char::REPLACEMENT_CHARACTER, |(c, _)| c))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        let mut lexer = Lexer::new(text.as_bytes());
        let mut out = Vec::new();
        loop {
            match lexer.token() {
                Ok(Token { kind: Kind::Finish, .. }) => return out.join(" "),
                Ok(token) => {
                    let text = &text[token.start as usize..token.end as usize];
                    out.push(super::super::token::describe(token, text).into_owned());
                }
                Err(e) => return format!("{} {:?}", e.message, e.span.unwrap_or_default()),
            }
        }
    }

    #[test]
    fn modes_follow_brackets() {
        let check = |text: &str, want: &str| assert_eq!(read(text), want, "{text}");
        check("by{by=~`a`}#c\n1", "<by> \"{\" identifier \"by\" <op:=~> string \"`a`\" \"}\" number \"1\"");
        check("a:b </1", "metric identifier \"a:b\" <op:</> number \"1\"");
        check("[step()*5m:1]", "\"[\" \"step\" \"(\" \")\" <op:*> duration \"5m\" \":\" number \"1\" \"]\"");
        check("fill fill ()", "identifier \"fill\" <fill> \"(\" \")\"");
        check("fill (", "unclosed left parenthesis (6, 6)");
        check("[foo", "unexpected character in duration expression: 'f' (1, 4)");
        check("[5m foo", "unexpected character: 'f', expected ':' (4, 7)");
        check("[#", "unexpected character in duration expression: '#' (1, 2)");
        check("[5m:1m:1m]", "unexpected colon ':' (6, 10)");
        check("[:", "unexpected colon before duration in duration expression (2, 2)");
        check("1)", "unexpected right parenthesis ')' (2, 2)");
        check("!", "unexpected character after '!': '\u{fffd}' (0, 1)");
        check("{a!b", "unexpected character after '!' inside braces: 'b' (2, 4)");
        check("'\\'", "unterminated quoted string (0, 3)");
        check("é", "unexpected character: 'é' (0, 2)");
    }
}
