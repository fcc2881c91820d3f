//! Runs recorded rows of real programs against our code.
//!
//! A test target with `harness = false` makes a [`Golden`], hands it one [`Suite`] for each
//! recorded file (or family of files) and ends with [`Golden::finish`]:
//!
//! ```no_run
//! use std::process::ExitCode;
//! use thanoslib::testing::golden::{Golden, Suite, equal};
//!
//! fn main() -> ExitCode {
//!     let mut golden = Golden::new(env!("CARGO_MANIFEST_DIR"), &["tsdb"]);
//!     golden.run(&Suite {
//!         label: "tsdb/hashmod",
//!         path: "tsdb/hashmod.jsonl",
//!         inputs: &["value", "modulus"],
//!         expected: &["result"],
//!         ignored: &[],
//!         rows: None,
//!         check: &|_, row| equal(&row["result"], &serde_json::json!(0)),
//!     });
//!     golden.finish()
//! }
//! ```
//!
//! The folder is `THANOSLIB_GOLDEN`, which holds all recordings, else `testdata` of the crate,
//! which holds some of them. Every row runs; a row
//! passes when `check` says `Ok`. Then the harness changes one leaf of the row's expected
//! part, and `check` must notice: a comparer that overlooks a change fails the run.
//!
//! `tests/golden/known_gaps` of the crate lists rows that are known to fail, a line each:
//! `path[:row] gap|upstream|older|nondet reason`. A row is named by its `id` or `name` or by
//! its line number. Such rows count as not passed; one that passes is a failure. A whole path
//! (or folder) may be listed only while no suite reads it. That every entry is used is checked
//! over all recordings only; a file of `testdata` that lacks rows names its rows by `id`.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    process::ExitCode,
};

use serde_json::Value;

/// What a check says: nothing, or where the answer differs.
pub type Verdict = Result<(), String>;

/// Splits a recorded file into rows.
pub type Rows = fn(&Path) -> Result<Vec<Value>, String>;

/// Judges one row; gets the path of the file that it stands in.
pub type Check<'a> = dyn Fn(&Path, &Value) -> Verdict + 'a;

/// One recorded file, or files of one pattern, and how its rows are judged.
///
/// See [`golden`](self).
#[derive(Clone, Copy)]
pub struct Suite<'a> {
    /// Name in the report, such as `tsdb/chunks`.
    pub label: &'a str,
    /// File below the golden folder; one `*` stands for any part of a file or folder name.
    pub path: &'a str,
    /// Keys of a row that say what is asked.
    pub inputs: &'a [&'a str],
    /// Keys of a row that say what the answer must be; the check compares all of them.
    pub expected: &'a [&'a str],
    /// Keys or dotted paths (`*` for list items) that are not compared, each with its reason.
    pub ignored: &'a [(&'a str, &'a str)],
    /// Makes the rows of a file; `None` for one JSON object a line.
    pub rows: Option<Rows>,
    /// Judges one row.
    pub check: &'a Check<'a>,
}

impl std::fmt::Debug for Suite<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Suite").field("label", &self.label).field("path", &self.path).finish()
    }
}

/// How many rows of each file are also judged with a spoiled expectation.
const SPOILED_ROWS: usize = 8;
/// How many failures of a suite are printed in full.
const PRINTED: usize = 12;

/// One run over a golden folder.
///
/// See [`golden`](self).
#[derive(Debug)]
pub struct Golden {
    root: PathBuf,
    areas: Vec<String>,
    recorded: bool,
    gaps: BTreeMap<String, String>,
    used_gaps: BTreeSet<String>,
    read: BTreeSet<String>,
    filter: Vec<String>,
    counts: BTreeMap<String, (usize, usize)>,
    faults: Vec<String>,
}

impl Golden {
    /// A run for the crate in `manifest_dir` over the folders or files `areas`.
    pub fn new(manifest_dir: &str, areas: &[&str]) -> Self {
        let crate_dir = Path::new(manifest_dir);
        let variable = env::var_os("THANOSLIB_GOLDEN").filter(|v| !v.is_empty());
        let recorded = variable.is_some();
        let root = variable.map_or_else(|| default_root(crate_dir), PathBuf::from);
        let mut faults = Vec::new();
        let mut gaps = BTreeMap::new();
        let list = crate_dir.join("tests/golden/known_gaps");
        for line in fs::read_to_string(&list).unwrap_or_default().lines() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let mut parts = line.splitn(3, ' ');
            match (parts.next(), parts.next(), parts.next()) {
                (Some(key), Some("gap" | "upstream" | "older" | "nondet"), Some(reason)) => {
                    gaps.insert(key.to_owned(), reason.to_owned());
                }
                _ => faults.push(format!("{}: unreadable line: {line}", list.display())),
            }
        }
        Self {
            root,
            areas: areas.iter().map(|a| (*a).to_owned()).collect(),
            recorded,
            gaps,
            used_gaps: BTreeSet::new(),
            read: BTreeSet::new(),
            filter: env::args().skip(1).filter(|a| !a.starts_with('-')).collect(),
            counts: BTreeMap::new(),
            faults,
        }
    }

    /// The folder that is read.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Runs every row of a suite.
    pub fn run(&mut self, suite: &Suite<'_>) {
        let files = self.find(suite.path);
        for file in &files {
            self.read.insert(file.clone());
        }
        if !self.filter.is_empty() && !self.filter.iter().any(|f| suite.label.contains(f.as_str())) {
            return;
        }
        let counts = self.counts.entry(suite.label.to_owned()).or_default();
        let (mut passed, mut total) = *counts;
        let mut printed = 0;
        for file in files {
            let path = self.root.join(&file);
            let rows = match suite.rows.map_or_else(|| read_lines(&path), |rows| rows(&path)) {
                Ok(rows) => rows,
                Err(e) => {
                    self.faults.push(format!("{file}: {e}"));
                    continue;
                }
            };
            if self.gaps.contains_key(&file) {
                self.faults.push(format!("{file}: listed whole in known_gaps, but a suite reads it"));
            }
            let every = (rows.len() / SPOILED_ROWS).max(1);
            for (i, row) in rows.iter().enumerate() {
                total += 1;
                let verdict = known_keys(suite, row).and_then(|()| judge(suite, &path, row));
                let gap = self.gap_of(&file, i + 1, row);
                match (verdict, gap) {
                    (Ok(()), None) => {
                        passed += 1;
                        if i % every == 0
                            && let Some(overlooked) = spoil(suite, &path, row, i / every)
                        {
                            self.faults.push(format!(
                                "{file}:{}: a spoiled {overlooked} went unnoticed",
                                name(i + 1, row)
                            ));
                        }
                    }
                    (Ok(()), Some(gap)) => {
                        self.faults.push(format!("{gap}: listed in known_gaps, but it passes"));
                    }
                    (Err(_), Some(_)) => {}
                    (Err(why), None) => {
                        let fault = format!("{file}:{}: {why}", name(i + 1, row));
                        printed += 1;
                        if printed <= PRINTED {
                            println!("FAILED {}", fault.chars().take(1500).collect::<String>());
                        }
                        self.faults.push(fault);
                    }
                }
            }
        }
        self.counts.insert(suite.label.to_owned(), (passed, total));
    }

    /// Prints the counts and the faults; success when there are none.
    pub fn finish(mut self) -> ExitCode {
        if self.filter.is_empty() {
            self.account_for_unread();
            for (gap, _) in self.gaps.iter().filter(|(g, _)| !self.used_gaps.contains(*g)) {
                if self.recorded && self.areas.iter().any(|a| gap.starts_with(a.as_str())) && self.exists(gap)
                {
                    self.faults
                        .push(format!("{gap}: listed in known_gaps, but no such row or file was found"));
                }
            }
        }
        let total: usize = self.counts.values().map(|(_, m)| m).sum();
        // A filter may name a test of another target of the same run.
        if total == 0 && (self.recorded || self.filter.is_empty()) {
            self.faults.push("no recorded row was found".to_owned());
        }
        for (label, (passed, total)) in &self.counts {
            println!("golden {label}: {passed} of {total}");
        }
        for fault in self.faults.iter().take(200) {
            println!("fault: {}", fault.chars().take(300).collect::<String>());
        }
        println!("golden: {} faults", self.faults.len());
        if self.faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    /// Files below the root that match `pattern`, as paths relative to it.
    fn find(&self, pattern: &str) -> Vec<String> {
        let mut found = vec![String::new()];
        for part in pattern.split('/') {
            let mut next = Vec::new();
            for base in &found {
                let join =
                    |name: &str| if base.is_empty() { name.to_owned() } else { format!("{base}/{name}") };
                match part.split_once('*') {
                    None => next.push(join(part)),
                    Some((head, tail)) => next.extend(
                        names(&self.root.join(base))
                            .into_iter()
                            .filter(|n| {
                                n.len() >= head.len() + tail.len() && n.starts_with(head) && n.ends_with(tail)
                            })
                            .map(|n| join(&n)),
                    ),
                }
            }
            found = next;
        }
        found.retain(|f| self.root.join(f).is_file());
        found
    }

    /// The entry of known_gaps for this row, marked as used.
    fn gap_of(&mut self, file: &str, line: usize, row: &Value) -> Option<String> {
        let mut keys = vec![format!("{file}:{line}")];
        keys.extend(["id", "name"].iter().filter_map(|k| row[*k].as_str()).map(|id| format!("{file}:{id}")));
        let key = keys.into_iter().find(|k| self.gaps.contains_key(k))?;
        self.used_gaps.insert(key.clone());
        Some(key)
    }

    fn exists(&self, gap: &str) -> bool {
        let path = gap.split_once(':').map_or(gap, |(path, _)| path);
        self.root.join(path).exists()
    }

    /// Counts the rows of recorded files that no suite reads; each must be listed.
    fn account_for_unread(&mut self) {
        let mut files = Vec::new();
        for area in &self.areas {
            collect(&self.root, area, &mut files);
        }
        for file in files {
            if self.read.contains(&file) {
                continue;
            }
            // A file without rows was recorded to say that there is nothing.
            if file.ends_with(".jsonl") && fs::metadata(self.root.join(&file)).is_ok_and(|m| m.len() == 0) {
                continue;
            }
            let listed = self.gaps.keys().find(|g| {
                file == **g || file.strip_prefix(g.as_str()).is_some_and(|rest| rest.starts_with('/'))
            });
            match listed.cloned() {
                Some(gap) => {
                    self.used_gaps.insert(gap.clone());
                    let label = gap.trim_end_matches(".jsonl").trim_end_matches(".json").to_owned();
                    let rows = if file.ends_with(".jsonl") {
                        fs::read_to_string(self.root.join(&file)).map_or(0, |t| t.lines().count())
                    } else {
                        1
                    };
                    self.counts.entry(label).or_default().1 += rows;
                }
                None => {
                    self.faults.push(format!("{file}: no suite reads it and known_gaps does not list it"))
                }
            }
        }
    }
}

/// Compares two JSON values; the text says where they differ first.
///
/// # Errors
/// The path of the first difference and both values.
pub fn equal(got: &Value, want: &Value) -> Verdict {
    fn differ(path: &mut String, got: &Value, want: &Value) -> Verdict {
        let len = path.len();
        match (got, want) {
            (Value::Object(g), Value::Object(w)) => {
                for key in g.keys().chain(w.keys()) {
                    path.push_str(&format!(".{key}"));
                    match (g.get(key), w.get(key)) {
                        (Some(g), Some(w)) => differ(path, g, w)?,
                        (g, w) => return Err(format!("at {path}: got {g:?}, want {w:?}")),
                    }
                    path.truncate(len);
                }
                Ok(())
            }
            (Value::Array(g), Value::Array(w)) => {
                for (i, (g, w)) in g.iter().zip(w).enumerate() {
                    path.push_str(&format!("[{i}]"));
                    differ(path, g, w)?;
                    path.truncate(len);
                }
                if g.len() != w.len() {
                    return Err(format!("at {path}: got {} items, want {}", g.len(), w.len()));
                }
                Ok(())
            }
            _ if got == want => Ok(()),
            _ => Err(format!("at {path}: got {got}, want {want}")),
        }
    }
    differ(&mut String::new(), got, want)
}

fn default_root(crate_dir: &Path) -> PathBuf {
    // The recordings lie once in the repository, in the library's folder.
    let own = crate_dir.join("testdata");
    if own.is_dir() {
        return own;
    }
    crate_dir.ancestors().map(|dir| dir.join("thanoslib/testdata")).find(|dir| dir.is_dir()).unwrap_or(own)
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .map(|entries| entries.flatten().filter_map(|e| e.file_name().into_string().ok()).collect())
        .unwrap_or_default();
    names.sort();
    names
}

/// Recorded rows below `path`: files that end in .jsonl or .json, blocks' own files aside.
fn collect(root: &Path, path: &str, files: &mut Vec<String>) {
    let full = root.join(path);
    if full.is_dir() {
        for name in names(&full) {
            collect(root, &format!("{path}/{name}"), files);
        }
    } else if path.ends_with(".jsonl")
        || path.ends_with(".json") && !path.ends_with("/meta.json") && !path.ends_with("-mark.json")
    {
        files.push(path.to_owned());
    }
}

fn read_lines(path: &Path) -> Result<Vec<Value>, String> {
    let text = fs::read_to_string(path).map_err(|e| e.to_string())?;
    text.lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(i, line)| serde_json::from_str(line).map_err(|e| format!("line {}: {e}", i + 1)))
        .collect()
}

fn name(line: usize, row: &Value) -> String {
    let id = ["id", "name"].iter().find_map(|k| row[*k].as_str());
    id.map_or_else(|| line.to_string(), |id| format!("{line} ({id})"))
}

/// Every key of a row is an input, compared, or ignored for a stated reason.
fn known_keys(suite: &Suite<'_>, row: &Value) -> Verdict {
    let Some(object) = row.as_object() else { return Ok(()) };
    for key in object.keys() {
        let key = key.as_str();
        if !suite.inputs.contains(&key)
            && !suite.expected.contains(&key)
            && !suite.ignored.iter().any(|(k, _)| *k == key)
        {
            return Err(format!("the suite says nothing about the key {key:?}"));
        }
    }
    Ok(())
}

fn judge(suite: &Suite<'_>, path: &Path, row: &Value) -> Verdict {
    catch_unwind(AssertUnwindSafe(|| (suite.check)(path, row))).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()))
            .unwrap_or_default();
        Err(format!("panicked: {text}"))
    })
}

/// Changes one expected leaf; the place of a change that the check overlooked, if it did.
fn spoil(suite: &Suite<'_>, path: &Path, row: &Value, turn: usize) -> Option<String> {
    let mut places = Vec::new();
    for key in suite.expected {
        if let Some(value) = row.get(*key) {
            leaves(value, &mut vec![(*key).to_owned()], suite.ignored, &mut places);
        }
    }
    if places.is_empty() {
        return None;
    }
    // A different place in each row that is tried.
    let place = &places[turn.wrapping_mul(7919) % places.len()];
    let mut spoiled = row.clone();
    let mut at = &mut spoiled;
    for step in place {
        at = match at {
            Value::Array(items) => items.get_mut(step.parse::<usize>().ok()?)?,
            other => other.get_mut(step)?,
        };
    }
    *at = match &*at {
        Value::Null => Value::from("spoiled"),
        Value::Bool(b) => Value::from(!b),
        Value::Number(n) => n.as_i64().map_or_else(|| Value::from(12345.5), |n| Value::from(n ^ 1)),
        Value::String(s) => Value::from(spoil_text(s)),
        Value::Array(_) | Value::Object(_) => Value::from("spoiled"),
    };
    match judge(suite, path, &spoiled) {
        Err(_) => None,
        Ok(()) => Some(place.join(".")),
    }
}

/// Another text of the same kind: one hex digit or character differs.
fn spoil_text(s: &str) -> String {
    let mut chars: Vec<char> = s.chars().collect();
    let middle = chars.len() / 2;
    match chars.get_mut(middle) {
        Some(c) => *c = if *c == '1' { '2' } else { '1' },
        None => chars.push('1'),
    }
    chars.into_iter().collect()
}

fn leaves(value: &Value, at: &mut Vec<String>, ignored: &[(&str, &str)], out: &mut Vec<Vec<String>>) {
    let is_ignored = ignored.iter().any(|(path, _)| {
        let parts: Vec<&str> = path.split('.').collect();
        parts.len() == at.len() && parts.iter().zip(at.iter()).all(|(p, a)| *p == "*" || p == a)
    });
    if is_ignored {
        return;
    }
    match value {
        Value::Array(items) if !items.is_empty() => {
            for (i, item) in items.iter().enumerate() {
                at.push(i.to_string());
                leaves(item, at, ignored, out);
                at.pop();
            }
        }
        Value::Object(map) if !map.is_empty() => {
            for (key, item) in map {
                at.push(key.clone());
                leaves(item, at, ignored, out);
                at.pop();
            }
        }
        _ => out.push(at.clone()),
    }
}
