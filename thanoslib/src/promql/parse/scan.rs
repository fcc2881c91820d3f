//! Tokens of a query, read before any other parser sees it.
//!
//! The scan bounds what follows, evaluates literals our way, and writes the text that the
//! grammar is run over: there every literal and every plain name is replaced by the number
//! of its token, so that the tree can be traced back to values and places.

use super::{NO_EXPRESSION, ParseError, literal};
use crate::promql::EngineOptions;

/// Most tokens of a query.
const TOKENS_MAX: usize = 65_536;
/// Most operators and signs of a query: the grammar's tables take quadratic time for them.
const OPERATORS_MAX: usize = 2048;
/// Most tokens times levels: the grammar copies the operand of every aggregation.
const COPIES_MAX: usize = 2_000_000;

/// One token with its byte range.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) start: u32,
    pub(super) end: u32,
}

/// What a token is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    /// A name or keyword, as written.
    Word(String),
    /// A number, or a duration in seconds.
    Number(f64),
    /// A string.
    String(Vec<u8>),
    /// An operator or bracket.
    Sign(&'static str),
}

/// All tokens and the text for the grammar.
#[derive(Debug)]
pub(super) struct Scan {
    pub(super) tokens: Vec<Token>,
    /// For each opening bracket its closing one, and the reverse.
    pub(super) partner: Vec<usize>,
    /// The rewritten text.
    pub(super) text: String,
    /// True when the text is small enough for any stack.
    pub(super) is_small: bool,
}

impl Scan {
    /// The sign at a token, or an empty text.
    pub(super) fn sign(&self, i: usize) -> &'static str {
        match self.tokens.get(i).map(|t| &t.kind) {
            Some(Kind::Sign(s)) => s,
            _ => "",
        }
    }

    /// The word at a token, or an empty text.
    pub(super) fn word(&self, i: usize) -> &str {
        match self.tokens.get(i).map(|t| &t.kind) {
            Some(Kind::Word(w)) => w,
            _ => "",
        }
    }

    /// True when the token is this keyword in any case.
    pub(super) fn is_keyword(&self, i: usize, keyword: &str) -> bool {
        self.word(i).eq_ignore_ascii_case(keyword)
    }
}

/// Longest signs first.
const SIGNS: &[&str] = &[
    "=~", "!~", "==", "!=", "<=", ">=", "</", ">/", "<", ">", "=", "+", "-", "*", "/", "%", "^", "@", ",",
    "(", ")", "{", "}", "[", "]", ":",
];

/// Words that may stand between brackets.
const DURATION_WORDS: &[&str] = &["step", "range", "min_of", "max_of"];

/// Words that the grammar itself knows.
const KEYWORDS: &[&str] = &[
    "and",
    "or",
    "unless",
    "atan2",
    "sum",
    "avg",
    "count",
    "min",
    "max",
    "group",
    "stddev",
    "stdvar",
    "topk",
    "bottomk",
    "count_values",
    "quantile",
    "limitk",
    "limit_ratio",
    "offset",
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
    "bool",
    "fill",
    "fill_left",
    "fill_right",
    "start",
    "end",
];

/// Reads all tokens of a query.
///
/// # Errors
/// A character or literal that is none, brackets that do not match, or too much of anything.
pub(super) fn scan(text: &str, options: &EngineOptions) -> Result<Scan, ParseError> {
    let tokens = tokenize(text)?;
    let (partner, depth) = pair(text, &tokens, options.query_depth_max)?;
    let operators = tokens.iter().filter(|t| is_operator(&t.kind)).count();
    if operators > OPERATORS_MAX {
        return Err(ParseError::new(format!("query has {operators} operators, more than {OPERATORS_MAX}")));
    }
    if depth.saturating_mul(tokens.len()) > COPIES_MAX {
        return Err(ParseError::new(format!(
            "query with {} tokens nests {depth} deep, which is too much together",
            tokens.len()
        )));
    }
    let mut scan = Scan { tokens, partner, text: String::new(), is_small: operators + depth <= 48 };
    scan.text = render(text, &scan, options.extended_range_selectors)?;
    Ok(scan)
}

fn is_operator(kind: &Kind) -> bool {
    match kind {
        Kind::Sign(s) => !matches!(*s, "(" | ")" | "{" | "}" | "[" | "]" | "," | ":"),
        Kind::Word(w) => ["and", "or", "unless", "atan2"].iter().any(|k| w.eq_ignore_ascii_case(k)),
        Kind::Number(_) | Kind::String(_) => false,
    }
}

fn tokenize(text: &str) -> Result<Vec<Token>, ParseError> {
    let bytes = text.as_bytes();
    let mut tokens: Vec<Token> = Vec::new();
    let (mut at, mut braces, mut brackets) = (0, false, false);
    while let Some(&b) = bytes.get(at) {
        let start = at;
        let fail = |message: String| ParseError::at(message, text, start);
        let kind = match b {
            b' ' | b'\t' | b'\n' | b'\r' => {
                at += 1;
                continue;
            }
            b'#' => {
                at += bytes[at..].iter().take_while(|b| !matches!(b, b'\n' | b'\r')).count();
                continue;
            }
            b'"' | b'\'' | b'`' => {
                at = string_end(bytes, at).map_err(|e| fail(e.to_owned()))?;
                Kind::String(literal::unquote(&text[start..at]).map_err(fail)?)
            }
            b'0'..=b'9' => {
                at = number_end(bytes, at);
                number(&text[start..at]).map_err(fail)?
            }
            b'.' if bytes.get(at + 1).is_some_and(u8::is_ascii_digit) => {
                at = number_end(bytes, at);
                number(&text[start..at]).map_err(fail)?
            }
            _ if b.is_ascii_alphabetic() || b == b'_' || b == b':' && !brackets && !braces => {
                let colon = !brackets && !braces;
                at += bytes[at..]
                    .iter()
                    .take_while(|b| b.is_ascii_alphanumeric() || **b == b'_' || **b == b':' && colon)
                    .count();
                let word = &text[start..at];
                if brackets && !DURATION_WORDS.iter().any(|w| word.eq_ignore_ascii_case(w)) {
                    let c = b as char;
                    return Err(fail(format!("unexpected character in duration expression: '{c}'")));
                }
                match word.to_ascii_lowercase().as_str() {
                    "inf" if !braces => Kind::Number(f64::INFINITY),
                    "nan" if !braces => Kind::Number(f64::NAN),
                    _ => Kind::Word(word.to_owned()),
                }
            }
            _ => {
                let Some(sign) = SIGNS.iter().find(|s| bytes[at..].starts_with(s.as_bytes())) else {
                    let c = text[at..].chars().next().unwrap_or(char::REPLACEMENT_CHARACTER);
                    let after = text[at + c.len_utf8()..].chars().next();
                    return Err(fail(match (after, braces) {
                        (Some(after), _) if c == '!' => format!("unexpected character after '!': '{after}'"),
                        (_, true) => format!("unexpected character inside braces: '{c}'"),
                        (_, false) if brackets => {
                            format!("unexpected character in duration expression: '{c}'")
                        }
                        (_, false) => format!("unexpected character: '{c}'"),
                    }));
                };
                at += sign.len();
                match *sign {
                    "{" => braces = true,
                    "}" => braces = false,
                    "[" => brackets = true,
                    "]" => brackets = false,
                    _ => {}
                }
                Kind::Sign(sign)
            }
        };
        if tokens.len() == TOKENS_MAX {
            return Err(ParseError::new(format!("query has more than {TOKENS_MAX} tokens")));
        }
        tokens.push(Token { kind, start: start as u32, end: at as u32 });
    }
    if tokens.is_empty() {
        let message = NO_EXPRESSION;
        return Err(if text.is_empty() {
            ParseError::new(message)
        } else {
            ParseError::at(message, text, 0)
        });
    }
    Ok(tokens)
}

fn string_end(bytes: &[u8], start: usize) -> Result<usize, &'static str> {
    let quote = bytes[start];
    let mut at = start + 1;
    while let Some(&b) = bytes.get(at) {
        match b {
            _ if b == quote => return Ok(at + 1),
            b'\\' if quote != b'`' => at += 2,
            b'\n' if quote != b'`' => break,
            _ => at += 1,
        }
    }
    Err(if quote == b'`' { "unterminated raw string" } else { "unterminated quoted string" })
}

/// The end of everything that looks like one number or duration.
fn number_end(bytes: &[u8], start: usize) -> usize {
    let hex = bytes[start..].starts_with(b"0x") || bytes[start..].starts_with(b"0X");
    let mut at = start;
    while let Some(&b) = bytes.get(at) {
        let exponent_sign = matches!(b, b'+' | b'-')
            && !hex
            && matches!(bytes[at - 1], b'e' | b'E')
            && bytes.get(at + 1).is_some_and(u8::is_ascii_digit);
        if !(b.is_ascii_alphanumeric() || b == b'_' || b == b'.' || exponent_sign) {
            break;
        }
        at += 1;
    }
    at
}

fn number(text: &str) -> Result<Kind, String> {
    if let Some(v) = literal::number(text)? {
        return Ok(Kind::Number(v));
    }
    match literal::duration_ms(text)? {
        Some(ms) => Ok(Kind::Number(ms as f64 / 1000.0)),
        None if text.bytes().all(|b| b.is_ascii_digit() || b"ywdhms".contains(&b)) => {
            Err(format!("not a valid duration string: {text:?}"))
        }
        None => Err(format!("bad number or duration syntax: {:?}", read_so_far(text))),
    }
}

/// How much of a bad number upstream's lexer reads before it gives up.
fn read_so_far(text: &str) -> &str {
    let bytes = text.as_bytes();
    let run =
        |from: usize, accept: fn(&u8) -> bool| from + bytes[from..].iter().take_while(|b| accept(b)).count();
    if text.starts_with("0x") || text.starts_with("0X") {
        return &text[..run(2, |b| b.is_ascii_hexdigit() || *b == b'_')];
    }
    let mut at = run(0, |b| b.is_ascii_digit() || *b == b'_');
    if let Some(double) = text[..at].find("__") {
        return &text[..double + 2];
    }
    if bytes.get(at) == Some(&b'.') {
        at = run(at + 1, u8::is_ascii_digit);
        if bytes.get(at) == Some(&b'.') {
            return &text[..=at];
        }
    }
    match bytes.get(at) {
        Some(b'e' | b'E') => at = run(at + 1, |b| b.is_ascii_digit() || matches!(b, b'+' | b'-')),
        Some(unit) if b"smhdwy".contains(unit) => {
            at = run(at, |b| b.is_ascii_digit() || b"smhdwy".contains(b)) + 1;
        }
        _ => {}
    }
    &text[..at.min(text.len())]
}

/// Partners of all brackets and the deepest nesting.
fn pair(text: &str, tokens: &[Token], depth_max: usize) -> Result<(Vec<usize>, usize), ParseError> {
    let mut partner: Vec<usize> = (0..tokens.len()).collect();
    let mut open: Vec<(usize, &str)> = Vec::new();
    let mut deepest = 0;
    for (i, token) in tokens.iter().enumerate() {
        let Kind::Sign(sign) = token.kind else { continue };
        match sign {
            "(" | "[" | "{" => {
                open.push((i, sign));
                deepest = deepest.max(open.len());
                if open.len() > depth_max {
                    return Err(ParseError::too_deep(depth_max));
                }
            }
            ")" | "]" | "}" => {
                let fail = |what: &str, at: u32| {
                    Err(ParseError::at(format!("unexpected {what} '{sign}'"), text, at as usize))
                };
                match (open.pop(), sign) {
                    (Some((j, "(")), ")") | (Some((j, "[")), "]") | (Some((j, "{")), "}") => {
                        partner[j] = i;
                        partner[i] = j;
                    }
                    // This one is placed after its character.
                    (_, ")") => return fail("right parenthesis", token.end),
                    (_, "]") => return fail("right bracket", token.start),
                    _ => {
                        return Err(ParseError::at(
                            "unexpected character: '}'".to_owned(),
                            text,
                            token.start as usize,
                        ));
                    }
                }
            }
            _ => {}
        }
    }
    if open.is_empty() {
        return Ok((partner, deepest));
    }
    let message = if open.last().is_some_and(|(_, s)| *s == "{") {
        "unexpected end of input inside braces"
    } else if open.iter().any(|(_, s)| *s == "(") {
        "unclosed left parenthesis"
    } else {
        "unclosed left bracket"
    };
    Err(ParseError::at(message.to_owned(), text, text.len()))
}

/// Writes the text that the grammar is run over.
fn render(text: &str, scan: &Scan, extended: bool) -> Result<String, ParseError> {
    let mut out = String::with_capacity(scan.tokens.len() * 6);
    let mut braces = false;
    for (i, token) in scan.tokens.iter().enumerate() {
        let n = i + 1;
        // Inside braces a blank after `or` would change its meaning.
        if !braces {
            out.push(' ');
        }
        match &token.kind {
            Kind::Number(_) => out.push_str(&n.to_string()),
            Kind::String(_) => out.push_str(&format!("\"{n}\"")),
            Kind::Word(word) if braces => {
                if i > 0 && matches!(scan.tokens[i - 1].kind, Kind::String(_)) {
                    // The grammar would take an `or` here.
                    let message =
                        format!("unexpected identifier {word:?} in label matching, expected \",\" or \"}}\"");
                    return Err(ParseError::at(message, text, token.start as usize));
                }
                out.push_str(&format!("l{n}"));
            }
            Kind::Word(word) => {
                let is_modifier = ["anchored", "smoothed"].iter().any(|k| word.eq_ignore_ascii_case(k))
                    && ends_operand(scan, i);
                if is_modifier {
                    let word = word.to_ascii_lowercase();
                    return Err(ParseError::new(if extended {
                        format!("{word} modifier is not known to this front end")
                    } else {
                        format!("{word} modifier is experimental and not enabled")
                    }));
                }
                if KEYWORDS.iter().any(|k| word.eq_ignore_ascii_case(k)) || scan.sign(i + 1) == "(" {
                    out.push_str(word);
                } else if word.contains(':') {
                    out.push_str(&format!("m:{n}"));
                } else {
                    out.push_str(&format!("m{n}"));
                }
            }
            Kind::Sign(sign @ ("</" | ">/")) => {
                return Err(ParseError::new(format!("operator {sign:?} is not known to this front end")));
            }
            Kind::Sign(sign) => {
                braces = match *sign {
                    "{" => true,
                    "}" => false,
                    _ => braces,
                };
                out.push_str(sign);
                if *sign == "{" {
                    // The grammar wants a matcher that is not empty; we judge that later.
                    out.push_str("l0=\"0\"");
                    if scan.sign(i + 1) != "}" {
                        out.push(',');
                    }
                }
            }
        }
    }
    Ok(out)
}

/// True when the token before ends an operand.
fn ends_operand(scan: &Scan, i: usize) -> bool {
    let Some(before) = i.checked_sub(1) else { return false };
    match &scan.tokens[before].kind {
        Kind::Number(_) => true,
        Kind::Word(w) => !KEYWORDS.iter().any(|k| w.eq_ignore_ascii_case(k)),
        Kind::Sign(s) => matches!(*s, ")" | "]" | "}"),
        Kind::String(_) => false,
    }
}
