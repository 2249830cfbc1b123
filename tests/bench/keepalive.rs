//! What it costs to keep connections for as long as the API does: requests that go out while the API closes their connection for having
//! been idle. Nobody reads them, and nobody can know.
//!
//! The API here is a socket that closes what was idle for a second, some milliseconds away: it reads nothing that arrives later, and the
//! client learns of it later. The client is reqwest as `src/graph.rs` sets it up, one for each of many quiet numbers.

use anyhow::Result;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

/// After which the server closes a connection that nothing came on.
const SERVERS_IDLE: Duration = Duration::from_secs(1);
/// From client to server, and back.
const ONE_WAY: Duration = Duration::from_millis(25);
const CLIENTS: u64 = 200;
const REQUESTS_EACH: u64 = 50;

const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 16\r\n\r\n{\"success\":true}";

pub(crate) async fn run() -> Result<()> {
    println!(
        "\nkeepalive: {} requests, 0 to 2 s apart on {CLIENTS} numbers; the server closes what was idle for 1 s, 25 ms away",
        CLIENTS * REQUESTS_EACH
    );
    for (kept, name) in [
        (
            Duration::from_secs(30),
            "kept for longer than the server does",
        ),
        (
            Duration::from_millis(800),
            "kept for 0.8 of the server's time",
        ),
    ] {
        let lost = measure(kept).await?;
        println!("  {name}: {lost} lost, of which nobody knows whether they were read");
    }
    Ok(())
}

async fn measure(kept: Duration) -> Result<u64> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/messages", listener.local_addr()?);
    let server = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    let lost = Arc::new(AtomicU64::new(0));
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..CLIENTS {
        let client = reqwest::Client::builder()
            .no_proxy()
            .http1_only()
            .pool_idle_timeout(kept)
            .pool_max_idle_per_host(usize::MAX)
            .retry(reqwest::retry::never())
            .build()?;
        let (url, lost) = (url.clone(), lost.clone());
        clients.spawn(async move {
            for _ in 0..REQUESTS_EACH {
                sleep(SERVERS_IDLE.mul_f64(fastrand::f64() * 2.0)).await;
                let answer = client.post(&url).body("{}").send().await;
                if answer.is_err() {
                    lost.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    }
    clients.join_all().await;
    server.abort();
    Ok(lost.load(Ordering::Relaxed))
}

/// Requests of one connection, as a server sees them that is [`ONE_WAY`] away.
async fn serve(mut stream: TcpStream) {
    stream.set_nodelay(true).ok();
    let mut buffer = [0; 4096];
    let mut idle_since = Instant::now();
    loop {
        let closes_at = idle_since + SERVERS_IDLE;
        // The client's side of the close.
        let read = timeout_at(closes_at + ONE_WAY, stream.read(&mut buffer)).await;
        let Ok(Ok(1..)) = read else { return };
        let arrives_at = Instant::now() + ONE_WAY;
        if arrives_at > closes_at {
            // It is closed by then, and answers with a reset.
            stream.set_zero_linger().ok();
            sleep_until(arrives_at + ONE_WAY).await;
            return;
        }
        idle_since = arrives_at;
        sleep_until(arrives_at + ONE_WAY).await;
        if stream.write_all(ANSWER).await.is_err() {
            return;
        }
    }
}
