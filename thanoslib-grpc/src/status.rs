//! Between errors and gRPC codes.
//!
//! Invariant: the only place that chooses a code for an error or a kind for a code.

use std::error::Error as _;

use thanoslib::{Error, ErrorKind};
use tonic::{Code, Status};

/// The code that tells a client what [`ErrorKind`] tells a caller.
pub fn code(kind: ErrorKind) -> Code {
    match kind {
        ErrorKind::Invalid => Code::InvalidArgument,
        ErrorKind::NotFound => Code::NotFound,
        ErrorKind::Corrupt => Code::Aborted,
        ErrorKind::Unavailable => Code::Unavailable,
        ErrorKind::Limit => Code::ResourceExhausted,
        ErrorKind::Conflict => Code::AlreadyExists,
        ErrorKind::Cancelled => Code::Cancelled,
        ErrorKind::Timeout => Code::DeadlineExceeded,
        ErrorKind::Denied => Code::PermissionDenied,
        ErrorKind::Unsupported => Code::Unimplemented,
        ErrorKind::Internal => Code::Internal,
        // The kinds may grow; a client learns at least that the call failed.
        _ => Code::Unknown,
    }
}

/// The kind of error that a code of a peer means.
pub fn kind(code: Code) -> ErrorKind {
    match code {
        Code::InvalidArgument | Code::OutOfRange => ErrorKind::Invalid,
        Code::NotFound => ErrorKind::NotFound,
        Code::DataLoss => ErrorKind::Corrupt,
        Code::ResourceExhausted => ErrorKind::Limit,
        Code::AlreadyExists | Code::FailedPrecondition => ErrorKind::Conflict,
        Code::Cancelled => ErrorKind::Cancelled,
        Code::DeadlineExceeded => ErrorKind::Timeout,
        Code::PermissionDenied | Code::Unauthenticated => ErrorKind::Denied,
        Code::Unimplemented => ErrorKind::Unsupported,
        Code::Internal => ErrorKind::Internal,
        // Thanos answers Unknown and Aborted when a store behind it fails.
        Code::Unavailable | Code::Aborted | Code::Unknown | Code::Ok => ErrorKind::Unavailable,
    }
}

/// The status that a server answers for an error: its message and those of its causes.
pub fn from_error(error: &Error) -> Status {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(e) = cause {
        text.push_str(": ");
        text.push_str(&e.to_string());
        cause = e.source();
    }
    Status::new(code(error.kind()), text)
}

/// The error that a client gives for a status of a peer.
///
/// Compat: the message has the shape of grpc-go's status errors, because upper layers read
/// the code back from warnings (Thanos `pkg/query/querier.go`).
pub fn to_error(status: &Status) -> Error {
    // What tonic's transport answers, on either side, when a deadline has passed.
    if status.code() == Code::Cancelled && status.message() == "Timeout expired" {
        return to_error(&Status::deadline_exceeded("context deadline exceeded"));
    }
    // What tonic answers for a message that is longer than the call may take.
    if status.code() == Code::OutOfRange && status.message().contains("message length too large") {
        return to_error(&Status::resource_exhausted(status.message()));
    }
    // What tonic answers when a connection breaks in the middle of an answer.
    if status.code() == Code::Unknown && status.message().contains("error reading a body from connection") {
        return to_error(&Status::unavailable("error reading from server: unexpected EOF"));
    }
    let message = format!("rpc error: code = {} desc = {}", code_name(status.code()), status.message());
    Error::new(kind(status.code()), message)
}

/// Name of a code as grpc-go prints it.
pub fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "Canceled",
        Code::Unknown => "Unknown",
        Code::InvalidArgument => "InvalidArgument",
        Code::DeadlineExceeded => "DeadlineExceeded",
        Code::NotFound => "NotFound",
        Code::AlreadyExists => "AlreadyExists",
        Code::PermissionDenied => "PermissionDenied",
        Code::ResourceExhausted => "ResourceExhausted",
        Code::FailedPrecondition => "FailedPrecondition",
        Code::Aborted => "Aborted",
        Code::OutOfRange => "OutOfRange",
        Code::Unimplemented => "Unimplemented",
        Code::Internal => "Internal",
        Code::Unavailable => "Unavailable",
        Code::DataLoss => "DataLoss",
        Code::Unauthenticated => "Unauthenticated",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_survive_the_wire() {
        let check = |kind_sent: ErrorKind, code_want: Code, kind_read: ErrorKind| {
            let status = from_error(&Error::new(kind_sent, "words"));
            assert_eq!((status.code(), status.message()), (code_want, "words"));
            assert_eq!(to_error(&status).kind(), kind_read);
        };
        use ErrorKind as K;
        check(K::Invalid, Code::InvalidArgument, K::Invalid);
        check(K::NotFound, Code::NotFound, K::NotFound);
        check(K::Corrupt, Code::Aborted, K::Unavailable);
        check(K::Unavailable, Code::Unavailable, K::Unavailable);
        check(K::Limit, Code::ResourceExhausted, K::Limit);
        check(K::Conflict, Code::AlreadyExists, K::Conflict);
        check(K::Cancelled, Code::Cancelled, K::Cancelled);
        check(K::Timeout, Code::DeadlineExceeded, K::Timeout);
        check(K::Denied, Code::PermissionDenied, K::Denied);
        check(K::Unsupported, Code::Unimplemented, K::Unsupported);
        check(K::Internal, Code::Internal, K::Internal);
    }

    #[test]
    fn causes_are_told_and_codes_named_as_in_go() {
        let error = Error::unavailable("read index").with_source(std::io::Error::other("disk gone"));
        assert_eq!(from_error(&error).message(), "read index: disk gone");
        let status = Status::resource_exhausted("too many");
        assert_eq!(to_error(&status).message(), "rpc error: code = ResourceExhausted desc = too many");
        assert_eq!(to_error(&Status::cancelled("Timeout expired")).kind(), ErrorKind::Timeout);
        let long = Status::out_of_range("Error, decoded message length too large: found 9 bytes");
        assert_eq!(to_error(&long).kind(), ErrorKind::Limit);
    }
}
