//! Rules for texts. Addresses are read by the very parsers that use them later, so that `check` and
//! `run` agree.

use crate::core::media::source::{Networks, Sources};
use std::net::{IpAddr, SocketAddr};
use tracing_subscriber::EnvFilter;

pub(super) fn is_not_empty(text: &str) -> bool {
    !text.trim().is_empty()
}

pub(super) fn is_digits(text: &str) -> bool {
    (1..=32).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
}

pub(super) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic())
}

pub(super) fn is_worker_id(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b))
}

pub(super) fn is_graph_version(text: &str) -> bool {
    let number = |part: &str| (1..=3).contains(&part.len()) && is_digits(part);
    text.strip_prefix('v')
        .and_then(|rest| rest.split_once('.'))
        .is_some_and(|(major, minor)| number(major) && number(minor))
}

pub(super) fn is_socket_address(text: &str) -> bool {
    text.parse::<SocketAddr>().is_ok()
}

pub(super) fn is_host_list(text: &str) -> bool {
    let is_host = |host: &str| {
        let is_of_names = |b: u8| b.is_ascii_alphanumeric() || b".-_".contains(&b);
        !host.is_empty() && host.bytes().all(is_of_names)
    };
    text.split(',').map(str::trim).all(is_host)
}

pub(super) fn is_source_list(text: &str) -> bool {
    is_not_empty(text) && Sources::parse(text.split(',').map(str::trim)).is_ok()
}

pub(super) fn is_network_list(text: &str) -> bool {
    is_not_empty(text) && Networks::parse(text.split(',').map(str::trim)).is_ok()
}

pub(super) fn is_log_filter(text: &str) -> bool {
    is_not_empty(text) && EnvFilter::try_new(text).is_ok()
}

pub(super) const BROKER_URL: &str = "amqp:// or amqps:// with a host name or IPv4 address and a virtual host (/%2f is the default one), \
     and no parameters but auth_mechanism and frame_max (131072 or more; 0: no limit)";

/// The frame size that RabbitMQ offers. A request's properties and headers come in one frame, and intake admits 64 KiB of headers; what is
/// added when it is published again must fit as well.
const FRAME_MAX_MIN: u32 = 131_072;

/// The client takes the host of an IPv6 address to be "localhost" and the missing host too, and reads heartbeat,
/// channel_max and connection_timeout from the query beside our own keys: all three would mislead in silence.
pub(super) fn is_broker_url(text: &str) -> bool {
    let (Ok(url), Ok(uri)) = (
        text.parse::<reqwest::Url>(),
        text.parse::<lapin::uri::AMQPUri>(),
    ) else {
        return false;
    };
    let host_is_name = url.domain().is_some_and(|host| !host.is_empty());
    let query_is_ours = url
        .query_pairs()
        .all(|(name, _)| name == "auth_mechanism" || name == "frame_max");
    let frame_max = uri.query.frame_max.unwrap_or(0);
    let frame_fits = frame_max == 0 || frame_max >= FRAME_MAX_MIN;
    host_is_name && frame_fits && query_is_ours && !uri.vhost.is_empty() && url.fragment().is_none()
}

pub(super) fn is_tls_broker_url(text: &str) -> bool {
    text.to_ascii_lowercase().starts_with("amqps:")
}

pub(super) fn is_without_password(text: &str) -> bool {
    let url = text.parse::<reqwest::Url>();
    url.is_ok_and(|url| !url.username().is_empty() && url.password().is_none())
}

pub(super) const BASE_URL: &str =
    "an https:// address (or http://, see graph.allow_plain_http) without user, query or fragment";

pub(super) const COLLECTOR_URL: &str =
    "an http:// or https:// address without user, query or fragment";

pub(super) fn is_base_url(text: &str) -> bool {
    text.parse::<reqwest::Url>().is_ok_and(|url| {
        ["https", "http"].contains(&url.scheme())
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
    })
}

pub(super) fn broker_server(text: &str) -> Option<(String, u16)> {
    let url = text.parse::<reqwest::Url>().ok()?;
    let default = if is_tls_broker_url(text) { 5671 } else { 5672 };
    Some((url.host_str()?.to_owned(), url.port().unwrap_or(default)))
}

/// True if nothing that is sent there leaves this machine.
pub fn is_of_this_machine(url: &str) -> bool {
    let url = url.parse::<reqwest::Url>();
    url.is_ok_and(|url| url.host_str().is_some_and(is_loopback))
}

/// True unless the address would send tokens in the clear to another machine.
pub(super) fn is_https_or_loopback(base_url: &str) -> bool {
    base_url
        .parse::<reqwest::Url>()
        .is_ok_and(|url| url.scheme() == "https" || url.host_str().is_some_and(is_loopback))
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || address
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}
