//! A proxy before RabbitMQ that reads AMQP's frames, and lets single channels stand still as a queue that does not answer does: what
//! RabbitMQ says on them is kept back, while all others go on.

use super::worker::free_port;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Type, channel, size.
const HEAD: usize = 7;
/// What a client says first.
const GREETING: usize = 8;
const METHOD: u8 = 1;
/// Class and method of `basic.publish`.
const PUBLISH: [u8; 4] = [0, 60, 0, 40];

pub struct Stalling {
    pub address: String,
    /// Text in the exchange or routing key of a publish: its channel stands from then on.
    stalls: watch::Sender<Option<&'static str>>,
}

impl Stalling {
    pub async fn to(upstream: &str) -> Self {
        let address = format!("127.0.0.1:{}", free_port());
        let listener = TcpListener::bind(&address).await.unwrap();
        let (stalls, heeds) = watch::channel(None);
        let upstream = upstream.to_owned();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(&upstream).await else {
                    continue;
                };
                tokio::spawn(pass(client, server, heeds.clone()));
            }
        });
        Self { address, stalls }
    }

    /// Every channel that publishes to where this text is in exchange or routing key.
    pub fn stall(&self, text: &'static str) {
        self.stalls.send_replace(Some(text));
    }

    /// What was kept back comes, in order.
    pub fn release(&self) {
        self.stalls.send_replace(None);
    }
}

type Stalled = Arc<Mutex<HashSet<[u8; 2]>>>;

async fn pass(
    mut client: TcpStream,
    mut server: TcpStream,
    mut heeds: watch::Receiver<Option<&'static str>>,
) {
    client.set_nodelay(true).ok();
    server.set_nodelay(true).ok();
    let (mut client_in, mut client_out) = client.split();
    let (mut server_in, mut server_out) = server.split();
    let stalled = Stalled::default();
    let (marks, wishes) = (stalled.clone(), heeds.clone());
    let there = async {
        let mut greeting = [0; GREETING];
        client_in.read_exact(&mut greeting).await.ok()?;
        server_out.write_all(&greeting).await.ok()?;
        loop {
            let frame = frame(&mut client_in).await?;
            let wish = *wishes.borrow();
            if wish.is_some_and(|text| publishes_to(&frame, text)) {
                lock(&marks).insert([frame[1], frame[2]]);
            }
            server_out.write_all(&frame).await.ok()?;
        }
    };
    // Read apart from the wait for a change: half a frame that was read would be lost when that comes first.
    let (heard, mut frames) = tokio::sync::mpsc::channel(1);
    let hear = async {
        while let Some(frame) = frame(&mut server_in).await {
            heard.send(frame).await.ok()?;
        }
        None::<()>
    };
    let back = async {
        let mut kept: Vec<Vec<u8>> = vec![];
        loop {
            tokio::select! {
                biased;
                changed = heeds.changed() => {
                    changed.ok()?;
                    if heeds.borrow_and_update().is_none() {
                        lock(&stalled).clear();
                        for frame in kept.drain(..) {
                            client_out.write_all(&frame).await.ok()?;
                        }
                    }
                }
                frame = frames.recv() => {
                    let frame = frame?;
                    if lock(&stalled).contains(&[frame[1], frame[2]]) {
                        kept.push(frame);
                    } else {
                        client_out.write_all(&frame).await.ok()?;
                    }
                }
            }
        }
    };
    let _: Option<()> = tokio::select! {
        ended = there => ended,
        ended = hear => ended,
        ended = back => ended,
    };
}

fn lock(stalled: &Stalled) -> std::sync::MutexGuard<'_, HashSet<[u8; 2]>> {
    stalled.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn frame(from: &mut (impl AsyncRead + Unpin)) -> Option<Vec<u8>> {
    let mut frame = vec![0; HEAD];
    from.read_exact(&mut frame).await.ok()?;
    let size = u32::from_be_bytes(frame[3..HEAD].try_into().unwrap()) as usize;
    frame.resize(HEAD + size + 1, 0);
    from.read_exact(&mut frame[HEAD..]).await.ok()?;
    Some(frame)
}

fn publishes_to(frame: &[u8], text: &str) -> bool {
    frame[0] == METHOD
        && frame[HEAD..].starts_with(&PUBLISH)
        && frame
            .windows(text.len())
            .any(|window| window == text.as_bytes())
}
