use std::io;

use object_store::{ObjectStore, ObjectStoreExt, RetryConfig, aws::AmazonS3Builder, path::Path};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::*;

/// A server that answers each connection's request by `answer`.
async fn serve<F>(answer: impl Fn(TcpStream) -> F + Send + Sync + 'static) -> String
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream));
        }
    });
    format!("http://{address}")
}

fn store(url: &str, settings: &HttpSettings) -> impl ObjectStore {
    AmazonS3Builder::new()
        .with_bucket_name("b")
        .with_endpoint(url)
        .with_allow_http(true)
        .with_access_key_id("key")
        .with_secret_access_key("secret")
        .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() })
        .with_http_connector(Connector::new(settings).expect("connector"))
        .build()
        .expect("store")
}

async fn head_of(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut seen = Vec::new();
    while !seen.windows(4).any(|w| w == b"\r\n\r\n") {
        let mut buf = [0; 1024];
        let n = stream.read(&mut buf).await?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        seen.extend_from_slice(&buf[..n]);
    }
    Ok(seen)
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\netag: \"1\"\r\n\
    last-modified: Sun, 06 Nov 1994 08:49:37 GMT\r\nconnection: close\r\n\r\n";

#[tokio::test]
async fn plain_http_works_without_an_installed_tls_provider() {
    assert!(rustls::crypto::CryptoProvider::get_default().is_none());
    let url = serve(|mut stream| async move {
        head_of(&mut stream).await?;
        stream.write_all(OK).await?;
        stream.write_all(b"hello").await
    })
    .await;
    let got = store(&url, &HttpSettings::default()).get(&Path::from("a")).await.expect("get");
    assert_eq!(got.bytes().await.expect("body"), "hello");
    assert!(rustls::crypto::CryptoProvider::get_default().is_none(), "nothing was installed");
}

#[tokio::test]
async fn a_silent_server_ends_a_request_and_a_body() {
    let settings = HttpSettings { response_timeout: Duration::from_millis(50), ..HttpSettings::default() };
    let mute = serve(|mut stream| async move {
        head_of(&mut stream).await?;
        std::future::pending().await
    })
    .await;
    let failed = store(&mute, &settings).get(&Path::from("a")).await.expect_err("no head");
    assert!(format!("{failed:?}").contains("has sent nothing"), "{failed:?}");

    let stuck = serve(|mut stream| async move {
        head_of(&mut stream).await?;
        stream.write_all(OK).await?;
        stream.write_all(b"he").await?;
        std::future::pending().await
    })
    .await;
    let got = store(&stuck, &settings).get(&Path::from("a")).await.expect("head");
    let failed = got.bytes().await.expect_err("no body");
    assert!(format!("{failed:?}").contains("has sent nothing"), "{failed:?}");
}

#[tokio::test]
async fn an_upload_longer_than_the_timeout_goes_through_while_bytes_flow() {
    const SIZE: usize = 24 << 20;
    let url = serve(|mut stream| async move {
        let head = head_of(&mut stream).await?;
        let end = head.windows(4).position(|w| w == b"\r\n\r\n").unwrap_or(0) + 4;
        let mut left = SIZE - (head.len() - end);
        let mut buf = vec![0; 1 << 20];
        let mut unread = 0;
        while left > 0 {
            let n = stream.read(&mut buf).await?;
            (left, unread) = (left - n, unread + n);
            if unread > 1 << 20 {
                unread = 0;
                tokio::time::sleep(Duration::from_millis(25)).await;
            }
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\netag: \"1\"\r\ncontent-length: 0\r\n\r\n").await
    })
    .await;
    let settings = HttpSettings { response_timeout: Duration::from_millis(300), ..HttpSettings::default() };
    let body = vec![7_u8; SIZE];
    let put = store(&url, &settings).put(&Path::from("a"), body.into()).await;
    assert_eq!(put.expect("put").e_tag.as_deref(), Some("\"1\""));
}

#[test]
fn idle_connections_follow_the_smaller_limit() {
    let check = |all: usize, per_host: usize, want: usize| {
        let s = HttpSettings {
            idle_conns_max: all,
            idle_conns_per_host_max: per_host,
            ..HttpSettings::default()
        };
        assert_eq!(s.idle_conns(), want);
    };
    check(100, 100, 100);
    check(10, 100, 10);
    check(0, 100, 100);
    check(0, 0, 2);
}
