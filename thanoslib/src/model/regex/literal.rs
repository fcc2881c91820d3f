//! What the tree tells about matching texts without an automaton.

use super::node::{Look, Node};

/// Most strings that a pattern is spelled out into.
const SET_MAX: usize = 256;

/// A way to match that is quicker than the automaton.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Shape {
    /// Exactly the strings of the set.
    Set,
    /// `.*`
    All,
    /// `.+`
    NonEmpty,
    /// Literals around `.*`; either may be empty.
    Affixes(String, String),
    /// `.*literal.*`
    Contains(String),
    /// Anything else.
    Other,
}

/// Literals known about a pattern.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Literals {
    /// All strings that match; empty when they are too many or unknown.
    pub(super) set: Vec<String>,
    /// What every match starts with.
    pub(super) prefix: String,
    /// What every match ends with.
    pub(super) suffix: String,
    /// What every match holds somewhere.
    pub(super) contains: Vec<String>,
}

/// Finds literals and the quickest way to match.
pub(super) fn analyse(pattern: &str, node: &Node) -> (Literals, Shape) {
    if let Some(set) = plain_alternatives(pattern) {
        return (Literals { set, ..Literals::default() }, Shape::Set);
    }
    let parts = unanchored(node);
    let set = if parts.is_empty() { None } else { product(&parts, vec![String::new()]) };
    let mut literals = Literals { set: set.unwrap_or_default(), ..Literals::default() };
    if let Node::Alternate(branches) = node.uncaptured() {
        literals.prefix = common_prefix(branches);
    } else if matches!(node.uncaptured(), Node::Concat(_)) {
        let inner: Vec<Option<String>> = parts.iter().map(|n| literal(n)).collect();
        if let Some(Some(first)) = inner.first() {
            literals.prefix.clone_from(first);
        }
        if let [_, .., Some(last)] = inner.as_slice() {
            literals.suffix.clone_from(last);
        }
        if let [_, middle @ .., _] = inner.as_slice() {
            literals.contains = middle.iter().flatten().cloned().collect();
        }
    }
    let shape = if literals.set.is_empty() { shape(&parts) } else { Shape::Set };
    (literals, shape)
}

/// The alternatives of a pattern that holds no other operator than `|`; nothing for the empty one.
fn plain_alternatives(pattern: &str) -> Option<Vec<String>> {
    let meta = |c: char| "\\.+*?()[]{}^$".contains(c);
    (!pattern.is_empty() && !pattern.contains(meta)).then(|| pattern.split('|').map(str::to_owned).collect())
}

/// The nodes in a row, without anchors at the outer ends, which change nothing.
fn unanchored(node: &Node) -> Vec<&Node> {
    let mut parts: &[Node] = match node.uncaptured() {
        Node::Concat(nodes) => nodes,
        single => std::slice::from_ref(single),
    };
    while let [Node::Look(Look::Start), rest @ ..] = parts {
        parts = rest;
    }
    while let [rest @ .., Node::Look(Look::End)] = parts {
        parts = rest;
    }
    parts.iter().map(Node::uncaptured).collect()
}

fn literal(node: &Node) -> Option<String> {
    match node.uncaptured() {
        Node::Literal { chars, fold: false } => Some(chars.iter().collect()),
        _ => None,
    }
}

/// All strings of nodes in a row, each after one of the strings before it.
fn product(parts: &[&Node], before: Vec<String>) -> Option<Vec<String>> {
    let mut set = before;
    for part in parts {
        let mut longer = Vec::new();
        for base in &set {
            longer.extend(spelled_out(part, base)?);
            if longer.len() > SET_MAX {
                return None;
            }
        }
        set = longer;
    }
    Some(set)
}

fn spelled_out(node: &Node, base: &str) -> Option<Vec<String>> {
    let extended = |c: char| {
        let mut s = base.to_owned();
        s.push(c);
        s
    };
    match node.uncaptured() {
        Node::Literal { chars, fold: false } => {
            Some(vec![base.chars().chain(chars.iter().copied()).collect()])
        }
        Node::Empty if !base.is_empty() => Some(vec![base.to_owned()]),
        Node::Class(class) => {
            let size = class.iter().fold(0, |n, r| n + r.len());
            (1..=SET_MAX)
                .contains(&size)
                .then(|| class.iter().flat_map(|r| (r.start()..=r.end()).map(extended)).collect())
        }
        Node::Concat(nodes) => product(&nodes.iter().collect::<Vec<_>>(), vec![base.to_owned()]),
        Node::Alternate(nodes) => {
            let mut set = Vec::new();
            for node in nodes {
                set.extend(spelled_out(node, base)?);
                if set.len() > SET_MAX {
                    return None;
                }
            }
            Some(set)
        }
        _ => None,
    }
}

/// The literal that all branches start with.
fn common_prefix(branches: &[Node]) -> String {
    let first_literal = |node: &Node| match node {
        Node::Concat(nodes) => nodes.first().and_then(literal),
        node => literal(node),
    };
    let mut prefix: Option<String> = None;
    for branch in branches {
        let Some(start) = first_literal(branch) else { return String::new() };
        let common = match prefix {
            None => start,
            Some(prefix) => {
                prefix.chars().zip(start.chars()).take_while(|(a, b)| a == b).map(|(a, _)| a).collect()
            }
        };
        prefix = Some(common);
    }
    prefix.unwrap_or_default()
}

fn shape(parts: &[&Node]) -> Shape {
    let any = |node: &Node, least: u32| match node {
        Node::Repeat { min, max: None, node, .. } => {
            *min == least && matches!(**node, Node::Any { newline: true })
        }
        _ => false,
    };
    match parts {
        [one] if any(one, 0) => Shape::All,
        [one] if any(one, 1) => Shape::NonEmpty,
        [a, b] if any(a, 0) => match literal(b) {
            Some(suffix) => Shape::Affixes(String::new(), suffix),
            None => Shape::Other,
        },
        [a, b] if any(b, 0) => match literal(a) {
            Some(prefix) => Shape::Affixes(prefix, String::new()),
            None => Shape::Other,
        },
        [a, b, c] if any(b, 0) => match (literal(a), literal(c)) {
            (Some(prefix), Some(suffix)) => Shape::Affixes(prefix, suffix),
            _ => Shape::Other,
        },
        [a, b, c] if any(a, 0) && any(c, 0) => literal(b).map_or(Shape::Other, Shape::Contains),
        _ => Shape::Other,
    }
}
