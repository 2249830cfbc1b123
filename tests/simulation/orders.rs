//! What the process wants of a lane, and how the lane obeys.

use super::checks::Checked;
use super::events::WorkerEvent;
use super::flaws::Flaw;
use super::worker::Who;
use super::world::{Event, Simulation};
use std::sync::Arc;
use whatsapp_dispatcher::core::fleet::holds::Held;
use whatsapp_dispatcher::core::fleet::tenure::Owner;
use whatsapp_dispatcher::core::lane::{State, driver};
use whatsapp_dispatcher::core::request::recent::Identity;

/// What the process wants of one lane. Only the newest counts.
#[derive(Clone, Default)]
pub(crate) struct Orders {
    held: Held,
    token: u64,
    /// Whose messages wait, until when.
    templates: Vec<(Arc<str>, u64)>,
    owner: Option<Owner>,
    unsent: Arc<[(Identity, u64)]>,
}

impl Simulation {
    pub(super) fn order_lane(&mut self, who: Who) {
        let now = self.now_of(who.worker);
        let account = self.plan.lanes[who.lane].account;
        let Some(board) = &self.processes[who.worker].board else {
            return;
        };
        let place = &board.places[who.lane];
        let templates = board.holds.templates(&place.waba);
        let orders = Orders {
            held: board.holds.on(place, now),
            token: board.tokens[account],
            templates: templates
                .map(|(name, until)| (name.into(), until))
                .collect(),
            owner: board.owner(place.lane.as_str()),
            unsent: board.tenures.told_since(place.lane.as_str()).into(),
        };
        self.shell_mut(who).orders = Some(orders);
        self.after(0, Event::Obey(who));
    }

    /// A lane looks for orders before it looks at anything else, unless it is leaving.
    pub(super) fn obey(&mut self, who: Who) -> Checked {
        if !self.is_alive(who) || self.shell_mut(who).driver.is_leaving() {
            return Ok(());
        }
        let (now, flaw) = (self.now(), self.flaw);
        let shell = self.shell_mut(who);
        let Some(orders) = shell.orders.take() else {
            return Ok(());
        };
        let Orders {
            mut held,
            token,
            templates,
            mut owner,
            unsent,
        } = orders;
        for (template, until_ms) in &templates {
            shell
                .conduct
                .hold_template(template, *until_ms, now.steady_ms);
        }
        let has_new_token = token != shell.token;
        if has_new_token {
            shell.token = token;
            shell.conduct.token_changed();
        }
        let flows = matches!(shell.driver.state(), State::Flowing | State::Cooling { .. });
        shell.conduct.told(&held, flows, now);
        if flaw == Some(Flaw::OverhearsPause) {
            held.paused_since_ms = None;
        }
        match (flaw, &mut owner) {
            (Some(Flaw::IgnoresOwner), _) => owner = None,
            (Some(Flaw::TrustsNames), Some(owner)) => {
                owner.is_us = *owner.worker == *self.plan.name(who.worker);
            }
            (Some(_) | None, _) => {}
        }
        let orders = Orders {
            held,
            token,
            templates,
            owner,
            unsent,
        };
        self.give(who, &orders, has_new_token, None);
        let shell = self.shell_mut(who);
        shell.obeyed = Some(orders);
        let state = shell.driver.state();
        self.note(|| format!("{who} is told, and is {}", state.as_str()));
        self.perform_all(who)
    }

    fn give(&mut self, who: Who, orders: &Orders, has_new_token: bool, limit_mps: Option<u32>) {
        let now = self.now();
        let orders = driver::Orders {
            held: orders.held,
            templates: &orders.templates,
            owner: orders.owner.as_ref(),
            unsent: orders.unsent.clone(),
            limit_mps,
            has_new_token,
        };
        self.shell_mut(who).driver.apply_orders(orders, now);
    }

    /// The API has told the number's limit.
    pub(super) fn set_limit(&mut self, who: Who, limit_mps: u32) -> Checked {
        self.obey(who)?;
        if self.shell_mut(who).driver.is_leaving() {
            self.after(1_000, Event::Worker(WorkerEvent::SetLimit(who, limit_mps)));
            return Ok(());
        }
        let orders = self.shell_mut(who).obeyed.clone().unwrap_or_default();
        self.give(who, &orders, false, Some(limit_mps));
        let now = self.now_us;
        let shell = self.shell_mut(who);
        let state = shell.driver.state();
        shell.conduct.set_limit(limit_mps, state, now);
        self.perform_all(who)?;
        self.turn(who)
    }

    pub(super) fn obeyed(&mut self, who: Who) -> Checked {
        if !self.is_alive(who) {
            return Ok(());
        }
        self.obey(who)?;
        self.turn(who)
    }
}
