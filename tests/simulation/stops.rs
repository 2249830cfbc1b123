//! Why a lane does not send, by a second account: operators, holds, probes of their end, pauses, a channel that must be opened anew.

use super::Us;
use super::allowance::us;
use super::checks::{Checked, ensure};
use super::plan::RequestNo;
use std::collections::BTreeSet;
use std::time::Duration;
use whatsapp_dispatcher::contract::request::History;
use whatsapp_dispatcher::contract::words::Scope;
use whatsapp_dispatcher::core::Now;
use whatsapp_dispatcher::core::fleet::holds::{Held, Why};
use whatsapp_dispatcher::core::lane::{HOLD_MAX, State, View};
use whatsapp_dispatcher::core::outcome::{Effect, Outcome};

/// Of the configured rate, the least that a lane slows down to.
const SHARE_MIN: f64 = 0.05;
const CAREFUL_MAX: Us = 600_000_000;
/// What an outage may cost a request beside its attempts.
const UNCHARGED_MAX: u32 = 10;

pub(super) struct Stops {
    /// Requests that may fail in a row before the API is left alone.
    breaker_failures: usize,
    failing: usize,
    /// Since when nothing has reached the API.
    unreachable_since: Option<Us>,
    quiet_until: Us,
    /// Held, as it was told or has found out itself.
    away: Option<Why>,
    /// Was held, and is not any more: begins carefully.
    lifted: bool,
    /// By what it was held last.
    held_by: Option<Why>,
    paused: bool,
    draining: bool,
    /// Gives its messages back for a new prefetch.
    rejoining: bool,
    /// After a hold, until an answer shows that the lane can send, or for ten minutes.
    careful: bool,
    careful_since: Us,
    /// What requests met that were to try, while the lane did not stop for it: what held it, and codes of their own.
    tried: BTreeSet<Option<i64>>,
    /// Codes that were one request's own fault before.
    disproved: BTreeSet<Option<i64>>,
}

/// What may be held against a request that is refused for more than itself.
#[derive(Clone, Copy)]
pub(super) struct Blame {
    /// It may cost an attempt.
    pub(super) may_be_its_own: bool,
    /// It may leave, so that others are the next to try.
    pub(super) may_give_way: bool,
}

/// What an account cannot know of an answer: what the lane made of it.
pub(super) struct Reaction {
    pub(super) view: View,
    pub(super) quick_pause: Duration,
}

impl Stops {
    pub(super) fn new(breaker_failures: usize) -> Self {
        Self {
            breaker_failures,
            failing: 0,
            unreachable_since: None,
            quiet_until: 0,
            away: None,
            lifted: false,
            held_by: None,
            paused: false,
            draining: false,
            rejoining: false,
            careful: false,
            careful_since: 0,
            tried: BTreeSet::new(),
            disproved: BTreeSet::new(),
        }
    }

    pub(super) fn quiet_until(&self) -> Us {
        self.quiet_until
    }

    /// One request at a time, as its answer says whether there may be more.
    pub(super) fn is_careful(&self, now: Us) -> bool {
        self.careful && now - self.careful_since <= CAREFUL_MAX
    }

    pub(super) fn rejoin(&mut self) {
        self.rejoining = true;
    }

    pub(super) fn drain(&mut self) {
        self.begin_anew();
        self.draining = true;
    }

    pub(super) fn rejoined(&mut self, now: Us) {
        self.rejoining = false;
        if self.away.is_none() && !self.paused && std::mem::take(&mut self.lifted) {
            self.careful = true;
            self.careful_since = now;
        }
    }

    /// What holds the lane from now on. `flows`: it was in the middle of sending.
    pub(super) fn told(&mut self, held: &Held, flows: bool, is_outdated: bool, now: Now) {
        if self.draining {
            return;
        }
        if held.paused_since_ms.is_some() {
            self.begin_anew();
            self.paused = true;
            return;
        }
        let was_paused = std::mem::take(&mut self.paused);
        match held.hold {
            Some(hold) => {
                let left_ms = hold.until_ms.saturating_sub(now.steady_ms);
                let is_short = hold.why == Why::Throttle && left_ms <= ms(HOLD_MAX);
                if is_short && flows && !was_paused {
                    self.be_quiet(us(now.mono) + left_ms * 1_000);
                } else {
                    self.begin_anew();
                    self.away = Some(hold.why);
                }
            }
            None if was_paused => self.rejoining = is_outdated,
            None => {
                if let Some(why) = self.away.take() {
                    self.lifted = true;
                    self.held_by = Some(why);
                    self.failing = 0;
                    self.unreachable_since = None;
                }
            }
        }
    }

    fn begin_anew(&mut self) {
        self.away = None;
        self.lifted = false;
        self.careful = false;
        self.rejoining = false;
    }

    /// It has found out by itself.
    fn stop(&mut self, why: Why) {
        if self.away.is_none() && !self.paused && !self.draining {
            self.begin_anew();
            self.away = Some(why);
        }
    }

    fn be_quiet(&mut self, until: Us) {
        self.quiet_until = self.quiet_until.max(until);
    }

    /// Nothing may be sent, whatever the allowances.
    pub(super) fn forbids(&self) -> bool {
        self.paused || self.draining || self.away.is_some() || self.lifted || self.rejoining
    }

    /// P4: nothing is sent while something forbids it. `others`: in flight already.
    pub(super) fn check(&self, request: RequestNo, others: usize, now: Us) -> Checked {
        for (forbidden, why) in [
            (self.paused, "paused"),
            (self.draining, "draining"),
            (self.away.is_some(), "held"),
            (self.rejoining || self.lifted, "rejoining"),
            (now < self.quiet_until, "cooling"),
            (
                self.is_careful(now) && others > 0,
                "probing with another in flight",
            ),
        ] {
            ensure(!forbidden, "P4", || {
                format!(
                    "request {request} was sent at {now} while the lane was {why} until {}",
                    self.quiet_until
                )
            })?;
        }
        Ok(())
    }

    /// What a refusal for more than one request may come to. Asked before it is told of it.
    pub(super) fn blames(&self, history: &History, outcome: &Outcome) -> Blame {
        let (code, own) = match outcome {
            Outcome::Failed(
                Effect::Blocked {
                    second_recipient, ..
                },
                error,
            ) => (Some(error.code), *second_recipient),
            Outcome::Accepted(_) | Outcome::NotSent { .. } | Outcome::Failed(..) => (None, false),
        };
        let is_disproved = code.is_some_and(|code| self.disproved.contains(&code));
        Blame {
            may_be_its_own: own || history.blamed || is_disproved,
            // Though its ten minutes may be over since it was sent.
            may_give_way: self.careful,
        }
    }

    fn passed(&mut self) {
        self.careful = false;
        self.failing = 0;
        self.disproved.append(&mut self.tried);
    }

    /// What an answer means for the lane. True if an attempt is charged, should it have been one.
    pub(super) fn met(
        &mut self,
        history: &History,
        outcome: &Outcome,
        reaction: &Reaction,
        now: Us,
    ) -> bool {
        let blame = self.blames(history, outcome);
        self.careful = self.is_careful(now);
        let is_away = matches!(reaction.view.state, State::Away { .. });
        if !matches!(
            outcome,
            Outcome::NotSent { .. } | Outcome::Failed(Effect::Ambiguous, _)
        ) {
            self.unreachable_since = None;
        }
        match outcome {
            Outcome::Accepted(_) => self.passed(),
            Outcome::NotSent { .. } => self.unreachable(reaction.quick_pause, now),
            Outcome::Failed(effect, error) => match effect {
                Effect::Refused { .. } => self.passed(),
                Effect::Transient {
                    scope: Scope::Message,
                    ..
                }
                | Effect::Throttled {
                    scope: Scope::Pair, ..
                } => self.failing = 0,
                Effect::Transient { .. } | Effect::Ambiguous => {
                    return self.failed() || history.uncharged >= UNCHARGED_MAX;
                }
                // Nobody could have sent it.
                Effect::Throttled {
                    scope: Scope::Template,
                    ..
                } => {
                    self.failing = 0;
                    return false;
                }
                Effect::Throttled {
                    pause_s, slow_down, ..
                } => {
                    self.failing = 0;
                    let is_long = pause_s.is_some_and(|pause_s| pause_s > 30);
                    if history.blamed && is_long && !is_away {
                        return true;
                    }
                    self.throttled(*pause_s, *slow_down, reaction, now);
                }
                // Whether a second one confirmed a block only the lane knows.
                Effect::Blocked { .. } => {
                    self.failing = 0;
                    if self.careful && !is_away {
                        self.tried.insert(error.code);
                    }
                    if is_away || !self.careful && !blame.may_be_its_own {
                        self.stop(Why::Block);
                    }
                }
            },
        }
        true
    }

    /// Short outages of the network are sat out, unless one request was to try.
    fn unreachable(&mut self, quick_pause: Duration, now: Us) {
        let since = *self.unreachable_since.get_or_insert(now);
        let is_long = now - since > us(HOLD_MAX);
        if !is_long {
            self.be_quiet(now + us(quick_pause));
        }
        if is_long || self.careful {
            self.stop(Why::Outage);
        }
    }

    /// A usage header says that the account may not call for minutes.
    pub(super) fn used_up(&mut self) {
        self.stop(Why::Throttle);
    }

    /// An API in trouble charges the first few, then nobody.
    fn failed(&mut self) -> bool {
        let was_outage = self.is_outage();
        self.failing += 1;
        if self.careful || self.failing >= self.breaker_failures {
            self.failing = 0;
            self.stop(Why::Outage);
        }
        !was_outage && !self.is_outage()
    }

    /// Held for one, or about to find out whether it is over.
    fn is_outage(&self) -> bool {
        let is_over = self.away.is_none() && (self.lifted || self.careful);
        self.away.or(self.held_by.filter(|_| is_over)) == Some(Why::Outage)
    }

    fn throttled(&mut self, pause_s: Option<u32>, slow_down: bool, reaction: &Reaction, now: Us) {
        let View {
            bucket,
            configured_mps,
            ..
        } = reaction.view;
        // Refused at the least rate it pauses, unless the refusal is of a request that was sent before.
        let is_slowest = slow_down && bucket.rate_mps <= configured_mps * SHARE_MIN * 1.000_001;
        let pauses_by_itself = is_slowest
            && match reaction.view.state {
                State::Cooling { until } => us(until) >= now + 1_000_000,
                State::Away { .. } => self.careful,
                State::Flowing
                | State::Probing { .. }
                | State::Rejoining { .. }
                | State::Paused { .. }
                | State::Draining => false,
            };
        let least_s = u32::from(!slow_down || pauses_by_itself);
        let pause_s = pause_s.unwrap_or(0).max(least_s);
        if pause_s == 0 {
            return;
        }
        let pause = Duration::from_secs(pause_s.into());
        if pause <= HOLD_MAX {
            self.be_quiet(now + us(pause));
        }
        if pause > HOLD_MAX || self.careful {
            self.stop(Why::Throttle);
        }
    }
}

fn ms(time: Duration) -> u64 {
    time.as_millis() as u64
}
