//! JSON as Go reads and writes it, for the objects of a block.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Deserializer, Map, Number, Value, ser::Formatter};

use crate::error::{Error, Result};

/// Larger objects are refused before parsing; the parser itself bounds the nesting.
const BYTES_MAX: usize = 64 << 20;

/// Reads the first JSON value of `bytes` with Go's leniency: keys in any case, `null` for
/// an absent field, the last of equal keys, invalid UTF-8 and lone surrogates replaced.
/// `known` are the keys as they are written.
pub(super) fn read<T: DeserializeOwned>(bytes: &[u8], known: &[&str], trailing: bool) -> Result<T> {
    if bytes.len() > BYTES_MAX {
        return Err(Error::corrupt(format!("{} bytes of JSON are more than {BYTES_MAX}", bytes.len())));
    }
    let text = replace_surrogates(&String::from_utf8_lossy(bytes));
    let broken = |e: serde_json::Error| Error::corrupt(format!("bad JSON: {e}"));
    let mut values = Deserializer::from_str(&text).into_iter::<Value>();
    let value = values.next().ok_or_else(|| Error::corrupt("bad JSON: EOF"))?.map_err(broken)?;
    if !trailing && text[values.byte_offset()..].trim_ascii_start() != "" {
        return Err(Error::corrupt(format!(
            "bad JSON: more after the value at offset {}",
            values.byte_offset()
        )));
    }
    let value = match value {
        Value::Null => Value::Object(Map::new()),
        object @ Value::Object(_) => tidy(object, "", known),
        _ => return Err(Error::corrupt("bad JSON: not an object")),
    };
    T::deserialize(value).map_err(broken)
}

/// Gives keys their written form and drops nulls, outside of maps with free keys.
fn tidy(value: Value, key: &str, known: &[&str]) -> Value {
    match value {
        Value::Object(map) if key == "labels" => {
            let text = |v| if v == Value::Null { Value::from("") } else { v };
            Value::Object(map.into_iter().map(|(k, v)| (k, text(v))).collect())
        }
        value if key == "extensions" || key == "relabels_applied" => floats(value),
        Value::Object(map) => {
            let mut out = Map::new();
            for (k, v) in map {
                let exact = known.contains(&k.as_str());
                let known_key = known.iter().find(|n| !exact && n.eq_ignore_ascii_case(&k));
                let k = known_key.map_or(k, |n| (*n).to_owned());
                if v != Value::Null {
                    let v = tidy(v, &k, known);
                    out.insert(k, v);
                }
            }
            Value::Object(out)
        }
        Value::Array(items) => Value::Array(items.into_iter().map(|v| tidy(v, key, known)).collect()),
        other => other,
    }
}

/// Go holds free JSON numbers as floats.
fn floats(value: Value) -> Value {
    match value {
        Value::Number(n) => n.as_f64().and_then(Number::from_f64).map_or(Value::Number(n), Value::Number),
        Value::Array(items) => Value::Array(items.into_iter().map(floats).collect()),
        Value::Object(map) => Value::Object(map.into_iter().map(|(k, v)| (k, floats(v))).collect()),
        other => other,
    }
}

/// Replaces escapes of half a surrogate pair, which are no text, by U+FFFD.
fn replace_surrogates(text: &str) -> String {
    let unit = |s: &str| {
        let hex = s.strip_prefix("\\u")?.get(..4)?;
        u16::from_str_radix(hex, 16).ok()
    };
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        let (head, tail) = rest.split_at(at);
        out.push_str(head);
        let next = tail.get(6..).and_then(unit);
        let len = match unit(tail) {
            Some(0xd800..0xdc00) if matches!(next, Some(0xdc00..0xe000)) => 12,
            Some(0xd800..0xe000) => {
                out.push_str("\\ufffd");
                rest = &tail[6..];
                continue;
            }
            Some(_) => 6,
            // Another escape: the backslash and the character behind it.
            None => 1 + tail[1..].chars().next().map_or(0, char::len_utf8),
        };
        out.push_str(&tail[..len]);
        rest = &tail[len..];
    }
    out.push_str(rest);
    out
}

/// JSON with tabs and a newline at the end, as Thanos writes `meta.json`.
pub(super) fn write_pretty(value: &impl Serialize) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    let formatter = GoFormatter { indent: Some(0), has_value: false };
    value.serialize(&mut serde_json::Serializer::with_formatter(&mut out, formatter)).map_err(unwritable)?;
    out.push(b'\n');
    Ok(out)
}

/// JSON without spaces, as Thanos writes marks.
pub(super) fn write_compact(value: &impl Serialize) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    let formatter = GoFormatter { indent: None, has_value: false };
    value.serialize(&mut serde_json::Serializer::with_formatter(&mut out, formatter)).map_err(unwritable)?;
    Ok(out)
}

fn unwritable(e: serde_json::Error) -> Error {
    Error::internal("cannot write JSON").with_source(e)
}

/// Escapes and numbers as Go's `encoding/json` writes them, indented by tabs or compact.
struct GoFormatter {
    indent: Option<usize>,
    has_value: bool,
}

type Io = std::io::Result<()>;

impl GoFormatter {
    fn line<W: ?Sized + std::io::Write>(&self, out: &mut W) -> Io {
        if let Some(depth) = self.indent {
            out.write_all(b"\n")?;
            for _ in 0..depth {
                out.write_all(b"\t")?;
            }
        }
        Ok(())
    }

    fn begin<W: ?Sized + std::io::Write>(&mut self, out: &mut W, bracket: &[u8]) -> Io {
        self.indent = self.indent.map(|d| d + 1);
        self.has_value = false;
        out.write_all(bracket)
    }

    fn end<W: ?Sized + std::io::Write>(&mut self, out: &mut W, bracket: &[u8]) -> Io {
        self.indent = self.indent.map(|d| d.saturating_sub(1));
        if self.has_value {
            self.line(out)?;
        }
        self.has_value = true;
        out.write_all(bracket)
    }

    fn item<W: ?Sized + std::io::Write>(&mut self, out: &mut W, first: bool) -> Io {
        if !first {
            out.write_all(b",")?;
        }
        self.line(out)
    }
}

impl Formatter for GoFormatter {
    fn begin_array<W: ?Sized + std::io::Write>(&mut self, out: &mut W) -> Io {
        self.begin(out, b"[")
    }

    fn end_array<W: ?Sized + std::io::Write>(&mut self, out: &mut W) -> Io {
        self.end(out, b"]")
    }

    fn begin_array_value<W: ?Sized + std::io::Write>(&mut self, out: &mut W, first: bool) -> Io {
        self.item(out, first)
    }

    fn end_array_value<W: ?Sized + std::io::Write>(&mut self, _: &mut W) -> Io {
        self.has_value = true;
        Ok(())
    }

    fn begin_object<W: ?Sized + std::io::Write>(&mut self, out: &mut W) -> Io {
        self.begin(out, b"{")
    }

    fn end_object<W: ?Sized + std::io::Write>(&mut self, out: &mut W) -> Io {
        self.end(out, b"}")
    }

    fn begin_object_key<W: ?Sized + std::io::Write>(&mut self, out: &mut W, first: bool) -> Io {
        self.item(out, first)
    }

    fn begin_object_value<W: ?Sized + std::io::Write>(&mut self, out: &mut W) -> Io {
        out.write_all(if self.indent.is_some() { b": " } else { b":" })
    }

    fn end_object_value<W: ?Sized + std::io::Write>(&mut self, _: &mut W) -> Io {
        self.has_value = true;
        Ok(())
    }

    fn write_f64<W: ?Sized + std::io::Write>(&mut self, out: &mut W, value: f64) -> Io {
        let size = value.abs();
        if value != 0.0 && !(1e-6..1e21).contains(&size) {
            let text = format!("{value:e}");
            let text = if text.contains("e-") { text } else { text.replace('e', "e+") };
            return out.write_all(text.as_bytes());
        }
        write!(out, "{value}")
    }

    fn write_string_fragment<W: ?Sized + std::io::Write>(&mut self, out: &mut W, fragment: &str) -> Io {
        let mut rest = fragment;
        while let Some(at) = rest.find(['<', '>', '&', '\u{2028}', '\u{2029}']) {
            let (head, tail) = rest.split_at(at);
            out.write_all(head.as_bytes())?;
            let mut chars = tail.chars();
            if let Some(c) = chars.next() {
                write!(out, "\\u{:04x}", u32::from(c))?;
            }
            rest = chars.as_str();
        }
        out.write_all(rest.as_bytes())
    }
}
