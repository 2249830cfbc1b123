//! A lane's consumer and what it delivers: opened when the lane wants messages, lost, opened again, closed; as `dispatch/consumer.rs`
//! and the delivering half of `dispatch.rs` do it.

use super::Us;
use super::allowance::us;
use super::broker::{ChannelId, Copy, Tag};
use super::checks::{Checked, ensure};
use super::conduct::Item;
use super::flaws::Flaw;
use super::plan::{Request, RequestNo};
use super::publishing::{Held, Letter};
use super::worker::Who;
use super::world::{Event, Simulation};
use whatsapp_dispatcher::core::fleet::placement;
use whatsapp_dispatcher::core::lane::{Decision, Evidence, Joined, Ticket};
use whatsapp_dispatcher::core::request::intake::{Header, Inbound, IntakeConfig, Refusal, intake};
use whatsapp_dispatcher::core::request::report::{Report, ReportedError, Status};

const INTAKE: IntakeConfig = IntakeConfig {
    max_body_bytes: 262_144,
    check_sizes: true,
    user_ids_in_to: false,
};

impl Simulation {
    /// Starts to subscribe if the lane wants it and the time has come. Returns when to look again.
    pub(super) fn open_if_due(&mut self, who: Who) -> Option<Us> {
        if !self.processes[who.worker].joined {
            return None;
        }
        let now = self.now_us;
        let shell = self.shell_mut(who);
        if shell.channel.is_some() || shell.is_opening {
            return None;
        }
        let at = us(shell.lane.rejoin_at()?).max(shell.open_not_before);
        if at > now {
            return Some(at);
        }
        shell.is_opening = true;
        shell.opening += 1;
        shell.opening_prefetch = shell.lane.config().prefetch();
        let opening = shell.opening;
        let there_and_back = self.hop() + self.hop();
        self.after(there_and_back, Event::Opened(who, opening));
        None
    }

    pub(super) fn opened(&mut self, who: Who, opening: u64) -> Checked {
        let current = self.is_alive(who) && {
            let shell = self.shell_mut(who);
            shell.is_opening && shell.opening == opening
        };
        if !current {
            return Ok(());
        }
        self.obey(who);
        let now = self.now();
        let shell = self.shell_mut(who);
        // As it was when the broker was asked: the limit may have changed since.
        let prefetch = shell.opening_prefetch;
        let name = format!("worker-{}", who.worker);
        let priority = placement::priority(&name, shell.lane.id().as_str());
        let ready = self.ready_on_link(who, prefetch);
        let channel = self.broker.subscribe(who.lane, who.worker, priority, ready);
        let shell = self.shell_mut(who);
        shell.is_opening = false;
        shell.channel = Some(channel);
        shell.lane.rejoined(prefetch, now);
        let state = shell.lane.state();
        shell.conduct.rejoined(prefetch, us(now.mono));
        self.note(|| format!("{who} subscribes, {}", state.as_str()));
        self.deliver_all(who.lane);
        self.turn(who)
    }

    pub(super) fn take(&mut self, who: Who, channel: ChannelId, tag: Tag, copy: Copy) -> Checked {
        if !self.is_alive(who) || self.shell_mut(who).channel != Some(channel) {
            return Ok(());
        }
        self.obey(who);
        let (now, request) = (self.now(), copy.request);
        self.note_arrival(who, &copy);
        self.claim(who);
        let facts = &self.plan.requests[request];
        let (expires_at, not_before) = (rfc3339(facts.expires_at_ms), rfc3339(facts.not_before_ms));
        let inbound = Inbound {
            priority: Some(if facts.high { 7 } else { 1 }),
            timestamp_s: None,
            operation: facts.operation,
            reply_to: None,
            redelivered: self.looks_redelivered(&copy),
            delivery_count: copy.returns,
            incarnation: facts.incarnation,
            headers_bytes: 0,
            expires_at: expires_at.as_deref().map(text),
            not_before: not_before.as_deref().map(text),
            on_unknown: on_unknown(facts, self.flaw).map(text),
            history: copy.history.clone(),
            // Some protocols have no message id, but headers.
            ..named(facts.id.as_deref(), request % 5 == 4)
        };
        let held = Held::new(request, channel, tag);
        let message = match intake(facts.body.clone().into(), inbound, &INTAKE, now) {
            Ok(message) => message,
            Err(refusal) => return self.refuse(who, held, refusal),
        };
        let item = Item {
            request,
            person: facts.person,
            copy,
            token: 0,
        };
        let shell = self.shell_mut(who);
        let ticket = shell.new_ticket();
        let joined = shell.lane.accept(message, ticket, now);
        self.joined(who, ticket, (held, item), joined)?;
        self.turn(who)
    }

    fn joined(
        &mut self,
        who: Who,
        ticket: Ticket,
        (held, item): (Held, Item),
        joined: Joined,
    ) -> Checked {
        let (channel, tag) = (held.channel, held.tag);
        let shell = self.shell_mut(who);
        match joined {
            Joined::Waits => {
                shell.deliveries.insert(ticket, held);
                shell.conduct.joined(ticket, item)?;
            }
            Joined::Asks => {
                shell.deliveries.insert(ticket, held);
                shell.conduct.joined(ticket, item)?;
                shell.conduct.asks(ticket);
                let took = self.chance.within(1_000..=300_000);
                self.after(took, Event::Evidence(who, channel, ticket));
            }
            Joined::Decided(resolved) => {
                shell.deliveries.insert(ticket, held.clone());
                shell
                    .conduct
                    .decided_at_once(ticket, item, &resolved.decision)?;
                self.note_departure(who, &held, &resolved.decision);
                self.carry_out(who, resolved)?;
            }
            Joined::InFlight(original) => {
                shell.deliveries.insert(original, held);
                shell.conduct.adopted(original, &item)?;
                self.touched.insert(tag);
                self.tally.count("adopted by a redelivery");
            }
            Joined::Replaces {
                earlier,
                let_go,
                asks,
            } => {
                if let Some(before) = shell.deliveries.insert(earlier, held) {
                    shell.deliveries.insert(ticket, before);
                }
                shell
                    .conduct
                    .replaced(earlier, item, ticket, &let_go.decision)?;
                if asks {
                    shell.conduct.asks(earlier);
                    let took = self.chance.within(1_000..=300_000);
                    self.after(took, Event::Evidence(who, channel, earlier));
                }
                self.touched.insert(tag);
                self.tally.count("replaced by its copy");
                self.carry_out(who, let_go)?;
            }
        }
        Ok(())
    }

    /// The log of results was read up to now.
    pub(super) fn evidence(&mut self, who: Who, channel: ChannelId, ticket: Ticket) -> Checked {
        if !self.is_alive(who) || self.shell_mut(who).channel != Some(channel) {
            return Ok(());
        }
        self.obey(who);
        let now = self.now();
        let held = self.shell_mut(who).deliveries.get(&ticket);
        let Some(request) = held.map(|held| held.request) else {
            return Ok(());
        };
        let Some(copy) = self.shell_mut(who).conduct.copy(ticket) else {
            return Ok(());
        };
        let is_over = self.is_in_log(request, &copy);
        let evidence = match self.has_answer(request) {
            Some(answered) if answered != request => Evidence::Result,
            Some(_) | None => self.search(who, request, &copy),
        };
        self.tally.count(match evidence {
            Evidence::Result => "evidence found",
            Evidence::Copy => "evidence of a copy",
            Evidence::Nothing => "evidence nothing",
        });
        let shell = self.shell_mut(who);
        let seen = match shell.flaw {
            Some(Flaw::IgnoresEvidence) => Evidence::Nothing,
            Some(_) | None => evidence,
        };
        let resolved = shell.lane.evidence(ticket, seen, now);
        let decision = resolved.as_ref().map(|resolved| &resolved.decision);
        shell.conduct.evident(ticket, decision, is_over)?;
        let asks_for_report = self.plan.requests[request].on_unknown == Some("report");
        ensure(decision.is_some() || !asks_for_report, "P3", || {
            format!(
                "request {request} asks for a report, and will be sent although it may have been"
            )
        })?;
        match decision {
            Some(Decision::Delay { .. }) => self.tally.count("suspected"),
            Some(Decision::Bury(report)) => self.tally.count(report.dead_reason()),
            Some(_) | None => {}
        }
        if let Some(resolved) = resolved {
            self.carry_out(who, resolved)?;
        }
        self.turn(who)
    }

    fn note_arrival(&mut self, who: Who, copy: &Copy) {
        let (request, again, hops) = (copy.request, copy.redelivered, copy.history.hops);
        self.note(|| format!("{who} gets request {request}, again: {again}, hop {hops}"));
        if again {
            self.tally.count("redelivered");
            self.fates.redelivered(request);
        }
    }

    fn looks_redelivered(&self, copy: &Copy) -> bool {
        // As if what was known of an earlier publication answered for this one.
        let is_mistaken = self.flaw == Some(Flaw::MistakesPublications)
            && self.plan.requests[copy.request].after.is_some();
        copy.redelivered && self.flaw != Some(Flaw::ForgetsRedelivered) || is_mistaken
    }

    /// Whose result the log has for this request: its own, and no earlier publication's.
    pub(super) fn has_answer(&self, request: RequestNo) -> Option<RequestNo> {
        if self.fates.has_ended(request) {
            return Some(request);
        }
        let first = self.plan.requests[request].after;
        first.filter(|_| self.flaw == Some(Flaw::TakesAnothersResult))
    }

    fn refuse(&mut self, who: Who, held: Held, refusal: Refusal) -> Checked {
        let mut letters = vec![];
        if refusal.dead_reason.is_some() {
            letters.push(Letter::Dead);
        }
        let error = ReportedError::from_faults(refusal.faults);
        let lane = self.shell_mut(who).lane.id().clone();
        let inbound = Inbound {
            message_id: refusal.id.as_deref(),
            ..Inbound::default()
        };
        let report = Report::unread(&inbound, &lane, Status::Rejected, Some(error), self.now());
        letters.push(Letter::Result(report.into()));
        self.tally.count("refused at intake");
        self.begin(who, held, None, letters);
        self.turn(who)
    }

    /// What waited is the broker's again; what is in flight is awaited.
    pub(super) fn lose_channel(&mut self, who: Who, open_not_before: Us) {
        let shell = self.shell_mut(who);
        shell.open_not_before = open_not_before;
        shell.is_opening = false;
        shell.channel = None;
        shell.has_claim = false;
        if shell.flaw != Some(Flaw::ForgetsChannelLoss) {
            shell.conduct.channel_lost();
            shell.lane.channel_lost();
        }
        let lane = &shell.lane;
        shell
            .deliveries
            .retain(|ticket, _| lane.is_in_flight(*ticket));
    }

    /// Closes the channel, behind all acknowledgements: nothing is in flight.
    pub(super) fn leave(&mut self, who: Who) {
        if let Some(channel) = self.shell_mut(who).channel {
            self.note(|| format!("{who} gives its lane back"));
            self.tally.count("lane given back");
            let at = self.frame(channel, false);
            self.at(at, Event::ChannelClosed(channel));
            let shell = self.shell_mut(who);
            shell.lane.left();
            shell.conduct.left();
        }
        let open_not_before = self.shell_mut(who).open_not_before;
        self.lose_channel(who, open_not_before);
    }
}

fn rfc3339(at_ms: Option<u64>) -> Option<String> {
    let timestamp = jiff::Timestamp::from_millisecond(at_ms? as i64);
    timestamp.ok().map(|timestamp| timestamp.to_string())
}

fn named(id: Option<&str>, in_header: bool) -> Inbound<'_> {
    Inbound {
        message_id: id.filter(|_| !in_header),
        id_header: id.filter(|_| in_header).map(|id| ("message-id", text(id))),
        ..Inbound::default()
    }
}

fn on_unknown(facts: &Request, flaw: Option<Flaw>) -> Option<&'static str> {
    let forgets = flaw == Some(Flaw::ForgetsToReport);
    facts
        .on_unknown
        .filter(|word| !forgets || *word != "report")
}

fn text(value: &str) -> Header<'_> {
    Header::Text(value.as_bytes())
}
