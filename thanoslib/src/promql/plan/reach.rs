//! How far windows of samples reach beyond the range that is asked for.

use crate::{
    error::{Error, Result},
    promql::{FunctionId, ast::Extension},
};

/// How far the functions of Thanos look for the sample before a range, in ms.
const X_LOOKBACK_MS: i64 = 3_600_000;

/// What windows hold besides their range, in ms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reach {
    /// Before the range.
    pub(crate) before_ms: i64,
    /// After the range.
    pub(crate) after_ms: i64,
}

impl Reach {
    /// The reach of the windows of a range selector below a function, if there is one.
    pub(super) fn of_range(
        function: Option<FunctionId>,
        extension: Option<Extension>,
        lookback_ms: i64,
    ) -> Self {
        match (function, extension) {
            (Some(id), _) if id.is_x_function() => Self { before_ms: X_LOOKBACK_MS, after_ms: 0 },
            (_, None) => Self::default(),
            (_, Some(Extension::Anchored)) => Self { before_ms: lookback_ms, after_ms: 0 },
            (_, Some(Extension::Smoothed)) => Self { before_ms: lookback_ms, after_ms: lookback_ms },
        }
    }
}

/// Fails for functions that make nothing of a modifier.
///
/// # Errors
/// `Invalid`, naming the functions that do.
pub(super) fn check_extension(id: FunctionId, name: &str, extension: Option<Extension>) -> Result<()> {
    use FunctionId::{Changes, Delta, Increase, Rate, Resets};
    let (fits, functions) = match extension {
        None => return Ok(()),
        Some(Extension::Anchored) => (
            matches!(id, Changes | Delta | Increase | Rate | Resets),
            "changes, delta, increase, rate, resets",
        ),
        Some(Extension::Smoothed) => (matches!(id, Delta | Increase | Rate), "delta, increase, rate"),
    };
    match extension {
        Some(extension) if !fits => Err(Error::invalid(format!(
            "{} modifier can only be used with: {functions} - not with {name}",
            extension.as_str()
        ))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promql::find_function;

    #[test]
    fn modifiers_fit_some_functions() {
        let check = |name: &str, extension, fits: bool| {
            let id = find_function(name).expect("known").id;
            assert_eq!(check_extension(id, name, extension).is_ok(), fits, "{name} {extension:?}");
        };
        check("rate", Some(Extension::Smoothed), true);
        check("resets", Some(Extension::Smoothed), false);
        check("resets", Some(Extension::Anchored), true);
        check("deriv", Some(Extension::Anchored), false);
        check("deriv", None, true);
    }
}
