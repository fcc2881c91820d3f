//! What the system says of the process, as metrics.
//!
//! Invariant: reads `/proc/self`; what is not there is left out.

use std::fs;

use thanoslib::metrics::{Collect, Kind, TextWriter};

/// Ticks of a second in `/proc`; the same on every Linux that we run on.
const TICKS: f64 = 100.0;
/// Bytes of a page.
const PAGE: f64 = 4096.0;

/// CPU, memory and files of the process.
///
/// Source: proc(5).
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessMetrics;

impl Collect for ProcessMetrics {
    fn collect(&self, out: &mut TextWriter) {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let (stat, uptime) = (read("/proc/self/stat"), read("/proc/stat"));
        // The name stands in parentheses and may hold anything.
        let fields: Vec<f64> = stat
            .rsplit_once(')')
            .map(|(_, rest)| rest.split_whitespace().map(|f| f.parse().unwrap_or_default()).collect())
            .unwrap_or_default();
        let mut gauge = |name: &str, help: &str, kind: Kind, value: Option<f64>| {
            if let Some(value) = value {
                out.single(name, help, kind, value);
            }
        };
        // Fields are counted from the state, which is the third.
        let field = |n: usize| fields.get(n - 3).copied();
        let cpu = field(14).zip(field(15)).map(|(user, system)| (user + system) / TICKS);
        gauge("process_cpu_seconds_total", "Seconds of CPU time.", Kind::Counter, cpu);
        gauge("process_virtual_memory_bytes", "Bytes of virtual memory.", Kind::Gauge, field(23));
        let resident = field(24).map(|pages| pages * PAGE);
        gauge("process_resident_memory_bytes", "Bytes of resident memory.", Kind::Gauge, resident);
        let booted = uptime.lines().find_map(|l| l.strip_prefix("btime ")?.parse::<f64>().ok());
        let started = booted.zip(field(22)).map(|(booted, ticks)| booted + ticks / TICKS);
        gauge("process_start_time_seconds", "Time of the start, since 1970.", Kind::Gauge, started);
        let open = fs::read_dir("/proc/self/fd").ok().map(|files| files.count() as f64);
        gauge("process_open_fds", "Open files.", Kind::Gauge, open);
        let limits = read("/proc/self/limits");
        let limit = |name: &str| {
            let rest = limits.lines().find_map(|l| l.strip_prefix(name))?;
            match rest.split_whitespace().next()? {
                // As Go's client shows it.
                "unlimited" => Some(18_446_744_073_709_552_000.0),
                text => text.parse().ok(),
            }
        };
        gauge("process_max_fds", "Most open files.", Kind::Gauge, limit("Max open files"));
        let most = limit("Max address space");
        gauge("process_virtual_memory_max_bytes", "Most virtual memory.", Kind::Gauge, most);
        let network = read("/proc/self/net/netstat");
        let bytes = |name: &str| {
            let mut lines = network.lines().filter_map(|l| l.strip_prefix("IpExt: "));
            let at = lines.next()?.split_whitespace().position(|n| n == name)?;
            lines.next()?.split_whitespace().nth(at)?.parse().ok()
        };
        let (received, sent) = (bytes("InOctets"), bytes("OutOctets"));
        gauge("process_network_receive_bytes_total", "Bytes received.", Kind::Counter, received);
        gauge("process_network_transmit_bytes_total", "Bytes sent.", Kind::Counter, sent);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_knows_its_memory_and_files() {
        let mut out = TextWriter::default();
        ProcessMetrics.collect(&mut out);
        let value = |name: &str| {
            let line = out.text().lines().find(|l| l.split(' ').next() == Some(name));
            line.and_then(|l| l.split(' ').nth(1)?.parse::<f64>().ok())
        };
        assert!(value("process_resident_memory_bytes") > Some(100_000.0), "{}", out.text());
        assert!(
            value("process_open_fds") >= Some(3.0) && value("process_max_fds") >= value("process_open_fds")
        );
        assert!(value("process_start_time_seconds") > Some(1.6e9));
    }
}
