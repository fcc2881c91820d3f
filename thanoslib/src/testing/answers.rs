//! Recorded HTTP requests and their answers: making the one, comparing the other.

use serde_json::Value;

use super::golden::Verdict;

/// Relative difference up to which two floats count as equal: sums in another order.
const TOLERANCE: f64 = 1e-12;

/// A parameter of a recorded request.
pub fn param(request: &Value, name: &str) -> Option<String> {
    let params = request["params"].as_array()?;
    params.iter().find(|p| p[0] == name).and_then(|p| p[1].as_str()).map(str::to_owned)
}

/// The parameters of a recorded request as a form.
pub fn form(request: &Value) -> String {
    let params = request["params"].as_array().into_iter().flatten();
    let pairs: Vec<String> =
        params.map(|p| format!("{}={}", escape(p[0].as_str()), escape(p[1].as_str()))).collect();
    pairs.join("&")
}

fn escape(text: Option<&str>) -> String {
    let mut out = String::new();
    for b in text.unwrap_or_default().bytes() {
        if b.is_ascii_alphanumeric() {
            out.push(b as char);
        } else {
            out.push_str(&format!("%{b:02X}"));
        }
    }
    out
}

/// Compares headers; `get` gives that of an answer, empty without one.
///
/// # Errors
/// Which header differs.
pub fn same_headers(get: &dyn Fn(&str) -> String, want: &Value) -> Verdict {
    for (name, want) in want.as_object().into_iter().flatten() {
        let want = want.as_str().unwrap_or_default();
        match name.as_str() {
            "_cors_and_vary" if want == "standard" => {
                let there = get("access-control-allow-origin") == "*" && get("vary") == "Accept-Encoding";
                there.then_some(()).ok_or("the CORS headers are missing")?;
            }
            "content-encoding" => {}
            name if get(name) != want => {
                return Err(format!("header {name}: got {:?}, want {want:?}", get(name)));
            }
            _ => {}
        }
    }
    for name in ["cache-control", "allow"] {
        if want.get(name).is_none() && !get(name).is_empty() {
            return Err(format!("header {name} {:?} is not wanted", get(name)));
        }
    }
    Ok(())
}

/// Compares the body of an answer to a recorded request: floats up to the order of sums, vectors
/// and warnings in any order, statistics by their names.
///
/// # Errors
/// Where it differs.
pub fn same_answer(request: &Value, text: &str, want: &Value) -> Verdict {
    let mut got = match serde_json::from_str(text) {
        _ if text.is_empty() => Value::Null,
        Ok(json) => json,
        Err(_) => serde_json::json!({ "text": text }),
    };
    same_kind_of_stats(&mut got, want)?;
    let query = param(request, "query").unwrap_or_default();
    let sorted = ["sort", "topk", "bottomk"].iter().any(|f| query.starts_with(f));
    let got = if sorted { got } else { vector_sorted(got) };
    let want = if sorted { want.clone() } else { vector_sorted(want.clone()) };
    let shown = || text.chars().take(400).collect::<String>();
    same(&mut String::new(), &got, &want).map_err(|e| format!("{e}\n  got {}", shown()))
}

/// The answer with the series of a vector in one order, since a vector has none.
fn vector_sorted(mut body: Value) -> Value {
    if body["data"]["resultType"] == "vector"
        && let Some(series) = body["data"]["result"].as_array_mut()
    {
        series.sort_by_key(|s| {
            let labels: std::collections::BTreeMap<_, _> =
                s["metric"].as_object().into_iter().flatten().collect();
            format!("{labels:?}")
        });
    }
    if let Some(warnings) = body.get_mut("warnings").and_then(Value::as_array_mut) {
        warnings.sort_by_key(|w| w.as_str().map(str::to_owned));
    }
    body
}

/// Compares names and types of the statistics that differ from run to run and from engine to
/// engine, then takes the recorded ones.
fn same_kind_of_stats(got: &mut Value, want: &Value) -> Verdict {
    let (Some(got), Some(want)) = (got.pointer_mut("/data/stats"), want.pointer("/data/stats")) else {
        return Ok(());
    };
    let names = |v: &Value| v.as_object().map(|o| o.keys().cloned().collect::<Vec<_>>());
    let timings = &got["timings"];
    if names(timings) != names(&want["timings"]) {
        return Err(format!("timings {timings}, want {}", want["timings"]));
    }
    if timings.as_object().into_iter().flatten().any(|(_, v)| v.as_f64().is_none_or(|v| v < 0.0)) {
        return Err(format!("timings {timings} are no seconds"));
    }
    let peak = got["samples"]["peakSamples"].as_u64();
    if peak.is_none_or(|peak| peak == 0) {
        return Err(format!("peakSamples {peak:?} is no count"));
    }
    got["timings"] = want["timings"].clone();
    got["samples"]["peakSamples"] = want["samples"]["peakSamples"].clone();
    Ok(())
}

fn same(path: &mut String, got: &Value, want: &Value) -> Verdict {
    let len = path.len();
    let differ = |path: &str| Err(format!("at {path}: got {got}, want {want}"));
    match (got, want) {
        (Value::Object(g), Value::Object(w)) => {
            for key in g.keys().chain(w.keys()) {
                path.push_str(&format!(".{key}"));
                match (g.get(key), w.get(key)) {
                    (Some(g), Some(w)) => same(path, g, w)?,
                    (g, w) => return Err(format!("at {path}: got {g:?}, want {w:?}")),
                }
                path.truncate(len);
            }
            Ok(())
        }
        (Value::Array(g), Value::Array(w)) if g.len() == w.len() => {
            for (i, (g, w)) in g.iter().zip(w).enumerate() {
                path.push_str(&format!("[{i}]"));
                same(path, g, w)?;
                path.truncate(len);
            }
            Ok(())
        }
        // Whole numbers are times and counts, not sums.
        (Value::Number(g), Value::Number(w)) if g.is_i64() && w.is_i64() && g != w => differ(path),
        (Value::Number(g), Value::Number(w)) => match (g.as_f64(), w.as_f64()) {
            (Some(g), Some(w)) if close(g, w) => Ok(()),
            _ => differ(path),
        },
        (Value::String(g), Value::String(w)) if g != w => match (g.parse::<f64>(), w.parse::<f64>()) {
            // Values are floats in quotes; texts that only look like one are compared as written.
            (Ok(g), Ok(w)) if path.contains("result") && close(g, w) => Ok(()),
            _ => differ(path),
        },
        _ if got == want => Ok(()),
        _ => differ(path),
    }
}

fn close(a: f64, b: f64) -> bool {
    a == b || (a - b).abs() <= TOLERANCE * a.abs().max(b.abs())
}
