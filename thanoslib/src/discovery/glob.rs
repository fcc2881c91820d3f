//! Patterns of file names: `*` and `?` in the last part of a path.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// The files that a pattern names, sorted. A path without `*` and `?` names itself.
///
/// # Errors
/// `Invalid` when the folder cannot be listed, or another part than the last has a pattern.
pub(super) async fn files(pattern: &str) -> Result<Vec<PathBuf>> {
    let path = Path::new(pattern);
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let is_pattern = |text: &str| text.contains(['*', '?']);
    if !is_pattern(pattern) {
        return Ok(vec![path.to_path_buf()]);
    }
    let Some(name) =
        path.file_name().and_then(|n| n.to_str()).filter(|_| !is_pattern(&folder.to_string_lossy()))
    else {
        return Err(Error::invalid(format!("pattern {pattern:?}: only the last part may have * and ?")));
    };
    let wrong = |e: std::io::Error| Error::invalid(format!("folder of {pattern:?}: {e}")).with_source(e);
    let mut entries = tokio::fs::read_dir(folder).await.map_err(wrong)?;
    let mut found = Vec::new();
    while let Some(entry) = entries.next_entry().await.map_err(wrong)? {
        if entry.file_name().to_str().is_some_and(|file| matches(name.as_bytes(), file.as_bytes())) {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

/// True when the whole name fits the pattern.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    // The place after the last star, and where in the name it was tried last.
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p + 1, n));
                p += 1;
            }
            Some(c) if *c == b'?' || *c == name[n] => (p, n) = (p + 1, n + 1),
            _ => match &mut star {
                Some((after, from)) => {
                    *from += 1;
                    (p, n) = (*after, *from);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_anything() {
        let check = |pattern: &str, name: &str, want: bool| {
            assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), want, "{pattern} {name}");
        };
        check("*.json", "a.json", true);
        check("*.json", ".json", true);
        check("*.json", "a.jso", false);
        check("a*b*c", "a-b-b-c", true);
        check("a?c", "abc", true);
        check("a?c", "ac", false);
        check("**", "x", true);
        check("", "x", false);
    }
}
