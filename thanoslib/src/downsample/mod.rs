//! To be described by its first code.
