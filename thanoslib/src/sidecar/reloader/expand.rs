//! The text of a configuration: unpacked, and with the environment filled in.

use std::io::Read;

use crate::error::{Error, Result};

/// First bytes of what gzip has compressed.
const GZIP: &[u8] = &[0x1f, 0x8b, 0x08];
/// Most bytes of a configuration.
const BYTES_MAX: u64 = 256 << 20;

/// The text of a file, which may be compressed.
///
/// # Errors
/// `Invalid` for a stream that does not unpack, a text that is too long or not in UTF-8.
pub(super) fn unpack(bytes: Vec<u8>) -> Result<String> {
    let plain = if bytes.starts_with(GZIP) {
        let mut out = Vec::new();
        let mut reader = flate2::read::MultiGzDecoder::new(bytes.as_slice()).take(BYTES_MAX + 1);
        reader.read_to_end(&mut out).map_err(|e| Error::invalid(format!("cannot unpack: {e}")))?;
        out
    } else {
        bytes
    };
    if plain.len() as u64 > BYTES_MAX {
        return Err(Error::invalid(format!("more than {BYTES_MAX} bytes when unpacked")));
    }
    String::from_utf8(plain).map_err(|e| Error::invalid(format!("not in UTF-8: {e}")))
}

/// Replaces each `$(NAME)`; `$NAME` and `${NAME}` stay, and there is no escape.
///
/// # Errors
/// `Invalid` for a variable that is not set.
pub(super) fn expand(text: &str, variable: impl Fn(&str) -> Option<String>) -> Result<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("$(") {
        out.push_str(before);
        let plain =
            |name: &str| !name.is_empty() && name.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric());
        match after.split_once(')').filter(|(name, _)| plain(name)) {
            Some((name, behind)) => {
                let value = variable(name);
                out.push_str(&value.ok_or_else(|| {
                    Error::invalid(format!("found reference to unset environment variable {name:?}"))
                })?);
                rest = behind;
            }
            None => {
                out.push_str("$(");
                rest = after;
            }
        }
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn references_are_replaced() {
        let variable = |name: &str| (name == "A_1").then(|| "x: $(B)".to_owned());
        let check = |text: &str, want: Option<&str>| {
            assert_eq!(expand(text, variable).ok().as_deref(), want, "{text}");
        };
        check("", Some(""));
        check("a $(A_1) b $(A_1)", Some("a x: $(B) b x: $(B)"));
        check("$A_1 ${A_1} $() $(A-1) $(A_1", Some("$A_1 ${A_1} $() $(A-1) $(A_1"));
        check("$($(A_1)", Some("$(x: $(B)"));
        check("$(B)", None);
    }

    #[test]
    fn compressed_texts_are_unpacked() {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        packed.write_all(b"global: {}").expect("in memory");
        let packed = packed.finish().expect("in memory");
        assert_eq!(unpack(packed.clone()).expect("sound"), "global: {}");
        assert!(unpack(packed[..packed.len() - 9].to_vec()).is_err());
        for short in ["", "a", "ab"] {
            assert_eq!(unpack(short.as_bytes().to_vec()).expect("sound"), short);
        }
        assert!(unpack(vec![0xff, 0xfe]).is_err());
    }
}
