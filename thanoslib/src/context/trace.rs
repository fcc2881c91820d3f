//! Traces: which span the work of a request belongs to, and where spans go when they end.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use super::Context;

/// Names a span, here and at peers.
///
/// ```
/// use thanoslib::context::SpanId;
/// let text = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
/// let id = SpanId::parse(text).expect("well formed");
/// assert!(id.sampled);
/// assert_eq!(id.to_string(), text);
/// assert_eq!(SpanId::parse("00-00000000000000000000000000000000-b7ad6b7169203331-01"), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanId {
    /// The trace that it is part of; not zero.
    pub trace: u128,
    /// Its number in the trace; not zero.
    pub span: u64,
    /// True when spans of the trace are kept.
    pub sampled: bool,
}

impl SpanId {
    /// Reads the header `traceparent`.
    ///
    /// Source: W3C Trace Context, section 3.2.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().split('-');
        let mut part = |digits: usize| {
            let text = parts.next()?;
            let plain = text.len() == digits && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
            plain.then(|| u128::from_str_radix(text, 16).ok())?
        };
        let (version, trace, span, flags) = (part(2)?, part(32)?, part(16)?, part(2)?);
        let whole = version != 0 || parts.next().is_none();
        let span = u64::try_from(span).ok()?;
        let valid = version != 0xff && whole && trace != 0 && span != 0;
        valid.then_some(Self { trace, span, sampled: flags & 1 == 1 })
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.span, u8::from(self.sampled))
    }
}

/// On which side of a call a span is.
///
/// See [`Context::span`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanKind {
    /// Work inside of the process.
    Internal,
    /// A request is answered.
    Server,
    /// A request is made.
    Client,
}

/// A span that has ended.
///
/// See [`SpanSink`].
#[derive(Clone, Debug)]
pub struct EndedSpan {
    /// Its name in the trace.
    pub id: SpanId,
    /// The span that it is part of.
    pub parent: Option<u64>,
    /// What was done.
    pub name: String,
    /// On which side of a call it is.
    pub kind: SpanKind,
    /// When it began, since 1970.
    pub begun: Duration,
    /// How long it took.
    pub took: Duration,
    /// What more is known of it.
    pub attributes: Vec<(&'static str, String)>,
    /// Why it failed, if it did.
    pub error: Option<String>,
}

/// Decides which traces are kept and takes their spans. It must never wait.
///
/// ```
/// use std::sync::{Arc, Mutex};
/// use thanoslib::context::{EndedSpan, Span, SpanId, SpanSink};
///
/// /// Keeps the names of all spans.
/// #[derive(Debug, Default)]
/// struct Names(Mutex<Vec<String>>);
///
/// impl SpanSink for Names {
///     fn random(&self) -> u64 {
///         7
///     }
///     fn samples(&self, _trace: u128, _parent: Option<SpanId>) -> bool {
///         true
///     }
///     fn ended(&self, span: EndedSpan) {
///         self.0.lock().expect("nobody panics").push(span.name);
///     }
/// }
///
/// let names = Arc::new(Names::default());
/// let sink: Arc<dyn SpanSink> = names.clone();
/// drop(Span::server(&sink, "query", None, false));
/// assert_eq!(*names.0.lock().expect("nobody panics"), ["query"]);
/// ```
pub trait SpanSink: fmt::Debug + Send + Sync + 'static {
    /// A random number, not zero.
    fn random(&self) -> u64;
    /// True when a trace is kept; `parent` is the span of who asks.
    fn samples(&self, trace: u128, parent: Option<SpanId>) -> bool;
    /// Takes a span of a trace that is kept.
    fn ended(&self, span: EndedSpan);
}

/// The trace of a context.
#[derive(Clone, Debug)]
pub(super) struct Trace {
    sink: Arc<dyn SpanSink>,
    id: Option<SpanId>,
}

/// A span under way; it ends when it is dropped.
///
/// See [`Context::span`].
#[derive(Debug, Default)]
pub struct Span(Option<Box<Open>>);

#[derive(Debug)]
struct Open {
    sink: Arc<dyn SpanSink>,
    begun: Instant,
    span: EndedSpan,
}

impl Span {
    /// Begins a span that answers a request, part of `parent` if who asks has named one; `keep` keeps
    /// the trace whatever the sink thinks.
    pub fn server(
        sink: &Arc<dyn SpanSink>,
        name: &str,
        parent: Option<SpanId>,
        keep: bool,
    ) -> (SpanId, Self) {
        let random = || u128::from(sink.random());
        let trace = parent.map_or_else(|| random() << 64 | random(), |p| p.trace);
        let sampled = keep || sink.samples(trace, parent);
        let id = SpanId { trace, span: sink.random(), sampled };
        (id, Self::begin(sink, name, id, parent.map(|p| p.span), SpanKind::Server))
    }

    fn begin(sink: &Arc<dyn SpanSink>, name: &str, id: SpanId, parent: Option<u64>, kind: SpanKind) -> Self {
        if !id.sampled {
            return Self(None);
        }
        let span = EndedSpan {
            id,
            parent,
            name: name.to_owned(),
            kind,
            begun: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
            took: Duration::ZERO,
            attributes: Vec::new(),
            error: None,
        };
        Self(Some(Box::new(Open { sink: Arc::clone(sink), begun: Instant::now(), span })))
    }

    /// Notes something; the value is asked for only when the span is kept.
    pub fn set<T: fmt::Display>(&mut self, name: &'static str, value: impl FnOnce() -> T) {
        if let Some(open) = &mut self.0 {
            open.span.attributes.push((name, value().to_string()));
        }
    }

    /// Gives it another name.
    pub fn rename(&mut self, name: &str) {
        if let Some(open) = &mut self.0 {
            name.clone_into(&mut open.span.name);
        }
    }

    /// Notes that it failed.
    pub fn fail(&mut self, error: &dyn fmt::Display) {
        if let Some(open) = &mut self.0 {
            open.span.error = Some(error.to_string());
        }
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if let Some(open) = self.0.take() {
            let Open { sink, begun, mut span } = *open;
            span.took = begun.elapsed();
            sink.ended(span);
        }
    }
}

impl Context {
    /// The same context whose spans go to a sink, as parts of the span that a header named.
    #[must_use]
    pub fn with_trace(&self, sink: &Arc<dyn SpanSink>, parent: Option<SpanId>) -> Self {
        Self { trace: Some(Trace { sink: Arc::clone(sink), id: parent }), ..self.clone() }
    }

    /// The same context as part of the span of a request that came, if spans go anywhere.
    #[must_use]
    pub fn with_parent_span(&self, parent: SpanId) -> Self {
        let trace = self.trace.clone().map(|trace| Trace { id: Some(parent), ..trace });
        Self { trace, ..self.clone() }
    }

    /// The span that the work is part of, for the header `traceparent`.
    pub fn span_id(&self) -> Option<SpanId> {
        self.trace.as_ref().and_then(|trace| trace.id)
    }

    /// Begins a span of the request's trace, and gives the context for what is part of it; nothing is
    /// kept when nobody wants spans.
    ///
    /// ```
    /// use thanoslib::{Context, context::SpanKind};
    /// let (ctx, mut span) = Context::default().span("select", SpanKind::Internal);
    /// span.set("matchers", || "{job=\"api\"}");
    /// assert_eq!(ctx.span_id(), None);
    /// ```
    pub fn span(&self, name: &str, kind: SpanKind) -> (Self, Span) {
        let Some(Trace { sink, id: Some(parent) }) = &self.trace else { return (self.clone(), Span(None)) };
        if !parent.sampled {
            return (self.clone(), Span(None));
        }
        let id = SpanId { span: sink.random(), ..*parent };
        let span = Span::begin(sink, name, id, Some(parent.span), kind);
        (Self { trace: Some(Trace { sink: Arc::clone(sink), id: Some(id) }), ..self.clone() }, span)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    };

    use super::*;

    #[derive(Debug, Default)]
    struct Kept {
        last: AtomicU64,
        spans: Mutex<Vec<EndedSpan>>,
    }

    impl SpanSink for Kept {
        fn random(&self) -> u64 {
            self.last.fetch_add(1, Ordering::Relaxed) + 1
        }

        fn samples(&self, _: u128, parent: Option<SpanId>) -> bool {
            parent.is_none_or(|p| p.sampled)
        }

        fn ended(&self, span: EndedSpan) {
            self.spans.lock().expect("not poisoned").push(span);
        }
    }

    #[test]
    fn headers_are_checked() {
        let check = |text: &str, want: bool| assert_eq!(SpanId::parse(text).is_some(), want, "{text}");
        check("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00", true);
        check("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more", true);
        check("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more", false);
        check("ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", false);
        check("00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", false);
        check("00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", false);
        check("00-0af7-b7ad6b7169203331-01", false);
        check("", false);
    }

    #[test]
    fn spans_form_a_tree_and_end_when_dropped() {
        let kept = Arc::new(Kept::default());
        let sink: Arc<dyn SpanSink> = Arc::clone(&kept) as _;
        let (id, server) = Span::server(&sink, "/api/v1/query", None, false);
        let ctx = Context::default().with_trace(&sink, Some(id));
        let (inner, mut select) = ctx.span("select", SpanKind::Client);
        select.set("store", || "a");
        select.fail(&"gone");
        assert_eq!(inner.span_id().map(|i| (i.trace, i.sampled)), Some((id.trace, true)));
        drop((select, server));
        let spans = kept.spans.lock().expect("not poisoned");
        assert_eq!((spans[0].parent, spans[0].error.as_deref()), (Some(id.span), Some("gone")));
        assert_eq!((spans[1].parent, spans[1].id, spans[1].name.as_str()), (None, id, "/api/v1/query"));
        drop(spans);
        let silent = SpanId { trace: 7, span: 8, sampled: false };
        let (id, span) = Span::server(&sink, "x", Some(silent), false);
        drop((span, ctx.with_parent_span(id).span("y", SpanKind::Internal)));
        assert_eq!((id.trace, kept.spans.lock().expect("not poisoned").len()), (7, 2));
        drop(Span::server(&sink, "x", Some(silent), true));
        assert_eq!(kept.spans.lock().expect("not poisoned").len(), 3, "forced");
    }
}
