//! The tree that a pattern is read into.

use regex_syntax::hir::ClassUnicode;

/// One node of a parsed pattern.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    /// The empty string.
    Empty,
    /// Characters in a row.
    Literal {
        /// The characters.
        chars: Vec<char>,
        /// Without regard to case.
        fold: bool,
    },
    /// One character of a set.
    Class(ClassUnicode),
    /// Any character; a line feed only with `newline`.
    Any {
        /// The line feed counts.
        newline: bool,
    },
    /// A place in the text.
    Look(Look),
    /// Nodes in a row; at least two.
    Concat(Vec<Node>),
    /// One of several nodes; at least two.
    Alternate(Vec<Node>),
    /// A node several times.
    Repeat {
        /// Least number of times.
        min: u32,
        /// Greatest number of times.
        max: Option<u32>,
        /// As often as possible.
        greedy: bool,
        /// What is repeated.
        node: Box<Node>,
    },
    /// A numbered group.
    Capture {
        /// Number, from 1.
        index: u32,
        /// What is captured.
        node: Box<Node>,
    },
}

/// A place in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// Start of the text.
    Start,
    /// End of the text.
    End,
    /// Start of a line.
    StartLine,
    /// End of a line.
    EndLine,
    /// Edge of an ASCII word.
    Word,
    /// Anywhere but at the edge of an ASCII word.
    NotWord,
}

impl Node {
    /// Nodes in a row as one node; neighbouring literals are joined.
    pub(super) fn concat(nodes: Vec<Node>) -> Node {
        let mut out: Vec<Node> = Vec::with_capacity(nodes.len());
        for node in nodes {
            match (out.last_mut(), node) {
                (Some(Node::Literal { chars, fold }), Node::Literal { chars: more, fold: same })
                    if *fold == same =>
                {
                    chars.extend(more);
                }
                (_, node) => out.push(node),
            }
        }
        match out.len() {
            0 => Node::Empty,
            1 => out.swap_remove(0),
            _ => Node::Concat(out),
        }
    }

    /// One of several nodes as one node.
    pub(super) fn alternate(mut nodes: Vec<Node>) -> Node {
        match nodes.len() {
            0 => Node::Empty,
            1 => nodes.swap_remove(0),
            _ => Node::Alternate(nodes),
        }
    }

    /// The node inside groups.
    pub(super) fn uncaptured(&self) -> &Node {
        let mut node = self;
        while let Node::Capture { node: inner, .. } = node {
            node = inner;
        }
        node
    }
}
