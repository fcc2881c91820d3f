//! From errors of object stores to ours.
//!
//! Invariant: decides the kind from the store's variant, never from its text.

use std::{error, io};

use crate::error::{Error, ErrorKind};

/// Our error for a store's error, with `what` (operation and object) in front.
pub(crate) fn map_err(what: &str, e: object_store::Error) -> Error {
    let kind = kind(&e);
    let mut text = format!("{what}: {e}");
    // Clients of HTTP say that sending failed; the reason is the innermost cause.
    let cause = root(&e).to_string();
    if !text.contains(&cause) {
        text.push_str(": ");
        text.push_str(&cause);
    }
    Error::new(kind, text).with_source(e)
}

fn root<'a>(mut e: &'a (dyn error::Error + 'static)) -> &'a (dyn error::Error + 'static) {
    while let Some(source) = e.source() {
        e = source;
    }
    e
}

fn kind(e: &object_store::Error) -> ErrorKind {
    use object_store::Error as E;
    match e {
        E::NotFound { .. } => ErrorKind::NotFound,
        E::InvalidPath { .. } | E::UnknownConfigurationKey { .. } => ErrorKind::Invalid,
        E::NotSupported { .. } | E::NotImplemented { .. } => ErrorKind::Unsupported,
        E::AlreadyExists { .. } | E::Precondition { .. } | E::NotModified { .. } => ErrorKind::Conflict,
        E::PermissionDenied { .. } | E::Unauthenticated { .. } => ErrorKind::Denied,
        E::Generic { source, .. } => io_kind(source.as_ref()).unwrap_or(ErrorKind::Unavailable),
        _ => ErrorKind::Unavailable,
    }
}

/// The local store wraps the system's errors in its generic variant.
fn io_kind(mut e: &(dyn error::Error + 'static)) -> Option<ErrorKind> {
    loop {
        if let Some(io) = e.downcast_ref::<io::Error>() {
            return match io.kind() {
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                    Some(ErrorKind::Denied)
                }
                io::ErrorKind::NotFound => Some(ErrorKind::NotFound),
                io::ErrorKind::TimedOut => Some(ErrorKind::Timeout),
                _ => None,
            };
        }
        e = e.source()?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variants_map_to_kinds_and_name_the_object() {
        let check = |e: object_store::Error, want: ErrorKind| {
            let e = map_err("get a/b", e);
            assert_eq!(e.kind(), want);
            assert!(e.message().starts_with("get a/b: "), "{e}");
        };
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        check(object_store::Error::NotFound { path: "x".into(), source: "gone".into() }, ErrorKind::NotFound);
        check(object_store::Error::Generic { store: "S", source: "reset".into() }, ErrorKind::Unavailable);
        check(object_store::Error::Generic { store: "S", source: denied.into() }, ErrorKind::Denied);
        check(
            object_store::Error::PermissionDenied { path: "x".into(), source: "no".into() },
            ErrorKind::Denied,
        );
        check(
            object_store::Error::AlreadyExists { path: "x".into(), source: "no".into() },
            ErrorKind::Conflict,
        );
    }
}
