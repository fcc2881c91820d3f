//! The store gateway: `grpc/store.jsonl` of `query` and of `query_seams`, over the blocks beside.

use std::{path::Path, sync::Arc};

use thanoslib::{
    context::Context,
    model::Labels,
    store::{BlockSet, FolderSource, Store},
    testing::golden::Golden,
};
use thanoslib_grpc::{
    server::{Services, Settings, TransportSettings, serve_routes},
    testing::{self, Target},
};
use tokio::{net::TcpListener, runtime::Runtime};

pub(crate) fn run(golden: &mut Golden) {
    let runtime = Runtime::new().expect("a runtime");
    for area in ["query", "query_seams"] {
        let bucket = golden.root().join(area).join("bucket");
        let target = bucket.is_dir().then(|| runtime.block_on(serve(&bucket)));
        // The recording of seams does not tell how answers without frames end.
        let target = target.map(|t| Target { tells_trailers: area == "query", ..t });
        let (label, path) = (format!("{area}/grpc"), format!("{area}/grpc/store.jsonl"));
        testing::run(golden, &runtime, &label, &path, target.as_ref());
    }
}

async fn serve(bucket: &Path) -> Target {
    let services = Services::new(store_over(bucket).await, Settings::default());
    let (routes, readiness) = services.build().await.expect("services");
    readiness.set(true).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    let served = routes.clone();
    // The runtime ends the server when the run is over.
    tokio::spawn(async move {
        serve_routes(served, &TransportSettings::default(), listener, std::future::pending()).await
    });
    Target { routes: Some(routes), ..Target::at(&address).await }
}

async fn store_over(bucket: &Path) -> Arc<dyn Store> {
    let source = FolderSource::new(bucket, Labels::empty()).expect("the bucket is a folder");
    let blocks = BlockSet::new("bucket", Arc::new(source));
    let report = blocks.sync(&Context::default()).await.expect("the bucket can be listed");
    assert!(report.gaps.is_empty(), "{:?}", report.gaps);
    Arc::new(blocks)
}
