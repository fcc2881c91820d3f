//! What makes a rule sound.

use super::{NameScheme, REGEX, REPLACEMENT, RelabelAction as Action, RelabelConfig, SEPARATOR};
use crate::error::{Error, Result};

/// Checks everything but the pattern.
///
/// # Errors
/// `Invalid` in upstream's words.
pub(super) fn check(config: &RelabelConfig, scheme: NameScheme) -> Result<()> {
    let action = config.action;
    let name = action.as_str();
    let wrong = |message: String| Err(Error::invalid(message));
    let target = config.target_label.as_str();
    if action == Action::HashMod && config.modulus == 0 {
        return wrong("relabel configuration for hashmod requires non-zero modulus".to_owned());
    }
    let equal = matches!(action, Action::KeepEqual | Action::DropEqual);
    let cased = matches!(action, Action::Lowercase | Action::Uppercase);
    if (equal || cased || matches!(action, Action::Replace | Action::HashMod)) && target.is_empty() {
        return wrong(format!("relabel configuration for {name} action requires 'target_label' value"));
    }
    let sound_target = match action {
        Action::Replace => template_allowed(target, scheme),
        Action::HashMod => scheme.allows(target.as_bytes()),
        _ => !(equal || cased) || scheme.allows(target.as_bytes()),
    };
    if !sound_target {
        return wrong(format!("{target:?} is invalid 'target_label' for {name} action"));
    }
    if (equal || cased) && config.replacement != REPLACEMENT {
        return wrong(format!("'replacement' can not be set for {name} action"));
    }
    if action == Action::LabelMap && !template_allowed(&config.replacement, scheme) {
        return wrong(format!("{:?} is invalid 'replacement' for {name} action", config.replacement));
    }
    let more = config.modulus != 0 || config.separator != SEPARATOR || config.replacement != REPLACEMENT;
    if equal && (more || config.regex != REGEX) {
        return wrong(format!(
            "{name} action requires only 'source_labels' and `target_label`, and no other fields"
        ));
    }
    if matches!(action, Action::LabelDrop | Action::LabelKeep)
        && (more || !config.source_labels.is_empty() || !target.is_empty())
    {
        return wrong(format!("{name} action requires only 'regex', and no other fields"));
    }
    Ok(())
}

/// True for names that may refer to groups.
fn template_allowed(name: &str, scheme: NameScheme) -> bool {
    if scheme == NameScheme::Utf8 {
        return scheme.allows(name.as_bytes());
    }
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut rest = name;
    while let Some(c) = rest.chars().next() {
        if c == '$' {
            let body = &rest[1..];
            let braced = body.starts_with('{');
            let body = body.strip_prefix('{').unwrap_or(body);
            let end = body.find(|c| !word(c)).unwrap_or(body.len());
            let after = &body[end..];
            let Some(after) = (if braced { after.strip_prefix('}') } else { Some(after) }) else {
                return false;
            };
            if end == 0 {
                return false;
            }
            rest = after;
        } else if word(c) {
            rest = &rest[1..];
        } else {
            return false;
        }
    }
    !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legacy_names_may_refer_to_groups() {
        let check = |name: &str, want: bool| {
            assert_eq!(template_allowed(name, NameScheme::Legacy), want, "{name:?}");
        };
        check("a_1", true);
        check("dyn_${1}", true);
        check("$1", true);
        check("$1a$2", true);
        check("1a", false);
        check("$2.$1", false);
        check("${1", false);
        check("a$", false);
        check("", false);
    }
}
