//! `label_replace` and `label_join`.

use crate::{
    error::{Error, Result},
    model::{LABEL_NAME, LabelsBuilder, TemplateRegex},
    promql::{Block, names::merge_equal, scope::Scope},
};

fn is_label_name(name: &[u8]) -> bool {
    !name.is_empty() && std::str::from_utf8(name).is_ok()
}

fn bad_name(kind: &str, function: &str, name: &[u8]) -> Error {
    Error::invalid(format!("invalid {kind} label name in {function}(): {}", String::from_utf8_lossy(name)))
}

/// Sets a label of each series; `value` gives nothing when the series stays as it is.
fn set_label(
    scope: &Scope<'_>,
    mut blocks: Vec<Block>,
    dst: &[u8],
    value: impl Fn(&Block) -> Option<Vec<u8>>,
) -> Result<Vec<Block>> {
    for block in &mut blocks {
        scope.check()?;
        if let Some(value) = value(block) {
            block.labels = LabelsBuilder::from_labels(block.labels.view()).set(dst, &value).labels();
            if dst == LABEL_NAME.as_bytes() {
                block.drop_name = false;
            }
        }
    }
    merge_equal(blocks)
}

/// `label_replace(v, dst, replacement, src, pattern)`.
///
/// # Errors
/// `Invalid` for a pattern that is none, a name that is none, and series that become equal while
/// they have values at one step.
pub(super) fn replace(
    scope: &Scope<'_>,
    blocks: Vec<Block>,
    dst: &[u8],
    replacement: &[u8],
    src: &[u8],
    pattern: &[u8],
) -> Result<Vec<Block>> {
    let invalid = || {
        let pattern = String::from_utf8_lossy(pattern);
        Error::invalid(format!("invalid regular expression in label_replace(): {pattern}"))
    };
    let regex =
        TemplateRegex::new(std::str::from_utf8(pattern).map_err(|_| invalid())?).map_err(|_| invalid())?;
    if !is_label_name(dst) {
        return Err(bad_name("destination", "label_replace", dst));
    }
    set_label(scope, blocks, dst, |block| {
        regex.captures_expand(block.labels.get(src).unwrap_or_default(), replacement)
    })
}

/// `label_join(v, dst, separator, src…)`.
///
/// # Errors
/// `Invalid` for names that are none, and for series that become equal while they have values at
/// one step.
pub(super) fn join(
    scope: &Scope<'_>,
    blocks: Vec<Block>,
    dst: &[u8],
    separator: &[u8],
    sources: &[Vec<u8>],
) -> Result<Vec<Block>> {
    if let Some(src) = sources.iter().find(|src| !is_label_name(src)) {
        return Err(bad_name("source", "label_join", src));
    }
    if !is_label_name(dst) {
        return Err(bad_name("destination", "label_join", dst));
    }
    set_label(scope, blocks, dst, |block| {
        let values: Vec<&[u8]> =
            sources.iter().map(|src| block.labels.get(src).unwrap_or_default()).collect();
        Some(values.join(separator))
    })
}
