//! Stories of one lane: what happens, and what it answers. A request is named after its person, "a1", high if that is a capital,
//! and a receipt without a person if it begins with r.

use super::*;
use crate::core::answer::{Accepted, Usage};
use crate::core::holds::{Finding, Hold, Why};
use crate::core::intake::{Header, Inbound, IntakeConfig, intake};
use crate::core::message::History;
use crate::core::outcome::{Class, ErrorReport, Outcome, Scope};
use crate::core::pacing::{PaceConfig, Spacing};
use crate::core::retry::RetryPolicy;

mod codes;
mod outages;
mod pairs;
mod pauses;
mod redelivery;
mod turns;

const WALL_MS: u64 = 1_800_000_000_000;

/// Fast, and with little in flight; what a story needs otherwise it changes.
fn redelivery(policy: RedeliveryPolicy) -> Redelivery {
    Redelivery {
        policy,
        max_deliveries: 20,
    }
}

fn config() -> LaneConfig {
    LaneConfig {
        pace: PaceConfig {
            limit_mps: 1_000,
            utilization: 1.0,
            burst: Duration::from_millis(100),
        },
        pair: Spacing {
            interval: Duration::from_secs(6),
            burst: 45,
        },
        shadow_mps: None,
        pairs_max: 1_000,
        pair_wait_max: Duration::from_secs(30),
        latency: Duration::from_secs(1),
        max_in_flight: 4,
        buffer: Duration::ZERO,
        bulk_every: 3,
        retry: RetryPolicy {
            max_attempts: 2,
            max_age_s: 3_600,
            base_s: 2,
            max_delay_s: 60,
        },
        redelivery: redelivery(RedeliveryPolicy::Resend),
        breaker_failures: 3,
    }
}

/// What happens to the lane.
enum Do {
    /// Seconds since the story began.
    At(f64),
    Get(&'static str),
    /// A copy off the ladder, or with other headers.
    GetWith(&'static str, History),
    GetTemplate(&'static str, &'static str),
    GetTimed(&'static str, &'static str, &'static str),
    /// Redelivered, with its count of returns.
    Again(&'static str, u64),
    Next,
    Answer(&'static str, Outcome),
    Settled(&'static str, bool),
    Lost,
    Rejoined,
    Limit(u32),
    /// What holds the lane now, by whoever keeps the holds.
    Order(Held),
    Token,
    /// Whether the log of results has it.
    Evidence(&'static str, bool),
    /// The lane is this worker's now; these were not sent by the one before, by their count of deliveries.
    Takes(Vec<(&'static str, u64)>),
    /// Percent, and minutes to regain.
    Used(u32, u32),
    Drain,
}
use Do::*;

struct Story {
    lane: Lane,
    now: Now,
    /// By ticket.
    names: Vec<&'static str>,
}

impl Story {
    fn now_at(seconds: f64) -> Now {
        Now {
            mono: Duration::from_secs_f64(100.0 + seconds),
            wall_ms: (WALL_MS as f64 + seconds * 1_000.0) as u64,
            steady_ms: (WALL_MS as f64 + seconds * 1_000.0) as u64,
        }
    }

    fn get(&mut self, name: &'static str, inbound: Inbound<'_>) -> String {
        if name.starts_with('r') {
            let body = r#"{"status":"read","message_id":"wamid.1"}"#;
            return self.take(name, body.to_owned(), inbound);
        }
        let text = r#""type":"text","text":{"body":"hi"}"#;
        self.take(name, to_person(name, text), inbound)
    }

    fn take(&mut self, name: &'static str, body: String, inbound: Inbound<'_>) -> String {
        let inbound = Inbound {
            message_id: Some(name),
            priority: Some(if name.starts_with(char::is_uppercase) {
                9
            } else {
                0
            }),
            ..inbound
        };
        let bounds = IntakeConfig {
            max_body_bytes: 1_000,
            check_sizes: true,
        };
        let message = intake(body.into(), inbound, &bounds, self.now).unwrap();
        let ticket = self.names.len() as Ticket;
        self.names.push(name);
        match self.lane.accept(message, ticket, self.now) {
            Joined::Waits => "waits".to_owned(),
            Joined::Asks => "asks".to_owned(),
            Joined::InFlight(original) => format!("is {original} in flight"),
            Joined::Decided(resolved) => told(&resolved.decision),
        }
    }

    fn name(&self, ticket: Ticket) -> &'static str {
        self.names[ticket as usize]
    }

    /// The newest delivery of that name.
    fn ticket(&self, name: &str) -> Ticket {
        self.names.iter().rposition(|known| *known == name).unwrap() as Ticket
    }

    /// Everything until the lane rests, and until when.
    fn next(&mut self) -> String {
        let mut said = vec![];
        loop {
            let (word, rests) = match self.lane.next(self.now) {
                Step::Send(attempt) => (format!("send {}", self.name(attempt.ticket)), false),
                Step::Decide(resolved) => {
                    let name = self.name(resolved.ticket);
                    (format!("{name} {}", told(&resolved.decision)), false)
                }
                Step::Wait(until) => {
                    let seconds = until.as_secs_f64() - 100.0;
                    (format!("wait {seconds:.3}"), true)
                }
                Step::Idle => ("idle".to_owned(), true),
                Step::GiveBack => ("give back".to_owned(), true),
            };
            said.push(word);
            if rests {
                return said.join(", ");
            }
        }
    }

    fn answer(&mut self, name: &str, outcome: Outcome) -> String {
        let now = self.now;
        let luck = Luck {
            jitter: 1.0,
            quick_pause: Duration::from_millis(50),
        };
        // Under the ticket it was sent with.
        let sent = |ticket: &Ticket| self.lane.is_in_flight(*ticket) && self.name(*ticket) == name;
        let ticket = (0..self.names.len() as Ticket).find(sent).unwrap();
        let verdict = self.lane.resolve(ticket, outcome, now, luck);
        let decision = verdict.resolved.map(|resolved| told(&resolved.decision));
        let decision = decision.unwrap_or_else(|| "stays".to_owned());
        decision + &found(verdict.finding)
    }

    fn happen(&mut self, what: Do) -> String {
        let now = self.now;
        match what {
            At(seconds) => self.now = Self::now_at(seconds),
            Get(name) => return self.get(name, Inbound::default()),
            GetWith(name, history) => {
                let inbound = Inbound {
                    history,
                    ..Inbound::default()
                };
                return self.get(name, inbound);
            }
            GetTemplate(name, template) => {
                let template = format!(
                    r#""type":"template","template":{{"name":"{template}","language":{{"code":"en"}}}}"#
                );
                return self.take(name, to_person(name, &template), Inbound::default());
            }
            GetTimed(name, header, at) => {
                let at = Some(Header::Text(at.as_bytes()));
                let mut inbound = Inbound::default();
                match header {
                    "expires-at" => inbound.expires_at = at,
                    _ => inbound.not_before = at,
                }
                return self.get(name, inbound);
            }
            Again(name, delivery_count) => {
                let inbound = Inbound {
                    redelivered: true,
                    delivery_count,
                    ..Inbound::default()
                };
                return self.get(name, inbound);
            }
            Next => return self.next(),
            Answer(name, outcome) => return self.answer(name, outcome),
            Settled(name, confirmed) => self.lane.settled(self.ticket(name), confirmed),
            Lost => self.lane.channel_lost(),
            Rejoined => self.lane.rejoined(self.lane.config().prefetch(), now),
            Limit(limit_mps) => self.lane.set_limit(limit_mps, now),
            Order(held) => self.lane.held(held, now),
            Token => self.lane.token_changed(),
            Evidence(name, has_ended) => {
                let resolved = self.lane.evidence(self.ticket(name), has_ended, now);
                let decision = resolved.map(|resolved| told(&resolved.decision));
                return decision.unwrap_or_else(|| "stays".to_owned());
            }
            Takes(unsent) => {
                let unsent = unsent.into_iter();
                let unsent = unsent.map(|(name, count)| (Identity::new(name, 0), count));
                self.lane.took_over(unsent.collect(), now);
            }
            Used(percent, minutes) => {
                let usage = Usage {
                    percent: Some(percent),
                    regain_minutes: Some(minutes),
                };
                let finding = self.lane.used(usage, now);
                return self.lane.state().as_str().to_owned() + &found(finding);
            }
            Drain => self.lane.drain(),
        }
        self.lane.state().as_str().to_owned()
    }
}

fn to_person(name: &str, rest: &str) -> String {
    let person = name.chars().next().unwrap_or_default().to_ascii_lowercase();
    format!(r#"{{"to":"{}",{rest}}}"#, u32::from(person))
}

/// What it told of more than its message: `, token block 190`, and with a pause `, lane throttle 4 for 60`.
fn found(finding: Option<Finding>) -> String {
    finding.map_or(String::new(), |finding| {
        let code = finding
            .code
            .map_or(String::new(), |code| format!(" {code}"));
        let pause = finding
            .pause
            .map_or(String::new(), |pause| format!(" for {}", pause.as_secs()));
        let again = if finding.before.is_some() {
            " again"
        } else {
            ""
        };
        let (scope, why) = (finding.scope.as_str(), finding.why.as_str());
        format!(", {scope} {why}{code}{pause}{again}")
    })
}

/// `accepted #1 !`: how it ends, the attempts made, and ! if it may be a duplicate.
fn told(decision: &Decision) -> String {
    let flag = |flagged: bool| if flagged { " !" } else { "" };
    let report = |report: &Report| {
        let doubt = flag(report.possible_duplicate);
        format!("{} #{}{doubt}", report.status.as_str(), report.attempts)
    };
    match decision {
        Decision::Finish(finished) => report(finished),
        Decision::Bury(buried) => format!("bury {}", report(buried)),
        Decision::Delay { delay_s, message } => {
            let history = &message.history;
            let slot = if history.pair_reserved { " slot" } else { "" };
            format!(
                "delay {delay_s} #{}{slot}{}",
                history.attempts,
                flag(history.possible_duplicate)
            )
        }
        Decision::Repeat { flagged } => format!("repeat{}", flag(*flagged)),
        Decision::Forget => "forget".to_owned(),
        Decision::Abandon => "abandon".to_owned(),
    }
}

/// Tells the story and compares each answer.
fn check(config: LaneConfig, story: Vec<(Do, &str)>) {
    let lane = Lane::new(LaneId::new("1"), config, Story::now_at(-50.0));
    let mut told = Story {
        lane,
        now: Story::now_at(0.0),
        names: vec![],
    };
    for (number, (what, expected)) in story.into_iter().enumerate() {
        assert_eq!(told.happen(what), expected, "line {number}");
    }
}

fn error(class: Class) -> ErrorReport {
    ErrorReport {
        code: Some(1),
        subcode: None,
        title: None,
        details: None,
        fbtrace_id: None,
        class,
    }
}
fn accepted() -> Outcome {
    Outcome::Accepted(Accepted::default())
}
fn refused() -> Outcome {
    Outcome::Refused {
        class: Class::Invalid,
        error: error(Class::Invalid),
        retry_not_before_s: None,
    }
}
const FREE: Held = Held {
    paused_since_ms: None,
    hold: None,
};
const PAUSED: Held = Held {
    paused_since_ms: Some(WALL_MS),
    hold: None,
};
fn held(scope: Scope, why: Why, for_s: u64) -> Held {
    let hold = Hold {
        scope,
        why,
        code: Some(1),
        remedy: "none",
        since_ms: WALL_MS,
        until_ms: WALL_MS + for_s * 1_000,
        failed_probes: 0,
    };
    Held {
        hold: Some(hold),
        ..FREE
    }
}
fn transient(proves_unsent: bool) -> Outcome {
    failing(Scope::Message, proves_unsent)
}
fn failing(scope: Scope, proves_unsent: bool) -> Outcome {
    Outcome::Transient {
        scope,
        then_invalid: false,
        error: error(Class::Transient),
        max_retries: None,
        min_delay_s: None,
        proves_unsent,
    }
}
fn unknown() -> Outcome {
    Outcome::Unknown {
        error: error(Class::Ambiguous),
    }
}
fn not_sent() -> Outcome {
    Outcome::NotSent {
        error: error(Class::Transient),
    }
}
fn throttled(scope: Scope, pause_s: u32) -> Outcome {
    Outcome::Throttled {
        scope,
        error: error(Class::Throttled),
        pause_s: Some(pause_s),
        slow_down: false,
    }
}
fn too_fast(pause_s: Option<u32>) -> Outcome {
    Outcome::Throttled {
        scope: Scope::Lane,
        error: error(Class::Throttled),
        pause_s,
        slow_down: true,
    }
}
fn blocked(second_recipient: bool) -> Outcome {
    Outcome::Blocked {
        scope: Scope::Lane,
        error: error(Class::Blocked),
        remedy: "none",
        is_penalty: false,
        second_recipient,
    }
}
