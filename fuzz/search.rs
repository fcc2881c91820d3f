//! Searches with libFuzzer for input that one body does not survive.
//!
//! The variable `THANOSLIB_FUZZ` names the body; `README.md` has the whole command.

#![no_main]

use std::sync::LazyLock;

use thanoslib_fuzz::{BODIES, Body};

static BODY: LazyLock<Body> = LazyLock::new(|| {
    let wanted = std::env::var("THANOSLIB_FUZZ").unwrap_or_default();
    let found = BODIES.iter().find(|(name, _)| *name == wanted);
    found.map_or_else(|| panic!("THANOSLIB_FUZZ names no body: {wanted:?}"), |(_, body)| *body)
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| (*BODY)(data));
