//! A lane's consumer over all sessions: opened when the lane wants messages, found gone, opened again.

use crate::broker::consume::{Ended, Subscription};
use crate::broker::delivery::Delivery;
use crate::broker::links::{Links, NotSubscribed};
use crate::broker::session::Session;
use crate::broker::{Sessions, delays};
use crate::contract::names::LANE_PREFIX;
use crate::core::connection::quarantine::{Assignment, Quarantine};
use crate::core::fleet::placement;
use crate::core::request::message::LaneId;
use crate::spans::Spans;
use backoff::ExponentialBackoff;
use backoff::backoff::Backoff;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// First and longest pause before a lost consumer is opened again.
const REOPEN: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(15));

/// How long RabbitMQ may take to take back what it is given and to deliver it again: milliseconds, unless it is busy with hundreds of lanes
/// that leave together. What comes later is seen as the channel is closed. Where a consumer of higher priority waits nothing comes again,
/// and RabbitMQ 4.0.5 gives the lane to that one only with the end of this channel: the lane is silent meanwhile.
const COMES_AGAIN: Duration = Duration::from_millis(500);

/// How long nothing may come before all that comes again has come: RabbitMQ delivers it at one go.
const ALL_CAME_AGAIN: Duration = Duration::from_millis(10);

#[expect(
    clippy::large_enum_variant,
    reason = "nearly all events are deliveries; a box would cost each an allocation"
)]
pub(super) enum Event {
    /// The session ended, or there is a new one: deliveries held are void.
    SessionChanged,
    /// The lane's messages come from now on, so many at once.
    Opened {
        prefetch: u16,
    },
    /// Why it could not be opened; it is tried again.
    NotOpened(NotSubscribed),
    Delivered(Delivery),
    Lost(Ended),
    /// Lanes have moved to other connections, perhaps this one.
    Reassigned,
}

type Opening = BoxFuture<'static, Result<Subscription, NotSubscribed>>;

pub(super) struct Consumer {
    lane: LaneId,
    priority: i32,
    sessions: Sessions,
    links: Arc<Links>,
    /// Tells when lanes are assigned to other connections.
    changes: watch::Receiver<Quarantine>,
    /// Under which it is being opened, or is open.
    assignment: Option<Assignment>,
    is_misplaced: bool,
    spans: Option<Arc<Spans>>,
    session: Option<Arc<Session>>,
    opening: Option<Opening>,
    /// The subscription that is being opened, or is open.
    prefetch: u16,
    subscription: Option<Subscription>,
    /// Whether the last try to open it worked. None before the first.
    last_try: Option<bool>,
    /// Not opened again before this.
    not_before: Duration,
    pauses: ExponentialBackoff,
}

impl Consumer {
    pub(super) fn new(
        lane: LaneId,
        worker_id: &str,
        mut sessions: Sessions,
        links: Arc<Links>,
        spans: Option<Arc<Spans>>,
    ) -> Self {
        // A session that is there already is news to us.
        sessions.mark_changed();
        Self {
            priority: placement::priority(worker_id, lane.as_str()),
            lane,
            sessions,
            changes: links.changes(),
            links,
            assignment: None,
            is_misplaced: false,
            spans,
            session: None,
            opening: None,
            prefetch: 0,
            subscription: None,
            last_try: None,
            not_before: Duration::ZERO,
            pauses: delays(REOPEN.0, REOPEN.1),
        }
    }

    /// False while a send would be unsafe. A delivery of a channel that is gone belongs to the next worker already.
    pub(super) fn may_send(&self) -> bool {
        let session = self.session.as_ref();
        let subscription = self.subscription.as_ref();
        session.is_some_and(|session| session.may_send())
            && subscription.is_some_and(Subscription::may_send)
    }

    /// Prefetch of the channel that is open.
    pub(super) fn prefetch(&self) -> u16 {
        self.prefetch
    }

    pub(super) fn has_session(&self) -> bool {
        self.session.is_some()
    }

    /// There was a session before this one, or one could not be opened: so it may be with the other workers.
    pub(super) fn is_back(&self) -> bool {
        let session = self.session.as_ref();
        session.is_some_and(|session| session.epoch > 1)
    }

    pub(super) fn is_open(&self) -> bool {
        self.subscription.is_some()
    }

    pub(super) fn last_try(&self) -> Option<bool> {
        self.last_try
    }

    pub(super) fn is_apart(&self) -> bool {
        self.links.apart(self.lane.as_str()).is_some()
    }

    /// Starts to open the consumer if it is missing and `wanted_at` has come. Returns when to call again.
    pub(super) fn open_if_due(
        &mut self,
        wanted_at: Option<Duration>,
        prefetch: u16,
        now: Duration,
    ) -> Option<Duration> {
        if self.subscription.is_some() || self.opening.is_some() {
            return None;
        }
        let session = self
            .session
            .clone()
            .filter(|session| !session.has_ended())?;
        let assignment = self.links.assignment(self.lane.as_str());
        let at = wanted_at?.max(self.not_before).max(assignment.not_before);
        if at > now {
            return Some(at);
        }
        self.prefetch = prefetch;
        self.assignment = Some(assignment);
        let (links, lane, priority) = (self.links.clone(), self.lane.clone(), self.priority);
        let opening = async move {
            let lane = lane.as_str();
            links
                .lane(&session, lane, assignment, prefetch, priority)
                .await
        };
        self.opening = Some(opening.boxed());
        None
    }

    /// True if the lane belongs on another connection now: what waits is to go back, and to be fetched there.
    pub(super) fn is_misplaced(&self) -> bool {
        self.is_misplaced && self.subscription.is_some()
    }

    fn looks_misplaced(&self) -> bool {
        let wanted = self.links.assignment(self.lane.as_str());
        self.assignment
            .is_some_and(|before| wanted.moves_from(before))
    }

    /// The next thing that happens to the consumer. Nothing is lost if the wait is given up.
    pub(super) async fn next(&mut self, now: impl Fn() -> Duration) -> Event {
        let opening = async {
            match &mut self.opening {
                Some(opening) => opening.await,
                None => std::future::pending().await,
            }
        };
        let delivery = async {
            match &mut self.subscription {
                Some(subscription) => subscription.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            Ok(()) = self.sessions.changed() => {
                self.session = self.sessions.borrow_and_update().clone();
                self.not_before = Duration::ZERO;
                self.drop_channel();
                Event::SessionChanged
            }
            Ok(()) = self.changes.changed() => {
                self.is_misplaced = self.looks_misplaced();
                Event::Reassigned
            }
            opened = opening => {
                self.opening = None;
                self.opened(opened, now)
            }
            delivery = delivery => match delivery {
                Ok(delivery) => self.delivered(delivery),
                Err(ended) => {
                    self.not_before = now() + self.pause_after(&ended);
                    self.drop_channel();
                    Event::Lost(ended)
                }
            }
        }
    }

    fn opened(
        &mut self,
        opened: Result<Subscription, NotSubscribed>,
        now: impl Fn() -> Duration,
    ) -> Event {
        match opened {
            Ok(subscription) => {
                self.last_try = Some(true);
                self.subscription = Some(subscription);
                self.pauses.reset();
                // The lane may have been given another place in the meantime.
                self.is_misplaced = self.looks_misplaced();
                let prefetch = self.prefetch;
                Event::Opened { prefetch }
            }
            Err(NotSubscribed::Gone) => Event::Reassigned,
            Err(error) => {
                self.last_try = Some(false);
                self.not_before = now() + self.pause();
                Event::NotOpened(error)
            }
        }
    }

    fn delivered(&self, mut delivery: Delivery) -> Event {
        if let Some(assignment) = self.assignment {
            let lane = self.lane.as_str();
            self.links.delivered(lane, assignment, delivery.redelivered);
        }
        if let Some(spans) = &self.spans {
            delivery.trace(spans, LANE_PREFIX);
        }
        Event::Delivered(delivery)
    }

    /// Where to go on after the loss of a connection is decided elsewhere, and how soon.
    fn pause_after(&mut self, ended: &Ended) -> Duration {
        match ended {
            Ended::Cancelled | Ended::Failed(_) => self.pause(),
            Ended::WithItsConnection => Duration::ZERO,
        }
    }

    /// Returns what is there already, without waiting.
    pub(super) fn next_now(&mut self, now: impl Fn() -> Duration) -> Option<Event> {
        self.next(now).now_or_never()
    }

    fn pause(&mut self) -> Duration {
        self.pauses.next_backoff().unwrap_or(REOPEN.1)
    }

    /// The session's end closes its channels. Should its connection live on for a moment, the channel is closed as a whole: a
    /// dropped consumer would be cancelled first, and the next worker would start ahead of what returns.
    fn drop_channel(&mut self) {
        self.opening = None;
        if let Some(subscription) = self.subscription.take() {
            tokio::spawn(async move {
                let (_, void) = subscription.close().await;
                void.into_iter().for_each(Delivery::give_back);
            });
        }
    }

    /// Gives back all that the channel holds while it is open. Returns what came meanwhile, in order: what no other worker waits for comes
    /// once more.
    ///
    /// The end of the channel would return it, too. But RabbitMQ 4.3.6 keeps a consumer that holds messages when its channel ends while
    /// one of higher priority waits for them: sooner or later that dead consumer is the active one, and the lane stands still.
    pub(super) async fn give_back(&mut self) -> Vec<Delivery> {
        let mut unread = vec![];
        let Some(subscription) = &mut self.subscription else {
            return unread;
        };
        let giving = async {
            // The client forgets what it has not handed out when everything is given back.
            unread.extend(subscription.take_unread());
            if let Err(error) = subscription.give_back().await {
                tracing::debug!(%error, "the channel ended before it was given up");
                return;
            }
            let mut quiet = COMES_AGAIN;
            while let Ok(Ok(mut delivery)) = tokio::time::timeout(quiet, subscription.next()).await
            {
                if delivery.redelivered {
                    quiet = ALL_CAME_AGAIN;
                }
                delivery.turn_back();
                unread.push(delivery);
            }
        };
        drop(tokio::time::timeout(COMES_AGAIN, giving).await);
        unread
    }

    /// Waits until the consumer is open, if it is being opened. Half open it cannot be closed: it would stay, with nobody to read it.
    pub(super) async fn finish_opening(&mut self) {
        if let Some(opening) = self.opening.take()
            && let Ok(subscription) = opening.await
        {
            self.subscription = Some(subscription);
        }
    }

    /// Closes the channel, so that RabbitMQ gets back what waits, in order. True if RabbitMQ says so. And what it had delivered meanwhile.
    pub(super) async fn close(&mut self) -> (bool, Vec<Delivery>) {
        match self.subscription.take() {
            Some(subscription) => subscription.close().await,
            None => (false, vec![]),
        }
    }
}
