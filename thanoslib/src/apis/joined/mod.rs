//! The APIs of many endpoints as one: all are asked at the same time, and what they say is joined.
//!
//! A join either hands on everything as it came, for a peer that merges itself, or merges it as
//! a user wants to see it: replicas as one, filters applied.
//!
//! Invariant: knows endpoints as named APIs with labels; neither wire nor discovery.

mod exemplars;
mod metadata;
mod rules;
mod status;
mod targets;

use std::{fmt, sync::Arc, time::Duration};

use futures::{StreamExt, future::BoxFuture, stream};

pub use exemplars::JoinedExemplars;
pub use metadata::JoinedMetadata;
pub use rules::{JoinedRules, merge_rules};
pub use status::JoinedStatus;
pub use targets::{JoinedTargets, merge_targets};

use crate::{
    context::Context,
    error::{Error, ErrorKind, Result},
    model::{Labels, Warning, Warnings},
    store::PartialResponse,
};

/// Endpoints asked at the same time.
const CONCURRENT: usize = 512;

/// One endpoint that serves an API.
///
/// See [`JoinedRules`].
#[derive(Debug)]
pub struct ApiMember<A: ?Sized> {
    /// Host and port, or a name for what has none.
    pub name: String,
    /// The API.
    pub api: Arc<A>,
    /// External labels of its producers.
    pub label_sets: Vec<Labels>,
    /// What it is: `sidecar`, `query`, …
    pub component: &'static str,
}

impl<A: ?Sized> Clone for ApiMember<A> {
    fn clone(&self) -> Self {
        Self {
            name: self.name.clone(),
            api: Arc::clone(&self.api),
            label_sets: self.label_sets.clone(),
            component: self.component,
        }
    }
}

/// Tells the endpoints that serve an API as of now.
///
/// See [`JoinedRules`].
pub trait ApiMembers<A: ?Sized>: fmt::Debug + Send + Sync + 'static {
    /// The endpoints in a steady order.
    fn api_members(&self) -> Vec<ApiMember<A>>;
}

impl<A: ?Sized + fmt::Debug + Send + Sync + 'static> ApiMembers<A> for Vec<ApiMember<A>> {
    fn api_members(&self) -> Vec<ApiMember<A>> {
        self.clone()
    }
}

/// How the answers of endpoints are joined; plain data.
///
/// ```
/// use thanoslib::apis::JoinSettings;
/// let for_users = JoinSettings { merge: Some(vec!["replica".to_owned()]), ..JoinSettings::default() };
/// assert!(for_users.response_timeout.is_none());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JoinSettings {
    /// The labels that tell replicas apart: what differs in them alone is merged, and filters are
    /// applied. `None` hands on what came.
    pub merge: Option<Vec<String>>,
    /// Longest time to wait for one endpoint; `None` waits for the deadline of the request.
    pub response_timeout: Option<Duration>,
}

/// What is asked, for texts: of which clients.
#[derive(Clone, Copy)]
struct What {
    things: &'static str,
    clients: &'static str,
}

/// Asks all members; failures are warnings, or the end where no partial answer is wanted.
async fn gather<A: ?Sized + Send + Sync + 'static, T: Send>(
    ctx: &Context,
    what: What,
    members: Vec<ApiMember<A>>,
    strategy: PartialResponse,
    timeout: Option<Duration>,
    call: impl Fn(Context, ApiMember<A>) -> BoxFuture<'static, Result<T>> + Send,
) -> Result<(Vec<T>, Warnings)> {
    let calls: Vec<_> = members
        .into_iter()
        .map(|member| {
            let name = member.name.clone();
            let answer = call(ctx.clone(), member);
            async move { (name, limited(ctx, timeout, answer).await) }
        })
        .collect();
    let mut asked = stream::iter(calls).buffered(CONCURRENT);
    let (mut answers, mut warnings) = (Vec::new(), Warnings::default());
    while let Some((name, answer)) = asked.next().await {
        match answer {
            Ok(answer) => answers.push(answer),
            Err(e) => {
                ctx.check()?;
                let What { things, clients } = what;
                // A peer that cannot be reached fails before it could have sent anything.
                let verb = if e.kind() == ErrorKind::Unavailable { "fetching" } else { "receiving" };
                let text = format!("{verb} {things} from {clients} client {name}: {e}");
                if strategy == PartialResponse::Abort {
                    return Err(Error::new(e.kind(), text));
                }
                warnings.push(Warning::new(text).origin(name));
            }
        }
    }
    Ok((answers, warnings))
}

async fn limited<T>(
    ctx: &Context,
    timeout: Option<Duration>,
    answer: BoxFuture<'static, Result<T>>,
) -> Result<T> {
    let answer = ctx.run(answer);
    match timeout {
        None => answer.await,
        Some(after) => tokio::time::timeout(after, answer)
            .await
            .unwrap_or_else(|_| Err(Error::timeout(format!("no answer in {after:?}")))),
    }
}

/// The labels without those that tell replicas apart.
fn without(labels: &Labels, replica_labels: &[String]) -> Labels {
    labels.filter(|l| !replica_labels.iter().any(|name| name.as_bytes() == l.name))
}
