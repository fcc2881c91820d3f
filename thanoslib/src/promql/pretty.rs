//! The indented text of a syntax tree.

use std::fmt::{self, Write};

use super::{
    ast::{Expr, Node},
    print,
};

/// Bytes of a node that stands on one line.
const LINE_BYTES_MAX: usize = 100;
/// Deepest indentation in steps, so that a deep query stays a text of reasonable size.
const INDENT_MAX: usize = 64;

impl Expr {
    /// The canonical text, over several lines where a part is longer than 100 bytes.
    ///
    /// Lines are indented by two blanks for each level, up to 64 levels.
    ///
    /// ```
    /// use thanoslib::promql::{EngineOptions, parse};
    /// let text = format!("sum(rate({}[5m]))", "x".repeat(100));
    /// let expr = parse(&text, &EngineOptions::default())?;
    /// assert_eq!(expr.prettify().lines().nth(1), Some("  rate("));
    /// # Ok::<(), thanoslib::promql::ParseError>(())
    /// ```
    pub fn prettify(&self) -> String {
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = pretty(&mut out, self, 0, Indent::Written);
        out
    }
}

/// Whether a node begins a line of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Indent {
    /// It writes the blanks in front.
    Due,
    /// Something else did.
    Written,
}

fn pretty(out: &mut String, e: &Expr, level: usize, indent: Indent) -> fmt::Result {
    if let Node::Subquery(s) = &e.node {
        // Compat: a short subquery is not indented (promql/parser/prettier.go).
        if !is_long(e) {
            return write!(out, "{e}");
        }
        pretty(out, &s.expr, level, indent)?;
        return print::subquery_suffix(out, s);
    }
    if let (Node::Binary(b), true) = (&e.node, is_long(e)) {
        // The left operand begins the first line, deeper than the operator.
        pretty(out, &b.lhs, level + 1, Indent::Due)?;
        out.push('\n');
        blanks(out, level)?;
        print::operator(out, b)?;
        out.push('\n');
        return pretty(out, &b.rhs, level + 1, Indent::Due);
    }
    if indent == Indent::Due {
        blanks(out, level)?;
    }
    match &e.node {
        Node::Unary { negative, expr } => {
            out.push(if *negative { '-' } else { '+' });
            return pretty(out, expr, level, Indent::Written);
        }
        _ if !is_long(e) => return write!(out, "{e}"),
        Node::Paren(inner) => {
            out.push_str("(\n");
            pretty(out, inner, level + 1, Indent::Due)?;
            close(out, level)?;
        }
        Node::Aggregate(a) => {
            print::aggregate_head(out, a)?;
            out.push_str("(\n");
            if let Some(param) = &a.param {
                pretty(out, param, level + 1, Indent::Due)?;
                out.push_str(",\n");
            }
            pretty(out, &a.expr, level + 1, Indent::Due)?;
            close(out, level)?;
        }
        Node::Call { function, args } => {
            writeln!(out, "{}(", function.name)?;
            for (i, arg) in args.iter().enumerate() {
                out.push_str(if i > 0 { ",\n" } else { "" });
                pretty(out, arg, level + 1, Indent::Due)?;
            }
            close(out, level)?;
        }
        _ => write!(out, "{e}")?,
    }
    Ok(())
}

fn close(out: &mut String, level: usize) -> fmt::Result {
    out.push('\n');
    blanks(out, level)?;
    out.push(')');
    Ok(())
}

fn blanks(out: &mut String, level: usize) -> fmt::Result {
    write!(out, "{:1$}", "", 2 * level.min(INDENT_MAX))
}

/// True when the text of a node does not fit on a line; writes no more of it than needed.
fn is_long(e: &Expr) -> bool {
    struct Room(usize);
    impl Write for Room {
        fn write_str(&mut self, s: &str) -> fmt::Result {
            self.0 = self.0.checked_sub(s.len()).ok_or(fmt::Error)?;
            Ok(())
        }
    }
    write!(Room(LINE_BYTES_MAX), "{e}").is_err()
}
