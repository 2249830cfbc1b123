//! A load generator aimed at the wrong host is an attack: other hosts than this one need a word.

use anyhow::{Result, bail};
use std::net::IpAddr;

/// Refuses URLs of other hosts, unless `anywhere`.
pub(crate) fn check(url: &str, anywhere: bool) -> Result<()> {
    if !anywhere && !is_loopback(host(url)) {
        bail!(
            "{} is not this machine; say --anywhere if you mean it",
            host(url)
        );
    }
    Ok(())
}

/// `user:password@[::1]:5672/vhost` → `::1`
fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    let address = authority
        .rsplit_once('@')
        .map_or(authority, |(_, address)| address);
    match address.strip_prefix('[').and_then(|v6| v6.split_once(']')) {
        Some((v6, _)) => v6,
        None => address.rsplit_once(':').map_or(address, |(host, _)| host),
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_unless_told() {
        for url in [
            "amqp://guest:guest@127.0.0.1:45672/demo",
            "http://localhost:1",
            "amqp://[::1]:5672",
            "http://127.8.9.1/x",
        ] {
            assert!(check(url, false).is_ok(), "{url}");
        }
        for url in [
            "amqp://localhost@example.com:5672/%2f",
            "http://192.0.2.1",
            "amqp://127.0.0.1.example.com",
            "amqp://",
        ] {
            assert!(check(url, false).is_err(), "{url}");
            assert!(check(url, true).is_ok(), "{url}");
        }
    }
}
