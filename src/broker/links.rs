//! The connections that lanes are consumed on: one for all of them, and more of them while a delivery ends the connection it comes on.
//! [`Quarantine`] decides who is where; this opens, watches and closes them.

use super::declare::TopologyError;
use super::link::{End, Link};
use super::session::Session;
use super::topology::{LaneQueue, Topology};
use super::unsettled::Writer;
use crate::clock::Clock;
use crate::config::BrokerConfig;
use crate::core::connection::quarantine::{Apart, Assignment, LinkId, Quarantine, Verdict};
use crate::metrics::Metrics;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// Why a queue is not consumed.
#[derive(Debug, thiserror::Error)]
pub enum NotSubscribed {
    #[error("{0}")]
    Topology(#[from] TopologyError),
    #[error("no connection for it: {0}")]
    NoConnection(String),
    /// The queue's connection is over; it may be on another now.
    #[error("its connection ended")]
    Gone,
}

/// One session's connection: epoch, and which.
type Key = (u64, LinkId);

#[derive(Clone)]
enum State {
    Opening,
    Open(Arc<Link>),
    /// Over, and judged.
    Gone(String),
}

struct Entry {
    /// Which of the connections that have had this key.
    serial: u64,
    state: watch::Sender<State>,
    /// Queues that are open or being opened on it, each with its last membership. Those that lost it stay here until it is judged.
    members: BTreeMap<Arc<str>, u64>,
}

#[derive(Default)]
struct Entries {
    by_key: HashMap<Key, Entry>,
    serials: u64,
}

impl Entries {
    fn serial(&mut self) -> u64 {
        self.serials += 1;
        self.serials
    }

    /// The connection with this key, unless it is a later one.
    fn get(&self, key: Key, serial: u64) -> Option<&Entry> {
        let entry = self.by_key.get(&key);
        entry.filter(|entry| entry.serial == serial)
    }
}

pub struct Links {
    config: BrokerConfig,
    topology: Arc<Topology>,
    clock: Clock,
    metrics: Arc<Metrics>,
    writer: Arc<Writer>,
    quarantine: watch::Sender<Quarantine>,
    entries: Mutex<Entries>,
    /// How many connections there are.
    count: watch::Sender<usize>,
}

/// A queue's place on a connection, from the moment it is being opened.
pub(super) struct Membership {
    links: Arc<Links>,
    key: Key,
    queue: Arc<str>,
    serial: u64,
    link: Arc<Link>,
}

impl Membership {
    pub(super) fn link(&self) -> &Link {
        &self.link
    }

    pub(super) fn shared_link(&self) -> Arc<Link> {
        self.link.clone()
    }

    pub(super) fn metrics(&self) -> Arc<Metrics> {
        self.links.metrics.clone()
    }

    pub(super) fn queue(&self) -> &str {
        &self.queue
    }

    /// Leaves after the consumer was closed in order: it has no part in what becomes of the connection.
    pub(super) fn leave(self) {
        self.links.leave(&self);
    }
}

impl Links {
    pub fn new(
        config: BrokerConfig,
        topology: Arc<Topology>,
        clock: Clock,
        metrics: Arc<Metrics>,
        writer: Arc<Writer>,
    ) -> Arc<Self> {
        Arc::new(Self {
            config,
            topology,
            clock,
            metrics,
            writer,
            quarantine: watch::Sender::default(),
            entries: Mutex::default(),
            count: watch::Sender::new(0),
        })
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lane's queue, if workers are to declare it.
    pub(super) fn to_declare(&self, lane: &str) -> Option<&LaneQueue> {
        let queue = self.topology.lane(lane);
        queue.filter(|_| self.config.declare)
    }

    /// Tells when assignments have changed.
    pub fn changes(&self) -> watch::Receiver<Quarantine> {
        self.quarantine.subscribe()
    }

    pub fn assignment(&self, queue: &str) -> Assignment {
        self.quarantine.borrow().assignment(queue)
    }

    pub fn apart(&self, queue: &str) -> Option<Apart> {
        self.quarantine.borrow().apart(queue)
    }

    /// A queue was delivered a message under this assignment.
    pub fn delivered(&self, queue: &str, assigned: Assignment, is_redelivered: bool) {
        if !assigned.one_by_one || is_redelivered {
            return;
        }
        let is_proven = self
            .quarantine
            .send_if_modified(|quarantine| quarantine.delivered_first(queue));
        if is_proven {
            tracing::info!(queue, "what ended the connection does not come any more");
        }
    }

    /// Lets those back that have held. For ever.
    pub async fn run(self: Arc<Self>) -> String {
        let mut changes = self.changes();
        loop {
            let at = changes.borrow_and_update().clear_at();
            let due = async {
                match at {
                    Some(at) => tokio::time::sleep_until(self.clock.instant(at)).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                // The sender lives as long as this.
                _ = changes.changed() => {}
                () = due => {
                    let now = self.clock.now().mono;
                    self.quarantine.send_if_modified(|quarantine| quarantine.clear(now));
                }
            }
        }
    }

    /// The queue's place on the connection it was assigned to; [`NotSubscribed::Gone`] if that is no longer so.
    pub(super) async fn join(
        self: &Arc<Self>,
        session: &Arc<Session>,
        queue: &str,
        assigned: Assignment,
    ) -> Result<Membership, NotSubscribed> {
        let queue: Arc<str> = queue.into();
        if self.assignment(&queue) != assigned {
            return Err(NotSubscribed::Gone);
        }
        let key = (session.epoch, assigned.link);
        let (serial, mut state) = {
            let mut entries = self.entries();
            let serial = entries.serial();
            let entry = entries.by_key.entry(key).or_insert_with(|| {
                tokio::spawn(
                    self.clone()
                        .keep(session.clone(), key, serial, queue.clone()),
                );
                Entry {
                    serial,
                    state: watch::Sender::new(State::Opening),
                    members: BTreeMap::new(),
                }
            });
            entry.members.insert(queue.clone(), serial);
            (serial, entry.state.subscribe())
        };
        let is_settled = |state: &State| match state {
            State::Opening => false,
            State::Open(link) => !link.has_ended(),
            State::Gone(_) => true,
        };
        // A connection that ended is judged first: then the queue may be on another.
        let settled = state.wait_for(is_settled).await;
        let settled = settled.map(|state| state.clone());
        match settled {
            Ok(State::Open(link)) => Ok(Membership {
                links: self.clone(),
                key,
                queue,
                serial,
                link,
            }),
            Ok(State::Gone(why)) if why.is_empty() => Err(NotSubscribed::Gone),
            Ok(State::Gone(why)) => Err(NotSubscribed::NoConnection(why)),
            Ok(State::Opening) | Err(_) => Err(NotSubscribed::Gone),
        }
    }

    /// From a connection that has ended nobody leaves: it is yet to be judged. A queue that is being opened on it again has joined anew.
    fn leave(&self, membership: &Membership) {
        let key = membership.key;
        let mut entries = self.entries();
        let Some(entry) = entries.by_key.get_mut(&key) else {
            return;
        };
        let is_on = match &*entry.state.borrow() {
            State::Open(link) => Arc::ptr_eq(link, &membership.link) && !link.has_ended(),
            State::Opening | State::Gone(_) => false,
        };
        let is_last = entry.members.get(&membership.queue) == Some(&membership.serial);
        if !is_on || !is_last {
            return;
        }
        entry.members.remove(&membership.queue);
        if entry.members.is_empty() && key.1 != LinkId::Shared {
            entry.state.send_replace(State::Gone(String::new()));
            entries.by_key.remove(&key);
        }
    }

    /// Waits until all have said goodbye, which they do once their session has ended.
    pub async fn closed(&self) {
        let mut count = self.count.subscribe();
        drop(count.wait_for(|count| *count == 0).await);
    }

    async fn keep(self: Arc<Self>, session: Arc<Session>, key: Key, serial: u64, first: Arc<str>) {
        self.count.send_modify(|count| *count += 1);
        self.live(&session, key, serial, &first).await;
        self.count.send_modify(|count| *count -= 1);
    }

    /// One connection's life, from its opening to its judgement.
    async fn live(&self, session: &Session, key: Key, serial: u64, first: &str) {
        let link = match Link::open(&self.config, role(key.1, first), Some(&self.writer)).await {
            Ok(link) => link,
            Err(error) => return self.gone(key, serial, &error.to_string()),
        };
        let Some(mut state) = self.opened(key, serial, &link) else {
            return link.close().await;
        };
        let abandoned = state.wait_for(|state| matches!(state, State::Gone(_)));
        let end = tokio::select! {
            end = link.ended() => Some(end),
            _ = session.ended() => None,
            _ = abandoned => None,
        };
        if let Some(end) = end {
            self.judge(session, key, serial, &end).await;
        }
        self.gone(key, serial, "");
        link.close().await;
    }

    fn opened(&self, key: Key, serial: u64, link: &Arc<Link>) -> Option<watch::Receiver<State>> {
        let entries = self.entries();
        let state = &entries.get(key, serial)?.state;
        state.send_replace(State::Open(link.clone()));
        Some(state.subscribe())
    }

    fn gone(&self, key: Key, serial: u64, why: &str) {
        let mut entries = self.entries();
        if entries.get(key, serial).is_some()
            && let Some(entry) = entries.by_key.remove(&key)
        {
            entry.state.send_replace(State::Gone(why.to_owned()));
        }
    }

    /// A delivery ends only the connection it comes on: where RabbitMQ answers on none, no lane has done it.
    async fn judge(&self, session: &Session, key: Key, serial: u64, end: &End) {
        let reason = &end.reason;
        if end.is_forced || !session.answers().await {
            tracing::info!(
                reason,
                "a connection for lanes ended, by no delivery's doing"
            );
            return;
        }
        let members = {
            let entries = self.entries();
            let members = entries.get(key, serial).map(|entry| entry.members.keys());
            members.map(|members| members.cloned().collect::<Vec<_>>())
        };
        let now = self.clock.now().mono;
        let mut verdict = Verdict::Noted;
        self.quarantine.send_modify(|quarantine| {
            verdict = match &end.culprit {
                Some(culprit) => quarantine.set_apart(std::slice::from_ref(culprit), now),
                None => quarantine.ended(key.1, &members.unwrap_or_default(), now),
            };
        });
        match verdict {
            Verdict::Noted => {
                tracing::warn!(reason, "the lanes' connection ended: opening another")
            }
            Verdict::Split(count) => tracing::warn!(
                reason,
                count,
                "the lanes' connection ended again: a delivery may end it. Its lanes go on in groups on connections of their own"
            ),
            Verdict::Apart(queues) => {
                for phone_number_id in queues {
                    let label = self.metrics.label(&phone_number_id);
                    self.metrics
                        .lane_connection_ends
                        .with_label_values(&[label])
                        .inc();
                    tracing::error!(
                        %phone_number_id,
                        reason,
                        "the lane ends the connection it is consumed on: it has one of its own now, and opens it after a pause that grows (runbooks.md, WaDispatcherLaneEndsItsConnection)"
                    );
                }
            }
        }
    }
}

/// As RabbitMQ's list of connections shows it.
fn role(id: LinkId, first: &str) -> String {
    match id {
        LinkId::Shared => "lanes".to_owned(),
        LinkId::Group(number) => format!("lanes of group {number}"),
        LinkId::Apart(_) => format!("lane {first}"),
    }
}
