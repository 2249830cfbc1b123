//! Stories of one lane: what happens, and what it answers. A request is named after its person, "a1", high if that is a capital,
//! and a receipt without a person if it begins with r.

use super::*;
use crate::contract::request::{Header, History, Inbound};
use crate::contract::words::{Class, Scope, Status};
use crate::core::fleet::holds::{Finding, Held, Hold, Why};
use crate::core::fleet::tenure::Unread;
use crate::core::lane::dedupe::Recalled;
use crate::core::lane::pacing::{PaceConfig, Spacing};
use crate::core::media::source::Sources;
use crate::core::media::upload::Uploaded;
use crate::core::operation::IntakeConfig;
use crate::core::outcome::answer::{Accepted, Usage};
use crate::core::outcome::{Effect, Outcome};
use crate::core::request::intake::intake;
use crate::core::request::retry::RetryPolicy;

mod answering;
mod blame;
mod codes;
mod copies;
mod duplicates;
mod media;
mod outages;
mod pairs;
mod pauses;
mod redelivery;
mod room;
mod turns;
mod words;

use words::*;

const WALL_MS: u64 = 1_800_000_000_000;

fn redelivery(policy: RedeliveryPolicy) -> Redelivery {
    Redelivery {
        policy,
        max_deliveries: 20,
    }
}

/// Fast, and with little in flight; what a story needs otherwise it changes.
pub(super) fn config() -> LaneConfig {
    LaneConfig {
        pace: PaceConfig {
            limit_mps: 1_000.0,
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
        dedupe_ids_max: 100,
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
    /// As RabbitMQ says.
    Comes(&'static str, Inbound<'static>),
    /// As RabbitMQ says, and a lane that holds 128 bodies of 256 KiB has no room for another.
    NoRoom(&'static str, Inbound<'static>),
    Prefetch,
    GetTemplate(&'static str, &'static str),
    /// With a link to an image, which is to be uploaded.
    GetMedia(&'static str, &'static str),
    GetTimed(&'static str, &'static str, &'static str),
    /// Redelivered, with its count of returns.
    Again(&'static str, u64),
    /// Redelivered once, with its own word of what to do when an answer was lost.
    AgainSaying(&'static str, &'static str),
    /// Of the oldest delivery of that name.
    EvidenceFirst(&'static str, bool),
    Next,
    Answer(&'static str, Outcome),
    Settled(&'static str, bool),
    /// The oldest delivery of that name.
    SettledFirst(&'static str, bool),
    Lost,
    /// Given back while its channel was open, these came once more, with these counts.
    CameAgain(&'static [(&'static str, u64)]),
    /// Its channel was closed in order.
    Left,
    Rejoined,
    Limit(u32),
    /// What holds the lane now, by whoever keeps the holds.
    Order(Held),
    Token,
    /// Whether the log of results has a result of it.
    Evidence(&'static str, bool),
    /// The log has a record of its copy.
    CopyFound(&'static str),
    /// The lane is this worker's now; these were not sent by the one before, by their count of deliveries.
    Takes(Vec<(&'static str, u64)>),
    /// What it takes over is told later.
    Inherits(&'static str, u64),
    /// Percent, and minutes to regain.
    Used(u32, u32),
    /// What was read of the log of results, the how manyeth time.
    Recalled(u64, Recalled),
    /// The file of this link was uploaded, or was not.
    File(&'static str, Uploaded),
    /// The log says of one that asks how it has ended, so long ago.
    Heard(&'static str, Status, u64),
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
        let config = IntakeConfig {
            sources: Sources::parse(["*"].into_iter()).unwrap(),
            ..IntakeConfig::OF_TESTS
        };
        let message = intake(body.into(), inbound, &config, self.now).unwrap();
        let ticket = self.names.len() as Ticket;
        self.names.push(name);
        match self.lane.accept(message, ticket, self.now) {
            Joined::Waits => "waits".to_owned(),
            Joined::Asks => "asks".to_owned(),
            Joined::InFlight(original) => format!("is {original} in flight"),
            Joined::Decided(resolved) => told(&resolved.decision),
            Joined::Replaces {
                earlier,
                let_go,
                asks,
            } => {
                assert_eq!(let_go.ticket, ticket);
                let how = if asks { ", asks" } else { "" };
                format!("in place of {earlier}{how}")
            }
        }
    }

    fn again(&mut self, name: &'static str, delivery_count: u64, word: Option<&str>) -> String {
        let inbound = Inbound {
            redelivered: true,
            delivery_count,
            on_unknown: word.map(|word| Header::Text(word.as_bytes())),
            ..Inbound::default()
        };
        self.get(name, inbound)
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
                    let told = resolved.iter().map(|resolved| {
                        let name = self.name(resolved.ticket);
                        format!("{name} {}", told(&resolved.decision))
                    });
                    (told.collect::<Vec<_>>().join(", "), false)
                }
                Step::Recall(read) => {
                    let ago = (WALL_MS / 1000).cast_signed() - i64::from(read.from_s);
                    let only = read
                        .only
                        .map_or_else(String::new, |only| format!(" for {}", only.len()));
                    (
                        format!("read {} from {ago} s before{only}", read.number),
                        false,
                    )
                }
                Step::Upload(wanted) => (media::said(&wanted), false),
                Step::Wait(until) => {
                    let seconds = until.as_secs_f64() - 100.0;
                    (format!("wait {seconds:.3}"), true)
                }
                Step::Idle => ("idle".to_owned(), true),
                Step::Leave => ("give back".to_owned(), true),
            };
            said.push(word);
            if rests {
                return said.join(", ");
            }
        }
    }

    fn answer(&mut self, name: &str, outcome: Outcome) -> String {
        let now = self.now;
        let drawn = Drawn {
            jitter: 1.0,
            quick_pause: Duration::from_millis(50),
        };
        // Under the ticket it was sent with.
        let sent = |ticket: &Ticket| self.lane.is_in_flight(*ticket) && self.name(*ticket) == name;
        let ticket = (0..self.names.len() as Ticket).find(sent).unwrap();
        let verdict = self.lane.resolve(ticket, outcome, now, drawn);
        let decision = verdict.resolved.map(|resolved| told(&resolved.decision));
        let decision = decision.unwrap_or_else(|| "stays".to_owned());
        decision + &found(verdict.finding)
    }

    fn evidence(&mut self, name: &str, evidence: step::Evidence) -> String {
        self.evidence_of(self.ticket(name), evidence)
    }

    /// The oldest delivery of that name.
    fn first(&self, name: &str) -> Ticket {
        self.names.iter().position(|known| *known == name).unwrap() as Ticket
    }

    fn evidence_first(&mut self, name: &str, has_ended: bool) -> String {
        let evidence = if has_ended {
            step::Evidence::Result
        } else {
            step::Evidence::Nothing
        };
        self.evidence_of(self.first(name), evidence)
    }

    fn evidence_of(&mut self, ticket: Ticket, evidence: step::Evidence) -> String {
        let resolved = self.lane.evidence(ticket, evidence, self.now);
        let decision = resolved.map(|resolved| told(&resolved.decision));
        decision.unwrap_or_else(|| "stays".to_owned())
    }

    fn came_again(&mut self, unread: &[(&str, u64)]) -> String {
        let unread = unread.iter().map(|(name, delivery_count)| Unread {
            identity: original(name),
            delivery_count: *delivery_count,
            is_doubtful: true,
        });
        self.lane.came_again(&unread.collect::<Vec<_>>());
        let told = self.lane.surely_unsent().into_iter();
        let told = told.map(|(what, count)| format!("{} {count}", what.id()));
        let mut told: Vec<_> = told.collect();
        told.sort();
        told.join(", ")
    }

    /// Notes are all that there are.
    fn recalled(&mut self, number: u64, recalled: Recalled, now: Now) {
        let is_all = matches!(recalled, Recalled::Notes(_));
        let goes_on = self.lane.recalled(number, recalled, now);
        if is_all && goes_on {
            self.lane.recalled(number, Recalled::Whole, now);
        }
    }

    fn take_over(&mut self, unsent: Vec<(&'static str, u64)>) {
        let unsent = unsent.into_iter();
        let unsent = unsent.map(|(name, count)| (original(name), count));
        self.lane.took_over(unsent.collect(), self.now);
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
            Comes(name, inbound) => return self.get(name, inbound),
            NoRoom(name, inbound) => return self.has_no_room(name, inbound),
            Prefetch => return self.lane.prefetch().to_string(),
            GetTemplate(name, template) => {
                let template = format!(
                    r#""type":"template","template":{{"name":"{template}","language":{{"code":"en"}}}}"#
                );
                return self.take(name, to_person(name, &template), Inbound::default());
            }
            GetMedia(name, link) => return self.get_media(name, link),
            GetTimed(name, header, at) => {
                let at = Some(Header::Text(at.as_bytes()));
                let mut inbound = Inbound::default();
                match header {
                    "expires-at" => inbound.expires_at = at,
                    _ => inbound.not_before = at,
                }
                return self.get(name, inbound);
            }
            Again(name, delivery_count) => return self.again(name, delivery_count, None),
            AgainSaying(name, word) => return self.again(name, 1, Some(word)),
            EvidenceFirst(name, has_ended) => return self.evidence_first(name, has_ended),
            Next => return self.next(),
            Answer(name, outcome) => return self.answer(name, outcome),
            Settled(name, confirmed) => self.lane.settled(self.ticket(name), confirmed),
            SettledFirst(name, confirmed) => self.lane.settled(self.first(name), confirmed),
            Lost => self.lane.channel_lost(),
            CameAgain(unread) => return self.came_again(unread),
            Left => self.lane.left(),
            Rejoined => self.lane.rejoined(self.lane.prefetch(), now),
            Limit(limit_mps) => self.lane.set_limit(limit_mps, now),
            Order(held) => self.lane.held(held, now),
            Token => self.lane.token_changed(),
            Evidence(name, true) => return self.evidence(name, step::Evidence::Result),
            Evidence(name, false) => return self.evidence(name, step::Evidence::Nothing),
            CopyFound(name) => return self.evidence(name, step::Evidence::Copy),
            Inherits(name, count) => self.lane.inherit(&[(original(name), count)]),
            Takes(unsent) => self.take_over(unsent),
            Used(percent, minutes) => {
                let usage = Usage {
                    percent: Some(percent),
                    regain_minutes: Some(minutes),
                };
                let finding = self.lane.used(usage, now);
                return self.lane.state().as_str().to_owned() + &found(finding);
            }
            File(link, uploaded) => self.lane.uploaded(media::source(link), uploaded, now),
            Recalled(number, recalled) => self.recalled(number, recalled, now),
            Heard(name, status, ago_s) => {
                let at_s = now.wall_ms / 1000 - ago_s;
                self.lane.heard(self.ticket(name), status, at_s);
            }
            Drain => self.lane.drain(),
        }
        self.lane.state().as_str().to_owned()
    }
}

/// Of a request that was never on the ladder.
fn original(name: &str) -> Identity {
    Identity::new(name, 0, None)
}

/// Tells the story and compares each answer.
fn check(story: Vec<(Do, &str)>) {
    check_with(config(), story);
}

fn check_with(config: LaneConfig, story: Vec<(Do, &str)>) {
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
