//! From the tree to the form that the automata are built of.

use regex_automata::meta;
use regex_syntax::hir::{self, Class, ClassUnicode, ClassUnicodeRange, Dot, Hir};

use super::{
    error::{RegexError, RegexErrorKind},
    node::{Look, Node},
};

/// Bytes that the automaton of one pattern may take.
const AUTOMATON_BYTES_MAX: usize = 16 << 20;

/// Builds the automaton of a tree, anchored at both ends; `captures` keeps the groups.
///
/// # Errors
/// `Large` when the automaton would be too large, which Go notices only for larger patterns.
pub(super) fn build(node: &Node, captures: bool, pattern: &str) -> Result<meta::Regex, RegexError> {
    let hir =
        Hir::concat(vec![Hir::look(hir::Look::Start), translate(node, captures), Hir::look(hir::Look::End)]);
    let config = meta::Config::new().nfa_size_limit(Some(AUTOMATON_BYTES_MAX));
    meta::Builder::new()
        .configure(config)
        .build_from_hir(&hir)
        .map_err(|_| RegexError::new(RegexErrorKind::Large, pattern))
}

fn translate(node: &Node, captures: bool) -> Hir {
    let node = if captures { node } else { node.uncaptured() };
    let all = |nodes: &[Node]| nodes.iter().map(|n| translate(n, captures)).collect();
    match node {
        Node::Empty => Hir::empty(),
        Node::Literal { chars, fold: false } => Hir::literal(chars.iter().collect::<String>().into_bytes()),
        Node::Literal { chars, fold: true } => Hir::concat(chars.iter().map(|c| folded(*c)).collect()),
        Node::Class(class) => Hir::class(Class::Unicode(class.clone())),
        Node::Any { newline: true } => Hir::dot(Dot::AnyChar),
        Node::Any { newline: false } => Hir::dot(Dot::AnyCharExceptLF),
        Node::Look(look) => Hir::look(match look {
            Look::Start => hir::Look::Start,
            Look::End => hir::Look::End,
            Look::StartLine => hir::Look::StartLF,
            Look::EndLine => hir::Look::EndLF,
            Look::Word => hir::Look::WordAscii,
            Look::NotWord => hir::Look::WordAsciiNegate,
        }),
        Node::Concat(nodes) => Hir::concat(all(nodes)),
        Node::Alternate(nodes) => Hir::alternation(all(nodes)),
        Node::Repeat { min, max, greedy, node } => Hir::repetition(hir::Repetition {
            min: *min,
            max: *max,
            greedy: *greedy,
            sub: Box::new(translate(node, captures)),
        }),
        Node::Capture { index, node } => Hir::capture(hir::Capture {
            index: *index,
            // Names may repeat in Go, so they are kept elsewhere.
            name: None,
            sub: Box::new(translate(node, captures)),
        }),
    }
}

/// A character with all that differ from it only in case.
fn folded(c: char) -> Hir {
    let mut class = ClassUnicode::new([ClassUnicodeRange::new(c, c)]);
    class.case_fold_simple();
    Hir::class(Class::Unicode(class))
}
