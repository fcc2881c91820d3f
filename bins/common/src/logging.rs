//! Logs on standard error, as logfmt or JSON.

use std::fmt;

use crate::values::one_of;
use anyhow::{Result, anyhow};
use thanoslib::{
    clock::{Clock, SystemClock},
    model::duration::{UnixTime, format_rfc3339},
};
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

/// Flags of the log, shared by all commands.
#[derive(Clone, Debug, clap::Args)]
pub struct LogFlags {
    /// Log filtering level: error, warn, info or debug.
    #[arg(
        long = "log.level",
        default_value = "info",
        global = true,
        value_parser = one_of(&["error", "warn", "info", "debug"])
    )]
    pub level: String,
    /// Log format: logfmt, json or journald, which is logfmt here.
    #[arg(
        long = "log.format",
        default_value = "logfmt",
        global = true,
        value_parser = one_of(&["logfmt", "json", "journald"])
    )]
    pub format: String,
}

/// Installs the process-wide log.
///
/// # Errors
/// An unknown level or format.
pub fn init(flags: &LogFlags) -> Result<()> {
    let level = match flags.level.as_str() {
        "error" => Level::ERROR,
        "warn" => Level::WARN,
        "info" => Level::INFO,
        "debug" => Level::DEBUG,
        other => return Err(anyhow!("unknown --log.level {other:?}: take error, warn, info or debug")),
    };
    let builder = tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr);
    match flags.format.as_str() {
        "logfmt" | "journald" => builder.event_format(Logfmt).init(),
        "json" => builder.json().init(),
        other => return Err(anyhow!("unknown --log.format {other:?}: take logfmt or json")),
    }
    Ok(())
}

/// `ts=… level=… msg=… key=value`, one line an event.
struct Logfmt;

impl<S, N> FormatEvent<S, N> for Logfmt
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let level = match *event.metadata().level() {
            Level::ERROR => "error",
            Level::WARN => "warn",
            Level::INFO => "info",
            _ => "debug",
        };
        let now = UnixTime::from_ms(SystemClock.now_ms());
        write!(out, "ts={} caller={} level={level}", format_rfc3339(now), event.metadata().target())?;
        let mut line = Line { out: &mut out, result: Ok(()) };
        event.record(&mut line);
        line.result?;
        writeln!(out)
    }
}

struct Line<'a, 'b> {
    out: &'a mut Writer<'b>,
    result: fmt::Result,
}

impl Visit for Line<'_, '_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let name = if field.name() == "message" { "msg" } else { field.name() };
        let text = format!("{value:?}");
        let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'=');
        let written =
            if plain { write!(self.out, " {name}={text}") } else { write!(self.out, " {name}={text:?}") };
        self.result = self.result.and(written);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }
}
