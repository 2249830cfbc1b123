//! The Graph API as a pure state machine: no clock, no socket, no other source
//! of chance than the seed.
//!
//! Times are microseconds since any origin the caller likes and must not go back.

mod access;
mod control;
mod headers;
mod operate;
mod reads;

use crate::budget::Budgets;
use crate::errors::ApiError;
use crate::ledger::{Acceptance, Ledger};
use crate::marketing;
use crate::node;
use crate::number::Number;
use crate::operations::{Of, Operations};
use crate::options::{Options, Token, TokenState};
use crate::reply::{Answer, accepted, disturb, ordinary, wamid};
use crate::request::{Route, route};
use crate::script::{Action, Fault, On, Running, Traits};
use crate::seed::{Seed, push_opaque};
use crate::standing::Standing;
use crate::validate::{self, Intent};
use serde_json::{Map, Value};
use std::collections::HashMap;

pub use crate::reply::{Ending, Reply};
pub use crate::request::{Method, Request};

/// Everything the simulated API remembers.
#[derive(Debug)]
pub struct World {
    options: Options,
    defaults: Standing,
    numbers: HashMap<String, Number>,
    tokens: HashMap<String, Token>,
    /// How tokens stand that are not listed.
    other_tokens: Token,
    operations: Operations,
    budgets: Budgets,
    base_url: String,
    running: Running,
    ledger: Ledger,
    seed: Seed,
    minted: u64,
}

impl World {
    /// A world as set up by `options`; its script starts at time 0, as does what ends
    /// by itself.
    pub fn new(options: &Options) -> Self {
        Self::starting(options, 0)
    }

    fn starting(options: &Options, now_us: u64) -> Self {
        let numbers = options
            .numbers
            .iter()
            .map(|(id, rules)| {
                let standing = Standing::new(rules.clone(), now_us);
                (id.clone(), Number::new(standing))
            })
            .collect();
        let any_token = options.any_token.unwrap_or(options.tokens.is_empty());
        let mut world = Self {
            defaults: Standing::new(options.defaults.clone(), now_us),
            numbers,
            tokens: HashMap::new(),
            other_tokens: Token {
                token: "*".to_owned(),
                state: if any_token {
                    TokenState::Valid
                } else {
                    TokenState::Unknown
                },
                numbers: None,
                expires_at: None,
                app_id: None,
            },
            operations: Operations::default(),
            budgets: Budgets::default(),
            base_url: "https://graph.facebook.com".to_owned(),
            running: Running::new(options.script.clone(), now_us),
            ledger: Ledger::new(options.ledger_capacity),
            seed: Seed::new(options.seed),
            minted: 0,
            options: options.clone(),
        };
        world.set_tokens(options.tokens.clone());
        world.set_templates(options.templates.clone());
        world
    }

    /// When a request received at `received_us` reaches the limits: 0 to 2 J later.
    /// Draws from the seed; ask once per request, then call [`World::handle`] then.
    pub fn arrival_us(&mut self, method: Method, path: &str, received_us: u64) -> u64 {
        let number = route(method, path).and_then(Route::number);
        let rules = number.map_or(self.defaults.rules(), |id| self.rules_of(id));
        let spread_us = rules.arrival_jitter_ms * 2_000;
        received_us + self.seed.up_to(spread_us)
    }

    /// Handles a request that reaches the API at `now_us`.
    pub fn handle(&mut self, request: &Request<'_>, now_us: u64) -> Reply {
        let route = route(request.method, request.path);
        let route = route.map(|route| self.resolve(route, request.method));
        let Some(route) = route.filter(|route| self.serves(*route)) else {
            return self.stray(request, now_us);
        };
        if let Some(number) = route.number().and_then(|id| self.numbers.get_mut(id)) {
            number.settle(now_us);
        }
        let body: Option<Value> = match route {
            Route::Messages { .. } | Route::Marketing { .. } => {
                serde_json::from_slice(request.body).ok()
            }
            Route::Number { .. }
            | Route::Templates { .. }
            | Route::Token
            | Route::OnNumber { .. }
            | Route::OnAccount { .. }
            | Route::OnObject { .. }
            | Route::OnApp { .. }
            | Route::Node { .. } => None,
        };
        let body = body.as_ref().and_then(Value::as_object);
        match route {
            Route::Messages { .. } if body.is_some_and(validate::is_read) => {}
            Route::Messages { number } | Route::Marketing { number } => {
                self.ledger.received(number, now_us);
            }
            Route::Number { number } => self.ledger.get(number),
            Route::Templates { waba } => self.ledger.template_get(waba),
            Route::Token => self.ledger.token_get(),
            Route::OnNumber { .. }
            | Route::OnAccount { .. }
            | Route::OnObject { .. }
            | Route::OnApp { .. }
            | Route::Node { .. } => {}
        }
        let fault = self.fault(route, request, body, now_us);
        let follows_rules = fault.as_ref().is_none_or(Fault::follows_rules);
        let answer = follows_rules.then(|| self.answer(route, request, body, now_us));
        let mut reply = match (&fault, answer) {
            (None, Some(answer)) => self.whole(route.number(), answer, now_us),
            (Some(fault), answer) => self.struck(route, answer, fault, now_us),
            (None, None) => unreachable!("only a fault keeps a request from the rules"),
        };
        self.tell_budget(route, &mut reply, now_us);
        let latency_us = self.latency_us(route.number());
        let added_us = fault.as_ref().map_or(0, Fault::delay_us);
        reply.answer_at_us = now_us.max(request.received_us + latency_us) + added_us;
        reply
    }

    fn stray(&mut self, request: &Request<'_>, now_us: u64) -> Reply {
        self.ledger.stray();
        let object = route(request.method, request.path).and_then(Route::object);
        let error = match (object, self.token_error(request, None)) {
            (_, Some(error)) => error,
            (Some((verb, id)), None) => ApiError::unknown_object(verb, id),
            (None, None) => ApiError::unknown_path(request.path),
        };
        let answer = self.refusal(error);
        let latency_us = self.latency_us(None);
        let answer_at_us = now_us.max(request.received_us + latency_us);
        Reply {
            answer_at_us,
            ..self.whole(None, answer, now_us)
        }
    }

    fn fault(
        &mut self,
        route: Route<'_>,
        request: &Request<'_>,
        body: Option<&Map<String, Value>>,
        now_us: u64,
    ) -> Option<Fault> {
        if self.running.script().faults.is_empty() {
            return None;
        }
        let recipient = body.and_then(validate::recipient_of);
        let traits = Traits {
            on: match route {
                Route::Messages { .. } | Route::Marketing { .. } => On::Send,
                Route::Number { .. } => On::Get,
                Route::Templates { .. } => On::Templates,
                Route::Token => On::Token,
                Route::OnNumber { .. }
                | Route::OnAccount { .. }
                | Route::OnObject { .. }
                | Route::OnApp { .. }
                | Route::Node { .. } => On::Operation,
            },
            phone_number_id: route.number(),
            recipient: recipient.as_deref(),
            template: body.and_then(validate::template_of),
            opaque: body.and_then(validate::opaque_of),
            token: request.bearer,
        };
        let fault = self.running.pick(traits, now_us, &mut self.seed)?.clone();
        self.ledger.fault(route.number(), fault.action.name());
        Some(fault)
    }

    /// The answer by the rules alone.
    fn answer(
        &mut self,
        route: Route<'_>,
        request: &Request<'_>,
        body: Option<&Map<String, Value>>,
        now_us: u64,
    ) -> Answer {
        let denied = self
            .token_error(request, Some(route))
            .or_else(|| self.proof_error(request, route));
        let denied = denied.or_else(|| self.budget_error(route, now_us));
        let outcome = match (denied, route) {
            (Some(error), _) => Err(error),
            (None, Route::Messages { number }) => {
                let intent = self
                    .present(number, body)
                    .and_then(|()| validate::intent(body));
                self.message(number, request, intent, now_us)
            }
            (None, Route::Marketing { number }) => {
                let intent = self
                    .present(number, body)
                    .and_then(|()| marketing::intent(body));
                self.message(number, request, intent, now_us)
            }
            (None, Route::Number { number }) => {
                let set = self.operations.of_number(number);
                node::describe(number, self.rules_of(number), &set, request.query)
            }
            (None, Route::Templates { waba }) => self.list_templates(waba, request),
            (None, Route::Token) => self.debug_token(request),
            (None, Route::OnNumber { number, edge }) => {
                return self.operate(Of::Number, number, edge, request);
            }
            (None, Route::OnAccount { waba, edge }) => {
                return self.operate(Of::Account, waba, edge, request);
            }
            (None, Route::OnApp { id, edge }) => return self.operate(Of::App, id, edge, request),
            (None, Route::OnObject { id, edge }) => match self.operations.node(id) {
                Some((kind, _)) => return self.operate(Of::Object(kind), id, edge, request),
                None => Err(ApiError::unknown_object("request", id)),
            },
            (None, Route::Node { id }) => Err(ApiError::unknown_object("request", id)),
        };
        match outcome {
            Ok(body) => Answer {
                status: 200,
                body,
                error: None,
            },
            Err(error) => {
                self.ledger.reject(route.number(), error.code);
                self.refusal(error)
            }
        }
    }

    /// Whether the media are there that a message names by their ids.
    fn present(&self, number: &str, body: Option<&Map<String, Value>>) -> Result<(), ApiError> {
        match body.and_then(|body| self.operations.find_lost_media(number, body)) {
            None => Ok(()),
            Some(id) => Err(ApiError::detailed(
                131_053,
                format!("Media with ID {id} does not exist or has expired"),
            )),
        }
    }

    fn message(
        &mut self,
        id: &str,
        request: &Request<'_>,
        intent: Result<Intent<'_>, ApiError>,
        now_us: u64,
    ) -> Result<Vec<u8>, ApiError> {
        let intent = intent?;
        // Never taken: a request gets here only if its number is served.
        let Some(number) = self.numbers.get_mut(id) else {
            return Err(ApiError::unknown_object("post", id));
        };
        if let Some(error) = number.halted() {
            return Err(error);
        }
        let send = match intent {
            Intent::Send(send) => send,
            Intent::Read => {
                self.ledger.read(id);
                return Ok(br#"{"success":true}"#.to_vec());
            }
        };
        number.admit(&send.recipient, now_us)?;
        self.minted += 1;
        let wamid = wamid(self.options.seed, self.minted);
        self.ledger.accept(
            id,
            now_us,
            Acceptance {
                recipient: &send.recipient,
                kind: send.kind,
                opaque: send.opaque,
                wamid: &wamid,
                ttl_seconds: send.ttl_seconds,
                body: self.options.keep_bodies.then_some(request.body),
            },
        );
        Ok(accepted(&send, &wamid))
    }

    fn refusal(&mut self, error: ApiError) -> Answer {
        let mut fbtrace_id = String::from("A");
        push_opaque(&mut fbtrace_id, self.seed.next());
        Answer {
            status: error.status,
            body: error.body(&fbtrace_id),
            error: Some(error),
        }
    }

    fn latency_us(&mut self, id: Option<&str>) -> u64 {
        let rules = id.map_or(self.defaults.rules(), |id| self.rules_of(id));
        let jitter_us = rules.latency_jitter_ms * 1_000;
        rules.latency_ms * 1_000 + self.seed.up_to(jitter_us)
    }

    /// The answer with its headers; when it leaves is the caller's to say.
    fn whole(&mut self, id: Option<&str>, answer: Answer, now_us: u64) -> Reply {
        let headers = self.headers(id, answer.error.as_ref(), now_us);
        Reply {
            headers,
            ..ordinary(answer)
        }
    }

    /// What a fault makes of the answer, or instead of one.
    fn struck(
        &mut self,
        route: Route<'_>,
        answer: Option<Answer>,
        fault: &Fault,
        now_us: u64,
    ) -> Reply {
        let answer = match (self.instead(route, &fault.action), answer) {
            (Some(instead), _) => instead,
            (None, Some(answer)) => answer,
            // Not accepted, and yet to look like the ordinary answer.
            (None, None) => self.feigned(route),
        };
        let mut reply = self.whole(route.number(), answer, now_us);
        for (name, value) in &fault.headers {
            reply.headers.push((name.clone().into(), value.clone()));
        }
        disturb(&mut reply, &fault.action);
        reply
    }

    /// The answer that an action gives instead of the rules' answer, if it does.
    fn instead(&mut self, route: Route<'_>, action: &Action) -> Option<Answer> {
        let error = match action {
            Action::Error {
                code,
                status,
                subcode,
                details,
            } => ApiError::of(*code)
                .with_status(*status)
                .with_subcode(*subcode)
                .with_details(details.clone()),
            Action::SuccessWithError { code } => ApiError::of(*code).with_status(Some(200)),
            Action::Http { status, body, .. } => {
                return Some(Answer {
                    status: *status,
                    body: body.clone().into(),
                    error: None,
                });
            }
            Action::Slow { .. }
            | Action::Truncate { .. }
            | Action::HugeBody { .. }
            | Action::Trickle { .. }
            | Action::ResetBefore {}
            | Action::ResetAfter {}
            | Action::Hang {} => return None,
        };
        self.ledger.reject(route.number(), error.code);
        Some(self.refusal(error))
    }

    /// A success that is in no ledger.
    fn feigned(&mut self, route: Route<'_>) -> Answer {
        let body = match route {
            Route::Number { number } => format!(r#"{{"id":"{number}"}}"#).into_bytes(),
            Route::Templates { .. } => br#"{"data":[]}"#.to_vec(),
            Route::Token => br#"{"data":{"is_valid":true,"scopes":[]}}"#.to_vec(),
            Route::OnNumber { .. }
            | Route::OnAccount { .. }
            | Route::OnObject { .. }
            | Route::OnApp { .. }
            | Route::Node { .. } => br#"{"success":true}"#.to_vec(),
            Route::Messages { .. } | Route::Marketing { .. } => {
                self.minted += 1;
                let wamid = wamid(self.options.seed, self.minted);
                format!(r#"{{"messaging_product":"whatsapp","messages":[{{"id":"{wamid}"}}]}}"#)
                    .into_bytes()
            }
        };
        Answer {
            status: 200,
            body,
            error: None,
        }
    }
}

#[cfg(test)]
mod tests;
