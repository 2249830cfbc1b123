//! Files that messages name by link and are sent by id: the pace of many with one file, and the memory that a large one takes.

use super::candidate::Candidate;
use super::limits::{TOKEN, accepted, config, ids, strict};
use super::{Api, PATIENCE, unlimited};
use crate::broker::Broker;
use anyhow::{Context, Result, ensure};
use harness::tls::{Authority, Front};
use harness::worker::Folder;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub(crate) const ROWS: [&str; 1] = ["media"];

const LANE: &str = "10001";

/// The largest document that Meta takes, in bytes.
const LARGE: usize = 100 * 1024 * 1024;

pub(crate) async fn run() -> Result<()> {
    campaign().await?;
    large().await
}

/// A host that has one file, whatever it is asked for.
struct Source {
    front: Front,
    folder: Folder,
    ca: String,
}

impl Source {
    async fn start(kind: &'static str, head: &'static [u8], bytes: usize) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let mut file = head.to_vec();
        file.resize(bytes, b'x');
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {bytes}\r\nconnection: close\r\n\r\n"
        );
        let answer: Arc<[u8]> = [answer.as_bytes(), &file].concat().into();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(client, answer.clone()));
            }
        });
        let authority = Authority::new();
        let ca = authority.pem();
        Ok(Self {
            front: Front::start(authority.acceptor("localhost"), address).await,
            folder: Folder::create(),
            ca,
        })
    }

    fn link(&self) -> String {
        format!("https://localhost:{}/file", self.front.port)
    }

    /// Lets a worker fetch from it.
    fn config(&self) -> String {
        let ca = self.folder.write("ca.pem", &self.ca);
        let port = self.front.port;
        format!(
            "media.sources = \"localhost:{port}\"\nmedia.private_networks = \"127.0.0.0/8,::1\"\nmedia.ca_file = {ca:?}"
        )
    }
}

async fn serve(mut client: TcpStream, answer: Arc<[u8]>) -> std::io::Result<()> {
    let mut asked = vec![];
    while !asked.ends_with(b"\r\n\r\n") {
        if client.read_buf(&mut asked).await? == 0 {
            return Ok(());
        }
    }
    client.write_all(&answer).await?;
    client.shutdown().await
}

/// 10,000 people and one image, on a lane of 1,000 a second, against a strict sliding second.
async fn campaign() -> Result<()> {
    const COUNT: usize = 10_000;
    const MPS: u32 = 1_000;
    println!(
        "\nmedia: {COUNT} messages with one image by link on one lane of {MPS} a second, the API answers after 100 ms"
    );
    let source = Source::start("image/jpeg", b"\xff\xd8\xff\xe0", 200 * 1024).await?;
    let api = Api::start(strict(MPS, 12))?;
    let broker = Broker::fresh(&ids(&[LANE])).await?;
    let results = broker.results().await?;
    let mut publisher = broker.publisher().await?;
    publisher.uploads_media = true;
    for n in 0..COUNT {
        let link = source.link();
        let body = format!(r#"{{"to":"+1555{n:07}","type":"image","image":{{"link":"{link}"}}}}"#);
        publisher.publish_body(LANE, &body).await?;
    }
    publisher.flush().await?;
    let toml = config(&broker, &api, &[(TOKEN, &[LANE])], &source.config());
    let toml = toml.replace("mps = 80\n", &format!("mps = {MPS}\n"));
    let candidate = Candidate::ours(&toml)?;
    results.wait_for(COUNT, PATIENCE).await?;
    drop(candidate);
    let (uploads, _) = api.sim.uploads(LANE);
    let sent = accepted(&api.sim.stats(), LANE);
    let at: Vec<f64> = api.sim.ledger().iter().map(|entry| entry.at_ms).collect();
    let (first, last) = at.first().zip(at.last()).context("nothing was sent")?;
    let steady = at.iter().filter(|at| **at >= first + 1_000.0).count();
    #[expect(
        clippy::cast_precision_loss,
        reason = "counts of a bench are far below 2^52"
    )]
    let rate = steady as f64 / (last - first - 1_000.0) * 1_000.0;
    println!(
        "  {uploads} upload, {sent} sends, from the second second on {rate:.0} a second: {:.3} of the limit",
        rate / f64::from(MPS)
    );
    ensure!(
        (uploads, sent) == (1, COUNT as u64),
        "not one upload, or not each sent once"
    );
    Ok(())
}

/// One document as large as there may be, beside a text before it.
async fn large() -> Result<()> {
    println!("\nmedia: a document of 100 MB by link");
    let source = Source::start("application/pdf", b"%PDF-1.7\n", LARGE).await?;
    let api = Api::start(unlimited(20))?;
    let broker = Broker::fresh(&ids(&[LANE])).await?;
    let results = broker.results().await?;
    let mut publisher = broker.publisher().await?;
    publisher.publish(LANE, 0).await?;
    publisher.flush().await?;
    let toml = config(&broker, &api, &[(TOKEN, &[LANE])], &source.config());
    let mut candidate = Candidate::ours(&toml)?;
    results.wait_for(1, PATIENCE).await?;
    let before = candidate.used()?;
    publisher.uploads_media = true;
    let link = source.link();
    let body =
        format!(r#"{{"to":"+15550000001","type":"document","document":{{"link":"{link}"}}}}"#);
    publisher.publish_body(LANE, &body).await?;
    publisher.flush().await?;
    results.wait_for(2, PATIENCE).await?;
    let after = candidate.used()?;
    drop(candidate);
    let (uploads, bytes) = api.sim.uploads(LANE);
    ensure!(
        (uploads, bytes) == (1, LARGE as u64),
        "the document was not uploaded whole"
    );
    println!(
        "  RSS {:.1} MB before, peak {:.1} MB: {:.1} MB more; {:.2} s CPU",
        before.rss_mb,
        after.peak_rss_mb,
        after.peak_rss_mb - before.rss_mb,
        (after.cpu - before.cpu).as_secs_f64()
    );
    Ok(())
}
