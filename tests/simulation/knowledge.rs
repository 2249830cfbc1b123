//! What a process has to know of holds, by a second account: what it met, what it was told, and what has ended since.

use super::checks::{Checked, ensure};
use super::conduct::Item;
use super::process::Process;
use super::worker::Who;
use super::world::Simulation;
use std::collections::BTreeMap;
use std::sync::Arc;
use whatsapp_dispatcher::contract::words::Scope;
use whatsapp_dispatcher::core::fleet::holds::{Finding, Hold, News, Place, Reach, Record, Why};
use whatsapp_dispatcher::core::lane::State;
use whatsapp_dispatcher::core::outcome::{Effect, Outcome};
use whatsapp_dispatcher::core::request::decide::Decision;

#[derive(Clone, Copy, Default)]
struct Known {
    /// Until it is lifted.
    is_held: bool,
    /// The API asked for so long.
    until_ms: u64,
}

#[derive(Default)]
pub(super) struct Knowledge {
    known: BTreeMap<Reach, Known>,
    /// After a first refusal: how many more may come, as they were sent before or try whether it is over.
    owed: BTreeMap<Reach, usize>,
    /// By account and template: until when its messages wait.
    templates: BTreeMap<Arc<str>, u64>,
}

impl Knowledge {
    /// A lane met something. `struck`: what the process takes it to strike and tells others, if that is
    /// news.
    pub(super) fn found(
        &mut self,
        place: &Place,
        finding: &Finding,
        struck: Option<(&Reach, Option<Hold>)>,
        wall_ms: u64,
    ) -> Checked {
        let pause_ms = finding.pause.unwrap_or_default().as_millis() as u64;
        if let Some(template) = &finding.template {
            let key = format!("{}/{template}", place.waba);
            self.hold_template(key.into(), wall_ms + pause_ms, wall_ms);
            return Ok(());
        }
        let (struck, hold) = (struck.map(|s| s.0), struck.and_then(|s| s.1));
        let own = place.reach(finding.scope);
        // One lane's outage may be one lane's.
        let may_be = finding.why == Why::Outage;
        let reach = struck.or(own.as_ref());
        let Some(reach) = reach else { return Ok(()) };
        let fits = Some(reach) == own.as_ref() || may_be && place.is_in(reach);
        ensure(fits, "scope", || {
            format!("{finding:?} in {place:?} struck {reach:?}")
        })?;
        let is_known = self
            .known
            .get(reach)
            .is_some_and(|known| known.is_held || known.until_ms > wall_ms);
        // Of an outage that is known of one lane, only the process knows how far it goes.
        ensure(is_known || struck.is_some() || may_be, "scope", || {
            format!("{finding:?} in {place:?} was no news, and is not known")
        })?;
        let known = self.known.entry(reach.clone()).or_default();
        match finding.why {
            Why::Throttle => {
                let told_ms = hold.map_or(0, |hold| hold.until_ms);
                known.until_ms = known.until_ms.max(wall_ms + pause_ms).max(told_ms);
                // The API has answered: it was not out of reach.
                known.is_held &= hold.is_none_or(|hold| hold.why != Why::Throttle);
            }
            Why::Block | Why::Penalty | Why::Outage => known.is_held |= struck.is_some(),
        }
        Ok(())
    }

    /// Said by another process, and news.
    pub(super) fn heard(&mut self, record: &Record, places: &[Place], wall_ms: u64) {
        let reach = record.reach.clone();
        match &record.news {
            News::Held(hold) => {
                let is_held = hold.why != Why::Throttle;
                let until_ms = if is_held { 0 } else { hold.until_ms };
                self.known.insert(reach, Known { is_held, until_ms });
            }
            News::Lifted => drop(self.known.remove(&reach)),
            // Whoever is told to go need not try first, and what only this process knows of the lane is over with it. Lenient: what
            // others know as well may go on.
            News::Resumed => {
                self.known.remove(&reach);
                let resumed = places.iter().filter(|place| place.is_in(&reach));
                resumed.for_each(|place| self.works(place));
            }
            News::TemplateHeld { until_ms } => {
                self.hold_template(reach.key, *until_ms, wall_ms);
            }
            News::Paused { .. } | News::Taken | News::Left { .. } | News::Present { .. } => {}
        }
    }

    /// What is held already is held no longer for another refusal.
    fn hold_template(&mut self, key: Arc<str>, until_ms: u64, wall_ms: u64) {
        let held = self.templates.entry(key).or_default();
        if *held <= wall_ms {
            *held = until_ms;
        }
    }

    /// The API says that it is over: a pause that it asked for is not.
    pub(super) fn lifted(&mut self, reach: &Reach) {
        if let Some(known) = self.known.get_mut(reach) {
            known.is_held = false;
        }
    }

    /// An operator says go.
    pub(super) fn resumed(&mut self, place: &Place) {
        self.known.retain(|reach, _| !place.is_in(reach));
        self.owed.retain(|reach, _| !place.is_in(reach));
    }

    /// A new token may have mended what holds it: the API is asked at once, whatever pause it had asked for with the old one.
    pub(super) fn renewed(&mut self, place: &Place) {
        for (reach, known) in &mut self.known {
            if place.is_in(reach) && known.is_held {
                known.until_ms = 0;
            }
        }
    }

    /// P4: nobody in scope of what this process knows of sends.
    pub(super) fn check_send(
        &self,
        place: &Place,
        template: Option<&str>,
        wall_ms: u64,
    ) -> Checked {
        let key = template.map(|template| format!("{}/{template}", place.waba));
        let until_ms = key.and_then(|key| self.templates.get(&*key));
        ensure(
            until_ms.is_none_or(|until_ms| *until_ms <= wall_ms),
            "scope",
            || format!("{place:?} sends a message of {template:?}, which is known to be paused"),
        )?;
        let held = self.known.iter().find(|(reach, known)| {
            place.is_in(reach) && (known.is_held || known.until_ms > wall_ms)
        });
        ensure(held.is_none(), "scope", || {
            format!(
                "{place:?} sends, and the process knows that {:?} is held",
                held.map(|h| h.0)
            )
        })
    }

    /// The API refused a request for all of that reach, while so many others of it were in flight here.
    pub(super) fn refused(&mut self, reach: Reach, in_flight: usize) -> Checked {
        let Some(owed) = self.owed.get_mut(&reach) else {
            self.owed.insert(reach, in_flight);
            return Ok(());
        };
        ensure(*owed > 0, "cost", || {
            format!("one more refusal for {reach:?} than were in flight at the first, or tried")
        })?;
        *owed -= 1;
        Ok(())
    }

    /// One request tries whether it is over.
    pub(super) fn tries(&mut self, place: &Place) {
        for (reach, owed) in &mut self.owed {
            *owed += usize::from(place.is_in(reach));
        }
    }

    /// Nothing is known against sending from there.
    pub(super) fn works(&mut self, place: &Place) {
        self.owed.retain(|reach, _| !place.is_in(reach));
    }
}

impl Simulation {
    /// A lane sends: nothing that its process has met, heard or read may be against it.
    pub(super) fn check_known(&mut self, who: Who, template: Option<&str>) -> Checked {
        let wall_ms = self.now().steady_ms;
        let now_us = self.now_us;
        let is_careful = self.shell_mut(who).conduct.is_careful(now_us);
        let Some(board) = &mut self.processes[who.worker].board else {
            return Ok(());
        };
        let place = &board.places[who.lane];
        let (stood, paused) = &board.stood;
        let has_begun_early = board.read < *stood && paused.contains(place.lane.as_str());
        ensure(!has_begun_early, "start", || {
            format!("{who} sends before it has read that it was paused")
        })?;
        if is_careful {
            board.knowledge.tries(place);
        }
        board.knowledge.check_send(place, template, wall_ms)
    }

    /// A block costs as many refusals as were in flight when the first came back, and one for each try.
    /// What may be one request's own fault stops nobody yet.
    pub(super) fn note_cost(
        &mut self,
        who: Who,
        item: &Item,
        outcome: &Outcome,
        may_be_its_own: bool,
    ) -> Checked {
        let is_old = self.shell_mut(who).conduct.is_of_old_token(item);
        let Process { board, shells, .. } = &mut self.processes[who.worker];
        let Some(board) = board else {
            return Ok(());
        };
        let place = &board.places[who.lane];
        match outcome {
            // What is wrong with the message may be told before the block is; the lane cannot know.
            Outcome::Accepted(_) | Outcome::Failed(Effect::Refused { .. }, _) => {
                board.knowledge.works(place)
            }
            Outcome::Failed(
                Effect::Blocked {
                    scope,
                    second_recipient: false,
                    ..
                },
                _,
            ) if !is_old && !may_be_its_own => {
                let blamed = item.copy.history.blamed;
                let scope = if blamed { Scope::Lane } else { *scope };
                let Some(reach) = place.reach(scope) else {
                    return Ok(());
                };
                let lanes = board.places.iter().zip(shells);
                let lanes = lanes.filter(|(place, _)| place.is_in(&reach));
                let in_flight = lanes
                    .map(|(_, shell)| shell.conduct.in_flight().len())
                    .sum();
                return board.knowledge.refused(reach, in_flight);
            }
            Outcome::NotSent { .. }
            | Outcome::Failed(
                Effect::Transient { .. }
                | Effect::Throttled { .. }
                | Effect::Blocked { .. }
                | Effect::Ambiguous,
                _,
            ) => {}
        }
        Ok(())
    }

    /// It gives way to others, or pays, for what it alone may have met.
    pub(super) fn note_blame(
        &mut self,
        item: &Item,
        outcome: &Outcome,
        decision: Option<&Decision>,
        is_charged: bool,
    ) {
        if let Some(Decision::Delay { message, .. }) = decision
            && message.history.blamed
        {
            self.tally.count("blamed");
            self.fates.blamed(item.request);
        }
        if let Some(Effect::Blocked {
            second_recipient: false,
            ..
        }) = outcome.effect()
            && is_charged
        {
            self.tally.count("a block held against its request");
        }
    }

    pub(super) fn note_doubt(&mut self, item: &Item, outcome: &Outcome) {
        let facts = &self.plan.requests[item.request];
        let resends = facts.is_receipt || facts.on_unknown == Some("resend");
        match outcome.effect() {
            Some(Effect::Ambiguous) => self.fates.unsure(item.request, resends),
            Some(Effect::Transient {
                proves_unsent: false,
                ..
            }) => self.fates.unsure(item.request, true),
            Some(
                Effect::Refused { .. }
                | Effect::Transient { .. }
                | Effect::Throttled { .. }
                | Effect::Blocked { .. },
            )
            | None => {}
        }
    }

    /// No lane stays away that nothing holds.
    pub(super) fn check_away(&mut self, who: Who) -> Checked {
        let mut now = self.now();
        // The timer that ends a pause may be late.
        now.steady_ms -= self.plan.network.late_us / 1_000 + 1;
        let shell = self.shell_mut(who);
        let is_away = matches!(shell.driver.state(), State::Away { .. }) && shell.orders.is_none();
        let Some(board) = self.processes[who.worker]
            .board
            .as_ref()
            .filter(|_| is_away)
        else {
            return Ok(());
        };
        let held = board.holds.on(&board.places[who.lane], now);
        let is_held = held.hold.is_some() || held.paused_since_ms.is_some();
        ensure(is_held, "scope", || {
            format!("{who} is away, and nothing holds it")
        })
    }
}
