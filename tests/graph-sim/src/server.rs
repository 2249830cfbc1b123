//! The listening socket, its connections, and the handle that tests hold.

use crate::change::{Change, Whose};
use crate::http;
use crate::ledger::{Entry, Gauge, Page, Stats};
use crate::operations::Template;
use crate::options::{NumberRules, Options, Token};
use crate::rules::World;
use crate::script::Script;
use crate::wire::{Abort, Wire};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::Instant;

/// What the socket, the control endpoints and the handle share.
#[derive(Debug)]
pub(crate) struct Shared {
    world: Mutex<World>,
    connections: Mutex<Gauge>,
    started: Instant,
    /// Told after every change of the world that a test could wait for.
    changed: Notify,
    commands: mpsc::UnboundedSender<Command>,
}

/// Orders to the accept loop; each is confirmed by its sender.
#[derive(Debug)]
enum Command {
    Close(oneshot::Sender<()>),
    Open(oneshot::Sender<()>),
    Stop,
}

impl Shared {
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        // A panic under the lock has failed its test already; the others go on.
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn now_us(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    pub(crate) async fn sleep_until(&self, at_us: u64) {
        if at_us > self.now_us() {
            tokio::time::sleep_until(self.started + Duration::from_micros(at_us)).await;
        }
    }

    pub(crate) fn tell(&self) {
        self.changed.notify_waiters();
    }

    pub(crate) fn stats(&self) -> Stats {
        let connections = *self.gauge();
        Stats {
            connections,
            ..self.world().stats(self.now_us())
        }
    }

    fn gauge(&self) -> MutexGuard<'_, Gauge> {
        self.connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) async fn close(&self) {
        self.order(Command::Close).await;
    }

    pub(crate) async fn open(&self) {
        self.order(Command::Open).await;
    }

    async fn order(&self, command: impl FnOnce(oneshot::Sender<()>) -> Command) {
        let (done, confirmed) = oneshot::channel();
        self.commands.send(command(done)).ok();
        // Unconfirmed only if the simulator has stopped: then there is nothing to wait for.
        confirmed.await.ok();
    }
}

/// A running simulator. Dropping it resets all connections and frees the port.
#[derive(Debug)]
pub struct Sim {
    shared: Arc<Shared>,
    addr: SocketAddr,
}

impl Drop for Sim {
    fn drop(&mut self) {
        self.shared.commands.send(Command::Stop).ok();
    }
}

impl Sim {
    /// Starts on the current tokio runtime; requests are answered once this returns.
    pub async fn start(options: Options) -> io::Result<Self> {
        let listener = TcpListener::bind(options.listen).await?;
        let addr = listener.local_addr()?;
        let (commands, orders) = mpsc::unbounded_channel();
        let mut world = World::new(&options);
        world.set_base_url(&format!("http://{addr}"));
        let shared = Arc::new(Shared {
            world: Mutex::new(world),
            connections: Mutex::default(),
            started: Instant::now(),
            changed: Notify::new(),
            commands,
        });
        let door = Door {
            shared: Arc::clone(&shared),
            addr,
            listener: Some(listener),
            builder: builder(options.http2_max_streams),
            closing: watch::Sender::default(),
        };
        tokio::spawn(door.tend(orders));
        Ok(Self { shared, addr })
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Calls of operations that are no messages, such as `POST block_users`, which were done.
    pub fn operations(&self) -> std::collections::BTreeMap<String, u64> {
        self.shared.world().operations()
    }

    /// Somebody asks to join a group: the id of that request.
    pub fn ask_to_join(&self, group: &str, user: &str) -> String {
        self.shared.world().ask_to_join(group, user)
    }

    /// Files that a number has uploaded as media, and their bytes.
    pub fn uploads(&self, number: &str) -> (u64, u64) {
        self.shared.world().uploads(number)
    }

    /// Loses what a number has uploaded as media, as Meta does after 30 days: how many there were.
    pub fn forget_media(&self, number: &str) -> usize {
        self.shared.world().forget_media(number)
    }

    /// Users who have not written for a day, and so cannot be blocked.
    pub fn set_strangers(&self, users: &[&str]) {
        let users = users.iter().map(|user| (*user).to_owned()).collect();
        self.shared.world().set_strangers(users);
    }

    /// Such as `http://127.0.0.1:40123`, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Everything in the ledger.
    pub fn ledger(&self) -> Vec<Entry> {
        self.ledger_after(0, usize::MAX).entries
    }

    pub fn ledger_after(&self, after: u64, limit: usize) -> Page {
        self.shared.world().ledger(after, limit)
    }

    pub fn stats(&self) -> Stats {
        self.shared.stats()
    }

    pub fn set_script(&self, script: impl Into<Script>) {
        let mut world = self.shared.world();
        world.set_script(script.into(), self.shared.now_us());
    }

    /// Changes one number's rules, or adds the number; what it sent before counts on.
    /// A block or an upgrade that differs starts now.
    pub fn change_number(&self, phone_number_id: &str, change: impl FnOnce(&mut NumberRules)) {
        let mut world = self.shared.world();
        let now_us = self.shared.now_us();
        world.settle(now_us);
        let mut rules = world.rules_of(phone_number_id).clone();
        change(&mut rules);
        world.set_rules(phone_number_id, rules, now_us);
    }

    /// Changes the rules of all numbers of a WABA.
    ///
    /// # Errors
    ///
    /// If it has none.
    pub fn change_waba(
        &self,
        waba_id: &str,
        change: impl Fn(&mut NumberRules),
    ) -> Result<(), String> {
        self.change_rules(&Whose::Waba(waba_id.to_owned()), change)
    }

    /// Changes the rules of all numbers of an app.
    ///
    /// # Errors
    ///
    /// If it has none.
    pub fn change_app(&self, app: &str, change: impl Fn(&mut NumberRules)) -> Result<(), String> {
        self.change_rules(&Whose::App(app.to_owned()), change)
    }

    fn change_rules(&self, whose: &Whose, change: impl Fn(&mut NumberRules)) -> Result<(), String> {
        let mut world = self.shared.world();
        world.change_rules(whose, self.shared.now_us(), change)
    }

    /// As the control endpoint does it. Nothing changes if any of it is wrong.
    pub fn change_numbers(&self, changes: &[Change]) -> Result<(), String> {
        let mut world = self.shared.world();
        world.change_numbers(changes, self.shared.now_us())
    }

    /// Adds tokens or changes how they stand and when they expire.
    pub fn set_tokens(&self, tokens: impl IntoIterator<Item = Token>) {
        self.shared.world().set_tokens(tokens.into_iter().collect());
    }

    /// Adds message templates or changes their status.
    pub fn set_templates(&self, templates: impl IntoIterator<Item = Template>) {
        let mut world = self.shared.world();
        world.set_templates(templates.into_iter().collect());
    }

    /// Back to the options, with empty limits, ledger and counts.
    pub fn reset(&self) {
        self.shared.world().reset(self.shared.now_us());
    }

    /// Resets every connection and refuses new ones until [`Sim::open`].
    pub async fn close(&self) {
        self.shared.close().await;
    }

    /// Listens again, at the same address.
    pub async fn open(&self) {
        self.shared.open().await;
    }

    /// Waits until `wanted` holds of the statistics. It is asked after every event,
    /// so a test needs no sleep; bound it with a timeout.
    pub async fn until(&self, mut wanted: impl FnMut(&Stats) -> bool) -> Stats {
        loop {
            let mut changed = pin!(self.shared.changed.notified());
            // Enabled before the look, or a change between the two would be missed.
            changed.as_mut().enable();
            let stats = self.stats();
            if wanted(&stats) {
                return stats;
            }
            changed.await;
        }
    }
}

fn builder(http2_max_streams: u32) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http2()
        .max_concurrent_streams(http2_max_streams)
        .timer(TokioTimer::new());
    builder
}

/// The accept loop.
struct Door {
    shared: Arc<Shared>,
    addr: SocketAddr,
    /// `None` while closed.
    listener: Option<TcpListener>,
    builder: auto::Builder<TokioExecutor>,
    /// Tells the connections to end; so does its drop.
    closing: watch::Sender<()>,
}

const RETRY_AFTER: Duration = Duration::from_millis(10);

impl Door {
    async fn tend(mut self, mut orders: mpsc::UnboundedReceiver<Command>) {
        loop {
            tokio::select! {
                accepted = accept(self.listener.as_ref()) => match accepted {
                    Ok(stream) => self.admit(stream),
                    // Out of descriptors, most likely: they come back as connections end.
                    Err(_) => tokio::time::sleep(RETRY_AFTER).await,
                },
                order = orders.recv() => match order {
                    Some(Command::Close(done)) => {
                        self.listener = None;
                        self.closing.send_replace(());
                        done.send(()).ok();
                    }
                    Some(Command::Open(done)) => {
                        self.listen().await;
                        done.send(()).ok();
                    }
                    Some(Command::Stop) | None => return,
                },
            }
        }
    }

    async fn listen(&mut self) {
        while self.listener.is_none() {
            match TcpListener::bind(self.addr).await {
                Ok(listener) => self.listener = Some(listener),
                Err(_) => tokio::time::sleep(RETRY_AFTER).await,
            }
        }
    }

    fn admit(&self, stream: TcpStream) {
        // Without it a small answer could wait for the client's delayed acknowledgement.
        stream.set_nodelay(true).ok();
        let shared = Arc::clone(&self.shared);
        let builder = self.builder.clone();
        let closing = self.closing.subscribe();
        tokio::spawn(converse(shared, builder, stream, closing));
    }
}

async fn accept(listener: Option<&TcpListener>) -> io::Result<TcpStream> {
    match listener {
        Some(listener) => listener.accept().await.map(|(stream, _)| stream),
        None => pending().await,
    }
}

/// Serves one connection until it ends or is to be reset.
async fn converse(
    shared: Arc<Shared>,
    builder: auto::Builder<TokioExecutor>,
    stream: TcpStream,
    mut closing: watch::Receiver<()>,
) {
    let abort = Arc::new(Abort::default());
    let wire = TokioIo::new(Wire::new(stream, Arc::clone(&abort)));
    let service = {
        let (shared, abort) = (Arc::clone(&shared), Arc::clone(&abort));
        service_fn(move |request| http::serve(Arc::clone(&shared), Arc::clone(&abort), request))
    };
    shared.gauge().enter();
    shared.tell();
    {
        let connection = pin!(builder.serve_connection(wire, service));
        tokio::select! {
            // How a connection ended is the client's business, and often the test's point.
            _ = connection => {}
            () = abort.asked() => {}
            _ = closing.changed() => abort.ask(),
        }
    }
    shared.gauge().leave();
    shared.tell();
}

#[cfg(test)]
mod tests;
