//! Files from the sources that callers name by link: over HTTPS, from hosts and addresses that [`crate::core::media::source`] allows, onto
//! the disk. No redirect is followed, no token is sent, and nothing of a link reaches an error.

use crate::config::MediaConfig;
use crate::core::media::content::HEAD_BYTES;
use crate::core::media::known::Validators;
use crate::core::media::source::{Networks, Sources};
use crate::core::media::upload::Failure;
use crate::graph::read_authorities;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{
    CONTENT_TYPE, ETAG, HeaderMap, HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED,
};
use reqwest::{Client, Response, StatusCode};
use ring::digest::{Context, SHA256};
use std::error::Error;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::fs::File;
use tokio::io::{AsyncSeekExt, AsyncWriteExt, BufWriter};
use url::Host;

/// Longest `ETag` or `Last-Modified` that is remembered, in bytes.
const VALIDATOR_MAX_BYTES: usize = 256;

/// Bytes that are written to the disk at once.
const BUFFER_BYTES: usize = 256 * 1024;

/// A file that was fetched. It has no name on the disk, and is gone with this.
pub struct Fetched {
    pub file: File,
    pub bytes: u64,
    /// The first bytes, [`HEAD_BYTES`] at most.
    pub head: Vec<u8>,
    /// SHA-256 of the file, in hexadecimal digits.
    pub sha256: String,
    /// The type that its source says it has.
    pub declared: Option<String>,
    pub validators: Validators,
}

/// The answer of a source.
pub enum Found {
    /// The source has what it had.
    Same,
    File(Box<Fetched>),
}

/// Asks the sources.
pub struct SourceClient {
    client: Client,
    sources: Sources,
    networks: Networks,
    timeout: Duration,
}

/// Resolves names, and keeps only addresses that may be asked: the very address that was looked at is the one that is connected to.
struct Resolver(Networks);

#[derive(Debug)]
struct NotAllowed;

impl fmt::Display for NotAllowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the address is not public")
    }
}

impl Error for NotAllowed {}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let networks = self.0.clone();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed: Vec<SocketAddr> = found
                .filter(|address| networks.allow(address.ip()))
                .collect();
            if allowed.is_empty() {
                return Err(NotAllowed.into());
            }
            let addresses: Addrs = Box::new(allowed.into_iter());
            Ok(addresses)
        })
    }
}

impl SourceClient {
    /// # Errors
    /// What is wrong with `media.ca_file`.
    pub fn new(config: &MediaConfig) -> anyhow::Result<Self> {
        let mut builder = Client::builder()
            .https_only(true)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            // A proxy would resolve names by itself, and ask whomever it likes.
            .no_proxy()
            .connect_timeout(config.timeout)
            .dns_resolver(Resolver(config.private_networks.clone()))
            .user_agent(concat!("whatsapp-dispatcher/", env!("CARGO_PKG_VERSION")));
        if let Some(path) = &config.ca_file {
            builder = builder.tls_certs_merge(read_authorities("media.ca_file", path)?);
        }
        Ok(Self {
            client: builder.build()?,
            sources: config.sources.clone(),
            networks: config.private_networks.clone(),
            timeout: config.timeout,
        })
    }

    /// Fetches the file of a link, `most` bytes at most; or finds that it is the same as when its source gave these validators.
    ///
    /// # Errors
    /// Why there is no file, and whether there may be one later.
    pub async fn fetch(
        &self,
        link: &str,
        most: u64,
        validators: &Validators,
    ) -> Result<Found, Failure> {
        let fetching = self.fetch_at_all(link, most, validators);
        let fetched = tokio::time::timeout(self.timeout, fetching).await;
        fetched.unwrap_or_else(|_| {
            let seconds = self.timeout.as_secs_f64();
            let problem = format!("its source took longer than {seconds} s (media.timeout_ms)");
            Err(Failure::transient(&problem))
        })
    }

    async fn fetch_at_all(
        &self,
        link: &str,
        most: u64,
        validators: &Validators,
    ) -> Result<Found, Failure> {
        // Intake has looked, maybe by other rules than those of now.
        let url = self.sources.check(link).map_err(Failure::invalid)?;
        let literal = match url.host() {
            Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => Some(IpAddr::V6(address)),
            Some(Host::Domain(_)) | None => None,
        };
        if literal.is_some_and(|address| !self.networks.allow(address)) {
            return Err(not_allowed());
        }
        let mut request = self.client.get(url);
        for (name, value) in [
            (IF_NONE_MATCH, &validators.etag),
            (IF_MODIFIED_SINCE, &validators.last_modified),
        ] {
            if let Some(value) = value {
                request = request.header(name, value);
            }
        }
        let response = request.send().await.map_err(|error| unreached(&error))?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_MODIFIED if !validators.is_empty() => return Ok(Found::Same),
            status => return Err(refused(status)),
        }
        receive(response, most).await.map(Box::new).map(Found::File)
    }
}

fn not_allowed() -> Failure {
    Failure::invalid(
        "its host has no public address, nor one of the networks in media.private_networks",
    )
}

fn unreached(error: &reqwest::Error) -> Failure {
    let mut cause: Option<&dyn Error> = Some(error);
    while let Some(error) = cause {
        if error.is::<NotAllowed>() {
            return not_allowed();
        }
        cause = error.source();
    }
    Failure::transient(if error.is_connect() {
        "no connection to its source: its name, network or certificate"
    } else {
        "its source broke off"
    })
}

fn refused(status: StatusCode) -> Failure {
    let code = status.as_u16();
    let problem = format!("its source answered HTTP {code}");
    match code {
        300..=399 => Failure::invalid(&format!("{problem}: redirects are not followed")),
        408 | 425 | 429 | 500..=599 => Failure::transient(&problem),
        _ => Failure::invalid(&problem),
    }
}

async fn receive(mut response: Response, most: u64) -> Result<Fetched, Failure> {
    let too_large = || {
        Failure::invalid(&format!(
            "it is larger than the {most} bytes that Meta takes of its kind"
        ))
    };
    if response
        .content_length()
        .is_some_and(|length| length > most)
    {
        return Err(too_large());
    }
    let declared = header(response.headers(), CONTENT_TYPE);
    let validators = Validators {
        etag: header(response.headers(), ETAG),
        last_modified: header(response.headers(), LAST_MODIFIED),
    };
    let file = tempfile::tempfile().map_err(|error| no_disk(&error))?;
    let mut file = BufWriter::with_capacity(BUFFER_BYTES, File::from_std(file));
    let (mut bytes, mut head, mut hash) = (0_u64, vec![], Context::new(&SHA256));
    loop {
        let chunk = response.chunk().await.map_err(|error| unreached(&error))?;
        let Some(chunk) = chunk else { break };
        bytes += u64::try_from(chunk.len()).unwrap_or(u64::MAX);
        if bytes > most {
            return Err(too_large());
        }
        let wanted = HEAD_BYTES.saturating_sub(head.len()).min(chunk.len());
        head.extend_from_slice(chunk.get(..wanted).unwrap_or_default());
        hash.update(&chunk);
        file.write_all(&chunk)
            .await
            .map_err(|error| no_disk(&error))?;
    }
    file.flush().await.map_err(|error| no_disk(&error))?;
    let mut file = file.into_inner();
    file.rewind().await.map_err(|error| no_disk(&error))?;
    Ok(Fetched {
        file,
        bytes,
        head,
        sha256: hex(hash.finish().as_ref()),
        declared,
        validators,
    })
}

fn no_disk(error: &std::io::Error) -> Failure {
    let folder = std::env::temp_dir();
    tracing::warn!(%error, folder = %folder.display(), "files of media cannot be kept on the disk while they are checked");
    Failure::transient("it could not be kept on the worker's disk while it was checked")
}

fn header(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    let text = headers.get(name)?.to_str().ok()?;
    (text.len() <= VALIDATOR_MAX_BYTES).then(|| text.to_owned())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A name for a link, or for a file, under which it can be told to others: its hash. `kind`: the same file as another kind is another.
pub fn name_of(kind: &str, content: &str) -> String {
    let mut hash = Context::new(&SHA256);
    hash.update(kind.as_bytes());
    hash.update(b":");
    hash.update(content.as_bytes());
    hex(hash.finish().as_ref())
}
