//! Which HTTP version carries one lane of 1,000 messages a second at 350 ms: a client alone, in a process of its own.

use anyhow::{Context, Result};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// How the client under measurement speaks.
#[derive(Clone, Copy)]
pub(crate) enum Client {
    Http1,
    /// Over so many connections: a server offers a connection 100 streams as a rule.
    Http2(usize),
}

impl Client {
    pub(crate) const ALL: [Self; 3] = [Self::Http1, Self::Http2(1), Self::Http2(5)];

    pub(crate) fn name(self) -> String {
        match self {
            Self::Http1 => "HTTP/1.1, keep-alive pool".to_owned(),
            Self::Http2(connections) => format!("HTTP/2, {connections} connection(s)"),
        }
    }

    pub(crate) fn connections(self) -> usize {
        match self {
            Self::Http1 => 0,
            Self::Http2(connections) => connections,
        }
    }
}

/// `sidebyside http API CONNECTIONS MPS SECONDS`: 0 connections are HTTP/1.1. Waits for every answer.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let [api, connections, mps, seconds] = arguments else {
        anyhow::bail!("http takes four arguments");
    };
    let (connections, mps, seconds): (usize, u32, u32) =
        (connections.parse()?, mps.parse()?, seconds.parse()?);
    let url = format!("{api}/v26.0/10001/messages");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let client = || {
            let builder = reqwest::Client::builder()
                .no_proxy()
                .pool_max_idle_per_host(usize::MAX);
            match connections {
                0 => builder.http1_only().build(),
                _ => builder.http2_prior_knowledge().build(),
            }
        };
        let clients = (0..connections.max(1)).map(|_| client());
        let clients = clients.collect::<reqwest::Result<Vec<_>>>()?;
        let began = Instant::now();
        let mut sending = tokio::task::JoinSet::new();
        for n in 0..mps * seconds {
            sleep_until(began + Duration::from_secs(1) * n / mps).await;
            let client = clients.get(usize::try_from(n)? % clients.len());
            let body = format!(
                r#"{{"messaging_product":"whatsapp","to":"+1555{n:07}","type":"text","text":{{"body":"Your parcel {n} is on its way."}}}}"#
            );
            let request = client.context("client")?.post(&url).bearer_auth("token");
            let request = request.header("content-type", "application/json");
            sending.spawn(async move { request.body(body).send().await?.bytes().await });
        }
        while let Some(answered) = sending.join_next().await {
            answered??;
        }
        Ok(())
    })
}
