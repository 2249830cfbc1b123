//! A lane's consumer and what it delivers: opened when the lane wants messages, lost, opened again.

use super::Us;
use super::allowance::us;
use super::broker::{ChannelId, Copy, Tag};
use super::checks::{Checked, Violation, ensure};
use super::conduct::Item;
use super::flaws::Flaw;
use super::plan::{Request, RequestNo};
use super::publishing::{Held, Letter, concluded as concluded_by};
use super::worker::Who;
use super::world::{Event, Simulation};
use std::sync::LazyLock;
use whatsapp_dispatcher::contract::request::{Header, Inbound, MEDIA_UPLOAD};
use whatsapp_dispatcher::contract::result::{ErrorDocument, ResultDocument};
use whatsapp_dispatcher::contract::words::Status;
use whatsapp_dispatcher::core::evidence::search::Question;
use whatsapp_dispatcher::core::fleet::placement;
use whatsapp_dispatcher::core::lane::driver::Command;
use whatsapp_dispatcher::core::lane::{Evidence, Resolved, Ticket};
use whatsapp_dispatcher::core::media::source::Sources;
use whatsapp_dispatcher::core::operation::{IntakeConfig, SchemaCheck};
use whatsapp_dispatcher::core::request::decide::Decision;
use whatsapp_dispatcher::core::request::intake::{Refusal, intake};

static INTAKE: LazyLock<IntakeConfig> = LazyLock::new(|| IntakeConfig {
    max_body_bytes: 262_144,
    check_sizes: true,
    user_ids_in_to: false,
    schema: SchemaCheck::Warn,
    sources: Sources::parse(["files.example"].into_iter()).unwrap_or_default(),
});

impl Simulation {
    /// Starts to subscribe if the lane wants it and the time has come. Returns when to look again.
    pub(super) fn open_if_due(&mut self, who: Who) -> Result<Option<Us>, Violation> {
        if !self.processes[who.worker].joined {
            return Ok(None);
        }
        let now = self.now_us;
        let shell = self.shell_mut(who);
        if shell.channel.is_some() || shell.is_opening {
            return Ok(None);
        }
        let Some(wanted_at) = shell.driver.wanted_at() else {
            return Ok(None);
        };
        let mut at = us(wanted_at).max(shell.open_not_before);
        if shell.flaw == Some(Flaw::OvertakesOwner) {
            at = shell.open_not_before;
        }
        if at > now {
            return Ok(Some(at));
        }
        self.check_owner_first(who)?;
        let shell = self.shell_mut(who);
        shell.is_opening = true;
        shell.opening += 1;
        shell.opening_prefetch = shell.driver.prefetch();
        let opening = shell.opening;
        let there_and_back = self.hop() + self.hop();
        self.after(there_and_back, Event::Opened(who, opening));
        Ok(None)
    }

    pub(super) fn opened(&mut self, who: Who, opening: u64) -> Checked {
        let current = self.is_alive(who) && {
            let shell = self.shell_mut(who);
            shell.is_opening && shell.opening == opening
        };
        if !current {
            return Ok(());
        }
        // As it was when the broker was asked: the limit may have changed since.
        let prefetch = self.shell_mut(who).opening_prefetch;
        let priority =
            placement::priority(&self.plan.name(who.worker), &self.plan.lanes[who.lane].id);
        let ready = self.ready_on_link(who, prefetch);
        let channel = self.broker.subscribe(who.lane, who.worker, priority, ready);
        let shell = self.shell_mut(who);
        shell.is_opening = false;
        shell.channel = Some(channel);
        if shell.driver.is_leaving() {
            shell.conduct.opened(prefetch);
            self.deliver_all(who.lane);
            return self.leave_on(who);
        }
        self.obey(who)?;
        let now = self.now();
        let shell = self.shell_mut(who);
        shell.driver.subscribed(prefetch, now);
        let state = shell.driver.state();
        shell.conduct.rejoined(prefetch, us(now.mono));
        self.note(|| format!("{who} subscribes, {}", state.as_str()));
        self.deliver_all(who.lane);
        self.turn(who)
    }

    pub(super) fn take(&mut self, who: Who, channel: ChannelId, tag: Tag, copy: Copy) -> Checked {
        if !self.is_alive(who) {
            return Ok(());
        }
        let held = Held::new(channel, tag, copy);
        if self.shell_mut(who).driver.is_leaving() {
            return self.take_while_leaving(who, held);
        }
        if self.shell_mut(who).channel != Some(channel) {
            return Ok(());
        }
        self.obey(who)?;
        let now = self.now();
        self.shell_mut(who).driver.delivered(held, now);
        self.perform_all(who)?;
        self.turn(who)
    }

    pub(super) fn check(&mut self, who: Who, held: Held) -> Checked {
        let (now, copy, request) = (self.now(), held.copy.clone(), held.request);
        let is_certain = self.can_know_unsent(who, &copy);
        self.note_arrival(who, &copy, is_certain);
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
            dedupe: facts.dedupe_s.map(|seconds| Header::Int(seconds.into())),
            media: facts.link.map(|_| text(MEDIA_UPLOAD)),
            history: copy.history.clone(),
            // Some protocols have no message id, but headers.
            ..named(facts.id.as_deref(), request % 5 == 4)
        };
        let checked = intake(facts.body.clone().into(), inbound, &INTAKE, now);
        let person = facts.person;
        let item = checked.is_ok().then_some(Item {
            request,
            is_stamped: facts.incarnation.is_some(),
            is_deduped: facts.dedupe_s.is_some(),
            link: facts.link,
            person,
            copy,
            token: 0,
        });
        let driver = &mut self.shell_mut(who).driver;
        driver.checked(held.clone(), checked, now);
        let commands = self.commands(who);
        if let Some(item) = item {
            self.note_joined(who, &held, item, &commands)?;
        }
        for command in commands {
            self.perform(who, command)?;
        }
        Ok(())
    }

    /// What became of a delivery, by what the driver wants done.
    fn note_joined(
        &mut self,
        who: Who,
        held: &Held,
        item: Item,
        commands: &[Command<Held>],
    ) -> Checked {
        let tag = held.tag;
        let mut concluded: Option<(Tag, &Resolved)> = None;
        let (mut void, mut asks) = (None, false);
        for command in commands {
            if let Some((delivery, resolved)) = concluded_by(command) {
                concluded = Some((delivery.tag, resolved));
            } else if let Command::Void(before) = command {
                void = Some(before.tag);
            } else if let Command::Ask { .. } = command {
                asks = true;
            }
        }
        let shell = self.shell_mut(who);
        let ticket = shell.new_ticket();
        let place = match (&concluded, void) {
            (Some((other, _)), _) if *other != tag => shell.tickets.remove(other),
            (_, Some(void)) => shell.tickets.remove(&void),
            (Some(_) | None, None) => Some(ticket),
        };
        let place = place.unwrap_or(ticket);
        shell.tickets.insert(tag, place);
        match (concluded, void) {
            (Some((other, resolved)), _) if other == tag => {
                let decision = &resolved.decision;
                shell.conduct.decided_at_once(ticket, item, decision)?;
                self.note_departure(who, held, decision);
                return Ok(());
            }
            (Some((_, let_go)), _) => {
                let decision = &let_go.decision;
                shell.conduct.replaced(place, item, ticket, decision)?;
                self.touched.insert(tag);
                self.tally.count("replaced by its copy");
            }
            (None, Some(_)) => {
                shell.conduct.adopted(place, &item)?;
                self.touched.insert(tag);
                self.tally.count("adopted by a redelivery");
            }
            (None, None) => shell.conduct.joined(ticket, item)?,
        }
        if asks {
            self.shell_mut(who).conduct.asks(place);
        }
        Ok(())
    }

    /// The log of results was read up to now.
    pub(super) fn evidence(
        &mut self,
        who: Who,
        ticket: Ticket,
        question: Question,
        asked_at: Us,
    ) -> Checked {
        if !self.is_alive(who) {
            return Ok(());
        }
        if self.shell_mut(who).driver.is_leaving() {
            // Nobody looks at it meanwhile.
            self.after(1_000, Event::Evidence(who, ticket, question, asked_at));
            return Ok(());
        }
        self.obey(who)?;
        let now = self.now();
        let held = self.shell_mut(who).driver.delivery(ticket);
        let request = held.map(|held| held.request);
        let copy = self.shell_mut(who).conduct.copy(ticket);
        let (Some(request), Some(copy)) = (request, copy) else {
            let driver = &mut self.shell_mut(who).driver;
            driver.evidence(ticket, Evidence::Nothing, now);
            return self.turn(who);
        };
        let is_over = self.is_in_log(request, &copy);
        let evidence = match self.has_answer(request) {
            Some(answered) if answered != request => Evidence::Result,
            Some(_) | None => self.search(request, &copy, question, asked_at),
        };
        self.note(|| format!("{who} finds evidence of request {request}: {evidence:?}"));
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
        shell.driver.evidence(ticket, seen, now);
        let commands = self.commands(who);
        self.judge_evidence(who, ticket, is_over, &commands)?;
        for command in commands {
            self.perform(who, command)?;
        }
        self.turn(who)
    }

    fn judge_evidence(
        &mut self,
        who: Who,
        ticket: Ticket,
        is_over: bool,
        commands: &[Command<Held>],
    ) -> Checked {
        let concluded = commands.iter().find_map(concluded_by);
        let decision = concluded.map(|(_, resolved)| &resolved.decision);
        let shell = self.shell_mut(who);
        let request = shell.conduct.copy(ticket).map(|copy| copy.request);
        let copy = shell.conduct.copy(ticket);
        shell.conduct.evident(ticket, decision, is_over)?;
        let is_sure = copy.is_some_and(|copy| self.is_surely_unsent(&copy));
        let asks_for_report =
            request.is_some_and(|request| self.plan.requests[request].on_unknown == Some("report"));
        ensure(
            decision.is_some() || !asks_for_report || is_sure,
            "P3",
            || {
                format!(
                    "request {request:?} asks for a report, and will be sent although it may have been"
                )
            },
        )?;
        let is_receipt = request.is_some_and(|request| self.plan.requests[request].is_receipt);
        if decision.is_none() && !is_sure && !is_receipt {
            let shell = self.shell_mut(who);
            let tag = shell.driver.delivery(ticket).map(|held| held.tag);
            shell.doubtful.extend(tag);
        }
        match decision {
            Some(Decision::Delay { .. }) => self.tally.count("suspected"),
            Some(Decision::Bury(report)) => self.tally.count(report.dead_reason()),
            Some(_) | None => {}
        }
        Ok(())
    }

    fn note_arrival(&mut self, who: Who, copy: &Copy, is_certain: bool) {
        let (request, again, hops) = (copy.request, copy.redelivered, copy.history.hops);
        self.note(|| format!("{who} gets request {request}, again: {again}, hop {hops}"));
        if again {
            self.tally.count("redelivered");
            if is_certain {
                self.tally.count("known to be unsent");
            } else {
                self.fates.redelivered(request);
            }
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

    pub(super) fn refuse(&mut self, who: Who, held: Held, refusal: Refusal) {
        let mut letters = vec![];
        if refusal.dead_reason.is_some() {
            letters.push(Letter::Dead);
        }
        let error = ErrorDocument::from_faults(refusal.faults);
        let lane = self.shell_mut(who).driver.id().clone();
        let inbound = Inbound {
            message_id: refusal.id.as_deref(),
            ..Inbound::default()
        };
        let report =
            ResultDocument::unread(&inbound, &lane, Status::Rejected, Some(error), self.now());
        letters.push(Letter::Result(report.into()));
        self.tally.count("refused at intake");
        self.begin(who, held, None, letters);
    }

    /// What waited is the broker's again; what is in flight is awaited.
    pub(super) fn lose_channel(&mut self, who: Who, open_not_before: Us) -> Checked {
        if !self.is_alive(who) {
            return Ok(());
        }
        if self.shell_mut(who).driver.is_leaving() {
            self.leave_at_once(who)?;
            if !self.is_alive(who) {
                return Ok(());
            }
            // Orders that came meanwhile.
            self.at(self.now_us, Event::Obey(who));
        }
        let shell = self.shell_mut(who);
        shell.open_not_before = open_not_before;
        shell.is_opening = false;
        shell.channel = None;
        shell.claim = None;
        if shell.flaw != Some(Flaw::ForgetsChannelLoss) {
            shell.conduct.channel_lost();
            shell.driver.channel_lost();
        }
        self.perform_all(who)
    }

    /// There is a session that was not there before, or none any more.
    pub(super) fn change_session(&mut self, who: Who) -> Checked {
        self.lose_channel(who, 0)?;
        if !self.is_alive(who) {
            return Ok(());
        }
        let (now, process) = (self.now(), &self.processes[who.worker]);
        let is_back = process.joined && process.sessions > 1;
        self.note_owner(who, is_back);
        if self.flaw != Some(Flaw::ForgetsChannelLoss) {
            let driver = &mut self.shell_mut(who).driver;
            driver.session_changed(is_back, now);
        }
        self.perform_all(who)
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
