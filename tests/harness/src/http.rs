//! One HTTP request over loopback: enough for admin endpoints, the API double's controls and RabbitMQ's management API.

use anyhow::{Context, Result, ensure};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

/// From connecting to the answer's end. RabbitMQ 4.0.5, idle, takes 8 s to delete a virtual host of 2,100 queues, as the bench has them.
const PATIENCE: Duration = Duration::from_secs(30);

pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

/// Blocking, so that a drop can clean up as well. HTTP/1.0 spares the chunked encoding.
pub fn ask(
    address: &str,
    method: &str,
    path: &str,
    login: Option<&str>,
    body: Option<&Value>,
) -> io::Result<Answer> {
    ask_by("1.0", address, method, path, login, body)
}

/// As [`ask`], without blocking others meanwhile.
pub async fn ask_aside(
    address: &str,
    method: &str,
    path: &str,
    login: Option<&str>,
    body: Option<Value>,
) -> io::Result<Answer> {
    let words = [address, method, path].map(str::to_owned);
    let login = login.map(str::to_owned);
    let asking = tokio::task::spawn_blocking(move || {
        let [address, method, path] = &words;
        ask(address, method, path, login.as_deref(), body.as_ref())
    });
    match asking.await {
        Ok(answer) => answer,
        // A mistake of ours must not look like a server that does not answer.
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(error) => Err(error.into()),
    }
}

/// Of a server at `http://address`; an answer that is no success is an error, which tells it.
async fn demand(base: &str, method: &str, path: &str, body: Option<Value>) -> Result<Answer> {
    let address = base.strip_prefix("http://").context("only http:// here")?;
    let address = address.trim_end_matches('/');
    // Those who know of no login do not read it.
    let asking = ask_aside(address, method, path, Some("guest:guest"), body);
    let what = || format!("{method} {base}{path}");
    let answer = asking.await.with_context(what)?;
    let is_success = (200..300).contains(&answer.status);
    ensure!(is_success, "status {}: {}", answer.status, answer.body);
    Ok(answer)
}

pub async fn text(base: &str, path: &str) -> Result<String> {
    Ok(demand(base, "GET", path, None).await?.body)
}

pub async fn get<T: DeserializeOwned>(base: &str, path: &str) -> Result<T> {
    let body = text(base, path).await?;
    serde_json::from_str(&body).with_context(|| format!("GET {path}: cannot be read"))
}

/// The answer's body is nobody's interest.
pub async fn post(base: &str, path: &str, body: Value) -> Result<()> {
    manage(base, "POST", path, Some(body)).await
}

/// To RabbitMQ's management API, as guest.
pub async fn manage(base: &str, method: &str, path: &str, body: Option<Value>) -> Result<()> {
    demand(base, method, path, body).await.map(drop)
}

/// As one who was led to `address` by this name.
pub fn ask_for(host: &str, address: &str, method: &str, path: &str) -> io::Result<Answer> {
    send(("1.0", host), address, method, path, None, None)
}

/// For those who do not know HTTP/1.0.
pub fn ask_by(
    version: &str,
    address: &str,
    method: &str,
    path: &str,
    login: Option<&str>,
    body: Option<&Value>,
) -> io::Result<Answer> {
    send((version, address), address, method, path, login, body)
}

fn send(
    (version, host): (&str, &str),
    address: &str,
    method: &str,
    path: &str,
    login: Option<&str>,
    body: Option<&Value>,
) -> io::Result<Answer> {
    let until = Instant::now() + PATIENCE;
    let mut stream = connect(address)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let body = body.map(Value::to_string).unwrap_or_default();
    let login = login
        .map(|login| format!("authorization: Basic {}\r\n", base64(login.as_bytes())))
        .unwrap_or_default();
    let request = format!(
        "{method} {path} HTTP/{version}\r\nhost: {host}\r\nconnection: close\r\n{login}content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes())?;
    let answer = read(&mut stream, until)?;
    let parts = answer.split_once("\r\n\r\n").and_then(|(head, body)| {
        let status = head.split(' ').nth(1)?;
        Some((status.parse().ok()?, head, body))
    });
    let (status, head, body) = parts.ok_or_else(|| io::Error::other("not an HTTP answer"))?;
    Ok(Answer {
        status,
        head: head.to_ascii_lowercase(),
        body: body.to_owned(),
    })
}

/// To the first of the name's addresses that takes it.
fn connect(address: &str) -> io::Result<TcpStream> {
    let mut failed = io::ErrorKind::AddrNotAvailable.into();
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => return Ok(stream),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

/// To the end of the connection; or of what was announced, since not every server ends it.
fn read(stream: &mut TcpStream, until: Instant) -> io::Result<String> {
    let (mut answer, mut piece) = (vec![], [0; 16_384]);
    let mut wanted = usize::MAX;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        let read = stream.read(&mut piece)?;
        answer.extend_from_slice(&piece[..read]);
        if wanted == usize::MAX {
            wanted = announced(&answer).unwrap_or(usize::MAX);
        }
        if read == 0 || answer.len() >= wanted {
            return Ok(String::from_utf8_lossy(&answer).into_owned());
        }
    }
}

/// How long the whole answer is, once its head is there and says so.
fn announced(answer: &[u8]) -> Option<usize> {
    let head = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let text = String::from_utf8_lossy(&answer[..head]).to_ascii_lowercase();
    let length = text.split("content-length:").nth(1)?.lines().next()?;
    Some(head + 4 + length.trim().parse::<usize>().ok()?)
}

/// As part of a URL's query.
pub fn encoded(text: &str) -> String {
    let encode = |byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b':' | b'.' | b'-' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits = group
            .iter()
            .fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
        let bits = bits << (8 * (3 - group.len()));
        for digit in 0..4 {
            let index = (bits >> (18 - 6 * digit)) as usize & 63;
            text.push(if digit <= group.len() {
                char::from(DIGITS[index])
            } else {
                '='
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// Asks a server that says this.
    async fn told(answer: &'static str) -> Result<String> {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", server.local_addr().unwrap());
        std::thread::spawn(move || {
            let (mut stream, _) = server.accept().unwrap();
            // The whole of so short a request.
            assert!(stream.read(&mut [0; 1024]).unwrap() > 0);
            stream.write_all(answer.as_bytes()).unwrap();
        });
        text(&base, "/").await
    }

    #[tokio::test]
    async fn the_body_of_a_success_and_nothing_else() {
        let body = told("HTTP/1.0 200 OK\r\na: b\r\n\r\n{}").await.unwrap();
        assert_eq!(body, "{}");
        assert!(told("HTTP/1.1 404 Not Found\r\n\r\nno").await.is_err());
        assert!(told("HTTP/1.1 200 OK\r\n").await.is_err());
    }

    #[test]
    fn a_server_that_never_comes_to_an_end_is_not_waited_for() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap().to_string();
        let mut stream = connect(&address).unwrap();
        let (mut dripping, _) = server.accept().unwrap();
        std::thread::spawn(move || {
            while dripping.write_all(b" ").is_ok() {
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        let until = Instant::now() + Duration::from_millis(300);
        assert!(read(&mut stream, until).is_err());
    }
}
