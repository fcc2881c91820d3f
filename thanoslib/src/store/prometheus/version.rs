//! What a server of some version can do.

/// A semantic version; a pre-release comes before its release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Version(u64, u64, u64, bool);

impl Version {
    fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix('v').unwrap_or(text);
        let plain = text.split_once('+').map_or(text, |(version, _build)| version);
        let (numbers, release) = match plain.split_once('-') {
            Some((numbers, _)) => (numbers, false),
            None => (plain, true),
        };
        let mut parts = numbers.split('.');
        let mut next = || {
            let part = parts.next()?;
            let plain = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
            if plain { part.parse::<u64>().ok() } else { None }
        };
        let version = Self(next()?, next()?, next()?, release);
        parts.next().is_none().then_some(version)
    }
}

/// True when label calls of a server of this version take matchers: from 2.24.0 on.
///
/// A version that cannot be read counts as old.
pub(super) fn labels_take_matchers(version: &str) -> bool {
    Version::parse(version).is_some_and(|v| v >= Version(2, 24, 0, true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_calls_take_matchers_since_2_24() {
        let check = |version: &str, want: bool| assert_eq!(labels_take_matchers(version), want, "{version}");
        for new in ["2.24.0", "2.24.1-rc.0", "2.42.0+ds", "3.0.0-rc.1", "v3.5.0", "10.0.0"] {
            check(new, true);
        }
        for old in ["2.23.0", "2.24.0-rc.0", "0", "", "2.24", "2.x.0", "2.24.0.1", "-1.0.0"] {
            check(old, false);
        }
    }
}
