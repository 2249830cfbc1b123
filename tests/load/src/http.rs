//! Just enough HTTP for the simulator's control paths and the workers' admin pages.

use anyhow::{Context, Result, bail};
use serde::de::DeserializeOwned;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) async fn get<T: DeserializeOwned>(base: &str, path: &str) -> Result<T> {
    let body = exchange(base, "GET", path, "").await?;
    serde_json::from_slice(&body).with_context(|| format!("GET {path}: cannot be read"))
}

pub(crate) async fn text(base: &str, path: &str) -> Result<String> {
    let body = exchange(base, "GET", path, "").await?;
    Ok(String::from_utf8_lossy(&body).into_owned())
}

/// The answer's body is nobody's interest.
pub(crate) async fn post(base: &str, path: &str, json: &str) -> Result<()> {
    exchange(base, "POST", path, json).await.map(drop)
}

/// To RabbitMQ's management API, as guest.
pub(crate) async fn manage(base: &str, method: &str, path: &str, json: &str) -> Result<()> {
    exchange(base, method, path, json).await.map(drop)
}

async fn exchange(base: &str, method: &str, path: &str, body: &str) -> Result<Vec<u8>> {
    let answer = tokio::time::timeout(PATIENCE, talk(base, method, path, body));
    answer
        .await
        .context("no answer in time")
        .flatten()
        .with_context(|| format!("{method} {base}{path}"))
}

/// guest:guest. Those who know of no login do not read it.
const GUEST: &str = "authorization: Basic Z3Vlc3Q6Z3Vlc3Q=";

/// HTTP/1.0: the answer ends with the connection and is never chunked.
async fn talk(base: &str, method: &str, path: &str, body: &str) -> Result<Vec<u8>> {
    let authority = base
        .strip_prefix("http://")
        .context("only http:// here")?
        .trim_end_matches('/');
    let mut stream = TcpStream::connect(authority).await?;
    let head = format!(
        "{method} {path} HTTP/1.0\r\nhost: {authority}\r\n{GUEST}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    let mut answer = vec![];
    stream.read_to_end(&mut answer).await?;
    parse(&answer)
}

fn parse(answer: &[u8]) -> Result<Vec<u8>> {
    let end = answer
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .context("no HTTP answer")?;
    let (head, body) = (
        answer.get(..end).unwrap_or_default(),
        answer.get(end + 4..).unwrap_or_default(),
    );
    let head = String::from_utf8_lossy(head);
    let status = head.split_whitespace().nth(1).unwrap_or_default();
    if !status.starts_with('2') {
        bail!("status {status}: {}", String::from_utf8_lossy(body));
    }
    Ok(body.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_of_a_success_and_nothing_else() {
        assert_eq!(parse(b"HTTP/1.0 200 OK\r\na: b\r\n\r\n{}").unwrap(), b"{}");
        assert!(parse(b"HTTP/1.1 404 Not Found\r\n\r\nno").is_err());
        assert!(parse(b"HTTP/1.1 200 OK\r\n").is_err());
    }
}
