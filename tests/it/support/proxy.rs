//! A TCP proxy that a test breaks and mends: between the worker and its broker, or the worker and the API.

use super::worker::free_port;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Pass,
    /// Every piece of data, both ways, this much later.
    Delay(Duration),
    /// Connections stay open, and nothing comes through until the mode changes.
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

pub(crate) struct Proxy {
    pub(crate) address: String,
    mode: watch::Sender<Mode>,
    /// Counts the resets that were asked for.
    resets: watch::Sender<u32>,
    /// Whether the port is listened on now.
    listens: watch::Receiver<bool>,
    shared: Arc<Shared>,
}

impl Proxy {
    pub(crate) async fn to(upstream: &str) -> Self {
        Self::start(upstream, Shared::default()).await
    }

    /// Keeps what clients send.
    pub(crate) async fn recording(upstream: &str) -> Self {
        let shared = Shared {
            records: true,
            ..Shared::default()
        };
        Self::start(upstream, shared).await
    }

    /// Replaces bytes that clients send: for what no client library would write.
    pub(crate) async fn rewriting(upstream: &str, from: &[u8], to: &[u8]) -> Self {
        assert_eq!(from.len(), to.len());
        let shared = Shared {
            rewrite: Some((from.to_vec(), to.to_vec())),
            ..Shared::default()
        };
        Self::start(upstream, shared).await
    }

    /// Ends a connection, and no other, on which a client sends these bytes: as a server does that fails at them.
    pub(crate) async fn closing(upstream: &str, at: &[u8]) -> Self {
        let shared = Shared {
            closes_at: Some(at.to_vec()),
            ..Shared::default()
        };
        Self::start(upstream, shared).await
    }

    /// Ends a connection, and no other, on which the server sends these bytes.
    pub(crate) async fn cutting(upstream: &str, at: &[u8]) -> Self {
        let shared = Shared {
            cuts_at: Some(at.to_vec()),
            ..Shared::default()
        };
        Self::start(upstream, shared).await
    }

    async fn start(upstream: &str, shared: Shared) -> Self {
        let address = format!("127.0.0.1:{}", free_port());
        let (mode, modes) = watch::channel(Mode::Pass);
        let resets = watch::Sender::new(0);
        let (listening, listens) = watch::channel(false);
        let shared = Arc::new(shared);
        let door = Door {
            address: address.clone(),
            upstream: upstream.to_owned(),
            modes,
            resets: resets.subscribe(),
            shared: shared.clone(),
        };
        tokio::spawn(door.tend(listening));
        let proxy = Self {
            address,
            mode,
            resets,
            listens,
            shared,
        };
        proxy.set(Mode::Pass).await;
        proxy
    }

    /// Returns once new connections meet the new mode.
    pub(crate) async fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
        let mut listens = self.listens.clone();
        let wanted = mode != Mode::Refuse;
        listens
            .wait_for(|listens| *listens == wanted)
            .await
            .unwrap();
    }

    /// Ends every connection with a reset; new ones are taken as the mode says.
    pub(crate) fn reset_all(&self) {
        self.resets.send_modify(|count| *count += 1);
    }

    pub(crate) fn recorded(&self) -> Vec<u8> {
        self.shared
            .recorded
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

struct Door {
    address: String,
    upstream: String,
    modes: watch::Receiver<Mode>,
    resets: watch::Receiver<u32>,
    shared: Arc<Shared>,
}

impl Door {
    /// Until the proxy is dropped.
    async fn tend(mut self, listening: watch::Sender<bool>) {
        loop {
            let open = self.modes.wait_for(|mode| *mode != Mode::Refuse).await;
            if open.map(drop).is_err() {
                return;
            }
            // The port was free; a connection in TIME_WAIT does not hold it.
            let listener = TcpListener::bind(&self.address).await.unwrap();
            listening.send_replace(true);
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
        }
    }

    fn admit(&self, mut client: TcpStream) {
        let upstream = self.upstream.clone();
        let (modes, mut resets) = (self.modes.clone(), self.resets.clone());
        let shared = self.shared.clone();
        resets.mark_unchanged();
        tokio::spawn(async move {
            let Ok(mut server) = TcpStream::connect(upstream).await else {
                return;
            };
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

/// A connection is to be ended.
struct Cut;

/// Copies one direction until it ends, or until `treat` says (false) that it is to.
async fn pump(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    mut modes: watch::Receiver<Mode>,
    mut treat: impl FnMut(&mut [u8], Duration) -> bool,
) -> Result<(), Cut> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let silent_since = Instant::now();
        let read = match from.read(&mut buffer).await {
            Ok(0) | Err(_) => {
                // Half a close: the other direction may still have something to say.
                to.shutdown().await.ok();
                return Ok(());
            }
            Ok(read) => read,
        };
        let data = &mut buffer[..read];
        if !treat(data, silent_since.elapsed()) {
            return Err(Cut);
        }
        let mode = *modes.borrow();
        if let Mode::Delay(time) = mode {
            tokio::time::sleep(time).await;
        }
        // What fell in comes out once the hole is closed, as TCP's retransmissions do.
        let open = modes.wait_for(|mode| *mode != Mode::BlackHole).await;
        if open.map(drop).is_err() || to.write_all(data).await.is_err() {
            return Ok(());
        }
    }
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
