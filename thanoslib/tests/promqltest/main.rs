//! Runs PromQL scripts against the engine.
//!
//! The folder is `THANOSLIB_PROMQLTEST`, else `testdata/promqltest`. Every `.test` file and
//! every evaluation in it runs. `tests/promqltest/known_gaps` lists what is known to fail, a
//! line each: `file[:line] gap reason`; a listed evaluation that passes is a failure. A whole
//! file may be listed only while none of its evaluations can run.
//!
//! An argument filters by file name; `--list-failures` prints failures as lines for
//! `known_gaps`.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use thanoslib::testing::promqltest::{EvalOutcome, RunOptions, run_script};

/// How many failures of a file are printed.
const PRINTED: usize = 10;

fn main() -> ExitCode {
    let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = env::var_os("THANOSLIB_PROMQLTEST")
        .filter(|v| !v.is_empty())
        .map_or_else(|| crate_dir.join("testdata/promqltest"), PathBuf::from);
    let list = env::args().skip(1).any(|a| a == "--list-failures");
    let filter: Vec<String> = env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let (gaps, mut faults) = known_gaps(&crate_dir.join("tests/promqltest/known_gaps"));
    let files = match scripts(&root) {
        Ok(files) if !files.is_empty() => files,
        Ok(_) => return fail(&format!("no scripts in {}", root.display())),
        Err(e) => return fail(&format!("{}: {e}", root.display())),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_time().build() {
        Ok(runtime) => runtime,
        Err(e) => return fail(&format!("cannot start a runtime: {e}")),
    };
    let mut options = RunOptions::default();
    // Scripts of others do not name the functions of Thanos.
    options.engine.x_functions = true;
    let mut used = BTreeSet::new();
    let (mut passed_all, mut total_all) = (0, 0);
    for file in &files {
        let name = file.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        if !filter.is_empty() && !filter.iter().any(|f| name.contains(f.as_str())) {
            continue;
        }
        let text = match fs::read_to_string(file) {
            Ok(text) => text,
            Err(e) => {
                faults.push(format!("{name}: {e}"));
                continue;
            }
        };
        let outcomes = runtime.block_on(run_script(&name, &text, &options));
        let passed = outcomes.iter().filter(|o| o.result.is_ok()).count();
        println!("promqltest {name}: {passed} of {}", outcomes.len());
        passed_all += passed;
        total_all += outcomes.len();
        if outcomes.is_empty() {
            faults.push(format!("{name}: nothing is evaluated"));
        }
        if gaps.contains_key(&name) && passed > 0 {
            faults.push(format!("{name}: listed whole in known_gaps, but {passed} evaluations pass"));
        }
        let mut printed = 0;
        for outcome in &outcomes {
            if list && let Err(why) = &outcome.result {
                println!("{name}:{} gap {}", outcome.line, why.lines().next().unwrap_or_default());
            }
            if let Some(fault) = account(&name, outcome, &gaps, &mut used) {
                printed += 1;
                if printed <= PRINTED && !list {
                    println!("FAILED {} {}", outcome.query, fault.chars().take(1000).collect::<String>());
                }
                faults.push(fault);
            }
        }
    }
    if filter.is_empty() {
        let present: BTreeSet<String> =
            files.iter().filter_map(|f| Some(f.file_name()?.to_string_lossy().into_owned())).collect();
        for gap in gaps.keys().filter(|g| !used.contains(*g)) {
            let file = gap.rsplit_once(':').map_or(gap.as_str(), |(file, _)| file);
            if present.contains(file) {
                faults.push(format!("{gap}: listed in known_gaps, but no such evaluation was found"));
            }
        }
    }
    println!("promqltest: {passed_all} of {total_all}");
    if !list {
        for fault in faults.iter().take(100) {
            println!("fault: {}", fault.chars().take(300).collect::<String>());
        }
    }
    println!("promqltest: {} faults", faults.len());
    if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The fault of an outcome that its entry in known_gaps does not explain.
fn account(
    name: &str,
    outcome: &EvalOutcome,
    gaps: &BTreeMap<String, String>,
    used: &mut BTreeSet<String>,
) -> Option<String> {
    let line = format!("{name}:{}", outcome.line);
    let key = [line, name.to_owned()].into_iter().find(|k| gaps.contains_key(k));
    match (&outcome.result, key) {
        (Ok(()), None) => None,
        (Ok(()), Some(key)) => {
            used.insert(key.clone());
            Some(format!("{key}: listed in known_gaps, but line {} passes", outcome.line))
        }
        (Err(_), Some(key)) => {
            used.insert(key);
            None
        }
        (Err(why), None) => Some(why.clone()),
    }
}

fn fail(why: &str) -> ExitCode {
    println!("promqltest: {why}");
    ExitCode::FAILURE
}

fn scripts(root: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> = fs::read_dir(root)?
        .map(|entry| entry.map(|e| e.path()))
        .collect::<std::io::Result<Vec<_>>>()?
        .into_iter()
        .filter(|p| p.extension().is_some_and(|e| e == "test"))
        .collect();
    files.sort();
    Ok(files)
}

fn known_gaps(path: &Path) -> (BTreeMap<String, String>, Vec<String>) {
    let (mut gaps, mut faults) = (BTreeMap::new(), Vec::new());
    for line in fs::read_to_string(path).unwrap_or_default().lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let mut parts = line.splitn(3, ' ');
        match (parts.next(), parts.next(), parts.next()) {
            (Some(key), Some("gap"), Some(reason)) => {
                gaps.insert(key.to_owned(), reason.to_owned());
            }
            _ => faults.push(format!("{}: unreadable line: {line}", path.display())),
        }
    }
    (gaps, faults)
}
