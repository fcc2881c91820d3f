//! Benches of thanoslib; see the files beside this one.
