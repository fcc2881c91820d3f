//! The gRPC Store API of thanoslib.
