//! Types and signatures as Rust writes them, from rustdoc's JSON.

use serde_json::Value;

pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn list<'a>(value: &'a Value, each: impl Fn(&'a Value) -> String) -> String {
    value.as_array().into_iter().flatten().map(each).collect::<Vec<_>>().join(", ")
}

/// Parameters and result of a function, with its generics.
pub(crate) fn signature(function: &Value) -> String {
    let sig = &function["sig"];
    let inputs = list(&sig["inputs"], |input| {
        let (name, of) = (text(&input[0]), ty(&input[1]));
        match (name, of.as_str()) {
            ("self", "Self") => "self".to_owned(),
            ("self", of) if of.starts_with('&') && of.ends_with("Self") => of.replace("Self", "self"),
            (_, of) => format!("{name}: {of}"),
        }
    });
    let output = if sig["output"].is_null() { String::new() } else { format!(" -> {}", ty(&sig["output"])) };
    let header = &function["header"];
    let word = |key: &str, word: &str| if header[key] == true { word.to_owned() } else { String::new() };
    let words = word("is_const", " const") + &word("is_async", " async") + &word("is_unsafe", " unsafe");
    format!("{}({inputs}){output}{}{words}", parameters(&function["generics"]), wheres(&function["generics"]))
}

/// Generic parameters and where clauses.
pub(crate) fn generics(generics: &Value) -> String {
    parameters(generics) + &wheres(generics)
}

fn parameters(generics: &Value) -> String {
    let params: Vec<String> = generics["params"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|p| {
            let (name, kind) = (text(&p["name"]), &p["kind"]);
            if kind["type"].is_object() {
                if kind["type"]["is_synthetic"] == true {
                    return None;
                }
                let over = bounds(&kind["type"]["bounds"]);
                return Some(if over.is_empty() { name.to_owned() } else { format!("{name}: {over}") });
            }
            if kind["const"].is_object() {
                return Some(format!("const {name}: {}", ty(&kind["const"]["type"])));
            }
            Some(name.to_owned())
        })
        .collect();
    if params.is_empty() { String::new() } else { format!("<{}>", params.join(", ")) }
}

fn wheres(generics: &Value) -> String {
    let clauses = list(&generics["where_predicates"], |p| {
        let bound = &p["bound_predicate"];
        if bound.is_object() {
            return format!("{}: {}", ty(&bound["type"]), bounds(&bound["bounds"]));
        }
        let lifetime = &p["lifetime_predicate"];
        if lifetime.is_object() {
            let outlived = list(&lifetime["outlives"], |l| text(l).to_owned());
            return format!("{}: {outlived}", text(&lifetime["lifetime"]));
        }
        p.to_string()
    });
    if clauses.is_empty() { clauses } else { format!(" where {clauses}") }
}

/// What a type must be: traits and lifetimes.
pub(crate) fn bounds(bounds: &Value) -> String {
    let each = |b: &Value| {
        let of = &b["trait_bound"];
        if of.is_object() {
            let maybe = if of["modifier"] == "maybe" { "?" } else { "" };
            return format!("{maybe}{}", path(&of["trait"]));
        }
        if b["outlives"].is_string() {
            return text(&b["outlives"]).to_owned();
        }
        let captured = list(&b["use"], |c| {
            let name = c.as_object().and_then(|o| o.values().next()).unwrap_or(c);
            text(name).to_owned()
        });
        format!("use<{captured}>")
    };
    bounds.as_array().into_iter().flatten().map(each).collect::<Vec<_>>().join(" + ")
}

/// A path with its arguments; of the path only the last name.
pub(crate) fn path(of: &Value) -> String {
    let full = of["path"].as_str().or_else(|| of["name"].as_str()).unwrap_or_default();
    let name = full.rsplit("::").next().unwrap_or_default();
    format!("{name}{}", arguments(&of["args"]))
}

fn arguments(args: &Value) -> String {
    let angle = &args["angle_bracketed"];
    if angle.is_object() {
        let given = angle["args"].as_array().into_iter().flatten().map(|a| {
            if a["lifetime"].is_string() {
                return text(&a["lifetime"]).to_owned();
            }
            if a["const"].is_object() {
                return text(&a["const"]["expr"]).to_owned();
            }
            if a["type"].is_null() { "_".to_owned() } else { ty(&a["type"]) }
        });
        let fixed = angle["constraints"].as_array().into_iter().flatten().map(|c| {
            let name = text(&c["name"]);
            let equal = &c["binding"]["equality"];
            if equal.is_object() {
                return format!("{name} = {}", ty(&equal["type"]));
            }
            format!("{name}: {}", bounds(&c["binding"]["constraint"]))
        });
        let all: Vec<String> = given.chain(fixed).collect();
        return if all.is_empty() { String::new() } else { format!("<{}>", all.join(", ")) };
    }
    let round = &args["parenthesized"];
    if round.is_object() {
        let output =
            if round["output"].is_null() { String::new() } else { format!(" -> {}", ty(&round["output"])) };
        return format!("({}){output}", list(&round["inputs"], ty));
    }
    String::new()
}

/// A type.
pub(crate) fn ty(of: &Value) -> String {
    let Some((kind, inner)) = of.as_object().and_then(|o| o.iter().next()) else {
        return if of == "infer" { "_".to_owned() } else { of.to_string() };
    };
    match kind.as_str() {
        "resolved_path" => path(inner),
        "generic" | "primitive" => text(inner).to_owned(),
        "tuple" => format!("({})", list(inner, ty)),
        "slice" => format!("[{}]", ty(inner)),
        "array" => format!("[{}; {}]", ty(&inner["type"]), text(&inner["len"])),
        "borrowed_ref" => {
            let lifetime = inner["lifetime"].as_str().map(|l| format!("{l} ")).unwrap_or_default();
            let mutable = if inner["is_mutable"] == true { "mut " } else { "" };
            format!("&{lifetime}{mutable}{}", ty(&inner["type"]))
        }
        "raw_pointer" => {
            let kind = if inner["is_mutable"] == true { "mut" } else { "const" };
            format!("*{kind} {}", ty(&inner["type"]))
        }
        "dyn_trait" => {
            let traits = inner["traits"].as_array().into_iter().flatten().map(|t| path(&t["trait"]));
            let lifetime = inner["lifetime"].as_str().map(str::to_owned);
            format!("dyn {}", traits.chain(lifetime).collect::<Vec<_>>().join(" + "))
        }
        "impl_trait" => format!("impl {}", bounds(inner)),
        "qualified_path" => {
            let of = ty(&inner["self_type"]);
            let name = format!("{}{}", text(&inner["name"]), arguments(&inner["args"]));
            if inner["trait"].is_null() {
                format!("{of}::{name}")
            } else {
                format!("<{of} as {}>::{name}", path(&inner["trait"]))
            }
        }
        "function_pointer" => {
            let sig = &inner["sig"];
            let inputs = list(&sig["inputs"], |i| ty(&i[1]));
            let output =
                if sig["output"].is_null() { String::new() } else { format!(" -> {}", ty(&sig["output"])) };
            format!("fn({inputs}){output}")
        }
        _ => inner.to_string(),
    }
}
