//! Rules as YAML.

use serde::Deserialize;

use super::{RelabelAction, RelabelConfig};
use crate::error::{Error, Result};

/// A rule as it may be written: what is missing or null has its default.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Written {
    source_labels: Option<Vec<String>>,
    separator: Option<String>,
    regex: Option<String>,
    modulus: Option<u64>,
    target_label: Option<String>,
    replacement: Option<String>,
    action: Option<String>,
}

/// The keys that a rule may have.
const KEYS: [&str; 7] =
    ["source_labels", "separator", "regex", "modulus", "target_label", "replacement", "action"];

impl TryFrom<Written> for RelabelConfig {
    type Error = Error;

    fn try_from(w: Written) -> Result<Self> {
        let default = Self::default();
        Ok(Self {
            source_labels: w.source_labels.unwrap_or_default(),
            separator: w.separator.unwrap_or(default.separator),
            regex: w.regex.unwrap_or(default.regex),
            modulus: w.modulus.unwrap_or_default(),
            target_label: w.target_label.unwrap_or_default(),
            replacement: w.replacement.unwrap_or(default.replacement),
            action: w.action.as_deref().map_or(Ok(default.action), RelabelAction::parse)?,
        })
    }
}

/// Reads a list of rules; keys that are not known are passed over.
///
/// ```
/// use thanoslib::model::relabel::{RelabelAction, parse_relabel};
/// let rules = parse_relabel("- {action: keep, source_labels: [cluster], regex: eu.*}")?;
/// assert_eq!(rules[0].action, RelabelAction::Keep);
/// # Ok::<(), thanoslib::Error>(())
/// ```
///
/// # Errors
/// `Invalid` when the text is no list of rules, with the number of the rule.
pub fn parse_relabel(yaml: &str) -> Result<Vec<RelabelConfig>> {
    if yaml.trim().is_empty() {
        return Ok(Vec::new());
    }
    let written: Option<Vec<Written>> = serde_saphyr::from_str(yaml).map_err(|e| malformed(&e))?;
    let rules = written.unwrap_or_default().into_iter().enumerate();
    rules.map(|(i, w)| RelabelConfig::try_from(w).map_err(|e| e.context(format!("rule {}", i + 1)))).collect()
}

/// Reads a list of rules; keys that are not known are errors.
///
/// # Errors
/// As [`parse_relabel`], and `Invalid` for a key that no rule has.
pub fn parse_relabel_strict(yaml: &str) -> Result<Vec<RelabelConfig>> {
    let rules = parse_relabel(yaml)?;
    if !rules.is_empty() {
        let keys: Vec<std::collections::BTreeMap<String, serde_json::Value>> =
            serde_saphyr::from_str(yaml).map_err(|e| malformed(&e))?;
        for (i, rule) in keys.iter().enumerate() {
            if let Some(key) = rule.keys().find(|k| !KEYS.contains(&k.as_str())) {
                return Err(Error::invalid(format!("rule {}: unknown field {key:?}", i + 1)));
            }
        }
    }
    Ok(rules)
}

fn malformed(e: &serde_saphyr::Error) -> Error {
    Error::invalid(format!("relabel rules: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_and_errors_name_the_rule() {
        let check = |yaml: &str, want: Result<usize, &str>| {
            let got = parse_relabel_strict(yaml).map(|rules| rules.len()).map_err(|e| e.to_string());
            assert_eq!(got, want.map_err(str::to_owned), "{yaml}");
        };
        check("", Ok(0));
        check("null", Ok(0));
        check("- action: KEEP\n  source_labels: [a, b]\n  regex:\n- target_label: x", Ok(2));
        check("- action: bogus", Err("rule 1: unknown relabel action \"bogus\""));
        check("- actoin: keep", Err("rule 1: unknown field \"actoin\""));
        assert_eq!(parse_relabel("- actoin: keep").map(|rules| rules.len()).ok(), Some(1));
    }
}
