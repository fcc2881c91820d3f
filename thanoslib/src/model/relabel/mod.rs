//! Relabelling: rules that rewrite a label set or drop it.
//!
//! Rules are plain data ([`RelabelConfig`]); [`Relabel`] checks and compiles them once.
//!
//! Source: Prometheus `model/relabel/relabel.go`.
//!
//! Invariant: pure functions of labels; knows no configuration files but their YAML text.

mod case;
mod check;
#[cfg(feature = "store")]
mod yaml;

#[cfg(feature = "store")]
pub use yaml::{parse_relabel, parse_relabel_strict};

use super::{Labels, LabelsBuilder, LabelsRef, TemplateRegex, labels::is_legacy_label_name};
use crate::error::{Error, Result};

/// What a rule does.
///
/// See [`RelabelConfig`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RelabelAction {
    /// Sets the target to the replacement if the source matches.
    #[default]
    Replace,
    /// Drops label sets whose source does not match.
    Keep,
    /// Drops label sets whose source matches.
    Drop,
    /// Drops label sets whose source differs from the target.
    KeepEqual,
    /// Drops label sets whose source equals the target.
    DropEqual,
    /// Sets the target to a hash of the source, modulo the modulus.
    HashMod,
    /// Copies labels whose names match to the replacement as name.
    LabelMap,
    /// Removes labels whose names match.
    LabelDrop,
    /// Removes labels whose names do not match.
    LabelKeep,
    /// Sets the target to the source in lower case.
    Lowercase,
    /// Sets the target to the source in upper case.
    Uppercase,
}

impl RelabelAction {
    /// All of them.
    const ALL: [Self; 11] = [
        Self::Replace,
        Self::Keep,
        Self::Drop,
        Self::KeepEqual,
        Self::DropEqual,
        Self::HashMod,
        Self::LabelMap,
        Self::LabelDrop,
        Self::LabelKeep,
        Self::Lowercase,
        Self::Uppercase,
    ];

    /// Its name in configuration files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Replace => "replace",
            Self::Keep => "keep",
            Self::Drop => "drop",
            Self::KeepEqual => "keepequal",
            Self::DropEqual => "dropequal",
            Self::HashMod => "hashmod",
            Self::LabelMap => "labelmap",
            Self::LabelDrop => "labeldrop",
            Self::LabelKeep => "labelkeep",
            Self::Lowercase => "lowercase",
            Self::Uppercase => "uppercase",
        }
    }

    /// The action of a name, in any case.
    ///
    /// # Errors
    /// `Invalid` when there is none.
    pub fn parse(name: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|a| a.as_str().eq_ignore_ascii_case(name));
        found.ok_or_else(|| Error::invalid(format!("unknown relabel action {name:?}")))
    }
}

/// One rule, as it is written; the default sets nothing and has Prometheus' defaults.
///
/// See [`Relabel`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelabelConfig {
    /// Labels whose values, joined by the separator, are the source.
    pub source_labels: Vec<String>,
    /// What joins them. Default: `;`.
    pub separator: String,
    /// Pattern that the whole source, or the whole name, is matched with. Default: `(.*)`.
    pub regex: String,
    /// Divisor of hashes.
    pub modulus: u64,
    /// Label that is set; may refer to groups.
    pub target_label: String,
    /// What it is set to; may refer to groups. Default: `$1`.
    pub replacement: String,
    /// What is done. Default: replace.
    pub action: RelabelAction,
}

/// Default of [`RelabelConfig::separator`].
const SEPARATOR: &str = ";";
/// Default of [`RelabelConfig::regex`].
const REGEX: &str = "(.*)";
/// Default of [`RelabelConfig::replacement`].
const REPLACEMENT: &str = "$1";

impl Default for RelabelConfig {
    fn default() -> Self {
        Self {
            source_labels: Vec::new(),
            separator: SEPARATOR.to_owned(),
            regex: REGEX.to_owned(),
            modulus: 0,
            target_label: String::new(),
            replacement: REPLACEMENT.to_owned(),
            action: RelabelAction::Replace,
        }
    }
}

/// Which names labels may have.
///
/// See [`Relabel`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum NameScheme {
    /// Any text but the empty one.
    #[default]
    Utf8,
    /// Letters, digits and underscores of ASCII, no digit first.
    Legacy,
}

impl NameScheme {
    fn allows(self, name: &[u8]) -> bool {
        match self {
            Self::Utf8 => !name.is_empty() && std::str::from_utf8(name).is_ok(),
            Self::Legacy => is_legacy_label_name(name),
        }
    }
}

/// Rules, checked and compiled.
///
/// ```
/// use thanoslib::model::{Labels, relabel::{NameScheme, Relabel, RelabelAction, RelabelConfig}};
/// let keep_eu = RelabelConfig {
///     source_labels: vec!["cluster".to_owned()],
///     regex: "eu.*".to_owned(),
///     action: RelabelAction::Keep,
///     ..RelabelConfig::default()
/// };
/// let rules = Relabel::new(&[keep_eu], NameScheme::Utf8)?;
/// assert!(rules.apply(Labels::from_pairs([("cluster", "eu1")]).view()).is_some());
/// assert!(rules.apply(Labels::from_pairs([("cluster", "us1")]).view()).is_none());
/// # Ok::<(), thanoslib::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Relabel {
    rules: Vec<(RelabelConfig, TemplateRegex)>,
    scheme: NameScheme,
}

impl Relabel {
    /// Checks rules and compiles their patterns.
    ///
    /// # Errors
    /// `Invalid` in upstream's words for the first rule that is not sound.
    pub fn new(configs: &[RelabelConfig], scheme: NameScheme) -> Result<Self> {
        let compile = |config: &RelabelConfig| {
            let regex = TemplateRegex::new(&config.regex).map_err(|e| Error::invalid(e.to_string()))?;
            check::check(config, scheme)?;
            Ok((config.clone(), regex))
        };
        Ok(Self { rules: configs.iter().map(compile).collect::<Result<_>>()?, scheme })
    }

    /// Rules that only choose label sets.
    ///
    /// # Errors
    /// `Invalid` for rules that are not sound, or do more than to keep, drop and hash.
    pub fn selector(configs: &[RelabelConfig]) -> Result<Self> {
        use RelabelAction::{Drop, HashMod, Keep};
        if let Some(other) = configs.iter().find(|r| !matches!(r.action, Keep | Drop | HashMod)) {
            return Err(Error::invalid(format!("unsupported relabel action: {}", other.action.as_str())));
        }
        Self::new(configs, NameScheme::Utf8)
    }

    /// The actions in order.
    pub fn actions(&self) -> impl Iterator<Item = RelabelAction> {
        self.rules.iter().map(|(config, _)| config.action)
    }

    /// True without rules.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The label set as the rules rewrite it, one after the other; `None` when one drops it.
    pub fn apply(&self, labels: LabelsRef<'_>) -> Option<Labels> {
        let mut builder = LabelsBuilder::from_labels(labels);
        for (config, regex) in &self.rules {
            self.rule(config, regex, &mut builder)?;
        }
        Some(builder.labels())
    }

    /// Applies one rule; `None` when it drops the label set.
    fn rule(&self, config: &RelabelConfig, regex: &TemplateRegex, labels: &mut LabelsBuilder) -> Option<()> {
        let source = source(config, labels);
        let target = config.target_label.as_str();
        let keep = |kept: bool| kept.then_some(());
        match config.action {
            RelabelAction::Replace => {
                let Some(name) = regex.captures_expand(&source, target.as_bytes()) else { return Some(()) };
                if self.scheme.allows(&name) {
                    let value = regex.captures_expand(&source, config.replacement.as_bytes());
                    labels.set(name, value.unwrap_or_default());
                }
            }
            RelabelAction::Keep => keep(regex.is_match(&source))?,
            RelabelAction::Drop => keep(!regex.is_match(&source))?,
            RelabelAction::KeepEqual => keep(labels.get(target).unwrap_or_default() == source)?,
            RelabelAction::DropEqual => keep(labels.get(target).unwrap_or_default() != source)?,
            RelabelAction::HashMod => {
                labels.set(target, hashmod(&source, config.modulus).to_string());
            }
            RelabelAction::Lowercase => {
                labels.set(target, case::lower(&source));
            }
            RelabelAction::Uppercase => {
                labels.set(target, case::upper(&source));
            }
            RelabelAction::LabelMap => {
                for label in labels.labels().iter() {
                    if let Some(name) = regex.captures_expand(label.name, config.replacement.as_bytes()) {
                        labels.set(name, label.value);
                    }
                }
            }
            RelabelAction::LabelDrop | RelabelAction::LabelKeep => {
                let drops = config.action == RelabelAction::LabelDrop;
                for label in labels.labels().iter().filter(|l| regex.is_match(l.name) == drops) {
                    labels.remove(label.name);
                }
            }
        }
        Some(())
    }
}

/// The values of the source labels, joined.
fn source(config: &RelabelConfig, labels: &LabelsBuilder) -> Vec<u8> {
    let mut out = Vec::new();
    for (i, name) in config.source_labels.iter().enumerate() {
        if i > 0 {
            out.extend_from_slice(config.separator.as_bytes());
        }
        out.extend_from_slice(labels.get(name).unwrap_or_default());
    }
    out
}

/// The hash of the action `hashmod`: the last eight bytes of MD5, big-endian, modulo `modulus`;
/// 0 for the modulus 0.
pub fn hashmod(source: &[u8], modulus: u64) -> u64 {
    let digest = md5::compute(source);
    let last = digest[8..].iter().fold(0_u64, |hash, byte| hash << 8 | u64::from(*byte));
    last.checked_rem(modulus).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(config: RelabelConfig, input: &[(&str, &str)], want: Option<&[(&str, &str)]>) {
        let rules = Relabel::new(std::slice::from_ref(&config), NameScheme::Utf8).expect("sound");
        let labels = |pairs: &[(&str, &str)]| Labels::from_pairs(pairs.iter().copied());
        assert_eq!(rules.apply(labels(input).view()), want.map(labels), "{config:?}");
    }

    #[test]
    fn rules_rewrite_and_drop() {
        let of = |source: &str, regex: &str, target: &str, replacement: &str| RelabelConfig {
            source_labels: vec![source.to_owned()],
            regex: regex.to_owned(),
            target_label: target.to_owned(),
            replacement: replacement.to_owned(),
            ..RelabelConfig::default()
        };
        check(of("a", "(.)(.)", "b", "$2$1"), &[("a", "xy")], Some(&[("a", "xy"), ("b", "yx")]));
        check(of("a", ".*", "a", ""), &[("a", "xy")], Some(&[]));
        check(of("a", "nothing", "b", "z"), &[("a", "xy")], Some(&[("a", "xy")]));
        let drop = RelabelConfig { action: RelabelAction::Drop, ..of("a", "x|xy", "", "$1") };
        check(drop, &[("a", "xy")], None);
        let shard =
            RelabelConfig { action: RelabelAction::HashMod, modulus: 100, ..of("a", "(.*)", "b", "$1") };
        check(shard, &[("a", "foo;bar")], Some(&[("a", "foo;bar"), ("b", "50")]));
        let upper = RelabelConfig { action: RelabelAction::Uppercase, ..of("a", "(.*)", "a", "$1") };
        check(upper, &[("a", "straße")], Some(&[("a", "STRAßE")]));
    }
}
