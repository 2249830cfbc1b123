//! Where media may be fetched from: hosts that the configuration lists, and addresses that are public or listed.
//!
//! Callers of the dispatcher choose the links. Without these rules any of them could have a worker read what only the worker can reach.

use ::core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use ipnet::IpNet;
use std::fmt;
use std::sync::Arc;
use url::Url;

/// `media.sources`: patterns of hosts.
#[derive(Clone, Debug, Default)]
pub struct Sources(Option<Arc<[Pattern]>>);

#[derive(Debug)]
struct Pattern {
    /// In lower case; of `*.example.com` the part behind the asterisk, with its dot. `None`: any.
    host: Option<String>,
    is_suffix: bool,
    port: u16,
}

/// Stands for any host while a pattern is read.
const ANY: &str = "any.invalid";

/// The stand-in for a lone asterisk.
fn any_host(rest: &str) -> Option<&'static str> {
    rest.is_empty().then_some(ANY)
}

impl Pattern {
    fn parse(text: &str) -> Option<Self> {
        let (name, is_suffix) = match text.strip_prefix('*') {
            Some(rest) => (rest.strip_prefix('.').or(any_host(rest))?, true),
            None => (text, false),
        };
        let url = Url::parse(&format!("https://{name}/")).ok()?;
        let is_host = url.path() == "/" && url.username().is_empty() && !name.ends_with('/');
        let host = url
            .host_str()
            .filter(|_| is_host && !name.contains(['*', '?', '#', '@']))?;
        Some(Self {
            host: match (is_suffix, name.starts_with(ANY)) {
                (true, true) => None,
                (true, false) => Some(format!(".{host}")),
                (false, _) => Some(host.to_owned()),
            },
            is_suffix,
            port: url.port_or_known_default()?,
        })
    }

    fn fits(&self, host: &str, port: u16) -> bool {
        let is_host = match &self.host {
            None => true,
            Some(suffix) if self.is_suffix => host.ends_with(suffix.as_str()),
            Some(name) => host == name,
        };
        is_host && port == self.port
    }
}

impl Sources {
    pub const NONE: Self = Self(None);

    /// Reads patterns: `cdn.example.com`, `*.example.com`, `*`, each with a port if it is not 443.
    ///
    /// # Errors
    /// The first that is none.
    pub fn parse<'a>(patterns: impl Iterator<Item = &'a str>) -> Result<Self, &'a str> {
        let patterns: Result<Arc<[_]>, _> = patterns
            .map(|text| Pattern::parse(text).ok_or(text))
            .collect();
        let patterns = patterns?;
        Ok(Self((!patterns.is_empty()).then_some(patterns)))
    }

    /// Checks a link.
    ///
    /// # Errors
    /// What is wrong with it, without it.
    pub fn check(&self, link: &str) -> Result<Url, &'static str> {
        let Ok(url) = Url::parse(link) else {
            return Err("is not a URL");
        };
        if url.scheme() != "https" {
            return Err("must begin with https://");
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("must not hold a user name or password");
        }
        let Some(patterns) = &self.0 else {
            return Err("is fetched from nowhere: media.sources lists no host");
        };
        let host = url.host_str().unwrap_or_default();
        let host = host.trim_end_matches('.');
        let port = url.port_or_known_default().unwrap_or(443);
        if patterns.iter().any(|pattern| pattern.fits(host, port)) {
            Ok(url)
        } else {
            Err("names a host that media.sources does not list")
        }
    }
}

/// `media.private_networks`: networks that are no public ones, and that media may come from all the same.
#[derive(Clone, Default)]
pub struct Networks(Arc<[IpNet]>);

impl fmt::Debug for Networks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter()).finish()
    }
}

impl Networks {
    /// Reads networks as `10.1.0.0/16` or `fd00::/8`; an address alone is one.
    ///
    /// # Errors
    /// The first that is none.
    pub fn parse<'a>(networks: impl Iterator<Item = &'a str>) -> Result<Self, &'a str> {
        let networks: Result<Arc<[_]>, _> = networks
            .map(|text| {
                let network = text.parse::<IpNet>().ok();
                let network = network.or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
                network.ok_or(text)
            })
            .collect();
        Ok(Self(networks?))
    }

    /// Whether a file may be fetched from this address.
    pub fn allow(&self, address: IpAddr) -> bool {
        // An IPv4 address written as an IPv6 one is that address.
        let address = address.to_canonical();
        is_public(address) || self.0.iter().any(|network| network.contains(&address))
    }
}

/// Whether an address is one of the public internet, of nobody's own network. Source: IANA, IPv4 and IPv6 Special-Purpose Address
/// Registries, 2026. Prefixes that carry an IPv4 address inside count as what they carry.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

#[rustfmt::skip] // A table.
const SPECIAL_V4: [(Ipv4Addr, u8); 14] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    // Multicast, reserved and broadcast.
    (Ipv4Addr::new(224, 0, 0, 0), 3),
];

fn is_public_v4(address: Ipv4Addr) -> bool {
    let bits = address.to_bits();
    let is_in = |(network, length): &(Ipv4Addr, u8)| {
        let rest = 32 - u32::from(*length);
        bits >> rest == network.to_bits() >> rest
    };
    !SPECIAL_V4.iter().any(is_in)
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    let [first, second, third, ..] = segments;
    let v4_of = |high: u16, low: u16| Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
    // NAT64 and 6to4.
    if (first, second) == (0x64, 0xff9b) && segments[2..6] == [0; 4] {
        return is_public_v4(v4_of(segments[6], segments[7]));
    }
    if first == 0x2002 {
        return is_public_v4(v4_of(second, third));
    }
    // Global unicast is 2000::/3; of it, protocol assignments, documentation and segment routing are nobody's host.
    let is_unicast = first & 0xe000 == 0x2000;
    let is_protocols = first == 0x2001 && second < 0x0200;
    let is_documentation = (first, second) == (0x2001, 0x0db8) || first & 0xfff0 == 0x3ff0;
    is_unicast && !is_protocols && !is_documentation
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(patterns: &str) -> Sources {
        Sources::parse(patterns.split(' ')).unwrap()
    }

    #[test]
    fn only_listed_hosts_are_asked() {
        let listed = sources("cdn.example.com *.shop.example files.example:8443 [2001:db8::1]");
        for (link, is_fine) in [
            ("https://cdn.example.com/a.jpg?x=1", true),
            ("https://CDN.Example.com./a.jpg", true),
            ("https://cdn.example.com:443/a.jpg", true),
            ("https://cdn.example.com:8443/a.jpg", false),
            ("https://a.shop.example/", true),
            ("https://a.b.shop.example/", true),
            ("https://shop.example/", false),
            ("https://evilshop.example/", false),
            ("https://files.example:8443/x", true),
            ("https://files.example/x", false),
            ("https://[2001:db8::1]/x", true),
            ("https://cdn.example.com.evil.example/", false),
            ("https://cdn.example.com@evil.example/", false),
            ("https://user:secret@cdn.example.com/", false),
            ("http://cdn.example.com/a.jpg", false),
            ("file:///etc/passwd", false),
            ("ftp://cdn.example.com/a.jpg", false),
            ("cdn.example.com/a.jpg", false),
            ("", false),
        ] {
            assert_eq!(listed.check(link).is_ok(), is_fine, "{link}");
        }
        assert!(sources("*").check("https://any.example/").is_ok());
        assert!(Sources::default().check("https://any.example/").is_err());
    }

    #[test]
    fn patterns_are_hosts_and_nothing_else() {
        for pattern in [
            "",
            "https://a.example",
            "a.example/x",
            "*x.example",
            "a.*.example",
            "a:port",
            "*.",
            "u@a",
        ] {
            assert!(Pattern::parse(pattern).is_none(), "{pattern}");
        }
    }

    #[test]
    fn private_addresses_are_asked_only_if_listed() {
        let none = Networks::default();
        for (address, is_fine) in [
            ("93.184.216.34", true),
            ("2606:2800:220:1::1", true),
            ("127.0.0.1", false),
            ("10.1.2.3", false),
            ("172.31.0.1", false),
            ("172.32.0.1", true),
            ("192.168.1.1", false),
            ("169.254.169.254", false),
            ("100.64.0.1", false),
            ("0.0.0.0", false),
            ("255.255.255.255", false),
            ("224.0.0.1", false),
            ("::1", false),
            ("::", false),
            ("fe80::1", false),
            ("fd00::1", false),
            ("ff02::1", false),
            ("2001:db8::1", false),
            ("::ffff:10.0.0.1", false),
            ("::ffff:93.184.216.34", true),
            ("64:ff9b::a00:1", false),
            ("64:ff9b::5db8:d822", true),
            ("2002:a00:1::", false),
        ] {
            assert_eq!(none.allow(address.parse().unwrap()), is_fine, "{address}");
        }
        let listed = Networks::parse("10.1.0.0/16 ::1".split(' ')).unwrap();
        for (address, is_fine) in [
            ("10.1.2.3", true),
            ("::ffff:10.1.2.3", true),
            ("10.2.0.1", false),
            ("::1", true),
            ("127.0.0.1", false),
        ] {
            assert_eq!(listed.allow(address.parse().unwrap()), is_fine, "{address}");
        }
        assert!(Networks::parse(["10.0.0.0/33"].into_iter()).is_err());
    }
}
