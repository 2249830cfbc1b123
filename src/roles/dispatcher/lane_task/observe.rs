//! Observation of a lane's turns: metrics, and log lines at the moments an operator wants to know of.

use crate::contract::fault::Fault;
use crate::core::Now;
use crate::core::lane::State;
use crate::core::operation::forms::place_of;
use crate::core::outcome::answer::{AnswerBody, Reply};
use crate::core::outcome::{Effect, Outcome, Rules};
use crate::core::request::message::LaneId;
use crate::metrics::{LaneMetrics, Metrics, OTHER};
use std::sync::Arc;
use std::time::Duration;

pub(super) struct Observer {
    lane: LaneId,
    /// The lane's label in metrics.
    label: Arc<str>,
    pub(super) metrics: Arc<LaneMetrics>,
    all: Arc<Metrics>,
    /// Since the last attempt that reached the API, others did not.
    unreachable: bool,
    /// The word of the state that the log knows of.
    noticed: &'static str,
    /// When the log was last told of a transient request, by the monotonic clock.
    transient_told: Option<Duration>,
    /// When the log was last told of a body that is not as Meta documents it.
    warning_told: Option<Duration>,
}

/// Whether an hour has passed since the log was last told; then it is told now.
fn is_hour_over(told: &mut Option<Duration>, now: Now) -> bool {
    const HOUR: Duration = Duration::from_secs(3600);
    let is_over = told.is_none_or(|told| now.mono >= told + HOUR);
    if is_over {
        *told = Some(now.mono);
    }
    is_over
}

impl Observer {
    pub(super) fn new(lane: LaneId, all: Arc<Metrics>, state: State) -> Self {
        Self {
            metrics: Arc::new(match lane.waba_id() {
                Some(_) => all.account_lane(lane.as_str()),
                None => all.lane(lane.as_str()),
            }),
            label: all.label(lane.as_str()).into(),
            lane,
            all,
            unreachable: false,
            noticed: state.as_str(),
            transient_told: None,
            warning_told: None,
        }
    }

    /// A request that was published for RabbitMQ's memory only. The log is told once an hour.
    pub(super) fn got_transient(&mut self, now: Now) {
        self.metrics.transient.inc();
        if !is_hour_over(&mut self.transient_told, now) {
            return;
        }
        let phone_number_id = &self.lane;
        tracing::warn!(%phone_number_id, "requests of this lane are published transient: their callers should set delivery_mode 2, in AMQP 1.0 durable");
    }

    /// A request is sent though its body is not as Meta documents it. Counted by the first place; the log is told once an hour.
    pub(super) fn warned(&mut self, warnings: &[Fault], now: Now) {
        let Some(first) = warnings.first() else {
            return;
        };
        let at = place_of(&first.at);
        let labels = [&*self.label, &at];
        self.all.schema_warnings.with_label_values(&labels).inc();
        if is_hour_over(&mut self.warning_told, now) {
            let phone_number_id = &self.lane;
            tracing::warn!(%phone_number_id, at, problem = first.problem, "requests of this lane are not as Meta documents them, and sent all the same: their results have warnings");
        }
    }

    /// By API code; codes outside of the table are one series.
    pub(super) fn replied(&self, reply: &Reply, rules: &Rules) {
        if let Reply::Answered(answer) = reply
            && let AnswerBody::Error(error) = &answer.body
        {
            let is_known = rules.row(error.code, error.subcode).is_some();
            let code = if is_known {
                error.code.to_string()
            } else {
                OTHER.to_owned()
            };
            let labels = [&*self.label, &code];
            self.all.error_codes.with_label_values(&labels).inc();
        }
    }

    pub(super) fn attempted(&mut self, outcome: &Outcome, took: Duration) {
        let (phone_number_id, word) = (&self.lane, word(outcome));
        self.metrics.attempted(word);
        let latency_ms = took.as_secs_f64() * 1000.0;
        tracing::debug!(%phone_number_id, outcome = word, latency_ms, "attempt");
        let Outcome::NotSent { error } = outcome else {
            if std::mem::take(&mut self.unreachable) {
                tracing::info!(%phone_number_id, "the API is reached again");
            }
            if self.lane.waba_id().is_none() {
                self.all.api_latency.observe(took.as_secs_f64());
            }
            return;
        };
        if !std::mem::replace(&mut self.unreachable, true) {
            let why = error.title.as_deref();
            tracing::warn!(%phone_number_id, why, "nothing reaches the API: holding the lane's messages");
        }
    }

    /// One line per change of state, where an operator looks for it.
    pub(super) fn state(&mut self, state: State) {
        let from = std::mem::replace(&mut self.noticed, state.as_str());
        if from == self.noticed {
            return;
        }
        let (phone_number_id, to) = (&self.lane, self.noticed);
        match state {
            State::Flowing if from == "probing" => {
                tracing::info!(%phone_number_id, "the lane flows again");
            }
            State::Paused { .. } => tracing::info!(%phone_number_id, "the lane is paused"),
            // The board says what holds a lane, once for all that it strikes; a throttled lane cools and flows each second.
            State::Flowing
            | State::Cooling { .. }
            | State::Away { .. }
            | State::Probing { .. }
            | State::Rejoining { .. }
            | State::Draining => tracing::debug!(%phone_number_id, from, to, "lane state"),
        }
    }
}

/// The outcome's word in metrics and logs.
pub(super) fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Accepted(_) => "accepted",
        Outcome::Failed(Effect::Refused { .. }, _) => "refused",
        Outcome::NotSent { .. } => "not_sent",
        Outcome::Failed(Effect::Transient { .. }, _) => "transient",
        Outcome::Failed(Effect::Throttled { .. }, _) => "throttled",
        Outcome::Failed(Effect::Blocked { .. }, _) => "blocked",
        Outcome::Failed(Effect::Ambiguous, _) => "unknown",
    }
}
