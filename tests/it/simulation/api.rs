//! The Cloud API: the simulator's rules under virtual time, and what a client would observe of their answers.

use super::Us;
use super::faults::SCRIPTED;
use super::plan::{Plan, RequestNo};
use super::worker::Who;
use bytes::Bytes;
use graph_sim::rules::{Ending, Method, Request, World};
use graph_sim::{Entry, NumberRules, Options, Script, Token, TokenState};
use whatsapp_dispatcher::core::answer::{Answer, AnswerBody, Reply};
use whatsapp_dispatcher::core::lane::Ticket;

const TOKEN: &str = "token";
/// `graph.max_response_bytes`.
const MAX_RESPONSE_BYTES: usize = 65_536;

/// A POST on its way.
pub(crate) struct Call {
    pub(crate) who: Who,
    pub(crate) ticket: Ticket,
    pub(crate) request: RequestNo,
    pub(crate) body: Bytes,
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
    timeout: Us,
    outage_until: Us,
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
            tokens: vec![token(TokenState::Valid)],
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

    pub(crate) fn set_token(&mut self, valid: bool) {
        let state = if valid {
            TokenState::Valid
        } else {
            TokenState::Expired
        };
        self.world.set_tokens(vec![token(state)]);
    }

    pub(crate) fn limit_mps(&self, lane: usize) -> u32 {
        self.world.rules_of(&self.ids[lane]).mps.unwrap_or_default()
    }

    pub(crate) fn set_limit(&mut self, lane: usize, limit_mps: u32, now: Us) {
        self.change(lane, now, |rules| rules.mps = Some(limit_mps));
    }

    fn change(&mut self, lane: usize, now: Us, change: impl Fn(&mut NumberRules)) {
        let mut rules = self.world.rules_of(&self.ids[lane]).clone();
        change(&mut rules);
        self.world.set_rules(&self.ids[lane], rules, now);
    }

    /// No fault from here on, and no customer writes.
    pub(crate) fn calm(&mut self, now: Us) {
        self.world.set_script(Script::default(), now);
        self.set_token(true);
        self.outage_until = 0;
        for lane in 0..self.ids.len() {
            self.change(lane, now, |rules| rules.inbound_mps = 0.0);
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
            bearer: Some(TOKEN),
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
            Ending::Answer if reply.body.len() > MAX_RESPONSE_BYTES => {
                answered(&reply, AnswerBody::Unreadable)
            }
            Ending::Answer => answered(&reply, AnswerBody::read(&reply.body)),
        };
        let answer_at = match reply.ending {
            Ending::Hang => deadline,
            Ending::Answer | Ending::Cut { .. } | Ending::Reset => reply.answer_at_us.min(deadline),
        };
        Handled {
            refused_by_rules: refused_by_rules(&observed),
            reply: observed,
            answer_at: answer_at.max(now),
            entry,
        }
    }
}

fn token(state: TokenState) -> Token {
    Token {
        token: TOKEN.to_owned(),
        state,
        numbers: None,
    }
}

fn answered(reply: &graph_sim::rules::Reply, body: AnswerBody) -> Reply {
    let retry_after = reply
        .headers
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("retry-after"));
    Reply::Answered(Answer {
        status: reply.status,
        retry_after_s: retry_after.and_then(|(_, value)| value.parse().ok()),
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
