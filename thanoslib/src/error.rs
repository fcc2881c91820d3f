//! The error type of the library and of its decoders.
//!
//! Invariant: knows no protocol; each edge maps [`ErrorKind`] to its own codes.

use std::{borrow::Cow, error, fmt};
#[cfg(feature = "store")]
use std::{io, path::Path};

/// Result of every fallible public function.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the caller should do about an [`Error`].
///
/// See [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Fix the request or the configuration.
    Invalid,
    /// Treat the thing as absent.
    NotFound,
    /// Quarantine the block or record.
    Corrupt,
    /// Retry, or answer partially.
    Unavailable,
    /// Narrow the query, send less, or raise the limit.
    Limit,
    /// Refresh and retry.
    Conflict,
    /// Stop.
    Cancelled,
    /// Retry with a longer deadline.
    Timeout,
    /// Fix the credentials.
    Denied,
    /// Use another endpoint.
    Unsupported,
    /// Report a bug.
    Internal,
}

/// An error that says what the caller should do.
///
/// ```
/// use thanoslib::{Error, ErrorKind};
/// let error = Error::unavailable("connection refused").context("store eu1");
/// assert_eq!(error.kind(), ErrorKind::Unavailable);
/// assert!(error.to_string().contains("store eu1"));
/// ```
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: Cow<'static, str>,
    source: Option<Box<dyn error::Error + Send + Sync + 'static>>,
}

macro_rules! constructors {
    ($($(#[$doc:meta])* $name:ident => $kind:ident;)*) => {
        impl Error {
            $($(#[$doc])*
            pub fn $name(message: impl Into<Cow<'static, str>>) -> Self {
                Self::new(ErrorKind::$kind, message)
            })*
        }
    };
}

constructors! {
    /// An error of kind [`ErrorKind::Invalid`].
    invalid => Invalid;
    /// An error of kind [`ErrorKind::NotFound`].
    not_found => NotFound;
    /// An error of kind [`ErrorKind::Corrupt`].
    corrupt => Corrupt;
    /// An error of kind [`ErrorKind::Unavailable`].
    unavailable => Unavailable;
    /// An error of kind [`ErrorKind::Limit`].
    limit => Limit;
    /// An error of kind [`ErrorKind::Cancelled`].
    cancelled => Cancelled;
    /// An error of kind [`ErrorKind::Timeout`].
    timeout => Timeout;
    /// An error of kind [`ErrorKind::Unsupported`].
    unsupported => Unsupported;
    /// An error of kind [`ErrorKind::Internal`].
    internal => Internal;
}

impl Error {
    /// An error of the given kind; the message is lowercase and carries the numbers.
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// The same error with the cause behind it.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The same error with `context: ` in front of its message.
    #[must_use]
    pub fn context(mut self, context: impl fmt::Display) -> Self {
        self.message = Cow::Owned(format!("{context}: {}", self.message));
        self
    }

    /// What the caller should do.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The message without the cause.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        self.source.as_deref().map(|e| e as &(dyn error::Error + 'static))
    }
}

/// Where and why a decoder gave up.
///
/// ```
/// use thanoslib::{ErrorKind, chunk::XorDecoder};
/// let error = XorDecoder::new(&[0]).expect_err("two bytes are the count");
/// assert_eq!(error.context("block 01X").kind(), ErrorKind::Corrupt);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// What was wrong, in a few words.
    pub what: &'static str,
    /// Byte offset inside the decoded slice.
    pub offset: usize,
}

impl DecodeError {
    /// An error at `offset` of the decoded slice.
    pub const fn new(what: &'static str, offset: usize) -> Self {
        Self { what, offset }
    }

    /// A [`ErrorKind::Corrupt`] error that names the object that was decoded.
    pub fn context(self, object: impl fmt::Display) -> Error {
        Error::corrupt(format!("{object}: {self}"))
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at offset {}", self.what, self.offset)
    }
}

impl error::Error for DecodeError {}

impl From<DecodeError> for Error {
    fn from(e: DecodeError) -> Self {
        Error::corrupt(e.to_string())
    }
}

/// Makes the error of a file that cannot be written.
#[cfg(feature = "store")]
pub(crate) fn cannot_write(path: &Path) -> impl Fn(io::Error) -> Error {
    let path = path.display().to_string();
    move |e| Error::unavailable(format!("cannot write {path}: {e}")).with_source(e)
}
