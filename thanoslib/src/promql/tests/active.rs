//! Queries that run are listed and can be ended.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use futures::{StreamExt, stream};

use crate::{
    context::Context,
    error::{ErrorKind, Result},
    promql::{Engine, EngineOptions, InstantQuery, Queryable, Select, SelectStream, parse},
    runtime::Inline,
};

/// Never answers.
#[derive(Debug)]
struct Silent;

#[async_trait]
impl Queryable for Silent {
    async fn select(&self, _: &Context, _: Select) -> Result<SelectStream> {
        Ok(stream::pending().boxed())
    }
}

#[tokio::test]
async fn a_query_is_listed_until_it_is_killed() {
    let engine = Engine::new(EngineOptions::default(), Arc::new(Inline));
    let ctx = Context::default().with_tenant("team-a");
    let run = |text: &'static str| {
        let expr = parse(text, engine.options()).expect("parses");
        let query = InstantQuery { expr, text: Arc::from(text), time_ms: 1000, lookback_ms: None };
        let (engine, ctx) = (engine.clone(), ctx.clone());
        tokio::spawn(async move { engine.instant(&ctx, Arc::new(Silent), query).await })
    };
    let (first, second) = (run("sum(x)"), run("y"));
    while engine.active_queries().len() < 2 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let listed = engine.active_queries();
    assert_eq!((&*listed[0].text, listed[0].tenant.as_str(), listed[0].steps), ("sum(x)", "team-a", 1));
    assert!(engine.kill(listed[0].id));
    let killed = first.await.expect("no panic").expect_err("is killed");
    assert_eq!(
        (killed.kind(), killed.message()),
        (ErrorKind::Cancelled, "query was canceled in expression evaluation")
    );
    let left = engine.active_queries();
    assert_eq!(left.iter().map(|q| &*q.text).collect::<Vec<_>>(), ["y"]);
    assert!(!engine.kill(listed[0].id), "it is gone");
    assert!(ctx.check().is_ok(), "others of the context go on");
    second.abort();
    assert!(second.await.is_err());
    assert_eq!(engine.active_queries(), []);
}
