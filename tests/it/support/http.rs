//! One HTTP request over loopback: enough for the admin endpoints and RabbitMQ's management API.

use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(30);

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

/// Blocking, so that a drop can clean up as well. HTTP/1.0 spares the chunked encoding.
pub(crate) fn ask(
    address: &str,
    method: &str,
    path: &str,
    login: Option<&str>,
    body: Option<&Value>,
) -> std::io::Result<Answer> {
    ask_by("1.0", address, method, path, login, body)
}

/// As one who was led to `address` by this name.
pub(crate) fn ask_for(
    host: &str,
    address: &str,
    method: &str,
    path: &str,
) -> std::io::Result<Answer> {
    send(("1.0", host), address, method, path, None, None)
}

/// For those who do not know HTTP/1.0.
pub(crate) fn ask_by(
    version: &str,
    address: &str,
    method: &str,
    path: &str,
    login: Option<&str>,
    body: Option<&Value>,
) -> std::io::Result<Answer> {
    send((version, address), address, method, path, login, body)
}

fn send(
    (version, host): (&str, &str),
    address: &str,
    method: &str,
    path: &str,
    login: Option<&str>,
    body: Option<&Value>,
) -> std::io::Result<Answer> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    let body = body.map(Value::to_string).unwrap_or_default();
    let login = login
        .map(|login| format!("authorization: Basic {}\r\n", base64(login.as_bytes())))
        .unwrap_or_default();
    write!(
        stream,
        "{method} {path} HTTP/{version}\r\nhost: {host}\r\nconnection: close\r\n{login}content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let answer = read(&mut stream)?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .ok_or_else(|| std::io::Error::other("not an HTTP answer"))?;
    Ok(Answer {
        status,
        head: head.to_ascii_lowercase(),
        body: body.to_owned(),
    })
}

/// To the end of the connection; or of what was announced, since not every server ends it.
fn read(stream: &mut TcpStream) -> std::io::Result<String> {
    let (mut answer, mut piece) = (vec![], [0; 16_384]);
    loop {
        let read = stream.read(&mut piece)?;
        answer.extend_from_slice(&piece[..read]);
        let text = String::from_utf8_lossy(&answer);
        let announced = text.split_once("\r\n\r\n").and_then(|(head, body)| {
            let head = head.to_ascii_lowercase();
            let length = head.split("content-length:").nth(1)?.lines().next()?;
            Some(body.len() >= length.trim().parse::<usize>().ok()?)
        });
        if read == 0 || announced == Some(true) {
            return Ok(text.into_owned());
        }
    }
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
