//! Behaviour seen through the public API, one module for each.
