//! Tokens of a query and how errors name them.

use std::borrow::Cow;

use crate::{
    model::float::Quoted,
    promql::ast::{AggregateOp, BinaryOp},
};

/// A token with its byte range; its text is read from the query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) start: u32,
    pub(super) end: u32,
}

impl Token {
    pub(super) fn span(self) -> (u32, u32) {
        (self.start, self.end)
    }
}

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The end of the text.
    Finish,
    /// A name without colon.
    Identifier,
    /// A name with colons.
    MetricIdentifier,
    /// A number.
    Number,
    /// A number with units of time.
    Duration,
    /// A string with its quotes.
    String,
    /// `(`
    LeftParen,
    /// `)`
    RightParen,
    /// `{`
    LeftBrace,
    /// `}`
    RightBrace,
    /// `[`
    LeftBracket,
    /// `]`
    RightBracket,
    /// `,`
    Comma,
    /// `:`
    Colon,
    /// `=`
    Assign,
    /// `=~`
    Regex,
    /// `!~`
    NotRegex,
    /// `@`
    At,
    /// An operator, sign or word, also `!=` inside braces.
    Operator(BinaryOp),
    /// An aggregation.
    Aggregate(AggregateOp),
    /// A word of the language.
    Word(Word),
}

/// A word of the language that is neither operator nor aggregation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    Bool,
    By,
    GroupLeft,
    GroupRight,
    Fill,
    FillLeft,
    FillRight,
    Ignoring,
    Offset,
    Smoothed,
    Anchored,
    On,
    Without,
    Start,
    End,
    Step,
    Range,
    MaxOf,
    MinOf,
}

impl Word {
    /// True for the names of times and lengths, which are functions before a parenthesis.
    pub(super) fn is_function(self) -> bool {
        matches!(self, Self::Start | Self::End | Self::Step | Self::Range | Self::MaxOf | Self::MinOf)
    }
}

impl Kind {
    /// What a name means outside of braces; keywords stand in any case.
    pub(super) fn of_name(name: &[u8]) -> Self {
        let mut buffer = [0; LONGEST_KEYWORD];
        let Some(lower) = buffer.get_mut(..name.len()) else { return Self::plain(name) };
        lower.copy_from_slice(name);
        lower.make_ascii_lowercase();
        let word = match &*lower {
            b"and" => return Self::Operator(BinaryOp::And),
            b"or" => return Self::Operator(BinaryOp::Or),
            b"unless" => return Self::Operator(BinaryOp::Unless),
            b"atan2" => return Self::Operator(BinaryOp::Atan2),
            b"sum" => return Self::Aggregate(AggregateOp::Sum),
            b"avg" => return Self::Aggregate(AggregateOp::Avg),
            b"count" => return Self::Aggregate(AggregateOp::Count),
            b"min" => return Self::Aggregate(AggregateOp::Min),
            b"max" => return Self::Aggregate(AggregateOp::Max),
            b"group" => return Self::Aggregate(AggregateOp::Group),
            b"stddev" => return Self::Aggregate(AggregateOp::Stddev),
            b"stdvar" => return Self::Aggregate(AggregateOp::Stdvar),
            b"topk" => return Self::Aggregate(AggregateOp::Topk),
            b"bottomk" => return Self::Aggregate(AggregateOp::Bottomk),
            b"count_values" => return Self::Aggregate(AggregateOp::CountValues),
            b"quantile" => return Self::Aggregate(AggregateOp::Quantile),
            b"limitk" => return Self::Aggregate(AggregateOp::Limitk),
            b"limit_ratio" => return Self::Aggregate(AggregateOp::LimitRatio),
            b"inf" | b"nan" => return Self::Number,
            b"bool" => Word::Bool,
            b"by" => Word::By,
            b"group_left" => Word::GroupLeft,
            b"group_right" => Word::GroupRight,
            b"fill" => Word::Fill,
            b"fill_left" => Word::FillLeft,
            b"fill_right" => Word::FillRight,
            b"ignoring" => Word::Ignoring,
            b"offset" => Word::Offset,
            b"smoothed" => Word::Smoothed,
            b"anchored" => Word::Anchored,
            b"on" => Word::On,
            b"without" => Word::Without,
            b"start" => Word::Start,
            b"end" => Word::End,
            b"step" => Word::Step,
            b"range" => Word::Range,
            b"max_of" => Word::MaxOf,
            b"min_of" => Word::MinOf,
            _ => return Self::plain(name),
        };
        Self::Word(word)
    }

    fn plain(name: &[u8]) -> Self {
        if name.contains(&b':') { Self::MetricIdentifier } else { Self::Identifier }
    }

    /// The sign that a token may be in front of an operand; true for `-`.
    pub(super) fn sign(self) -> Option<bool> {
        match self {
            Self::Operator(BinaryOp::Add) => Some(false),
            Self::Operator(BinaryOp::Sub) => Some(true),
            _ => None,
        }
    }

    /// True when the token may be the name of a metric.
    pub(super) fn is_metric_name(self) -> bool {
        match self {
            Self::Identifier | Self::MetricIdentifier | Self::Aggregate(_) => true,
            Self::Operator(op) => op.is_set(),
            Self::Word(word) => {
                !matches!(word, Word::Bool | Word::On | Word::Ignoring | Word::GroupLeft | Word::GroupRight)
            }
            _ => false,
        }
    }

    /// True when the token may be an unquoted label of a clause.
    pub(super) fn is_label(self) -> bool {
        match self {
            Self::Identifier | Self::MetricIdentifier | Self::Aggregate(_) => true,
            Self::Operator(op) => op.is_set() || op == BinaryOp::Atan2,
            Self::Word(word) => word != Word::Without,
            _ => false,
        }
    }

    /// True when an expression may begin with the token.
    pub(super) fn begins_expression(self) -> bool {
        let more = [Self::Number, Self::Duration, Self::String, Self::LeftParen, Self::LeftBrace];
        more.contains(&self) || self.sign().is_some() || self.is_metric_name()
    }
}

/// Bytes of the longest keyword, `count_values`.
const LONGEST_KEYWORD: usize = 12;

/// Longest text that errors show whole.
const SHOWN_CHARS_MAX: usize = 10;

/// How an error names a token with this text.
pub(super) fn describe(token: Token, text: &str) -> Cow<'static, str> {
    // Compat: quotes, brackets and the cut at ten letters are upstream's (promql/parser/lex.go).
    let quoted = || {
        if text.len() <= SHOWN_CHARS_MAX {
            return Quoted::text(text).to_string();
        }
        let cut: String = text.chars().take(SHOWN_CHARS_MAX).collect();
        format!("{}...", Quoted::text(&cut))
    };
    match token.kind {
        Kind::Finish => "end of input".into(),
        Kind::Identifier => format!("identifier {}", Quoted::text(text)).into(),
        Kind::MetricIdentifier => format!("metric identifier {}", Quoted::text(text)).into(),
        Kind::Number => format!("number {}", quoted()).into(),
        Kind::Duration => format!("duration {}", quoted()).into(),
        Kind::String => format!("string {}", quoted()).into(),
        Kind::Operator(_) | Kind::At | Kind::Regex | Kind::NotRegex => format!("<op:{text}>").into(),
        Kind::Aggregate(_) => format!("<aggr:{text}>").into(),
        Kind::Word(word) if !word.is_function() => format!("<{text}>").into(),
        _ => quoted().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_tokens() {
        let check = |kind: Kind, text: &str, want: &str| {
            let token = Token { kind, start: 0, end: text.len() as u32 };
            assert_eq!(describe(token, text), want);
        };
        check(Kind::Finish, "", "end of input");
        check(Kind::of_name(b"up"), "up", "identifier \"up\"");
        check(Kind::of_name(b"a:b"), "a:b", "metric identifier \"a:b\"");
        check(Kind::of_name(b"SUM"), "SUM", "<aggr:SUM>");
        check(Kind::of_name(b"Or"), "Or", "<op:Or>");
        check(Kind::of_name(b"by"), "by", "<by>");
        check(Kind::of_name(b"start"), "start", "\"start\"");
        check(Kind::String, "\"a long string\"", "string \"\\\"a long st\"...");
        check(Kind::RightParen, ")", "\")\"");
    }

    #[test]
    fn the_longest_keyword_is_found() {
        assert_eq!(Kind::of_name(b"COUNT_VALUES"), Kind::Aggregate(AggregateOp::CountValues));
        assert_eq!(Kind::of_name(b"count_values_"), Kind::Identifier);
    }
}
