//! What went wrong at a store, in upstream's words.

use std::{future::Future, time::Duration};

use tokio::time::Instant;

use super::{member::ProxyMember, tolerance::Patience};
use crate::{
    context::Context,
    error::{Error, ErrorKind, Result},
    model::{Interval, Warning, duration::format_go},
    store::PartialResponse,
};

/// Why a store gave no answer.
#[derive(Debug)]
pub(super) enum Fault {
    /// The request itself has ended, or asks what no store can do.
    Own(Error),
    /// The store said nothing for so long.
    Silent(Duration),
    /// The store took longer than the part of the time that it had.
    Late(Duration),
    /// The store failed.
    Failed(Error),
}

/// Where in a call it went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Open,
    Read,
    LabelNames,
    LabelValues,
}

/// Awaits a store, at most until the request ends or patience does.
pub(super) async fn awaited<T>(
    ctx: &Context,
    member: &ProxyMember,
    patience: Patience,
    work: impl Future<Output = Result<T>> + Send,
) -> Result<T, Fault> {
    let work = ctx.run(work);
    let now = Instant::now();
    let left =
        patience.until.map(|(until, given)| (until.saturating_duration_since(now), Fault::Late(given)));
    let step = patience.step.map(|step| (step, Fault::Silent(step)));
    let sooner = match (left, step) {
        (Some(left), Some(step)) => Some(if left.0 < step.0 { left } else { step }),
        (left, step) => left.or(step),
    };
    let done = match sooner {
        None => work.await,
        Some((after, fault)) => tokio::time::timeout(after, work).await.map_err(|_| fault)?,
    };
    done.map_err(|e| if is_own(ctx, member, &e) { Fault::Own(e) } else { Fault::Failed(e) })
}

/// True when an error is no fault of the store: the request has ended, or its memory is used up.
fn is_own(ctx: &Context, member: &ProxyMember, e: &Error) -> bool {
    if ctx.check().is_err() {
        return true;
    }
    match e.kind() {
        ErrorKind::Limit => !told_by_peer(e),
        ErrorKind::Invalid => member.local,
        ErrorKind::Cancelled | ErrorKind::Timeout => member.local,
        _ => false,
    }
}

/// True for errors that came over a wire, which have the shape of grpc-go's.
fn told_by_peer(e: &Error) -> bool {
    e.message().starts_with("rpc error: ")
}

impl Fault {
    /// The fault as a warning, or as the error that ends the request.
    ///
    /// Compat: texts and codes are those of Thanos `pkg/store/proxy.go` and `proxy_merge.go`.
    pub(super) fn told(
        self,
        step: Step,
        member: &ProxyMember,
        wanted: Interval,
        strategy: PartialResponse,
    ) -> Result<Warning> {
        let silent = |after: Duration| {
            let after = format_go(i64::try_from(after.as_nanos()).unwrap_or(i64::MAX));
            let text = format!("failed to receive any data in {after} from {member}");
            // Upstream's client says that its call was ended.
            if member.local {
                text
            } else {
                format!("{text}: rpc error: code = Canceled desc = context canceled")
            }
        };
        let late = |given: Duration| format!("receive series from {member}: no end in {given:?}");
        let (kind, text, opening) = match (self, step) {
            (Self::Own(e), _) => return Err(e),
            (Self::Late(given), Step::Open | Step::Read) => (ErrorKind::Timeout, late(given), false),
            (Self::Late(given), _) => {
                (ErrorKind::Timeout, format!("{} {member}: no answer in {given:?}", call(step)), true)
            }
            (Self::Silent(after), Step::Open | Step::Read) => (ErrorKind::Timeout, silent(after), false),
            (Self::Silent(after), _) => {
                let call = call(step);
                (ErrorKind::Timeout, format!("{call} {member}: {}", silent(after)), true)
            }
            // A peer that can be reached answers the opening of a stream in any case.
            (Self::Failed(e), Step::Open) if !told_by_peer(&e) || unreachable(&e) => {
                (e.kind(), format!("fetch series for {} {member}: {e}", member.label_text()), true)
            }
            (Self::Failed(e), Step::Open | Step::Read) => {
                (e.kind(), format!("receive series from {member}: {e}"), false)
            }
            (Self::Failed(e), _) => (e.kind(), format!("{} {member}: {e}", call(step)), true),
        };
        match strategy {
            PartialResponse::Warn => Ok(gap(text, member, wanted)),
            PartialResponse::Abort if opening => Err(Error::new(kind, text)),
            PartialResponse::Abort => Err(aborted(&text)),
        }
    }
}

fn call(step: Step) -> &'static str {
    match step {
        Step::LabelValues => "fetch label values from store",
        _ => "fetch label names from store",
    }
}

/// True when the peer could not be reached.
fn unreachable(e: &Error) -> bool {
    e.message().starts_with("rpc error: code = Unavailable ")
}

/// The error of a request that a warning ends.
pub(super) fn aborted(text: &str) -> Error {
    Error::unavailable(format!("rpc error: code = Aborted desc = {text}"))
}

/// A warning that says what may be missing.
fn gap(text: String, member: &ProxyMember, wanted: Interval) -> Warning {
    let mut warning = Warning::new(text).origin(&*member.address);
    warning.interval = member.info.interval.map_or(Some(wanted), |held| held.intersect(wanted));
    if let [only] = member.info.label_sets.as_slice() {
        warning.labels = Some(only.clone());
    }
    warning
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        model::Labels,
        store::{Abilities, MemoryStore, StoreInfo},
    };

    fn member(local: bool, sets: Vec<Labels>) -> ProxyMember {
        let info = StoreInfo {
            component: "store",
            label_sets: sets,
            interval: Some(Interval::new(5, 9)),
            tsdbs: Vec::new(),
            abilities: Abilities::default(),
            blocks_hash: None,
        };
        let store = Arc::new(MemoryStore::new(Labels::empty()));
        ProxyMember { local, ..ProxyMember::remote("h:1", store, Arc::new(info)) }
    }

    #[test]
    fn texts_are_those_of_upstream() {
        let edge = || vec![Labels::from_pairs([("cluster", "edge"), ("replica", "A")])];
        let check = |member: &ProxyMember, fault: Fault, step: Step, want: &str, kind: ErrorKind| {
            let at = "Addr: h:1 MinTime: 5 MaxTime: 9";
            let (text, aborted) = match want.strip_prefix('!') {
                Some(text) => (text.replace('@', at), true),
                None => (want.replace('@', at), false),
            };
            let again = match &fault {
                Fault::Own(_) => Fault::Own(Error::internal("")),
                Fault::Silent(after) => Fault::Silent(*after),
                Fault::Late(given) => Fault::Late(*given),
                Fault::Failed(e) => Fault::Failed(Error::new(e.kind(), e.message().to_owned())),
            };
            let wanted = Interval::new(0, 7);
            let warning = fault.told(step, member, wanted, PartialResponse::Warn).expect("a warning");
            assert_eq!(warning.message, text);
            assert_eq!((warning.origin.as_str(), warning.interval), ("h:1", Some(Interval::new(5, 7))));
            let e = again.told(step, member, wanted, PartialResponse::Abort).expect_err("an abort");
            let text = if aborted { format!("rpc error: code = Aborted desc = {text}") } else { text };
            assert_eq!((e.message(), e.kind()), (text.as_str(), kind));
        };
        let dead = || Fault::Failed(Error::unavailable("rpc error: code = Unavailable desc = refused"));
        let remote = member(false, edge());
        let want = r#"fetch series for {cluster="edge", replica="A"} @: rpc error: code = Unavailable desc = refused"#;
        check(&remote, dead(), Step::Open, want, ErrorKind::Unavailable);
        let want = "fetch series for Store Gateway @: rpc error: code = Unavailable desc = refused";
        check(&member(false, vec![]), dead(), Step::Open, want, ErrorKind::Unavailable);
        let want = "!receive series from @: rpc error: code = Unavailable desc = refused";
        check(&remote, dead(), Step::Read, want, ErrorKind::Unavailable);
        let unknown = Fault::Failed(Error::unavailable("rpc error: code = Unknown desc = x"));
        let want = "!receive series from @: rpc error: code = Unknown desc = x";
        check(&remote, unknown, Step::Open, want, ErrorKind::Unavailable);
        let want =
            "!failed to receive any data in 1s from @: rpc error: code = Canceled desc = context canceled";
        check(&remote, Fault::Silent(Duration::from_secs(1)), Step::Read, want, ErrorKind::Unavailable);
        let want = "!failed to receive any data in 1.5s from @";
        let silent = Fault::Silent(Duration::from_millis(1500));
        check(&member(true, edge()), silent, Step::Open, want, ErrorKind::Unavailable);
        let want = "fetch label values from store @: rpc error: code = Unavailable desc = refused";
        check(&remote, dead(), Step::LabelValues, want, ErrorKind::Unavailable);
        let own = Fault::Own(Error::timeout("request timed out"));
        let e = own.told(Step::Read, &remote, Interval::ALL, PartialResponse::Warn).expect_err("no warning");
        assert_eq!(e.kind(), ErrorKind::Timeout);
    }
}
