//! A TCP forwarder that can stop forwarding without ending a connection, as a network does that drops packets.

use anyhow::Result;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Open,
    /// Nothing passes, neither data nor ends.
    Frozen,
    /// All passes, so much later.
    Late(Duration),
}

/// Ends with its value.
pub(crate) struct Forwarder {
    pub(crate) port: u16,
    way: watch::Sender<Way>,
    _task: JoinSet<()>,
}

impl Forwarder {
    /// Connections go to the first of `targets` that takes them.
    pub(crate) async fn start(port: u16, targets: Vec<SocketAddr>) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        let port = listener.local_addr()?.port();
        let (way, watched) = watch::channel(Way::Open);
        let mut task = JoinSet::new();
        task.spawn(serve(listener, targets, watched));
        Ok(Self {
            port,
            way,
            _task: task,
        })
    }

    pub(crate) fn set(&self, way: Way) {
        self.way.send_replace(way);
    }
}

async fn serve(listener: TcpListener, targets: Vec<SocketAddr>, way: watch::Receiver<Way>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => if let Ok((client, _)) = accepted {
                connections.spawn(forward(client, targets.clone(), way.clone()));
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn forward(client: TcpStream, targets: Vec<SocketAddr>, mut way: watch::Receiver<Way>) {
    if !opened(&mut way).await {
        return;
    }
    for target in targets {
        let Ok(server) = TcpStream::connect(target).await else {
            continue;
        };
        // Small frames would wait for each other otherwise, which is not what is tested here.
        drop(client.set_nodelay(true));
        drop(server.set_nodelay(true));
        let ((from_client, to_client), (from_server, to_server)) =
            (client.into_split(), server.into_split());
        tokio::select! {
            () = copy(from_client, to_server, way.clone()) => {}
            () = copy(from_server, to_client, way) => {}
        }
        return;
    }
}

/// Pieces that may be on their way at once.
const ON_THE_WAY: usize = 1_000;

async fn copy(from: OwnedReadHalf, to: OwnedWriteHalf, way: watch::Receiver<Way>) {
    let (sender, receiver) = mpsc::channel(ON_THE_WAY);
    // What is on its way arrives, though nothing follows.
    tokio::join!(read(from, sender, way.clone()), write(receiver, to, way));
}

type Piece = (Instant, Vec<u8>);

async fn read(mut from: OwnedReadHalf, to: mpsc::Sender<Piece>, way: watch::Receiver<Way>) {
    let mut buffer = vec![0; 16_384];
    loop {
        let read = from.read(&mut buffer).await.unwrap_or_default();
        let due = match *way.borrow() {
            Way::Late(by) => Instant::now() + by,
            Way::Open | Way::Frozen => Instant::now(),
        };
        let bytes = buffer.get(..read).unwrap_or_default().to_vec();
        if read == 0 || to.send((due, bytes)).await.is_err() {
            return;
        }
    }
}

async fn write(
    mut from: mpsc::Receiver<Piece>,
    mut to: OwnedWriteHalf,
    mut way: watch::Receiver<Way>,
) {
    while let Some((due, bytes)) = from.recv().await {
        sleep_until(due).await;
        if !opened(&mut way).await || to.write_all(&bytes).await.is_err() {
            return;
        }
    }
    // An end does not pass either while nothing does.
    opened(&mut way).await;
}

/// False if the forwarder is gone.
async fn opened(way: &mut watch::Receiver<Way>) -> bool {
    way.wait_for(|way| *way != Way::Frozen).await.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::timeout;

    #[tokio::test]
    async fn late_all_passes_in_order_and_late() {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let targets = vec![server.local_addr().unwrap()];
        let forwarder = Forwarder::start(0, targets).await.unwrap();
        let by = Duration::from_millis(100);
        forwarder.set(Way::Late(by));
        let mut client = TcpStream::connect(("127.0.0.1", forwarder.port))
            .await
            .unwrap();
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
    async fn frozen_it_holds_what_is_sent_and_passes_it_on_later() {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let targets = vec![gone.local_addr().unwrap(), server.local_addr().unwrap()];
        drop(gone);
        let forwarder = Forwarder::start(0, targets).await.unwrap();
        let mut client = TcpStream::connect(("127.0.0.1", forwarder.port))
            .await
            .unwrap();
        let (mut served, _) = server.accept().await.unwrap();
        let mut three = [0; 3];
        client.write_all(b"one").await.unwrap();
        served.read_exact(&mut three).await.unwrap();
        forwarder.set(Way::Frozen);
        client.write_all(b"two").await.unwrap();
        drop(client);
        let wait = timeout(Duration::from_millis(50), served.read_exact(&mut three)).await;
        assert!(wait.is_err());
        forwarder.set(Way::Open);
        served.read_exact(&mut three).await.unwrap();
        assert_eq!(&three, b"two");
        assert_eq!(served.read(&mut three).await.unwrap(), 0);
    }
}
