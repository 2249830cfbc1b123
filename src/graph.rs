//! HTTP to the Cloud API: a request out, a [`Reply`] in, without judgement. With [`reads`], the only user of reqwest.
//!
//! HTTP/1.1 with a pool of keep-alive connections: one HTTP/2 connection with the usual 100 streams would cap a lane at 285
//! messages a second with the API's 350 ms per call.

use crate::config::{GraphConfig, is_of_this_machine};
use crate::core::operation::call::{Call, Content, Question};
use crate::core::operation::{Base, Facts, Method, Operation, Route};
use crate::core::outcome::answer::{Accepted, Answer, AnswerBody, Reply, Usage};
use crate::credentials::Token;
use anyhow::Context;
use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Certificate, Client, RequestBuilder, Response, Url};
use serde_json::Value;
use std::path::Path;
use std::time::{Duration, Instant};

pub mod reads;
pub mod source;
pub mod upload;

/// A timeout that is noticed so late: this process stood still meanwhile, and not the API.
const STOOD_STILL: Duration = Duration::from_secs(1);

/// Time to read what came while this process stood still.
const CATCH_UP: Duration = Duration::from_secs(2);

/// The address of an operation's requests.
pub struct Template<'a> {
    pub host: Option<&'a str>,
    pub port: Option<u16>,
    pub path: String,
}

#[derive(Clone)]
pub struct Graph {
    client: Client,
    base: Url,
    /// The same of [`Base::Business`].
    business: Url,
    request_timeout: Duration,
    max_response_bytes: usize,
}

impl Graph {
    pub fn new(config: &GraphConfig) -> anyhow::Result<Self> {
        let base = Url::parse(&format!("{}/{}/", config.base_url, config.version))
            .context("graph.base_url: not a URL")?;
        let business = Url::parse(&format!("{}/", config.business_base_url()))
            .context("graph.business_base_url: not a URL")?;
        let mut builder = Client::builder()
            .connect_timeout(config.connect_timeout)
            .pool_idle_timeout(config.pool_idle_timeout)
            .pool_max_idle_per_host(usize::MAX) // in flight per lane is the bound
            .http1_only()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .user_agent(concat!("whatsapp-dispatcher/", env!("CARGO_PKG_VERSION")));
        if let Some(path) = &config.ca_file {
            // These alone: whoever names an authority means to trust no other.
            builder = builder.tls_certs_only(read_authorities("graph.ca_file", path)?);
        }
        if is_of_this_machine(base.as_str()) {
            builder = builder.no_proxy();
        }
        let client = builder
            .build()
            .context("graph: cannot build the HTTP client (is a CA bundle installed?)")?;
        Ok(Self {
            client,
            base,
            business,
            request_timeout: config.request_timeout,
            max_response_bytes: config.max_response_bytes,
        })
    }

    /// Where the requests of an operation go, as traces tell it: without the ids in the path.
    pub fn template(&self, operation: Operation) -> Template<'_> {
        let base = self.base_of(operation);
        Template {
            host: base.host_str(),
            port: base.port_or_known_default(),
            path: format!("{}{}", base.path(), operation.facts().path),
        }
    }

    fn base_of(&self, operation: Operation) -> &Url {
        match operation.facts().base {
            Base::Graph => &self.base,
            Base::Business => &self.business,
        }
    }

    /// Makes one request, and waits for the answer no longer than `graph.request_timeout_ms`.
    pub async fn send(&self, call: Call, token: &Token) -> Reply {
        if let Some(question) = &call.lookup
            && let Some(reply) = self.look_up(question, token).await
        {
            return reply;
        }
        let sending = self.perform(call, token);
        tokio::pin!(sending);
        let began = Instant::now();
        let mut answered = tokio::time::timeout(self.request_timeout, &mut sending).await;
        if answered.is_err() && began.elapsed() > self.request_timeout + STOOD_STILL {
            answered = tokio::time::timeout(CATCH_UP, &mut sending).await;
        }
        answered.unwrap_or(Reply::NoAnswer("timeout"))
    }

    /// Asks whether the request is done already. `None`: it is not. What cannot be found out is not sent either.
    async fn look_up(&self, question: &Question, token: &Token) -> Option<Reply> {
        let query: Vec<_> = question
            .query
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        match self.get(&question.path, &query, token).await {
            Ok((status, body)) if status.is_success() => {
                let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
                let found = question.find(&answer)?;
                Some(Reply::Answered(Answer {
                    status: status.as_u16(),
                    usage: Usage::default(),
                    retry_after_s: None,
                    body: AnswerBody::Accepted(Accepted::found(&found)),
                }))
            }
            // Nothing shows whether the lost answer was a yes.
            Ok(_) | Err(_) => Some(Reply::NoAnswer("lookup")),
        }
    }

    fn build(&self, call: Call, token: &Token) -> Option<RequestBuilder> {
        let facts = call.operation.facts();
        let mut url = self.base_of(call.operation).join(&call.path).ok()?;
        if !call.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&call.query);
        }
        let url = prove(url, token);
        let builder = match facts.method {
            Method::Get => self.client.get(url),
            Method::Post => self.client.post(url),
            Method::Delete => self.client.delete(url),
        };
        let builder = builder.header(AUTHORIZATION, token.authorization.clone());
        Some(match call.body {
            None => builder,
            Some(Content::Json(body)) => {
                let json = HeaderValue::from_static("application/json");
                builder.header(CONTENT_TYPE, json).body(body)
            }
            Some(Content::Form(pairs)) => {
                let form = HeaderValue::from_static("application/x-www-form-urlencoded");
                builder.header(CONTENT_TYPE, form).body(encode(&pairs)?)
            }
            // Files go by `upload`, once they were fetched and checked.
            Some(Content::File(_)) => return None,
        })
    }

    async fn perform(&self, call: Call, token: &Token) -> Reply {
        let facts = call.operation.facts();
        match self.build(call, token) {
            Some(request) => self.exchange(request, facts).await,
            None => Reply::NotSent("request"),
        }
    }

    /// Decides, once, whether something can have reached the API: when in doubt it may have.
    async fn exchange(&self, request: RequestBuilder, facts: &Facts) -> Reply {
        let response = match request.send().await {
            Ok(response) => response,
            // Name resolution, TCP or TLS: not a byte of the request has left.
            Err(error) if error.is_connect() && error.is_timeout() => {
                return Reply::NotSent("connect_timeout");
            }
            Err(error) if error.is_connect() => return Reply::NotSent("connect"),
            Err(error) if error.is_builder() => return Reply::NotSent("request"),
            Err(_) => return Reply::NoAnswer("reset"),
        };
        let status = response.status().as_u16();
        let retry_after_s = retry_after_s(response.headers());
        let usage = usage(response.headers(), facts.route);
        let body = match self.read(response).await {
            Some(bytes) => AnswerBody::of(facts.answer, status, &bytes),
            None => AnswerBody::Unreadable,
        };
        Reply::Answered(Answer {
            status,
            usage,
            retry_after_s,
            body,
        })
    }

    /// The body, or `None` if it broke off or is larger than `graph.max_response_bytes`.
    async fn read(&self, mut response: Response) -> Option<Bytes> {
        let mut whole = match response.chunk().await {
            Ok(Some(first)) if first.len() <= self.max_response_bytes => first,
            Ok(None) => return Some(Bytes::new()),
            Ok(Some(_)) | Err(_) => return None,
        };
        let mut more = Vec::new();
        while let Some(chunk) = response.chunk().await.ok()? {
            if more.is_empty() {
                more.extend_from_slice(&whole);
            }
            if more.len() + chunk.len() > self.max_response_bytes {
                return None;
            }
            more.extend_from_slice(&chunk);
        }
        if !more.is_empty() {
            whole = more.into();
        }
        Some(whole)
    }
}

/// The certificates in a file, for the key that names it.
fn read_authorities(key: &str, path: &Path) -> anyhow::Result<Vec<Certificate>> {
    let pem = std::fs::read(path).with_context(|| format!("{key}: {}", path.display()))?;
    let certificates = Certificate::from_pem_bundle(&pem);
    let certificates = certificates.with_context(|| format!("{key}: not PEM certificates"))?;
    let is_empty = certificates.is_empty();
    anyhow::ensure!(
        !is_empty,
        "{key}: {}: holds no PEM certificate",
        path.display()
    );
    Ok(certificates)
}

/// Encodes pairs as a form does.
fn encode(pairs: &[(String, String)]) -> Option<String> {
    let mut url = Url::parse("form:").ok()?;
    url.query_pairs_mut().extend_pairs(pairs);
    Some(url.query().unwrap_or_default().to_owned())
}

/// The proof travels in the query; so this URL is never printed.
fn prove(mut url: Url, token: &Token) -> Url {
    if let Some(proof) = token.appsecret_proof() {
        url.query_pairs_mut().append_pair("appsecret_proof", proof);
    }
    url
}

/// Reads the usage headers, in which the API may say how much of its rate limits is used.
fn usage(headers: &HeaderMap, route: Route) -> Usage {
    let header = |name| headers.get(name).map(HeaderValue::as_bytes);
    let (business, app) = (header("x-business-use-case-usage"), header("x-app-usage"));
    if business.is_none() && app.is_none() {
        return Usage::default();
    }
    match route {
        Route::Number => Usage::read(business, app),
        Route::Account => Usage::of_management(business, app),
    }
}

/// Seconds, or an HTTP date.
fn retry_after_s(headers: &HeaderMap) -> Option<u64> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?;
    if let Ok(seconds) = value.trim().parse() {
        return Some(seconds);
    }
    let at = jiff::fmt::rfc2822::DateTimeParser::new()
        .parse_timestamp(value)
        .ok()?;
    let wait = at.duration_since(jiff::Timestamp::now());
    Some(u64::try_from(wait.as_secs()).unwrap_or(0))
}
