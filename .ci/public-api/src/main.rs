//! Prints the public items of a crate, one sorted line each: kind, path, signature.
//!
//! `public-api thanoslib.json` reads what `cargo rustdoc -- -Z unstable-options
//! --output-format json` wrote. What a module takes over from a public one is listed there once.
//! At the end stand the types whose docs neither hold an example nor name, after "See", the type
//! whose example shows them; and how many names the root takes over, of which it has 60 at most.

mod types;

use std::{collections::BTreeSet, env, fs, process::ExitCode};

use serde_json::{Map, Value};

use types::{bounds, generics, signature, text};

/// What is printed of a crate.
struct Listing<'a> {
    index: &'a Map<String, Value>,
    root: &'a Value,
    lines: BTreeSet<String>,
    /// Types without an example.
    bare: BTreeSet<String>,
    /// Items on the way from the root, so that re-exports in a circle end.
    open: Vec<String>,
}

/// How many names the root may take over from the modules.
const ROOT_NAMES_MAX: usize = 60;

fn main() -> ExitCode {
    let Some(path) = env::args().nth(1) else {
        eprintln!("usage: public-api FILE.json");
        return ExitCode::FAILURE;
    };
    match list(&path) {
        Ok(lines) => {
            print!("{lines}");
            ExitCode::SUCCESS
        }
        Err(e) => {
            eprintln!("{path}: {e}");
            ExitCode::FAILURE
        }
    }
}

fn list(path: &str) -> Result<String, String> {
    let json = fs::read(path).map_err(|e| e.to_string())?;
    let krate: Value = serde_json::from_slice(&json).map_err(|e| e.to_string())?;
    let index = krate["index"].as_object().ok_or("no index")?;
    let root = &index[&id(&krate["root"])];
    let mut listing =
        Listing { index, root, lines: BTreeSet::new(), bare: BTreeSet::new(), open: Vec::new() };
    listing.module(root, text(&root["name"]));
    let names = listing.reexports();
    if names > ROOT_NAMES_MAX {
        return Err(format!("the root takes over {names} names, more than {ROOT_NAMES_MAX}"));
    }
    let mut out = String::new();
    for line in &listing.lines {
        out.push_str(line);
        out.push('\n');
    }
    for path in &listing.bare {
        out.push_str(&format!("without example: {path}\n"));
    }
    let (items, bare) = (listing.lines.len(), listing.bare.len());
    out.push_str(&format!("{items} public items, {names} names taken over by the root, "));
    out.push_str(&format!("{bare} types without an example\n"));
    Ok(out)
}

/// An id as the index has it.
fn id(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Kind of an item and what belongs to it.
fn inner(item: &Value) -> Option<(&str, &Value)> {
    item["inner"].as_object()?.iter().next().map(|(kind, inner)| (kind.as_str(), inner))
}

fn ids(list: &Value) -> impl Iterator<Item = String> + '_ {
    list.as_array().into_iter().flatten().map(id)
}

impl<'a> Listing<'a> {
    fn add(&mut self, kind: &str, path: &str, rest: &str) {
        self.lines.insert(format!("{kind} {path}{rest}"));
    }

    fn items(&self, list: &'a Value) -> Vec<&'a Value> {
        ids(list).filter_map(|id| self.index.get(&id)).collect()
    }

    /// How many names the root takes over from modules and other crates.
    fn reexports(&self) -> usize {
        self.children(self.root).into_iter().filter(|item| matches!(inner(item), Some(("use", _)))).count()
    }

    /// True when the module at hand shows all modules that a path goes through.
    fn is_public(&self, source: &str) -> bool {
        let names: Vec<&str> = source.split("::").filter(|s| *s != "self").collect();
        let through = names.split_last().map_or(&[][..], |(_, modules)| modules);
        let mut module = self.open.last().map_or(self.root, |id| &self.index[id]);
        for name in through {
            let inside = self.children(module).into_iter().find(|item| {
                item["visibility"] == "public"
                    && matches!(inner(item), Some(("module", _)))
                    && text(&item["name"]) == *name
            });
            let Some(inside) = inside else { return false };
            module = inside;
        }
        !through.is_empty()
    }

    fn children(&self, module: &'a Value) -> Vec<&'a Value> {
        inner(module).map(|(_, m)| self.items(&m["items"])).unwrap_or_default()
    }

    fn module(&mut self, module: &'a Value, path: &str) {
        let me = id(&module["id"]);
        if self.open.contains(&me) {
            return;
        }
        self.open.push(me);
        for item in self.children(module) {
            self.item(item, path, text(&item["name"]));
        }
        self.open.pop();
    }

    fn item(&mut self, item: &'a Value, parent: &str, name: &str) {
        let Some((kind, inner)) = inner(item) else { return };
        let path = format!("{parent}::{name}");
        if matches!(kind, "struct" | "enum" | "trait" | "union") {
            let docs = text(&item["docs"]);
            if !docs.contains("```") && !docs.contains("See [`") {
                self.bare.insert(path.clone());
            }
        }
        match kind {
            "module" => {
                self.add("mod", &path, "");
                self.module(item, &path);
            }
            "use" => self.import(inner, parent),
            "function" => self.add("fn", &path, &signature(inner)),
            "struct" | "union" => {
                self.add(kind, &path, &generics(&inner["generics"]));
                let fields = match &inner["kind"] {
                    Value::Object(o) if o.contains_key("plain") => &inner["kind"]["plain"]["fields"],
                    Value::Object(_) => &inner["kind"]["tuple"],
                    _ => &inner["fields"],
                };
                self.fields(fields, &path);
                self.impls(inner, &path);
            }
            "enum" => {
                self.add("enum", &path, &generics(&inner["generics"]));
                for variant in self.items(&inner["variants"]) {
                    self.variant(variant, &path);
                }
                self.impls(inner, &path);
            }
            "trait" => {
                let over = bounds(&inner["bounds"]);
                let over = if over.is_empty() { over } else { format!(": {over}") };
                self.add("trait", &path, &format!("{}{over}", generics(&inner["generics"])));
                self.members(inner, &path);
            }
            "type_alias" => {
                let rest = format!("{} = {}", generics(&inner["generics"]), types::ty(&inner["type"]));
                self.add("type", &path, &rest);
            }
            "constant" => self.add("const", &path, &format!(": {}", types::ty(&inner["type"]))),
            "static" => self.add("static", &path, &format!(": {}", types::ty(&inner["type"]))),
            "macro" | "proc_macro" => self.add("macro", &path, ""),
            _ => self.add(kind, &path, ""),
        }
    }

    fn import(&mut self, import: &'a Value, parent: &str) {
        let name = text(&import["name"]);
        let Some(target) = self.index.get(&id(&import["id"])) else {
            // Of another crate: only the name is ours.
            self.add("use", &format!("{parent}::{name}"), &format!(" = {}", text(&import["source"])));
            return;
        };
        if self.is_public(text(&import["source"])) {
            // Listed in its own module.
            self.add("use", &format!("{parent}::{name}"), &format!(" = {}", text(&import["source"])));
            return;
        }
        if import["is_glob"] == true { self.module(target, parent) } else { self.item(target, parent, name) }
    }

    fn fields(&mut self, fields: &'a Value, path: &str) {
        for field in self.items(fields).into_iter().filter(|f| f["visibility"] == "public") {
            let ty = types::ty(&field["inner"]["struct_field"]);
            self.add("field", &format!("{path}::{}", text(&field["name"])), &format!(": {ty}"));
        }
    }

    fn variant(&mut self, variant: &'a Value, path: &str) {
        let kind = &variant["inner"]["variant"]["kind"];
        let types = |list: &'a Value| -> Vec<String> {
            let fields = self.items(list).into_iter();
            fields.map(|f| types::ty(&f["inner"]["struct_field"])).collect()
        };
        let rest = if kind["tuple"].is_array() {
            format!("({})", types(&kind["tuple"]).join(", "))
        } else if kind["struct"].is_object() {
            let fields = self.items(&kind["struct"]["fields"]).into_iter();
            let fields: Vec<String> = fields
                .map(|f| format!("{}: {}", text(&f["name"]), types::ty(&f["inner"]["struct_field"])))
                .collect();
            format!(" {{ {} }}", fields.join(", "))
        } else {
            String::new()
        };
        self.add("variant", &format!("{path}::{}", text(&variant["name"])), &rest);
    }

    /// Methods, and which traits are implemented by hand or derived.
    fn impls(&mut self, of: &'a Value, path: &str) {
        for item in self.items(&of["impls"]) {
            let Some(("impl", block)) = inner(item) else { continue };
            if block["is_synthetic"] == true || !block["blanket_impl"].is_null() {
                continue;
            }
            if block["trait"].is_null() {
                self.members(block, path);
            } else {
                self.add("impl", path, &format!(": {}", types::path(&block["trait"])));
            }
        }
    }

    fn members(&mut self, block: &'a Value, path: &str) {
        for member in self.items(&block["items"]) {
            let hidden = member["visibility"] != "public" && member["visibility"] != "default";
            let Some((kind, inner)) = inner(member).filter(|_| !hidden) else { continue };
            let path = format!("{path}::{}", text(&member["name"]));
            match kind {
                "function" => self.add("fn", &path, &signature(inner)),
                "assoc_const" => self.add("const", &path, &format!(": {}", types::ty(&inner["type"]))),
                "assoc_type" => self.add("type", &path, &generics(&inner["generics"])),
                _ => self.add(kind, &path, ""),
            }
        }
    }
}
