//! Reads Go's regular expression syntax (RE2 with Perl's extensions).
//!
//! The reader keeps its own stack of open groups, so that nesting costs no call depth; what is
//! built is at most [`HEIGHT_MAX`] high.

use super::{
    class::{char_range, parse_class, parse_group},
    error::{RegexError, RegexErrorKind},
    escape::parse_escape,
    node::{Look, Node},
};

/// Greatest height of a tree, groups included.
const HEIGHT_MAX: u32 = 1000;
/// Greatest depth of the tree that the automaton is built of.
///
/// Building takes stack for each level; Go has none of this limit, and no real pattern comes near.
const DEPTH_MAX: u32 = 200;
/// Greatest count of a repetition, and of nested ones multiplied.
const REPEAT_MAX: u64 = 1000;
/// Greatest number of instructions that a pattern may stand for: what Go fits into 128 MiB.
const SIZE_MAX: u64 = (128 << 20) / 40;

/// A parsed pattern.
#[derive(Debug)]
pub(super) struct Parsed {
    /// The tree.
    pub(super) node: Node,
    /// Names of the groups from number 1; empty where a group has none.
    pub(super) names: Vec<String>,
}

/// Flags that groups can change.
#[derive(Clone, Copy)]
struct Flags {
    fold: bool,
    multi_line: bool,
    dot_newline: bool,
    swap_greed: bool,
}

/// A node with the measures that limits look at.
struct Item {
    node: Node,
    height: u32,
    /// Height without groups that are not kept.
    depth: u32,
    size: u64,
    /// Product of the greatest counts of nested repetitions.
    repeats: u64,
}

impl Item {
    fn leaf(node: Node) -> Self {
        Self { node, height: 1, depth: 1, size: 1, repeats: 1 }
    }

    /// Joins items by `join`, which adds one level if there are several.
    fn join(items: Vec<Item>, join: fn(Vec<Node>) -> Node) -> Self {
        let height = items.iter().map(|i| i.height).max().unwrap_or(0) + u32::from(items.len() > 1);
        let depth = items.iter().map(|i| i.depth).max().unwrap_or(0) + u32::from(items.len() > 1);
        let size = items.iter().map(|i| i.size).fold(1, u64::saturating_add);
        let repeats = items.iter().map(|i| i.repeats).max().unwrap_or(1);
        let nodes: Vec<Node> = items.into_iter().map(|i| i.node).collect();
        let literal = nodes.iter().all(|n| matches!(n, Node::Literal { .. }));
        let node = join(nodes);
        let is_one = literal && matches!(node, Node::Literal { .. });
        let [height, depth] = [height, depth].map(|n| if is_one { 1 } else { n.max(1) });
        Self { node, height, depth, size, repeats }
    }
}

/// A group that is still open, or the whole pattern.
struct Open {
    /// Number and name, for groups that capture.
    capture: Option<u32>,
    /// Flags outside.
    outer: Flags,
    done: Vec<Item>,
    current: Vec<Item>,
}

impl Open {
    fn new(capture: Option<u32>, outer: Flags) -> Self {
        Self { capture, outer, done: Vec::new(), current: Vec::new() }
    }

    fn end_branch(&mut self) {
        let branch = Item::join(std::mem::take(&mut self.current), Node::concat);
        self.done.push(branch);
    }

    fn close(mut self) -> Item {
        self.end_branch();
        Item::join(self.done, Node::alternate)
    }
}

struct Parser<'a> {
    whole: &'a str,
    keep_groups: bool,
    flags: Flags,
    names: Vec<String>,
    outer: Vec<Open>,
    open: Open,
}

/// Reads a pattern; `dot_newline` says whether `.` matches a line feed at the start, `keep_groups`
/// that the automaton will know groups.
pub(super) fn parse(pattern: &str, dot_newline: bool, keep_groups: bool) -> Result<Parsed, RegexError> {
    let flags = Flags { fold: false, multi_line: false, dot_newline, swap_greed: false };
    let mut parser = Parser {
        whole: pattern,
        keep_groups,
        flags,
        names: Vec::new(),
        outer: Vec::new(),
        open: Open::new(None, flags),
    };
    parser.run()?;
    let Parser { open, names, .. } = parser;
    let item = open.close();
    check_limits(&item, pattern)?;
    Ok(Parsed { node: item.node, names })
}

fn check_limits(item: &Item, whole: &str) -> Result<(), RegexError> {
    if item.height > HEIGHT_MAX || item.depth > DEPTH_MAX {
        return Err(RegexError::new(RegexErrorKind::NestingDepth, whole));
    }
    if item.size > SIZE_MAX {
        return Err(RegexError::new(RegexErrorKind::Large, whole));
    }
    Ok(())
}

impl<'a> Parser<'a> {
    fn run(&mut self) -> Result<(), RegexError> {
        let mut t = self.whole;
        // Text from the repetition just read, if the last thing was one.
        let mut last_repeat: Option<&str> = None;
        while let Some(c) = t.chars().next() {
            let mut repeat = None;
            let after = &t[c.len_utf8()..];
            t = match c {
                '(' if after.starts_with('?') => self.perl_group(t)?,
                '(' => {
                    self.open_group(Some(String::new()));
                    after
                }
                '|' => {
                    self.open.end_branch();
                    after
                }
                ')' => {
                    self.close_group()?;
                    after
                }
                '^' => self.look(if self.flags.multi_line { Look::StartLine } else { Look::Start }, after),
                '$' => self.look(if self.flags.multi_line { Look::EndLine } else { Look::End }, after),
                '.' => self.push(Node::Any { newline: self.flags.dot_newline }, after),
                '[' => {
                    let (class, rest) = parse_class(t, self.flags.fold)?;
                    self.push(Node::Class(class), rest)
                }
                '*' | '+' | '?' => {
                    repeat = Some(t);
                    let (min, max) = match c {
                        '*' => (0, None),
                        '+' => (1, None),
                        _ => (0, Some(1)),
                    };
                    self.repeat((min, max), t, after, last_repeat)?
                }
                '{' => match counts(t) {
                    None => self.literal('{', after),
                    Some((counts, after)) => {
                        repeat = Some(t);
                        let counts = counts.ok_or_else(|| {
                            RegexError::new(RegexErrorKind::RepeatSize, &t[..t.len() - after.len()])
                        })?;
                        self.repeat(counts, t, after, last_repeat)?
                    }
                },
                '\\' => self.escape(t)?,
                c => self.literal(c, after),
            };
            last_repeat = repeat;
        }
        if self.outer.is_empty() {
            Ok(())
        } else {
            Err(RegexError::new(RegexErrorKind::MissingParen, self.whole))
        }
    }

    fn push(&mut self, node: Node, after: &'a str) -> &'a str {
        self.open.current.push(Item::leaf(node));
        after
    }

    fn look(&mut self, look: Look, after: &'a str) -> &'a str {
        self.push(Node::Look(look), after)
    }

    fn literal(&mut self, c: char, after: &'a str) -> &'a str {
        self.push(Node::Literal { chars: vec![c], fold: self.flags.fold }, after)
    }

    /// Opens a group; a name, perhaps empty, makes it capture.
    fn open_group(&mut self, name: Option<String>) {
        let capture = name.map(|name| {
            self.names.push(name);
            u32::try_from(self.names.len()).unwrap_or(u32::MAX)
        });
        let open = Open::new(capture, self.flags);
        self.outer.push(std::mem::replace(&mut self.open, open));
    }

    fn close_group(&mut self) -> Result<(), RegexError> {
        let Some(outer) = self.outer.pop() else {
            return Err(RegexError::new(RegexErrorKind::UnexpectedParen, self.whole));
        };
        let closed = std::mem::replace(&mut self.open, outer);
        self.flags = closed.outer;
        let capture = closed.capture;
        let mut item = closed.close();
        if let Some(index) = capture {
            item.node = Node::Capture { index, node: Box::new(item.node) };
            item.height += 1;
            item.depth += u32::from(self.keep_groups);
            item.size = item.size.saturating_add(2);
        }
        check_limits(&item, self.whole)?;
        self.open.current.push(item);
        Ok(())
    }

    fn repeat(
        &mut self,
        (min, max): (u32, Option<u32>),
        before: &str,
        mut after: &'a str,
        last: Option<&str>,
    ) -> Result<&'a str, RegexError> {
        let mut greedy = !self.flags.swap_greed;
        if let Some(rest) = after.strip_prefix('?') {
            after = rest;
            greedy = !greedy;
        }
        let operator = |from: &str| from[..from.len() - after.len()].to_owned();
        if let Some(last) = last {
            return Err(RegexError::new(RegexErrorKind::RepeatOp, &operator(last)));
        }
        let Some(mut item) = self.open.current.pop() else {
            return Err(RegexError::new(RegexErrorKind::MissingRepeatArgument, &operator(before)));
        };
        let most = max.unwrap_or(min);
        if most >= 2 {
            item.repeats *= u64::from(most);
            if item.repeats > REPEAT_MAX {
                return Err(RegexError::new(RegexErrorKind::RepeatSize, &operator(before)));
            }
        }
        item.size = item.size.saturating_mul(u64::from(most.max(1))).saturating_add(1);
        item.height += 1;
        item.depth += 1;
        item.node = Node::Repeat { min, max, greedy, node: Box::new(item.node) };
        check_limits(&item, self.whole)?;
        self.open.current.push(item);
        Ok(after)
    }

    fn escape(&mut self, t: &'a str) -> Result<&'a str, RegexError> {
        let after = t.get(2..).unwrap_or_default();
        match t.as_bytes().get(1) {
            Some(b'A') => return Ok(self.look(Look::Start, after)),
            Some(b'z') => return Ok(self.look(Look::End, after)),
            Some(b'b') => return Ok(self.look(Look::Word, after)),
            Some(b'B') => return Ok(self.look(Look::NotWord, after)),
            Some(b'C') => return Err(RegexError::new(RegexErrorKind::Escape, &t[..2])),
            Some(b'Q') => {
                let (literal, rest) = after.split_once("\\E").unwrap_or((after, ""));
                for c in literal.chars() {
                    self.literal(c, rest);
                }
                return Ok(rest);
            }
            _ => {}
        }
        if let Some((group, rest)) = parse_group(t)? {
            return Ok(self.push(Node::Class(group.into_class(self.flags.fold)), rest));
        }
        let (value, rest) = parse_escape(t)?;
        Ok(match char::from_u32(value) {
            Some(c) => self.literal(c, rest),
            // A surrogate: no text holds one.
            None => self.push(Node::Class(char_range(value, value)), rest),
        })
    }

    /// Reads `(?…`: a named group, flags, or a group with flags.
    fn perl_group(&mut self, s: &'a str) -> Result<&'a str, RegexError> {
        let name_at = if s.starts_with("(?P<") && s.len() > 4 {
            Some(4)
        } else if s.starts_with("(?<") && s.len() > 3 {
            Some(3)
        } else {
            None
        };
        if let Some(start) = name_at {
            let bad = |part: &str| RegexError::new(RegexErrorKind::NamedCapture, part);
            let end = s.find('>').ok_or_else(|| bad(s))?;
            let name = &s[start..end];
            if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
                return Err(bad(&s[..=end]));
            }
            self.open_group(Some(name.to_owned()));
            return Ok(&s[end + 1..]);
        }
        let mut flags = self.flags;
        let mut rest = s[2..].chars();
        let (mut value, mut seen) = (true, false);
        while let Some(c) = rest.next() {
            match c {
                'i' => flags.fold = value,
                'm' => flags.multi_line = value,
                's' => flags.dot_newline = value,
                'U' => flags.swap_greed = value,
                '-' if value => {
                    (value, seen) = (false, false);
                    continue;
                }
                ':' | ')' if value || seen => {
                    if c == ':' {
                        self.open_group(None);
                    }
                    self.flags = flags;
                    return Ok(rest.as_str());
                }
                _ => break,
            }
            seen = true;
        }
        Err(RegexError::new(RegexErrorKind::PerlOp, &s[..s.len() - rest.as_str().len()]))
    }
}

/// Counts of a repetition, or nothing when they are out of bounds, and the text after it.
type Counts<'a> = (Option<(u32, Option<u32>)>, &'a str);

/// Reads `{2}`, `{2,}` or `{2,3}`; `None` when the brace stands for itself.
fn counts(s: &str) -> Option<Counts<'_>> {
    let (min, rest) = number(s.strip_prefix('{')?)?;
    let (max, rest) = match rest.strip_prefix(',') {
        None => (Some(min), rest),
        Some(rest) if rest.starts_with('}') => (None, rest),
        Some(rest) => {
            let (max, rest) = number(rest)?;
            (Some(max), rest)
        }
    };
    let rest = rest.strip_prefix('}')?;
    let limit = REPEAT_MAX as u32;
    let valid = min <= limit && max.is_none_or(|max| min <= max && max <= limit);
    Some((valid.then_some((min, max)), rest))
}

/// A number without leading zeros, cut at ten thousand.
fn number(s: &str) -> Option<(u32, &str)> {
    let len = s.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, rest) = s.split_at(len);
    if digits.is_empty() || (len > 1 && digits.starts_with('0')) {
        return None;
    }
    Some((digits.bytes().fold(0, |n, b| (n * 10 + u32::from(b - b'0')).min(10_000)), rest))
}
