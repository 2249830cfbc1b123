//! The simulator as a program: `graph-sim --listen 127.0.0.1:8090 --number 111=80`.

use anyhow::{Context, Result, anyhow};
use clap::Parser;
use graph_sim::{NumberChange, Options, Script, Setup, Sim, Token, TokenState};
use serde_json::{Map, json};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::signal::unix::{SignalKind, signal};

/// A faithful WhatsApp Cloud API. Prints `listening http://ADDRESS seed=SEED` once
/// ready. What is given here wins over the file.
#[derive(Debug, Parser)]
#[command(name = "graph-sim", version)]
struct Args {
    /// Address; port 0 picks a free one [default: 127.0.0.1:8090]
    #[arg(long)]
    listen: Option<SocketAddr>,
    /// Options as TOML (`*.toml`) or JSON
    #[arg(long)]
    config: Option<PathBuf>,
    /// Fault script as TOML (`*.toml`) or JSON
    #[arg(long)]
    script: Option<PathBuf>,
    /// Source of all chance [default: from the clock]
    #[arg(long)]
    seed: Option<u64>,
    /// A number to serve, with its messages per second; may be repeated [default: any]
    #[arg(long = "number", value_name = "ID[=MPS]")]
    numbers: Vec<String>,
    /// Serve every number, also besides those listed
    #[arg(long)]
    any_number: bool,
    /// A valid token, good for all numbers or those listed; may be repeated [default: any]
    #[arg(long = "token", value_name = "TOKEN[=ID,ID]")]
    tokens: Vec<String>,
    /// Messages per second of numbers that say nothing else [default: the level's]
    #[arg(long)]
    mps: Option<u32>,
    /// No throughput and no pair limit
    #[arg(long)]
    unlimited: bool,
    /// No pair limit
    #[arg(long)]
    no_pair_limit: bool,
    /// From a request's receipt to its answer
    #[arg(long)]
    latency_ms: Option<u64>,
    /// Added to the latency: 0 to this
    #[arg(long)]
    latency_jitter_ms: Option<u64>,
    /// Spreads the arrivals at the limits over plus or minus this
    #[arg(long)]
    arrival_jitter_ms: Option<u64>,
    /// Keep counters only
    #[arg(long, conflicts_with = "ledger_capacity")]
    no_ledger: bool,
    /// Accepted messages to keep at most
    #[arg(long)]
    ledger_capacity: Option<usize>,
    /// Keep the bodies of accepted messages in the ledger
    #[arg(long)]
    keep_bodies: bool,
    /// Send x-business-use-case-usage
    #[arg(long)]
    usage_headers: bool,
    /// Send retry-after with throttles, in seconds
    #[arg(long)]
    retry_after_s: Option<u64>,
    /// Ask the simulator that listens there whether it answers, and end: with 0 if it does
    #[arg(long)]
    healthcheck: bool,
    /// Concurrent streams offered to an HTTP/2 connection [default: 100]
    #[arg(long)]
    http2_max_streams: Option<u32>,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(run(args))
}

async fn run(args: Args) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let healthcheck = args.healthcheck;
    let options = options(args)?;
    if healthcheck {
        return answers(options.listen);
    }
    let (listen, seed) = (options.listen, options.seed);
    let sim = Sim::start(options)
        .await
        .with_context(|| format!("cannot listen on {listen}"))?;
    writeln!(std::io::stdout(), "listening {} seed={seed}", sim.url())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// For containers, whose image has no shell and no curl.
fn answers(mut listen: SocketAddr) -> Result<()> {
    const TIMEOUT: Duration = Duration::from_secs(2);
    if listen.ip().is_unspecified() {
        listen.set_ip(Ipv4Addr::LOCALHOST.into());
    }
    let look = || {
        let mut stream = TcpStream::connect_timeout(&listen, TIMEOUT)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        write!(stream, "GET /_sim/stats HTTP/1.1\r\nhost: {listen}\r\n\r\n")?;
        let mut start = [0; 12];
        stream.read_exact(&mut start)?;
        std::io::Result::Ok(start)
    };
    let start = look().with_context(|| format!("{listen} does not answer"))?;
    anyhow::ensure!(start.ends_with(b" 200"), "{listen} is no simulator");
    Ok(())
}

/// The file, then the arguments, as one set of options.
fn options(args: Args) -> Result<Options> {
    let mut setup: Setup = match &args.config {
        Some(path) => parsed(path)?,
        None => Setup::default(),
    };
    if let Some(path) = &args.script {
        setup.script = parsed::<Script>(path)?;
    }
    let default_listen = SocketAddr::from(([127, 0, 0, 1], 8090));
    setup.listen = Some(args.listen.or(setup.listen).unwrap_or(default_listen));
    setup.seed = Some(args.seed.or(setup.seed).unwrap_or_else(clock_seed));
    setup.any_number = args.any_number.then_some(true).or(setup.any_number);
    setup.numbers.extend(
        args.numbers
            .iter()
            .map(|number| numbered(number))
            .collect::<Result<Vec<_>>>()?,
    );
    setup
        .tokens
        .extend(args.tokens.iter().map(|token| token_of(token)));
    let defaults = &mut setup.defaults;
    defaults.mps = args.mps.or(defaults.mps);
    defaults.unlimited |= args.unlimited;
    if args.no_pair_limit {
        defaults.pair_burst = 0;
    }
    defaults.latency_ms = args.latency_ms.unwrap_or(defaults.latency_ms);
    defaults.latency_jitter_ms = args.latency_jitter_ms.unwrap_or(defaults.latency_jitter_ms);
    defaults.arrival_jitter_ms = args.arrival_jitter_ms.unwrap_or(defaults.arrival_jitter_ms);
    let capacity = if args.no_ledger {
        Some(0)
    } else {
        args.ledger_capacity
    };
    setup.ledger_capacity = capacity.or(setup.ledger_capacity);
    setup.keep_bodies |= args.keep_bodies;
    setup.usage_headers |= args.usage_headers;
    setup.retry_after_s = args.retry_after_s.or(setup.retry_after_s);
    setup.http2_max_streams = args.http2_max_streams.or(setup.http2_max_streams);
    Options::try_from(setup).map_err(|error| anyhow!(error))
}

/// Another seed at every start: ids stay unique across restarts of a demo.
fn clock_seed() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or_default()
}

fn parsed<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    if path
        .extension()
        .is_some_and(|extension| extension == "toml")
    {
        toml::from_str(&text).with_context(|| path.display().to_string())
    } else {
        serde_json::from_str(&text).with_context(|| path.display().to_string())
    }
}

/// `111` or `111=40`.
fn numbered(text: &str) -> Result<NumberChange> {
    let (id, mps) = match text.split_once('=') {
        Some((id, mps)) => (
            id,
            Some(
                mps.parse::<u32>()
                    .with_context(|| format!("--number {text}"))?,
            ),
        ),
        None => (text, None),
    };
    let changes: Map<_, _> = mps
        .map(|mps| ("mps".to_owned(), json!(mps)))
        .into_iter()
        .collect();
    Ok(NumberChange {
        phone_number_id: id.to_owned(),
        changes,
    })
}

/// `TOKEN` or `TOKEN=111,222`.
fn token_of(text: &str) -> Token {
    let (token, numbers) = match text.split_once('=') {
        Some((token, numbers)) => (token, Some(numbers.split(',').map(str::to_owned).collect())),
        None => (text, None),
    };
    Token {
        token: token.to_owned(),
        state: TokenState::Valid,
        numbers,
        expires_at: None,
        app_id: None,
    }
}
