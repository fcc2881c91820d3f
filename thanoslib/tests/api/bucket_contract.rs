//! Every kind of bucket keeps the one contract.

use std::sync::Arc;

use thanoslib::{
    bucket::{Bucket, BucketMetrics, CountingMetrics, RetryPolicy},
    testing::bucket_contract,
};

#[tokio::test]
async fn memory_keeps_the_contract() {
    bucket_contract(&Bucket::memory("b")).await;
}

#[tokio::test]
async fn a_local_folder_keeps_the_contract() {
    let dir = tempfile::tempdir().expect("tempdir");
    std::fs::create_dir_all(dir.path().join("empty/inside")).expect("empty directories");
    bucket_contract(&Bucket::local(dir.path()).expect("opens")).await;
}

#[tokio::test]
async fn decorators_keep_the_contract() {
    let metrics: Arc<dyn BucketMetrics> = Arc::new(CountingMetrics::default());
    let bucket = Bucket::memory("b").with_retries(RetryPolicy::default()).with_metrics(metrics);
    bucket_contract(&bucket.with_prefix("a/b c").expect("prefix")).await;
}

/// A real server, started from the Python environment that `THANOSLIB_MOTO` names.
#[cfg(all(feature = "e2e", feature = "s3"))]
mod s3 {
    use std::{
        net::TcpListener,
        path::PathBuf,
        process::{Child, Command, Stdio},
        time::Duration,
    };

    use thanoslib::{bucket::BucketConfig, testing::bucket_contract};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
    };

    /// Ends with the test, also with a failing one.
    struct Server(Child);

    impl Drop for Server {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    async fn make_bucket(port: u16) -> std::io::Result<()> {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        let request = format!(
            "PUT /contract HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        match answer.split_whitespace().nth(1) {
            Some("200") => Ok(()),
            _ => Err(std::io::Error::other(answer)),
        }
    }

    #[tokio::test]
    async fn an_s3_server_keeps_the_contract() {
        let venv = std::env::var_os("THANOSLIB_MOTO").expect("THANOSLIB_MOTO names an environment with moto");
        let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("free port").port();
        let server = Command::new(PathBuf::from(venv).join("bin/moto_server"))
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let _server = Server(server.expect("moto starts"));
        let mut made = make_bucket(port).await;
        for _ in 0..120 {
            if made.is_ok() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
            made = make_bucket(port).await;
        }
        made.expect("the server makes a bucket");

        let yaml = format!(
            "type: S3\nprefix: some/prefix\nconfig:\n  bucket: contract\n  endpoint: 127.0.0.1:{port}\n  \
             insecure: true\n  access_key: key\n  secret_key: secret\n  max_retries: 1\n"
        );
        let bucket = BucketConfig::parse(&yaml).and_then(|c| c.open()).expect("opens");
        bucket_contract(&bucket).await;
    }
}
