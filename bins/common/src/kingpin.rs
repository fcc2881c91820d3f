//! Command lines as upstream's commands take them: the same spellings, the same complaints, the same
//! exit codes.
//!
//! clap holds the model; what differs from its habits is done before and after it. Booleans take no
//! value and have a twin `--no-X`; a flag of one value may not come twice; help and version go to
//! standard error.
//!
//! Invariant: knows how flags are written, not what any flag means.

use std::{collections::BTreeMap, error::Error as _, ffi::OsString, process::ExitCode};

use clap::{Arg, ArgAction, ArgMatches, Command, builder::ValueParser, error::ErrorKind};
use thanoslib::model::float;

use crate::values::{GoDuration, PromDuration};

/// Exit code for a command line that cannot be split.
const SPLIT: u8 = 1;
/// Exit code for a value that cannot be read.
const VALUE: u8 = 2;

/// A parsed command line with the flags that `/api/v1/status/flags` shows.
#[derive(Debug)]
pub struct Parsed<C> {
    /// The command.
    pub command: C,
    /// The flags of the innermost subcommand, also those not given, as texts.
    pub shown: BTreeMap<String, String>,
}

/// Parses the command line of the process; what is wrong is printed to standard error.
///
/// # Errors
/// The code to exit with: 0 after help or version.
pub fn parse<C: clap::Parser>(args: impl IntoIterator<Item = OsString>) -> Result<Parsed<C>, ExitCode> {
    let args: Vec<OsString> = args.into_iter().collect();
    try_parse(&args).map_err(|e| {
        eprintln!("{}", e.text);
        ExitCode::from(e.code)
    })
}

/// Why a command line was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Refused {
    code: u8,
    text: String,
}

fn try_parse<C: clap::Parser>(args: &[OsString]) -> Result<Parsed<C>, Refused> {
    let mut model = C::command();
    model.build();
    let split = split(&model, args)?;
    let refused = |e: &clap::Error| match e.kind() {
        ErrorKind::DisplayHelp
        | ErrorKind::DisplayVersion
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            Refused { code: 0, text: e.to_string().trim_end().to_owned() }
        }
        _ => {
            let own = e.source().map(ToString::to_string);
            let cause = own.unwrap_or_else(|| cause(e));
            Refused {
                code: VALUE,
                text: format!("error parsing commandline arguments: [{}]: {cause}", shown(&model, args)),
            }
        }
    };
    let matches = C::command().try_get_matches_from(split).map_err(|e| refused(&e))?;
    let shown = shown_flags(&model, &matches);
    let command = C::from_arg_matches(&matches).map_err(|e| refused(&e))?;
    Ok(Parsed { command, shown })
}

/// The command line as complaints show it, without the folder of the command.
fn shown(model: &Command, args: &[OsString]) -> String {
    let rest = args.iter().skip(1).map(|a| a.to_string_lossy());
    let texts: Vec<_> = std::iter::once(model.get_name().into()).chain(rest).collect();
    texts.join(" ")
}

/// The first line of a message of clap, without its mark.
fn cause(e: &clap::Error) -> String {
    let text = e.to_string();
    let line = text.lines().next().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}

/// The command line as clap wants it: every flag written `--name=value`.
fn split(model: &Command, args: &[OsString]) -> Result<Vec<OsString>, Refused> {
    let refused =
        |text: String| Refused { code: SPLIT, text: format!("{}: error: {text}", model.get_name()) };
    let mut out: Vec<OsString> = args.first().cloned().into_iter().collect();
    let mut path = vec![model];
    let mut positions = 0usize;
    let mut seen: Vec<String> = Vec::new();
    let mut rest = args.iter().skip(1);
    while let Some(arg) = rest.next() {
        let Some(text) = arg.to_str() else {
            out.push(arg.clone());
            continue;
        };
        let command = path.last().copied().unwrap_or(model);
        let Some(flag) = text.strip_prefix("--").filter(|f| !f.is_empty()) else {
            if !text.starts_with('-') || text == "-" {
                match command.find_subcommand(text) {
                    Some(sub) if positions == 0 => path.push(sub),
                    _ if command.has_subcommands() && positions == 0 => {
                        return Err(refused(format!("expected command but got {text:?}")));
                    }
                    _ if positions >= command.get_positionals().count()
                        && !command.get_positionals().any(takes_many) =>
                    {
                        return Err(refused(format!("unexpected {text}")));
                    }
                    _ => positions += 1,
                }
            }
            out.push(arg.clone());
            // A short flag whose value stands apart.
            if let [b'-', short] = text.as_bytes()
                && find_short(&path, char::from(*short)).is_some_and(takes_value)
            {
                out.push(
                    rest.next()
                        .cloned()
                        .ok_or_else(|| refused(format!("expected argument for flag '{text}'")))?,
                );
            }
            continue;
        };
        let (name, value) = match flag.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (flag, None),
        };
        let unknown = || refused(format!("unknown long flag '--{name}'"));
        let plain = find(&path, name);
        let (found, negated) = match (plain, name.strip_prefix("no-")) {
            (Some(found), _) => (found, false),
            (None, Some(positive)) => {
                (find(&path, positive).filter(|a| is_bool(a)).ok_or_else(unknown)?, true)
            }
            (None, None) => return Err(unknown()),
        };
        let long = found.get_long().unwrap_or_default().to_owned();
        if !matches!(found.get_action(), ArgAction::Append) {
            if seen.contains(&long) {
                return Err(refused(format!("flag '{long}' cannot be repeated")));
            }
            seen.push(long.clone());
        }
        if is_bool(found) {
            if let Some(value) = value {
                return Err(refused(format!("unexpected {value}")));
            }
            match found.get_action() {
                // Absent is false.
                ArgAction::SetTrue if negated => {}
                ArgAction::SetTrue => out.push(format!("--{long}").into()),
                _ => out.push(format!("--{long}={}", !negated).into()),
            }
        } else if !takes_value(found) {
            out.push(arg.clone());
        } else {
            let value = match value {
                Some(value) => OsString::from(value),
                None => rest
                    .next()
                    .cloned()
                    .ok_or_else(|| refused(format!("expected argument for flag '--{name}'")))?,
            };
            let mut whole = OsString::from(format!("--{long}="));
            whole.push(value);
            out.push(whole);
        }
    }
    if let [.., command] = path[..]
        && path.len() > 1
        && command.is_subcommand_required_set()
        && !out.iter().any(|a| a == "--help" || a == "-h")
    {
        let name: Vec<&str> = path.iter().skip(1).map(|c| c.get_name()).collect();
        return Err(Refused {
            code: VALUE,
            text: format!(
                "error parsing commandline arguments: [{}]: must select a subcommand of '{}'",
                shown(model, args),
                name.join(" ")
            ),
        });
    }
    Ok(out)
}

/// A flag of a command or, where it is global, of one around it.
fn find<'a>(path: &[&'a Command], long: &str) -> Option<&'a Arg> {
    let named = |arg: &&Arg| {
        arg.get_long() == Some(long) || arg.get_all_aliases().is_some_and(|all| all.contains(&long))
    };
    path.iter().rev().find_map(|c| c.get_arguments().find(named))
}

fn find_short<'a>(path: &[&'a Command], short: char) -> Option<&'a Arg> {
    path.iter().rev().find_map(|c| c.get_arguments().find(|a| a.get_short() == Some(short)))
}

/// A positional argument that may come several times.
fn takes_many(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Append) || arg.get_num_args().is_some_and(|n| n.max_values() > 1)
}

fn is_bool(arg: &Arg) -> bool {
    let typed = arg.get_value_parser().type_id() == ValueParser::bool().type_id();
    matches!(arg.get_action(), ArgAction::SetTrue) || (typed && matches!(arg.get_action(), ArgAction::Set))
}

fn takes_value(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Set | ArgAction::Append)
}

/// Flags whose values hold secrets.
fn is_secret(name: &str) -> bool {
    name.ends_with(".config") || name.ends_with("-config") || name.ends_with(".http-client")
}

/// The flags of the innermost subcommand as texts: lists joined by commas, secrets masked.
fn shown_flags(model: &Command, matches: &ArgMatches) -> BTreeMap<String, String> {
    let (mut command, mut matches) = (model, matches);
    let mut global: Vec<&str> = command.get_arguments().filter_map(Arg::get_long).collect();
    while let Some((name, inner)) = matches.subcommand() {
        let Some(sub) = command.find_subcommand(name) else { break };
        (command, matches) = (sub, inner);
    }
    global.extend(["help", "version"]);
    let mut shown = BTreeMap::new();
    for arg in command.get_arguments() {
        let Some(long) = arg.get_long().filter(|long| !global.contains(long)) else { continue };
        let raw = matches.get_raw(arg.get_id().as_str());
        let texts: Vec<_> = raw.into_iter().flatten().map(|v| v.to_string_lossy().into_owned()).collect();
        let text = match arg.get_action() {
            ArgAction::SetTrue => matches.get_flag(arg.get_id().as_str()).to_string(),
            _ => texts.iter().map(|t| canonical(arg, t)).collect::<Vec<_>>().join(","),
        };
        let text = if is_secret(long) && !text.is_empty() { "<REDACTED>".to_owned() } else { text };
        shown.insert(long.to_owned(), text);
    }
    shown
}

/// A value as it is shown, whichever spelling it was given in.
fn canonical(arg: &Arg, text: &str) -> String {
    let typed = arg.get_value_parser().type_id();
    let of = |parser: ValueParser| parser.type_id();
    let own = if typed == of(clap::value_parser!(GoDuration).into()) {
        text.parse::<GoDuration>().map(|d| d.to_string())
    } else if typed == of(clap::value_parser!(PromDuration).into()) {
        text.parse::<PromDuration>().map(|d| d.to_string())
    } else if typed == of(clap::value_parser!(f64).into()) {
        Ok(text.parse::<f64>().map_or_else(|_| text.to_owned(), general))
    } else {
        Ok(text.to_owned())
    };
    own.unwrap_or_else(|_| text.to_owned())
}

fn general(v: f64) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = float::write_general(&mut out, v);
    out
}

#[cfg(test)]
mod tests {
    use clap::{Parser, Subcommand};

    use super::*;
    use crate::values::one_of;

    #[derive(Debug, Parser)]
    #[command(name = "thanos", version, arg_required_else_help = true)]
    struct Thanos {
        #[arg(long = "log.level", default_value = "info", global = true, value_parser = one_of(&["info", "debug"]))]
        level: String,
        #[command(subcommand)]
        role: Role,
    }

    #[derive(Debug, Subcommand)]
    enum Role {
        Query(Query),
        #[command(subcommand)]
        Tools(Tools),
    }

    #[derive(Debug, Subcommand)]
    enum Tools {
        Ls,
    }

    #[derive(Debug, clap::Args)]
    struct Query {
        #[arg(long = "partial", default_value = "true", action = ArgAction::Set)]
        partial: bool,
        #[arg(long = "strict")]
        strict: bool,
        #[arg(long = "endpoint")]
        endpoint: Vec<String>,
        #[arg(long = "timeout", default_value = "2m")]
        timeout: GoDuration,
        #[arg(long = "engine", default_value = "prometheus", value_parser = one_of(&["prometheus", "thanos"]))]
        engine: String,
        #[arg(long = "some.config", default_value = "")]
        config: String,
    }

    fn parse(args: &[&str]) -> Result<Parsed<Thanos>, Refused> {
        let args: Vec<OsString> = ["thanos"].iter().chain(args).map(OsString::from).collect();
        try_parse(&args)
    }

    #[test]
    fn booleans_have_a_twin_and_take_no_value() {
        let check = |args: &[&str], want: (bool, bool)| {
            let Role::Query(q) = parse(args).expect("valid").command.role else { panic!("a query") };
            assert_eq!((q.partial, q.strict), want, "{args:?}");
        };
        check(&["query"], (true, false));
        check(&["query", "--no-partial"], (false, false));
        check(&["query", "--partial", "--strict"], (true, true));
        check(&["query", "--no-strict"], (true, false));
        let parsed =
            parse(&["--log.level", "debug", "query", "--endpoint=a", "--endpoint", "b"]).expect("valid");
        assert_eq!(parsed.command.level, "debug");
        let Role::Query(q) = parsed.command.role else { panic!("a query") };
        assert_eq!((q.endpoint.len(), q.timeout.to_string().as_str()), (2, "2m0s"));
    }

    #[test]
    fn complaints_are_those_of_upstream() {
        let check = |args: &[&str], code: u8, text: &str| {
            let e = parse(args).expect_err("refused");
            assert_eq!((e.code, e.text.as_str()), (code, text), "{args:?}");
        };
        check(&["nosuch"], 1, r#"thanos: error: expected command but got "nosuch""#);
        check(&["query", "--nosuch"], 1, "thanos: error: unknown long flag '--nosuch'");
        check(&["query", "--no-such"], 1, "thanos: error: unknown long flag '--no-such'");
        check(&["query", "--partial=false"], 1, "thanos: error: unexpected false");
        check(&["query", "--endpoint"], 1, "thanos: error: expected argument for flag '--endpoint'");
        check(&["query", "extra"], 1, "thanos: error: unexpected extra");
        check(
            &["query", "--timeout=1s", "--timeout=1s"],
            1,
            "thanos: error: flag 'timeout' cannot be repeated",
        );
        let values = "error parsing commandline arguments: [thanos ";
        check(
            &["query", "--engine=foo"],
            2,
            &format!("{values}query --engine=foo]: enum value must be one of prometheus,thanos, got 'foo'"),
        );
        check(&["tools"], 2, &format!("{values}tools]: must select a subcommand of 'tools'"));
        assert_eq!(parse(&[]).expect_err("help").code, 0);
        assert_eq!(parse(&["query", "--help"]).expect_err("help").code, 0);
        assert_eq!(parse(&["--version"]).expect_err("version").code, 0);
    }

    #[test]
    fn flags_are_shown_with_their_defaults() {
        let shown =
            parse(&["query", "--endpoint=a,b", "--endpoint=c", "--some.config=secret"]).expect("valid").shown;
        let all: Vec<_> = shown.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        let want = [
            ("endpoint", "a,b,c"),
            ("engine", "prometheus"),
            ("partial", "true"),
            ("some.config", "<REDACTED>"),
            ("strict", "false"),
            ("timeout", "2m0s"),
        ];
        assert_eq!(all, want);
    }
}
