//! `healthcheck`: a worker's readiness, asked from beside it: for containers, whose image has no shell and no curl.

use super::common::{Done, Failure};
use crate::config::Config;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// For each step of the question: a worker that needs longer is in trouble.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Longest answer that is read: `/readyz` gives one line.
const ANSWER_MAX: u64 = 4_096;

pub(super) fn run(config: &Config) -> Done {
    ask(config.admin.listen).map_err(Failure::other)?;
    Ok("ready".to_owned())
}

/// Asks the worker that serves `listen` (`admin.listen`) for `/readyz`. Else, why not: what it says itself, or that nobody answers.
fn ask(listen: SocketAddr) -> Result<(), String> {
    let address = within_reach(listen);
    let answer = read(address).map_err(|error| format!("{address} does not answer: {error}"))?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    match head.split(' ').nth(1) {
        Some("200") => Ok(()),
        Some("503") => Err(format!("not ready: {}", body.trim())),
        _ => Err(format!("{address} is no admin port of a worker")),
    }
}

/// HTTP/1.0 asks for a plain answer, and for the end of the connection after it.
fn read(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    write!(stream, "GET /readyz HTTP/1.0\r\nhost: {address}\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(ANSWER_MAX).read_to_string(&mut answer)?;
    Ok(answer)
}

/// A worker that listens on all addresses is met on the loopback.
fn within_reach(listen: SocketAddr) -> SocketAddr {
    if !listen.ip().is_unspecified() {
        return listen;
    }
    let loopback: IpAddr = if listen.is_ipv4() {
        Ipv4Addr::LOCALHOST.into()
    } else {
        Ipv6Addr::LOCALHOST.into()
    };
    SocketAddr::new(loopback, listen.port())
}
