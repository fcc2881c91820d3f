//! The commands of a script.

use crate::model::Labels;

use super::text::{Item, Reader, duration, scalar};

/// One command with its line number, from 1.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) line: usize,
    pub(super) what: What,
}

/// What a command does.
#[derive(Debug)]
pub(super) enum What {
    Clear,
    Load(Load),
    Eval(Box<Eval>),
    /// It cannot be read: its text and why.
    Bad(String, String),
}

/// Samples to store.
#[derive(Debug)]
pub(super) struct Load {
    pub(super) gap_ms: i64,
    pub(super) with_nhcb: bool,
    /// For each series its values and, per position, the offset of the start timestamp.
    pub(super) series: Vec<(Labels, Vec<Item>, Vec<Option<i64>>)>,
}

/// A query and what must come of it.
#[derive(Debug)]
pub(super) struct Eval {
    pub(super) query: String,
    pub(super) time: Time,
    pub(super) fail: Option<Vec<Text>>,
    pub(super) warn: Presence,
    pub(super) info: Presence,
    pub(super) ordered: bool,
    pub(super) string: Option<Vec<u8>>,
    /// Times of the expected range vector: from, to, step.
    pub(super) range_vector: Option<(i64, i64, i64)>,
    pub(super) scalar: Option<f64>,
    pub(super) series: Vec<(Labels, Vec<Item>)>,
}

/// When a query is evaluated, in ms.
#[derive(Clone, Copy, Debug)]
pub(super) enum Time {
    Instant(i64),
    Range { start_ms: i64, end_ms: i64, step_ms: i64 },
}

/// Which text is wanted.
#[derive(Clone, Debug)]
pub(super) enum Text {
    Any,
    Equal(String),
    Matches(String),
}

/// What is wanted of warnings or infos.
#[derive(Clone, Debug)]
pub(super) enum Presence {
    Unasserted,
    None,
    Some(Vec<Text>),
}

/// Reads a whole script.
pub(super) fn read(text: &str) -> Vec<Command> {
    let lines: Vec<&str> =
        text.split('\n').map(str::trim).map(|l| if l.starts_with('#') { "" } else { l }).collect();
    let mut commands = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let head = lines[at];
        if head.is_empty() {
            at += 1;
            continue;
        }
        let word = head.split([' ', '\t']).next().unwrap_or_default().to_ascii_lowercase();
        let mut end = at + 1;
        let what = if word == "clear" {
            Ok(What::Clear)
        } else if word.starts_with("load") || word.starts_with("eval") {
            while lines.get(end).is_some_and(|l| !l.is_empty()) {
                end += 1;
            }
            let body = &lines[at + 1..end];
            if word.starts_with("load") {
                load(head, body).map(What::Load)
            } else {
                eval(head, body).map(|(eval, used)| {
                    end = at + 1 + used;
                    What::Eval(Box::new(eval))
                })
            }
        } else {
            Err(format!("{word:?} is no command"))
        };
        let what = what.unwrap_or_else(|why| What::Bad(head.to_owned(), why));
        commands.push(Command { line: at + 1, what });
        at = end;
    }
    commands
}

/// The first word of a text and the rest without blanks in front.
fn word(text: &str) -> (&str, &str) {
    match text.split_once([' ', '\t']) {
        Some((word, rest)) => (word, rest.trim_start()),
        None => (text, ""),
    }
}

fn load(head: &str, body: &[&str]) -> Result<Load, String> {
    let (command, gap) = word(head);
    let with_nhcb = match command.to_ascii_lowercase().as_str() {
        "load" => false,
        "load_with_nhcb" => true,
        other => return Err(format!("{other:?} is no command")),
    };
    let gap_ms = duration(gap)?;
    let mut series: Vec<(Labels, Vec<Item>, Vec<Option<i64>>)> = Vec::new();
    let mut starts: Option<(Labels, Vec<Option<i64>>)> = None;
    for line in body {
        let mut reader = Reader::new(line);
        let labels = reader.series()?;
        if reader.take("@st") {
            if starts.is_some() {
                return Err("start timestamps must be followed by their samples".to_owned());
            }
            starts = Some((labels, start_offsets(reader.rest())?));
            continue;
        }
        let items = reader.sequence()?;
        let offsets = match starts.take() {
            None => vec![None; items.len()],
            Some((of, offsets)) if of == labels && offsets.len() == items.len() => offsets,
            Some((of, offsets)) => {
                return Err(format!(
                    "{} start timestamps of {of} stand before {} samples of {labels}",
                    offsets.len(),
                    items.len()
                ));
            }
        };
        series.retain(|(of, _, _)| *of != labels);
        series.push((labels, items, offsets));
    }
    if starts.is_some() {
        return Err("start timestamps must be followed by their samples".to_owned());
    }
    Ok(Load { gap_ms, with_nhcb, series })
}

/// Most start timestamps of a line.
const STARTS_MAX: usize = 1_000_000;

fn start_offsets(text: &str) -> Result<Vec<Option<i64>>, String> {
    let mut out = Vec::new();
    for item in text.split_ascii_whitespace() {
        let (value, count) = match item.split_once('x') {
            Some((value, n)) => {
                let n = n.parse::<usize>().map_err(|_| format!("{item:?} has no number of repetitions"))?;
                (value, if value == "_" { n } else { n.saturating_add(1) })
            }
            None => (item, 1),
        };
        if count > STARTS_MAX - out.len() {
            return Err(format!("more than {STARTS_MAX} start timestamps"));
        }
        if value == "_" {
            out.extend(std::iter::repeat_n(None, count));
            continue;
        }
        let step_at = value.char_indices().skip(1).find(|(_, c)| matches!(c, '+' | '-')).map(|(i, _)| i);
        let (first, step) = match step_at {
            Some(i) => (duration(&value[..i])?, duration(&value[i..])?),
            None => (duration(value)?, 0),
        };
        out.extend((0..count).map(|i| Some(first.saturating_add(step.saturating_mul(i as i64)))));
    }
    Ok(out)
}

/// The command and how many lines of the body belong to it.
fn eval(head: &str, body: &[&str]) -> Result<(Eval, usize), String> {
    let (command, rest) = word(head);
    let command = command.to_ascii_lowercase();
    let suffix = command.strip_prefix("eval").unwrap_or_default();
    let (kind, rest) = word(rest);
    let (time, query) = match kind.to_ascii_lowercase().as_str() {
        "instant" => match word(rest) {
            ("at", rest) => {
                let (at, query) = word(rest);
                (Time::Instant(duration(at)?), query)
            }
            _ => (Time::Instant(0), rest),
        },
        "range" => {
            let (start_ms, end_ms, step_ms, query) = range(rest)?;
            (Time::Range { start_ms, end_ms, step_ms }, query)
        }
        _ => return Err(format!("{kind:?} is neither instant nor range")),
    };
    if query.is_empty() {
        return Err("there is no query".to_owned());
    }
    let mut eval = Eval {
        query: query.to_owned(),
        time,
        fail: None,
        warn: Presence::Unasserted,
        info: Presence::Unasserted,
        ordered: false,
        string: None,
        range_vector: None,
        scalar: None,
        series: Vec::new(),
    };
    match suffix {
        "" => {}
        "_fail" => eval.fail = Some(vec![Text::Any]),
        "_warn" => eval.warn = Presence::Some(vec![Text::Any]),
        "_info" => eval.info = Presence::Some(vec![Text::Any]),
        "_ordered" => eval.ordered = true,
        _ => return Err(format!("{command:?} is no command")),
    }
    for (i, line) in body.iter().enumerate() {
        if suffix == "_fail" && i == 0 {
            if let Some(text) = line.strip_prefix("expected_fail_message") {
                eval.fail = Some(vec![Text::Equal(text.trim().to_owned())]);
                return Ok((eval, 1));
            }
            if let Some(text) = line.strip_prefix("expected_fail_regexp") {
                eval.fail = Some(vec![Text::Matches(text.trim().to_owned())]);
                return Ok((eval, 1));
            }
        }
        if let Some(rest) = line.strip_prefix("expect").filter(|r| r.starts_with([' ', '\t'])) {
            expect(&mut eval, rest.trim())?;
        } else if let Some(v) = scalar(line) {
            eval.scalar = Some(v);
            return Ok((eval, i + 1));
        } else {
            let mut reader = Reader::new(line);
            let labels = reader.series()?;
            eval.series.push((labels, reader.sequence()?));
        }
    }
    Ok((eval, body.len()))
}

/// `from D to D step D` and what follows.
fn range(text: &str) -> Result<(i64, i64, i64, &str), String> {
    let mut rest = text;
    let mut times = [0; 3];
    for (i, name) in ["from", "to", "step"].into_iter().enumerate() {
        let (got, after) = word(rest);
        if got != name {
            return Err(format!("want {name:?} at {rest:?}"));
        }
        let (value, after) = word(after);
        times[i] = duration(value)?;
        rest = after;
    }
    Ok((times[0], times[1], times[2], rest))
}

fn expect(eval: &mut Eval, text: &str) -> Result<(), String> {
    let (what, rest) = word(text);
    let instant = matches!(eval.time, Time::Instant(_));
    let wanted = |rest: &str| -> Result<Text, String> {
        if rest.is_empty() {
            Ok(Text::Any)
        } else if let Some(text) = rest.strip_prefix("msg:") {
            Ok(Text::Equal(text.trim().to_owned()))
        } else if let Some(text) = rest.strip_prefix("regex:") {
            Ok(Text::Matches(text.trim().to_owned()))
        } else {
            Err(format!("want msg: or regex: at {rest:?}"))
        }
    };
    let add = |presence: &mut Presence, text: Text| match presence {
        Presence::Some(texts) => {
            texts.push(text);
            Ok(())
        }
        Presence::Unasserted => {
            *presence = Presence::Some(vec![text]);
            Ok(())
        }
        Presence::None => Err("some and none are expected at once".to_owned()),
    };
    let none = |presence: &mut Presence| match presence {
        Presence::Some(_) => Err("some and none are expected at once".to_owned()),
        _ => {
            *presence = Presence::None;
            Ok(())
        }
    };
    match what {
        "fail" if eval.fail.is_some() => Err("failure is expected twice".to_owned()),
        "fail" => {
            eval.fail = Some(vec![wanted(rest)?]);
            Ok(())
        }
        "warn" => add(&mut eval.warn, wanted(rest)?),
        "info" => add(&mut eval.info, wanted(rest)?),
        "no_warn" => none(&mut eval.warn),
        "no_info" => none(&mut eval.info),
        "ordered" if instant => {
            eval.ordered = true;
            Ok(())
        }
        "string" if instant => {
            eval.string = Some(crate::promql::parse::literal::unquote(rest.as_bytes())?.into_owned());
            Ok(())
        }
        "range" if instant => {
            let times = rest.strip_prefix("vector").ok_or_else(|| format!("want vector at {rest:?}"))?;
            let (from, to, step, _) = range(times.trim())?;
            eval.range_vector = Some((from, to, step));
            Ok(())
        }
        _ => Err(format!("{text:?} cannot be expected here")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_end_at_empty_lines_and_comments() {
        let script = "load 1m\n  a 1 2\n  b 3\n# c\n\neval instant at 5m sum(a)\n  expect no_warn\n  {} 1\n\nclear\nwhat\neval_fail range from 0 to 1m step 1m x\n expected_fail_message no\n";
        let commands = read(script);
        let lines: Vec<usize> = commands.iter().map(|c| c.line).collect();
        assert_eq!(lines, [1, 6, 10, 11, 12]);
        match &commands[0].what {
            What::Load(load) => assert_eq!((load.series.len(), load.gap_ms), (2, 60_000)),
            other => panic!("{other:?}"),
        }
        match &commands[1].what {
            What::Eval(eval) => {
                assert_eq!(eval.query, "sum(a)");
                assert!(matches!(eval.warn, Presence::None) && matches!(eval.info, Presence::Unasserted));
                assert_eq!(eval.series.len(), 1);
            }
            other => panic!("{other:?}"),
        }
        assert!(matches!(commands[3].what, What::Bad(..)));
        match &commands[4].what {
            What::Eval(eval) => assert!(matches!(&eval.fail.as_deref(), Some([Text::Equal(t)]) if t == "no")),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn start_timestamps_are_offsets() {
        let check = |text: &str, want: &[Option<i64>]| {
            assert_eq!(start_offsets(text).as_deref(), Ok(want), "{text}");
        };
        check("_x2 -1m", &[None, None, Some(-60_000)]);
        check("-1mx1 _", &[Some(-60_000), Some(-60_000), None]);
        check("-1m-10sx2", &[Some(-60_000), Some(-70_000), Some(-80_000)]);
        assert!(start_offsets("_x99999999999").is_err());
    }
}
