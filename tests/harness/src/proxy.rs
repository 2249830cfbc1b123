//! A TCP proxy that a test breaks and mends: between a worker and its broker, or a worker and the API.

use super::within;
use super::worker::free_port;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, sleep_until};

/// Between two attempts to have the port again.
const PAUSE: Duration = Duration::from_millis(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Pass,
    /// Every piece of data, both ways, this much later.
    Delay(Duration),
    /// Connections stay open, and nothing comes through until the mode changes: neither data nor ends.
    BlackHole,
    /// What comes from a client on a connection that was silent for so long ends it, as firewalls do that have forgotten it.
    Forgets(Duration),
    /// Nobody listens; what is connected stays so.
    Refuse,
}

/// What the connections and the handle share.
#[derive(Default)]
struct Shared {
    /// What clients have sent, if the proxy records.
    recorded: Mutex<Vec<u8>>,
    records: bool,
    /// Replaced on the way to the server; both of one length.
    rewrite: Option<(Vec<u8>, Vec<u8>)>,
    /// What ends a connection on which a client sends it, before it arrives.
    closes_at: Option<Vec<u8>>,
    /// The same of what the server sends.
    cuts_at: Option<Vec<u8>>,
}

pub struct Proxy {
    pub address: String,
    mode: watch::Sender<Mode>,
    /// Counts the resets that were asked for.
    resets: watch::Sender<u32>,
    /// Whether the port is listened on now.
    listens: watch::Receiver<bool>,
    shared: Arc<Shared>,
}

impl Proxy {
    pub async fn to(upstream: &str) -> Self {
        Self::start(upstream, Shared::default()).await
    }

    /// On this port, to the first of these addresses that takes a connection.
    pub async fn at(port: u16, upstreams: Vec<String>) -> io::Result<Self> {
        Self::listen(port, upstreams, Shared::default()).await
    }

    /// Keeps what clients send.
    pub async fn recording(upstream: &str) -> Self {
        let shared = Shared {
            records: true,
            ..Shared::default()
        };
        Self::start(upstream, shared).await
    }

    /// Replaces bytes that clients send: for what no client library would write.
    pub async fn rewriting(upstream: &str, from: &[u8], to: &[u8]) -> Self {
        assert_eq!(from.len(), to.len());
        let shared = Shared {
            rewrite: Some((from.to_vec(), to.to_vec())),
            ..Shared::default()
        };
        Self::start(upstream, shared).await
    }

    /// Ends a connection, and no other, on which a client sends these bytes: as a server does that fails at them.
    pub async fn closing(upstream: &str, at: &[u8]) -> Self {
        let shared = Shared {
            closes_at: Some(at.to_vec()),
            ..Shared::default()
        };
        Self::start(upstream, shared).await
    }

    /// Ends a connection, and no other, on which the server sends these bytes.
    pub async fn cutting(upstream: &str, at: &[u8]) -> Self {
        let shared = Shared {
            cuts_at: Some(at.to_vec()),
            ..Shared::default()
        };
        Self::start(upstream, shared).await
    }

    async fn start(upstream: &str, shared: Shared) -> Self {
        let upstreams = vec![upstream.to_owned()];
        Self::listen(free_port(), upstreams, shared).await.unwrap()
    }

    async fn listen(port: u16, upstreams: Vec<String>, shared: Shared) -> io::Result<Self> {
        let address = format!("127.0.0.1:{port}");
        let listener = TcpListener::bind(&address).await?;
        let (mode, modes) = watch::channel(Mode::Pass);
        let resets = watch::Sender::new(0);
        let (listening, listens) = watch::channel(true);
        let shared = Arc::new(shared);
        let door = Door {
            address: address.clone(),
            upstreams,
            modes,
            resets: resets.subscribe(),
            shared: shared.clone(),
        };
        tokio::spawn(door.tend(listener, listening));
        Ok(Self {
            address,
            mode,
            resets,
            listens,
            shared,
        })
    }

    /// Returns once new connections meet the new mode.
    pub async fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
        let mut listens = self.listens.clone();
        let wanted = mode != Mode::Refuse;
        let heeded = listens.wait_for(|listens| *listens == wanted);
        within("the proxy's port", heeded).await.unwrap();
    }

    /// Ends every connection with a reset; new ones are taken as the mode says.
    pub fn reset_all(&self) {
        self.resets.send_modify(|count| *count += 1);
    }

    /// Ends every connection and takes no new one, until [`Proxy::set`] says otherwise.
    pub async fn cut(&self) {
        self.set(Mode::Refuse).await;
        self.reset_all();
    }

    pub fn recorded(&self) -> Vec<u8> {
        self.shared
            .recorded
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

struct Door {
    address: String,
    upstreams: Vec<String>,
    modes: watch::Receiver<Mode>,
    resets: watch::Receiver<u32>,
    shared: Arc<Shared>,
}

impl Door {
    /// Until the proxy is dropped.
    async fn tend(mut self, first: TcpListener, listening: watch::Sender<bool>) {
        let mut listener = first;
        loop {
            let mut modes = self.modes.clone();
            let refuses = modes.wait_for(|mode| *mode == Mode::Refuse);
            tokio::pin!(refuses);
            loop {
                tokio::select! {
                    Ok((stream, _)) = listener.accept() => self.admit(stream),
                    refused = &mut refuses => match refused {
                        Ok(_) => break,
                        Err(_) => return,
                    },
                }
            }
            drop(listener);
            listening.send_replace(false);
            let open = self.modes.wait_for(|mode| *mode != Mode::Refuse).await;
            if open.map(drop).is_err() {
                return;
            }
            listener = loop {
                match TcpListener::bind(&self.address).await {
                    Ok(listener) => break listener,
                    Err(_) => sleep(PAUSE).await,
                }
            };
            listening.send_replace(true);
        }
    }

    fn admit(&self, mut client: TcpStream) {
        let upstreams = self.upstreams.clone();
        let (mut modes, mut resets) = (self.modes.clone(), self.resets.clone());
        let shared = self.shared.clone();
        resets.mark_unchanged();
        tokio::spawn(async move {
            if !opened(&mut modes).await {
                return;
            }
            let Some(mut server) = connect(&upstreams).await else {
                return;
            };
            // Small frames would wait for each other otherwise.
            client.set_nodelay(true).ok();
            server.set_nodelay(true).ok();
            let (client_in, client_out) = client.split();
            let (server_in, server_out) = server.split();
            let forgetful = modes.clone();
            let (mut sent, mut answered) = (vec![], vec![]);
            let there = pump(client_in, server_out, modes.clone(), |data, silent| {
                shared.treat(data);
                let is_forgotten =
                    matches!(*forgetful.borrow(), Mode::Forgets(after) if silent >= after);
                !is_forgotten && !holds(shared.closes_at.as_deref(), &mut sent, data)
            });
            let back = pump(server_in, client_out, modes, |data, _| {
                !holds(shared.cuts_at.as_deref(), &mut answered, data)
            });
            let both = async { tokio::try_join!(there, back).map(drop) };
            let is_reset = tokio::select! {
                ended = both => ended.is_err(),
                changed = resets.changed() => changed.is_ok(),
            };
            if is_reset {
                // With a linger time of zero, closing sends RST instead of FIN.
                client.set_zero_linger().ok();
                server.set_zero_linger().ok();
            }
        });
    }
}

async fn connect(upstreams: &[String]) -> Option<TcpStream> {
    for upstream in upstreams {
        if let Ok(server) = TcpStream::connect(upstream).await {
            return Some(server);
        }
    }
    None
}

/// False if the proxy is gone.
async fn opened(modes: &mut watch::Receiver<Mode>) -> bool {
    let open = modes.wait_for(|mode| *mode != Mode::BlackHole).await;
    open.is_ok()
}

/// A connection is to be ended.
struct Cut;

/// Pieces that may be on their way at once.
const ON_THE_WAY: usize = 1_000;

type Piece = (Instant, Vec<u8>);

/// Copies one direction until it ends, or until `treat` says (false) that it is to.
async fn pump(
    from: ReadHalf<'_>,
    to: WriteHalf<'_>,
    modes: watch::Receiver<Mode>,
    treat: impl FnMut(&mut [u8], Duration) -> bool,
) -> Result<(), Cut> {
    let (sender, receiver) = mpsc::channel(ON_THE_WAY);
    // What is on its way arrives, though nothing follows.
    let read = read(from, sender, modes.clone(), treat);
    tokio::try_join!(read, write(receiver, to, modes)).map(drop)
}

async fn read(
    mut from: ReadHalf<'_>,
    to: mpsc::Sender<Piece>,
    modes: watch::Receiver<Mode>,
    mut treat: impl FnMut(&mut [u8], Duration) -> bool,
) -> Result<(), Cut> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let silent_since = Instant::now();
        let read = from.read(&mut buffer).await.unwrap_or_default();
        let data = &mut buffer[..read];
        if read > 0 && !treat(data, silent_since.elapsed()) {
            return Err(Cut);
        }
        let due = match *modes.borrow() {
            Mode::Delay(time) => Instant::now() + time,
            Mode::Pass | Mode::BlackHole | Mode::Forgets(_) | Mode::Refuse => Instant::now(),
        };
        if read == 0 || to.send((due, data.to_vec())).await.is_err() {
            return Ok(());
        }
    }
}

async fn write(
    mut from: mpsc::Receiver<Piece>,
    mut to: WriteHalf<'_>,
    mut modes: watch::Receiver<Mode>,
) -> Result<(), Cut> {
    while let Some((due, data)) = from.recv().await {
        sleep_until(due.into()).await;
        // What fell in comes out once the hole is closed, as TCP's retransmissions do.
        if !opened(&mut modes).await || to.write_all(&data).await.is_err() {
            return Ok(());
        }
    }
    // Half a close: the other direction may still have something to say.
    opened(&mut modes).await;
    to.shutdown().await.ok();
    Ok(())
}

impl Shared {
    fn treat(&self, data: &mut [u8]) {
        if let Some((from, to)) = &self.rewrite {
            let mut at = 0;
            while let Some(found) = data[at..]
                .windows(from.len())
                .position(|window| window == from)
            {
                data[at + found..at + found + from.len()].copy_from_slice(to);
                at += found + from.len();
            }
        }
        if self.records {
            self.recorded
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .extend_from_slice(data);
        }
    }
}

/// `seen`: what came before, since it may come in two pieces.
fn holds(what: Option<&[u8]>, seen: &mut Vec<u8>, data: &[u8]) -> bool {
    let Some(what) = what else {
        return false;
    };
    let kept = seen.len().saturating_sub(what.len());
    seen.drain(..kept);
    seen.extend_from_slice(data);
    seen.windows(what.len()).any(|window| window == what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::timeout;

    async fn served() -> (TcpListener, Proxy) {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let nobody = format!("127.0.0.1:{}", free_port());
        let upstreams = vec![nobody, server.local_addr().unwrap().to_string()];
        let proxy = Proxy::at(free_port(), upstreams).await.unwrap();
        (server, proxy)
    }

    #[tokio::test]
    async fn late_all_passes_in_order_and_late() {
        let (server, proxy) = served().await;
        let by = Duration::from_millis(100);
        proxy.set(Mode::Delay(by)).await;
        let mut client = TcpStream::connect(&proxy.address).await.unwrap();
        let (mut served, _) = server.accept().await.unwrap();
        let began = Instant::now();
        client.write_all(b"one").await.unwrap();
        client.write_all(b"two").await.unwrap();
        drop(client);
        let mut all = vec![];
        served.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, b"onetwo");
        assert!(began.elapsed() >= by);
    }

    #[tokio::test]
    async fn a_black_hole_holds_what_is_sent_and_passes_it_on_later() {
        let (server, proxy) = served().await;
        let mut client = TcpStream::connect(&proxy.address).await.unwrap();
        let (mut served, _) = server.accept().await.unwrap();
        let mut three = [0; 3];
        client.write_all(b"one").await.unwrap();
        served.read_exact(&mut three).await.unwrap();
        proxy.set(Mode::BlackHole).await;
        client.write_all(b"two").await.unwrap();
        drop(client);
        let wait = timeout(Duration::from_millis(50), served.read_exact(&mut three)).await;
        assert!(wait.is_err());
        proxy.set(Mode::Pass).await;
        served.read_exact(&mut three).await.unwrap();
        assert_eq!(&three, b"two");
        assert_eq!(served.read(&mut three).await.unwrap(), 0);
    }
}
