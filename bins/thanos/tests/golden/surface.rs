//! `query/surface`: flags, routes, metrics and command lines, as seen from outside.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::{Command, Output, Stdio},
    sync::LazyLock,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use thanoslib::testing::golden::{Golden, Suite, Verdict, equal};
use tokio::runtime::Runtime;

use crate::{
    process::{Host, Process},
    prometheus::prometheus,
    variants::store,
};

/// Commands that are there; `""` is the application itself.
const BUILT: &[&str] = &["", "query", "sidecar"];

pub(crate) fn run(golden: &mut Golden) {
    if !golden.root().join("query/surface").is_dir() {
        return;
    }
    flags(golden);
    command_lines(golden);
    routes_and_metrics(golden);
}

fn read(path: &Path) -> Result<Value, String> {
    let text = std::fs::read_to_string(path).map_err(|e| e.to_string())?;
    serde_json::from_str(&text).map_err(|e| e.to_string())
}

/// A row that stands for a whole command that is not built yet.
fn missing(command: &str) -> Value {
    json!({"name": format!("{}/all", command.replace(' ', "-")), "command": command})
}

fn thanos(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_thanos"));
    command.args(args).stdin(Stdio::null()).output().expect("the command starts")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn flags(golden: &mut Golden) {
    golden.run(&Suite {
        label: "query/surface/flags",
        path: "query/surface/flags.json",
        inputs: &["name", "command", "flag"],
        expected: &["short", "default", "hidden", "bool", "repeatable", "enum"],
        ignored: &[],
        rows: Some(|path| {
            let mut rows = Vec::new();
            for command in read(path)?.as_array().into_iter().flatten() {
                let name = command["command"].as_str().unwrap_or_default();
                if !BUILT.contains(&name) {
                    rows.push(missing(name));
                    continue;
                }
                for flag in command["flags"].as_array().into_iter().flatten() {
                    let long = flag["name"].as_str().unwrap_or_default();
                    let row = json!({
                        "name": format!("{}/{long}", if name.is_empty() { "thanos" } else { name }),
                        "command": name,
                        "flag": long,
                        "short": flag["short"],
                        "default": flag["default"],
                        "hidden": flag["hidden"],
                        "bool": flag["bool"],
                        "repeatable": flag["repeatable"],
                        "enum": flag["enum"],
                    });
                    rows.push(row);
                }
            }
            Ok(rows)
        }),
        check: &|_, row| flag(row),
    });
    golden.run(&Suite {
        label: "query/surface/addresses",
        path: "query/surface/default_addresses.json",
        inputs: &["name", "command", "flag"],
        expected: &["default"],
        ignored: &[],
        rows: Some(|path| {
            let mut rows = Vec::new();
            for (command, flags) in read(path)?.as_object().into_iter().flatten() {
                if !BUILT.contains(&command.as_str()) {
                    rows.push(missing(command));
                    continue;
                }
                for (flag, default) in flags.as_object().into_iter().flatten() {
                    let name = format!("{command}/{flag}");
                    rows.push(json!({"name": name, "command": command, "flag": flag, "default": default}));
                }
            }
            Ok(rows)
        }),
        check: &|_, row| {
            let command = row["command"].as_str().unwrap_or_default();
            let Some(flag) = row["flag"].as_str() else { return Err("no such command".to_owned()) };
            let shown = help(command, flag).ok_or("not in the help")?;
            equal(&json!(default_of(&shown)), &row["default"])
        },
    });
}

/// What the help says of a flag: from its name to the next flag.
fn help(command: &str, flag: &str) -> Option<String> {
    static HELPS: LazyLock<BTreeMap<&str, String>> = LazyLock::new(|| {
        let one = |command: &&'static str| {
            let args: Vec<&str> = [*command, "--help"].into_iter().filter(|a| !a.is_empty()).collect();
            (*command, stderr(&thanos(&args)))
        };
        BUILT.iter().map(one).collect()
    });
    let text = HELPS.get(command)?;
    let is_flag = |line: &str| line.trim_start().starts_with('-');
    let mut lines = text.lines().skip_while(|line| {
        let mut words = line.split_whitespace();
        !is_flag(line) || !words.any(|w| w == format!("--{flag}"))
    });
    let first = lines.next()?;
    let rest: Vec<&str> = lines.take_while(|line| !is_flag(line)).collect();
    Some(format!("{first} {}", rest.join(" ")))
}

fn default_of(help: &str) -> String {
    help.split("[default: ").nth(1).and_then(|d| d.split(']').next()).unwrap_or_default().to_owned()
}

fn flag(row: &Value) -> Verdict {
    let command = row["command"].as_str().unwrap_or_default();
    let Some(name) = row["flag"].as_str() else { return Err("no such command".to_owned()) };
    if !row["default"].is_array() || !(row["enum"].is_null() || row["enum"].is_array()) {
        return Err("the recording has no such defaults or words".to_owned());
    }
    let value = match row["enum"].as_array() {
        Some(words) => words.iter().filter_map(Value::as_str).next_back().unwrap_or_default(),
        None => row["default"][0].as_str().unwrap_or("1"),
    };
    // The help ends the command behind the flags.
    let run = |more: &[String]| {
        let head = [command].into_iter().filter(|c| !c.is_empty());
        let args: Vec<&str> = head.chain(more.iter().map(String::as_str)).chain(["--help"]).collect();
        let output = thanos(&args);
        (output.status.code(), stderr(&output).lines().last().unwrap_or_default().to_owned())
    };
    let is_bool = row["bool"].as_bool().unwrap_or_default();
    // Once as itself and once as its twin, or twice with a value.
    let (first, second) = match is_bool {
        true => (format!("--{name}"), format!("--no-{name}")),
        false => (format!("--{name}={value}"), format!("--{name}={value}")),
    };
    let twice = run(&[first, second]);
    let repeatable = match twice {
        (Some(0), _) => true,
        (Some(1), why) if why.ends_with(&format!("flag '{name}' cannot be repeated")) => false,
        other => return Err(format!("it is not taken: {other:?}")),
    };
    equal(&json!(repeatable), &row["repeatable"]).map_err(|e| format!("repeatable: {e}"))?;
    if is_bool {
        let with_value = run(&[format!("--{name}=zz")]);
        equal(&json!(with_value.1.ends_with("unexpected zz")), &json!(true))
            .map_err(|e| format!("bool: {e}"))?;
    } else {
        equal(&row["bool"], &json!(false)).map_err(|e| format!("bool: {e}"))?;
    }
    let shown = help(command, name);
    equal(&json!(shown.is_none()), &row["hidden"]).map_err(|e| format!("hidden: {e}"))?;
    if let Some(shown) = &shown
        && !is_bool
    {
        let defaults = row["default"].as_array().cloned().unwrap_or_default();
        let want: Vec<&str> = defaults.iter().filter_map(Value::as_str).filter(|d| !d.is_empty()).collect();
        same_default(&default_of(shown), &want)?;
    }
    if let Some(short) = row["short"].as_str() {
        let has = shown.as_ref().is_some_and(|s| s.contains(&format!("-{short}, ")));
        equal(&json!(has), &json!(true)).map_err(|e| format!("short: {e}"))?;
    }
    if row["enum"].is_array() {
        let args: Vec<String> = [command, &format!("--{name}=zz")]
            .into_iter()
            .filter(|a| !a.is_empty())
            .chain(if command.is_empty() { vec!["query"] } else { Vec::new() })
            .map(str::to_owned)
            .collect();
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let output = thanos(&args);
        let words: Vec<&str> =
            row["enum"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let want = format!("enum value must be one of {}, got 'zz'", words.join(","));
        let last = stderr(&output).lines().last().unwrap_or_default().to_owned();
        // A word of our own may stand beside those of upstream.
        let listed =
            last.split("must be one of ").nth(1).and_then(|l| l.split(", got").next()).unwrap_or_default();
        let own: BTreeSet<&str> = listed.split(',').collect();
        if output.status.code() != Some(2) || !words.iter().all(|w| own.contains(w)) {
            return Err(format!("want {want}: got {last}"));
        }
    }
    Ok(())
}

/// Compares a default with ours, which may be spelled otherwise.
fn same_default(own: &str, want: &[&str]) -> Verdict {
    let own: Vec<&str> = own.split([',', ' ']).filter(|d| !d.is_empty()).collect();
    let number = |text: &str| text.parse::<f64>().ok();
    let zero = |text: &str| matches!(text, "0" | "0s" | "0ms" | "false");
    let same = |a: &str, b: &str| {
        a.trim_matches('"') == b || (number(a).is_some() && number(a) == number(b)) || (zero(a) && zero(b))
    };
    let equal = own.len() == want.len() && own.iter().zip(want).all(|(a, b)| same(a, b));
    // What is empty, nothing or none of it is not shown by upstream either.
    let none = want.is_empty() && own.iter().all(|d| zero(d) || *d == "\"\"");
    if equal || none { Ok(()) } else { Err(format!("default: got {own:?}, want {want:?}")) }
}

fn command_lines(golden: &mut Golden) {
    golden.run(&Suite {
        label: "query/surface/cli",
        path: "query/surface/cli_behaviour.json",
        inputs: &["name", "args"],
        expected: &["exit_code", "stdout_line_count", "stderr_last_line"],
        ignored: &[
            ("stderr_line_count", "the help has its own words"),
            ("stdout", "empty as its count of lines says"),
            ("stderr", "the version of another program"),
            ("note", "of the recording"),
        ],
        rows: Some(|path| {
            let rows = read(path)?;
            let named = rows.as_array().into_iter().flatten().enumerate().map(|(i, row)| {
                let mut row = row.clone();
                row["name"] = json!(format!("cli-{i}"));
                row
            });
            Ok(named.collect())
        }),
        check: &|_, row| command_line(row),
    });
}

fn command_line(row: &Value) -> Verdict {
    let args: Vec<&str> = row["args"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut child = Command::new(env!("CARGO_BIN_EXE_thanos"))
        .args(&args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| e.to_string())?;
    let runs_on = row["exit_code"].is_null();
    let begin = Instant::now();
    let patience = Duration::from_secs(if runs_on { 2 } else { 20 });
    while child.try_wait().map_err(|e| e.to_string())?.is_none() && begin.elapsed() < patience {
        std::thread::sleep(Duration::from_millis(10));
    }
    let ended = child.try_wait().map_err(|e| e.to_string())?.is_some();
    if !ended {
        child.kill().map_err(|e| e.to_string())?;
    }
    let output = child.wait_with_output().map_err(|e| e.to_string())?;
    let code = if ended { json!(output.status.code()) } else { Value::Null };
    equal(&code, &row["exit_code"]).map_err(|e| format!("exit code: {e}: {}", stderr(&output)))?;
    let lines = String::from_utf8_lossy(&output.stdout).lines().count();
    equal(&json!(lines), &row["stdout_line_count"]).map_err(|e| format!("lines on stdout: {e}"))?;
    let Some(want) = row["stderr_last_line"].as_str() else { return Ok(()) };
    let last = stderr(&output).lines().last().unwrap_or_default().to_owned();
    if want.starts_with("ts=") {
        // Lines of the log end with stacks of Go; what they say first is compared.
        let said = want.split("err=\"").nth(1).and_then(|e| e.split("\\n").next()).unwrap_or_default();
        let said = said.trim_end_matches('.');
        return if last.contains(said) { Ok(()) } else { Err(format!("got {last}, want {said}")) };
    }
    equal(&json!(last), &json!(want))
}

fn routes_and_metrics(golden: &mut Golden) {
    let host = Host::new();
    let bucket = golden.root().join("query/bucket");
    let data = tempfile::tempdir().expect("a folder");
    let store = bucket.is_dir().then(|| store(&host, &bucket, data.path()));
    let query = |ports, more: &[&str]| {
        let mut args = vec!["query".to_owned(), format!("--endpoint={}", host.at(21_002))];
        args.extend(more.iter().map(|a| (*a).to_owned()));
        Process::start(&host, ports, &args)
    };
    let plain = query((21_021, 21_022), &[]);
    let prefixed = query((21_023, 21_024), &["--web.route-prefix=/pre"]);
    let without_cors =
        Process::start(&host, (21_025, 21_026), &["query".to_owned(), "--web.disable-cors".to_owned()]);
    let runtime = Runtime::new().expect("a runtime");
    let recording = golden.root().join("query/sidecar_prometheus/conversation.jsonl");
    let prometheus = recording.is_file().then(|| runtime.block_on(prometheus(&recording, "127.0.0.1:0")));
    let sidecar = prometheus.as_ref().map(|prometheus| {
        let url = format!("--prometheus.url=http://{}", prometheus.address);
        Process::start(&host, (21_027, 21_028), &["sidecar".to_owned(), url])
    });
    let processes: BTreeMap<&str, &Process> = [
        ("query", Some(&plain)),
        ("sidecar", sidecar.as_ref()),
        ("query (route-prefix=/pre)", Some(&prefixed)),
        ("query (web.disable-cors)", Some(&without_cors)),
    ]
    .into_iter()
    .filter_map(|(command, process)| Some((command, process?)))
    .collect();
    golden.run(&Suite {
        label: "query/surface/routes",
        path: "query/surface/http_routes.json",
        inputs: &["name", "command", "method", "path"],
        expected: &["status", "content_type", "location", "cors", "plain_404"],
        ignored: &[
            ("body", "bodies are compared by the recordings of the API"),
            ("note", "of the recording"),
        ],
        rows: Some(route_rows),
        check: &|_, row| {
            let command = row["command"].as_str().unwrap_or_default();
            let Some(process) = processes.get(command) else { return Err("no such command".to_owned()) };
            route(process, row)
        },
    });
    for path in
        ["/api/v1/query?query=up", "/api/v1/query_range?query=up&start=1&end=2&step=1", "/api/v1/labels"]
    {
        let answer = plain.get(path).expect("an answer");
        assert_eq!(answer.status, 200, "{path}");
    }
    let of = |process: &Process| families(&process.get("/metrics").expect("metrics").body);
    let families: BTreeMap<&str, Families> = [("query", Some(&plain)), ("sidecar", sidecar.as_ref())]
        .into_iter()
        .filter_map(|(c, p)| Some((c, of(p?))))
        .collect();
    golden.run(&Suite {
        label: "query/surface/metrics",
        path: "query/surface/metrics.json",
        inputs: &["name", "family", "command"],
        expected: &["type", "labels"],
        ignored: &[],
        rows: Some(|path| {
            let mut rows = Vec::new();
            for (command, families) in read(path)?.as_object().into_iter().flatten() {
                let Some(families) = families.as_array() else { continue };
                let commands: &[&str] = match command.as_str() {
                    "_common_to_all" => &["query", "sidecar"],
                    "query" | "sidecar" => &[command],
                    _ => {
                        rows.push(missing(command));
                        continue;
                    }
                };
                for (command, family) in commands.iter().flat_map(|c| families.iter().map(move |f| (c, f))) {
                    // What Go's runtime tells of itself is judged once.
                    let of_go = family["name"].as_str().is_some_and(|name| name.starts_with("go_"));
                    if of_go && *command != "query" {
                        continue;
                    }
                    let mut row = family.clone();
                    row["command"] = json!(command);
                    // Rows are told by their names.
                    row["family"] = row["name"].clone();
                    if *command != "query" {
                        row["name"] =
                            json!(format!("{command}-{}", row["name"].as_str().unwrap_or_default()));
                    }
                    rows.push(row);
                }
            }
            Ok(rows)
        }),
        check: &|_, row| {
            let (command, name) = (row["command"].as_str(), row["family"].as_str().unwrap_or_default());
            let families = command.and_then(|c| families.get(c)).ok_or("no such command")?;
            let Some((kind, labels)) = families.get(name) else { return Err("no such family".to_owned()) };
            equal(&json!(kind), &row["type"])?;
            // A family without samples has no labels to compare.
            let Some(labels) = labels else { return Ok(()) };
            equal(&json!(labels), &row["labels"])
        },
    });
    drop(store);
}

fn route_rows(path: &Path) -> Result<Vec<Value>, String> {
    let mut rows = Vec::new();
    for (command, routes) in read(path)?.as_object().into_iter().flatten() {
        if command != "sidecar" && (!command.starts_with("query") || command == "query-frontend") {
            rows.push(missing(command));
            continue;
        }
        let short = command.replace("query (", "").replace("query", "q").replace([')', '/'], "");
        for (i, route) in routes["answered"].as_array().into_iter().flatten().enumerate() {
            let mut row = route.clone();
            row["name"] = json!(format!("{short}-{i}"));
            row["command"] = json!(command);
            row["plain_404"] = json!(false);
            rows.push(row);
        }
        for (i, route) in routes["plain_404"].as_array().into_iter().flatten().enumerate() {
            let (method, path) =
                route.as_str().and_then(|r| r.split_once(' ')).ok_or("a method and a path")?;
            rows.push(json!({
                "name": format!("{short}-404-{i}"),
                "command": command,
                "method": method,
                "path": path,
                "plain_404": true,
            }));
        }
    }
    Ok(rows)
}

fn route(process: &Process, row: &Value) -> Verdict {
    let request =
        json!({"method": row["method"].as_str().unwrap_or("GET"), "path": row["path"], "params": []});
    let answer = process.ask(&request)?;
    if row["plain_404"] == true {
        let plain = answer.status == 404 && answer.body == "404 page not found\n";
        return equal(&json!(plain), &json!(true)).map_err(|_| format!("status {}", answer.status));
    }
    if row["plain_404"] != false {
        return Err("plain_404 is no flag".to_owned());
    }
    equal(&json!(answer.status), &row["status"]).map_err(|e| format!("status: {e}"))?;
    let content_type = answer.header("content-type");
    let content_type = if content_type.is_empty() { Value::Null } else { json!(content_type) };
    // A body that is only a link or nothing has the type of its server.
    if !matches!(answer.status, 302 | 307) {
        equal(&content_type, &row["content_type"]).map_err(|e| format!("content type: {e}"))?;
    }
    if let Some(location) = row["location"].as_str() {
        equal(&json!(answer.header("location")), &json!(location)).map_err(|e| format!("location: {e}"))?;
    }
    let cors = !answer.header("access-control-allow-origin").is_empty();
    if row["path"].as_str().is_some_and(|p| p.contains("/api/v1/")) && answer.status != 204 {
        equal(&json!(cors), &json!(row["cors"] == true)).map_err(|e| format!("CORS headers: {e}"))?;
    }
    Ok(())
}

/// Type of a family, and its label names if it has samples.
type Family = (String, Option<BTreeSet<String>>);

type Families = BTreeMap<String, Family>;

/// Families of the text format by name; `le` and `quantile` left out.
fn families(text: &str) -> Families {
    let mut families = Families::new();
    let mut current = String::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a name and a type");
            assert!(
                families.insert(name.to_owned(), (kind.to_owned(), None)).is_none(),
                "{name} is there twice"
            );
            current = name.to_owned();
        } else if !line.starts_with('#') {
            let labels =
                line.split_once('{').and_then(|(_, rest)| rest.rsplit_once('}')).map_or("", |(l, _)| l);
            let mut names = BTreeSet::new();
            let mut rest = labels;
            while let Some((name, after)) = rest.split_once("=\"") {
                names.insert(name.trim_start_matches(',').to_owned());
                let mut end = after.len();
                let mut escaped = false;
                for (i, c) in after.char_indices() {
                    if !escaped && c == '"' {
                        end = i;
                        break;
                    }
                    escaped = !escaped && c == '\\';
                }
                rest = after.get(end + 1..).unwrap_or_default();
            }
            names.remove("le");
            names.remove("quantile");
            if let Some((_, seen)) = families.get_mut(&current) {
                seen.get_or_insert_default().extend(names);
            }
        }
    }
    families
}
