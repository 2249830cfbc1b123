//! The Cloud API: the simulator's rules under virtual time, and what a client would observe of their answers.

use super::Us;
use super::faults::SCRIPTED;
use super::plan::{Plan, RequestNo};
use super::worker::Who;
use bytes::Bytes;
use graph_sim::rules::{Ending, Method, Request, World};
use graph_sim::{Entry, Fault, NumberRules, Options, Script, Token, TokenState, Usage, Whose};
use serde_json::Value;
use whatsapp_dispatcher::core::lane::Ticket;
use whatsapp_dispatcher::core::outcome::answer::{self, Answer, AnswerBody, Reply};
use whatsapp_dispatcher::core::outcome::{Effect, Outcome};

/// `graph.max_response_bytes`.
const MAX_RESPONSE_BYTES: usize = 65_536;

/// A POST on its way.
pub(crate) struct Call {
    pub(crate) who: Who,
    pub(crate) ticket: Ticket,
    pub(crate) request: RequestNo,
    pub(crate) body: Bytes,
    pub(crate) bearer: String,
    pub(crate) sent_at: Us,
}

pub(crate) struct Handled {
    pub(crate) reply: Reply,
    pub(crate) answer_at: Us,
    /// What the API took.
    pub(crate) entry: Option<Entry>,
    /// The rules, and no script, refused it with this code.
    pub(crate) refused_by_rules: Option<i64>,
}

pub(crate) struct Api {
    world: World,
    paths: Vec<String>,
    ids: Vec<String>,
    /// Of each lane.
    accounts: Vec<usize>,
    /// Of each account, the newest.
    tokens: Vec<u64>,
    timeout: Us,
    outage_until: Us,
}

/// Which token of an account's.
pub(crate) fn token(account: usize, number: u64) -> String {
    format!("token-{account}-{number}")
}

pub(crate) fn waba(account: usize) -> String {
    format!("waba-{account}")
}

impl Api {
    pub(crate) fn new(plan: &Plan) -> Self {
        let numbers = plan
            .lanes
            .iter()
            .map(|lane| (lane.id.clone(), lane.rules.clone()))
            .collect();
        let world = World::new(&Options {
            seed: plan.seed,
            numbers,
            script: Script {
                faults: plan.faults.clone(),
            },
            tokens: (0..plan.accounts)
                .map(|account| listed(account, 0, true))
                .collect(),
            ..Options::default()
        });
        Self {
            world,
            paths: plan
                .lanes
                .iter()
                .map(|lane| format!("/v24.0/{}/messages", lane.id))
                .collect(),
            ids: plan.lanes.iter().map(|lane| lane.id.clone()).collect(),
            accounts: plan.lanes.iter().map(|lane| lane.account).collect(),
            tokens: vec![0; plan.accounts],
            timeout: plan.request_timeout,
            outage_until: 0,
        }
    }

    pub(crate) fn is_out(&self, now: Us) -> bool {
        now < self.outage_until
    }

    pub(crate) fn go_out(&mut self, until: Us) {
        self.outage_until = self.outage_until.max(until);
    }

    pub(crate) fn tokens(&self) -> &[u64] {
        &self.tokens
    }

    pub(crate) fn expire_token(&mut self, account: usize) {
        self.world
            .set_tokens(vec![listed(account, self.tokens[account], false)]);
    }

    /// The API accepts it again, or a new one in its place.
    pub(crate) fn heal_token(&mut self, account: usize, renews: bool) {
        self.tokens[account] += u64::from(renews);
        self.world
            .set_tokens(vec![listed(account, self.tokens[account], true)]);
    }

    /// Lasts until it is over, or the calm.
    pub(crate) fn block_account(&mut self, account: usize, code: i64, for_us: Us, now: Us) {
        self.change_account(account, now, |rules| {
            rules.blocked_code = Some(code);
            rules.blocked_ms = Some(for_us / 1_000);
        });
    }

    pub(crate) fn set_usage(&mut self, account: usize, usage: Option<Usage>, now: Us) {
        self.change_account(account, now, |rules| rules.usage = usage);
    }

    fn change_account(&mut self, account: usize, now: Us, change: impl Fn(&mut NumberRules)) {
        let whose = Whose::Waba(waba(account));
        self.world.change_rules(&whose, now, change).unwrap();
    }

    pub(crate) fn set_inbound(&mut self, lane: usize, mps: f64, now: Us) {
        self.change(lane, now, |rules| rules.inbound_mps = mps);
    }

    /// Whether a number can send, as `Graph::health` reads it, and when the answer is here.
    pub(crate) fn health(&mut self, lane: usize, token_no: u64, now: Us) -> (bool, Us) {
        if self.is_out(now) {
            return (false, now + 1_000);
        }
        let path = format!("/v24.0/{}", self.ids[lane]);
        let bearer = token(self.accounts[lane], token_no);
        let request = Request {
            method: Method::Get,
            path: &path,
            query: "fields=health_status",
            bearer: Some(&bearer),
            body: &[],
            received_us: now,
        };
        let arrival = self.world.arrival_us(Method::Get, &path, now);
        let reply = self.world.handle(&request, arrival);
        let at = reply.answer_at_us.min(now + self.timeout);
        let body: Option<Value> = serde_json::from_slice(&reply.body).ok();
        let can_send =
            body.is_some_and(|body| body["health_status"]["can_send_message"] != "BLOCKED");
        let is_answer = matches!(reply.ending, Ending::Answer) && reply.answer_at_us <= at;
        (is_answer && reply.status == 200 && can_send, at)
    }

    pub(crate) fn limit_mps(&self, lane: usize) -> u32 {
        self.world.rules_of(&self.ids[lane]).mps.unwrap_or_default()
    }

    pub(crate) fn set_limit(&mut self, lane: usize, limit_mps: u32, now: Us) {
        self.change(lane, now, |rules| rules.mps = Some(limit_mps));
    }

    fn change(&mut self, lane: usize, now: Us, change: impl Fn(&mut NumberRules)) {
        let whose = Whose::Number(self.ids[lane].clone());
        self.world.change_rules(&whose, now, change).unwrap();
    }

    /// No fault from here on but what one person meets, and no customer writes.
    pub(crate) fn calm(&mut self, lone: Option<Fault>, now: Us) {
        let faults = lone.into_iter().collect();
        self.world.set_script(Script { faults }, now);
        self.outage_until = 0;
        for account in 0..self.tokens.len() {
            for number in 0..=self.tokens[account] {
                self.world.set_tokens(vec![listed(account, number, true)]);
            }
            self.change_account(account, now, |rules| {
                rules.inbound_mps = 0.0;
                rules.usage = None;
                rules.blocked_code = None;
            });
        }
    }

    pub(crate) fn arrival(&mut self, lane: usize, sent_at: Us) -> Us {
        self.world
            .arrival_us(Method::Post, &self.paths[lane], sent_at)
    }

    pub(crate) fn handle(&mut self, call: &Call, now: Us) -> Handled {
        let request = Request {
            method: Method::Post,
            path: &self.paths[call.who.lane],
            query: "",
            bearer: Some(&call.bearer),
            body: &call.body,
            received_us: call.sent_at,
        };
        let taken = self.world.accepted();
        let reply = self.world.handle(&request, now);
        let entry = self.world.ledger(taken, 1).entries.pop();
        let deadline = call.sent_at + self.timeout;
        let observed = match reply.ending {
            Ending::Hang => Reply::NoAnswer("timeout"),
            _ if reply.answer_at_us > deadline => Reply::NoAnswer("timeout"),
            Ending::Reset => Reply::NoAnswer("reset"),
            Ending::Cut { .. } => answered(&reply, AnswerBody::Unreadable),
            Ending::Answer | Ending::Trickle { .. } if reply.body_bytes() > MAX_RESPONSE_BYTES => {
                answered(&reply, AnswerBody::Unreadable)
            }
            Ending::Answer | Ending::Trickle { .. } => {
                answered(&reply, AnswerBody::read(&reply.body))
            }
        };
        let answer_at = match reply.ending {
            Ending::Hang => deadline,
            Ending::Answer | Ending::Trickle { .. } | Ending::Cut { .. } | Ending::Reset => {
                reply.answer_at_us.min(deadline)
            }
        };
        Handled {
            refused_by_rules: refused_by_rules(&observed),
            reply: observed,
            answer_at: answer_at.max(now),
            entry,
        }
    }
}

fn listed(account: usize, number: u64, is_valid: bool) -> Token {
    Token {
        token: token(account, number),
        state: match is_valid {
            true => TokenState::Valid,
            false => TokenState::Expired,
        },
        numbers: None,
        expires_at: None,
        app_id: None,
    }
}

fn answered(reply: &graph_sim::rules::Reply, body: AnswerBody) -> Reply {
    let header = |wanted: &str| {
        let mut headers = reply.headers.iter();
        let found = headers.find(|(name, _)| name.eq_ignore_ascii_case(wanted));
        found.map(|(_, value)| value.as_str())
    };
    let (business, app) = (header("x-business-use-case-usage"), header("x-app-usage"));
    Reply::Answered(Answer {
        status: reply.status,
        usage: answer::Usage::read(business.map(str::as_bytes), app.map(str::as_bytes)),
        retry_after_s: header("retry-after").and_then(|value| value.parse().ok()),
        body,
    })
}

fn refused_by_rules(reply: &Reply) -> Option<i64> {
    let Reply::Answered(answer) = reply else {
        return None;
    };
    let AnswerBody::Error(error) = &answer.body else {
        return None;
    };
    let scripted = error.details.as_deref() == Some(SCRIPTED) || answer.status == 200;
    (!scripted).then_some(error.code)
}

/// What the tally calls an answer.
pub(super) fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Accepted(_) => "outcome accepted",
        Outcome::Failed(Effect::Refused { .. }, _) => "outcome refused",
        Outcome::NotSent { .. } => "outcome not sent",
        Outcome::Failed(Effect::Transient { .. }, _) => "outcome transient",
        Outcome::Failed(Effect::Throttled { .. }, _) => "outcome throttled",
        Outcome::Failed(Effect::Blocked { .. }, _) => "outcome blocked",
        Outcome::Failed(Effect::Ambiguous, _) => "outcome unknown",
    }
}
