//! Configuration texts: references to the environment, and the two ways to give a text.
//!
//! Invariant: works on text; knows no format and no key.

use std::{env, fs, path::Path};

use anyhow::{Context, Result, bail};

/// Replaces each `$(NAME)` by the value of that environment variable.
///
/// `$NAME` and `${NAME}` stay as they are, and there is no escape.
///
/// # Errors
/// When a variable is not set.
pub fn expand(text: &str) -> Result<String> {
    expand_with(text, |name| env::var(name).ok())
}

fn expand_with(text: &str, variable: impl Fn(&str) -> Option<String>) -> Result<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("$(") {
        let (before, after) = (&rest[..at], &rest[at + 2..]);
        out.push_str(before);
        let name = after
            .split_once(')')
            .map(|(name, _)| name)
            .filter(|name| !name.is_empty() && name.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric()));
        match name {
            Some(name) => match variable(name) {
                Some(value) => {
                    out.push_str(&value);
                    rest = &after[name.len() + 1..];
                }
                None => bail!("found reference to unset environment variable {name:?}"),
            },
            None => {
                out.push_str("$(");
                rest = after;
            }
        }
    }
    out.push_str(rest);
    Ok(out)
}

/// A text that is given by the flag `--X` or by the file of the flag `--X-file`.
#[derive(Clone, Copy, Debug)]
pub struct TextPair<'a> {
    /// Name of the flag without dashes: `X`.
    pub flag: &'a str,
    /// Value of `--X`.
    pub text: Option<&'a str>,
    /// Value of `--X-file`.
    pub file: Option<&'a Path>,
}

impl TextPair<'_> {
    /// The text with the environment expanded; `None` when neither flag says anything.
    ///
    /// # Errors
    /// When both flags are given, the file cannot be read, or a variable is not set.
    pub fn get(self) -> Result<Option<String>> {
        let flag = self.flag;
        let Some(raw) = self.plain()? else { return Ok(None) };
        let text = expand(&raw).with_context(|| format!("flag {flag}"))?;
        Ok((!text.is_empty()).then_some(text))
    }

    /// The text as it stands; `None` when neither flag says anything.
    ///
    /// # Errors
    /// When both flags are given, or the file cannot be read.
    pub fn plain(self) -> Result<Option<String>> {
        let flag = self.flag;
        let text = self.text.filter(|text| !text.is_empty());
        let file = self.file.filter(|file| !file.as_os_str().is_empty());
        Ok(match (text, file) {
            (Some(_), Some(_)) => bail!("both {flag}-file and {flag} flags set."),
            (Some(text), None) => Some(text.to_owned()),
            (None, Some(file)) => Some(
                fs::read_to_string(file)
                    .with_context(|| format!("loading file {} of flag {flag}-file", file.display()))?,
            ),
            (None, None) => None,
        })
    }

    /// The text, which must be given.
    ///
    /// # Errors
    /// As [`get`](Self::get), and when there is none.
    pub fn required(self) -> Result<String> {
        let flag = self.flag;
        self.get()?.with_context(|| {
            format!("flag {flag}-file or {flag} is required for this command and must not be empty")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_replaced_before_anything_is_parsed() {
        let variable = |name: &str| match name {
            "A" => Some("1\n\"x\": $(B)".to_owned()),
            "EMPTY_2" => Some(String::new()),
            _ => None,
        };
        let check = |text: &str, want: Option<&str>| {
            assert_eq!(expand_with(text, variable).ok().as_deref(), want, "{text}");
        };
        check("", Some(""));
        check("a: $(A)!", Some("a: 1\n\"x\": $(B)!"));
        check("$(EMPTY_2)$(EMPTY_2)", Some(""));
        check("$A ${A} $(A-B) $( A) $() $(A", Some("$A ${A} $(A-B) $( A) $() $(A"));
        check("$($(EMPTY_2)", Some("$("));
        check("$(NONE)", None);
        let e = expand_with("$(NONE)", variable).expect_err("unset");
        assert_eq!(e.to_string(), "found reference to unset environment variable \"NONE\"");
    }

    #[test]
    fn a_text_comes_from_one_of_two_flags() {
        let dir = tempfile::tempdir().expect("tempdir");
        let (file, empty) = (dir.path().join("a.yml"), dir.path().join("empty.yml"));
        fs::write(&file, "from file").expect("write");
        fs::write(&empty, "").expect("write");
        let pair = |text, file| TextPair { flag: "objstore.config", text, file };
        assert_eq!(pair(Some("inline"), None).get().expect("text").as_deref(), Some("inline"));
        assert_eq!(pair(Some(""), Some(&file)).get().expect("text").as_deref(), Some("from file"));
        assert_eq!(pair(None, None).get().expect("text"), None);
        assert_eq!(pair(None, Some(&empty)).get().expect("text"), None);
        let both = pair(Some("inline"), Some(&file)).get().expect_err("both");
        assert_eq!(both.to_string(), "both objstore.config-file and objstore.config flags set.");
        assert!(pair(None, Some(&empty)).required().is_err());
        assert!(pair(None, Some(&dir.path().join("missing"))).get().is_err());
    }
}
