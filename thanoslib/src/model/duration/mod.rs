//! Durations in Prometheus' and in Go's spelling.
