//! Numbers, durations, regular expressions and label sets as texts.

use std::path::Path;

use serde_json::{Map, Value, json};
use thanoslib::{
    model::{
        Labels, LabelsRef, Regex,
        duration::{
            self, MAX_TIME_MS, MIN_TIME_MS, UnixTime, format_rfc3339, parse_api_duration, parse_api_time,
        },
        float::{
            parse_float, write_api_timestamp, write_api_value, write_exponent, write_general,
            write_openmetrics, write_plain,
        },
    },
    testing::golden::{Golden, Suite, Verdict, equal},
};

const NS_PER_MS: i64 = 1_000_000;

pub(crate) fn run(golden: &mut Golden) {
    golden.run(&Suite {
        label: "tsdb/durations",
        path: "tsdb/durations.jsonl",
        inputs: &["kind", "input", "asked_ns"],
        expected: &["error", "ms", "ns", "string", "nanos", "unix_seconds", "formatted"],
        ignored: &[],
        rows: Some(duration_rows),
        check: &durations,
    });
    golden.run(&Suite {
        label: "tsdb/floats",
        path: "tsdb/floats.jsonl",
        inputs: &["kind", "input"],
        expected: &[
            "api_json",
            "bits",
            "error",
            "format_e",
            "format_f",
            "format_g",
            "label_le",
            "model_sample_value",
            "model_time",
            "ms",
        ],
        ignored: &[],
        rows: None,
        check: &floats,
    });
    golden.run(&Suite {
        label: "tsdb/regex",
        path: "tsdb/regex.jsonl",
        inputs: &["pattern", "values"],
        expected: &["error", "matches", "prefix", "set_matches"],
        ignored: &[],
        rows: Some(regex_rows),
        check: &regexes,
    });
    golden.run(&Suite {
        label: "tsdb/labels",
        path: "tsdb/labels.jsonl",
        inputs: &["labels"],
        expected: &[
            "hash_for_labels_a_job_missing_zone",
            "hash_stringlabels",
            "hash_without_labels_a_job_missing_zone",
            "stable_hash",
            "stable_hash_mod",
            "string",
        ],
        ignored: &[],
        rows: None,
        check: &labels,
    });
}

fn lines(path: &Path) -> Result<Vec<Value>, String> {
    let text = std::fs::read_to_string(path).map_err(|e| e.to_string())?;
    text.lines().map(|line| serde_json::from_str(line).map_err(|e| e.to_string())).collect()
}

/// Where a duration is printed, its nanoseconds are what is asked.
fn duration_rows(path: &Path) -> Result<Vec<Value>, String> {
    let mut rows = lines(path)?;
    for row in rows.iter_mut().filter(|r| r["kind"] == "Duration.String") {
        row["asked_ns"] = row.as_object_mut().and_then(|o| o.remove("ns")).ok_or("no duration")?;
    }
    Ok(rows)
}

/// The pairs of value and answer, taken apart.
fn regex_rows(path: &Path) -> Result<Vec<Value>, String> {
    let mut rows = lines(path)?;
    for row in &mut rows {
        let Some(pairs) = row["matches"].as_array().cloned() else { continue };
        row["values"] = pairs.iter().map(|p| p[0].clone()).collect();
        row["matches"] = pairs.iter().map(|p| p[1].clone()).collect();
    }
    Ok(rows)
}

/// The row without the keys that ask.
fn answer(row: &Value, asked: &[&str]) -> Value {
    let keep = row.as_object().into_iter().flatten().filter(|(k, _)| !asked.contains(&k.as_str()));
    Value::Object(keep.map(|(k, v)| (k.clone(), v.clone())).collect::<Map<_, _>>())
}

fn durations(_: &Path, row: &Value) -> Verdict {
    let input = row["input"].as_str().unwrap_or_default();
    let ms = |ms: i64| json!({"ms": ms, "ns": ms * NS_PER_MS, "string": duration::format(ms)});
    let bound = |time: UnixTime| json!({"ms": time.ms(), "formatted": format_rfc3339(time)});
    let got = match row["kind"].as_str().unwrap_or_default() {
        "model.ParseDuration" => duration::parse(input).map(ms),
        "model.ParseDurationAllowNegative" => duration::parse_allow_negative(input)
            .map(|ms| json!({"ns": ms * NS_PER_MS, "string": duration::format(ms)})),
        "api.parseDuration" => parse_api_duration(input).map(|ns| json!({"ns": ns})),
        "Duration.String" => {
            let ns = row["asked_ns"].as_i64().ok_or("no duration")?;
            Ok(json!({"string": duration::format(ns / NS_PER_MS)}))
        }
        "api.parseTime" => {
            parse_api_time(input).map(|t| json!({"ms": t.ms(), "nanos": t.nanos, "unix_seconds": t.secs}))
        }
        // The texts of the bounds are read, since they are no RFC 3339.
        kind @ ("api.MinTime" | "api.MaxTime") => {
            let want = if kind == "api.MinTime" { MIN_TIME_MS } else { MAX_TIME_MS };
            let time = parse_api_time(row["formatted"].as_str().unwrap_or_default());
            time.map(|t| if t.ms() == want { bound(t) } else { json!("another time") })
        }
        other => return Err(format!("unknown kind {other}")),
    };
    equal(
        &got.unwrap_or_else(|e| json!({"error": e.to_string()})),
        &answer(row, &["kind", "input", "asked_ns"]),
    )
}

fn bits(hex: &Value) -> Result<f64, String> {
    let hex = hex.as_str().ok_or("no bits")?;
    u64::from_str_radix(hex, 16).map(f64::from_bits).map_err(|e| e.to_string())
}

fn print<T>(write: impl Fn(&mut String, T) -> std::fmt::Result, v: T) -> String {
    let mut out = String::new();
    write(&mut out, v).map(|()| out).unwrap_or_else(|e| e.to_string())
}

fn floats(_: &Path, row: &Value) -> Verdict {
    let got = match row["kind"].as_str().unwrap_or_default() {
        "float" => {
            let v = bits(&row["bits"])?;
            json!({
                "bits": format!("{:016x}", v.to_bits()),
                "format_e": print(write_exponent, v),
                "format_f": print(write_plain, v),
                "format_g": print(write_general, v),
                "label_le": print(write_openmetrics, v),
                "model_sample_value": print(write_plain, v),
                "api_json": format!("\"{}\"", print(write_api_value, v)),
            })
        }
        "timestamp" => {
            let ms = row["ms"].as_i64().ok_or("no time")?;
            json!({
                "ms": ms,
                "api_json": print(write_api_timestamp, ms),
                "model_time": print(write_plain, ms as f64 / 1000.0),
            })
        }
        "parse_float" => match parse_float(row["input"].as_str().unwrap_or_default()) {
            Ok(v) => json!({"bits": format!("{:016x}", v.to_bits())}),
            Err(e) => json!({"error": e.to_string()}),
        },
        other => return Err(format!("unknown kind {other}")),
    };
    equal(&got, &answer(row, &["kind", "input"]))
}

fn regexes(_: &Path, row: &Value) -> Verdict {
    let got = match Regex::new(row["pattern"].as_str().unwrap_or_default()) {
        Err(e) => json!({"error": e.to_string()}),
        Ok(regex) => {
            let values = row["values"].as_array().cloned().unwrap_or_default();
            let is_match = |v: &Value| regex.is_match(v.as_str().unwrap_or_default().as_bytes());
            let matches: Vec<bool> = values.iter().map(is_match).collect();
            json!({"matches": matches, "prefix": regex.prefix(), "set_matches": regex.set_matches()})
        }
    };
    equal(&got, &answer(row, &["pattern", "values"]))
}

fn labels(_: &Path, row: &Value) -> Verdict {
    let pairs = row["labels"].as_array().ok_or("no labels")?;
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let pairs: Vec<(String, String)> = pairs.iter().map(|p| (text(&p[0]), text(&p[1]))).collect();
    // Some recorded sets have empty values, which our own sets never have but foreign bytes may.
    let mut flat = Vec::new();
    for s in pairs.iter().flat_map(|(name, value)| [name, value]) {
        match s.len() {
            len @ 0..255 => flat.push(len as u8),
            len => flat.extend_from_slice(&[0xff, len as u8, (len >> 8) as u8, (len >> 16) as u8]),
        }
        flat.extend_from_slice(s.as_bytes());
    }
    let labels = LabelsRef::from_flat(&flat);
    if pairs.iter().all(|(_, value)| !value.is_empty()) && Labels::from_pairs(pairs).view() != labels {
        return Err("built labels differ from the flat ones".to_owned());
    }
    let names = ["a", "job", "missing", "zone"];
    let stable = labels.stable_hash();
    let moduli = row["stable_hash_mod"].as_object().ok_or("no moduli")?;
    let rest = |modulus: &String| modulus.parse::<u64>().ok().and_then(|m| stable.checked_rem(m));
    let rests: Map<String, Value> = moduli.keys().map(|m| (m.clone(), json!(rest(m)))).collect();
    let got = json!({
        "hash_for_labels_a_job_missing_zone": labels.hash_for(&names).to_string(),
        "hash_stringlabels": labels.hash().to_string(),
        "hash_without_labels_a_job_missing_zone": labels.hash_without(&names).to_string(),
        "stable_hash": stable.to_string(),
        "stable_hash_mod": rests,
        "string": labels.to_string(),
    });
    equal(&got, &answer(row, &["labels"]))
}
