//! Which decision may follow which outcome, and what it counts (P4).

use super::checks::{Checked, Violation, ensure};
use super::conduct::Item;
use super::stops::Blame;
use whatsapp_dispatcher::contract::words::{Scope, Status};
use whatsapp_dispatcher::core::outcome::{Effect, Outcome};
use whatsapp_dispatcher::core::request::decide::Decision;

/// Refused for more than its own sake.
fn is_for_all(outcome: &Outcome) -> bool {
    match outcome.effect() {
        Some(Effect::Throttled {
            scope: Scope::Pair | Scope::Template,
            ..
        })
        | None => false,
        Some(Effect::Throttled { .. } | Effect::Blocked { .. }) => true,
        Some(Effect::Refused { .. } | Effect::Transient { .. } | Effect::Ambiguous) => false,
    }
}

/// It leaves the lane to others, unless its time would be over when it comes back.
fn gives_way(decision: Option<&Decision>) -> bool {
    match decision {
        Some(Decision::Delay { message, .. }) => message.history.blamed,
        Some(Decision::Finish(report) | Decision::Bury(report)) => {
            matches!(report.status, Status::Expired | Status::Failed)
        }
        Some(
            Decision::Repeat { .. }
            | Decision::Duplicate { .. }
            | Decision::Forget
            | Decision::Abandon,
        )
        | None => false,
    }
}

/// What the request has made by then; 0 if that is not told.
pub(super) fn attempts(decision: Option<&Decision>) -> u32 {
    match decision {
        Some(Decision::Delay { message, .. }) => message.history.attempts,
        Some(Decision::Finish(report) | Decision::Bury(report)) => report.attempts,
        Some(
            Decision::Repeat { .. }
            | Decision::Duplicate { .. }
            | Decision::Forget
            | Decision::Abandon,
        )
        | None => 0,
    }
}

/// It has cost an attempt, and there is a reason for that.
fn is_held_against(item: &Item, decision: Option<&Decision>, blame: Option<Blame>) -> bool {
    let may_be = blame.is_some_and(|blame| blame.may_be_its_own);
    may_be && attempts(decision) > item.copy.history.attempts
}

pub(super) fn check(
    item: &Item,
    outcome: &Outcome,
    decision: Option<&Decision>,
    blame: Option<Blame>,
    is_charged: bool,
    attempts_max: u32,
) -> Checked {
    let request = item.request;
    let is_for_all = is_for_all(outcome);
    let is_charged = if is_for_all {
        is_held_against(item, decision, blame)
    } else {
        is_charged
    };
    let costs_nothing = match outcome.effect() {
        // Of these, those of a template wait in the broker, not in the lane.
        Some(Effect::Throttled {
            scope: Scope::Template,
            ..
        }) => false,
        Some(Effect::Throttled { .. } | Effect::Blocked { .. }) => {
            let gives_way = blame.is_some_and(|blame| blame.may_give_way) && gives_way(decision);
            !is_charged && !gives_way
        }
        Some(Effect::Refused { .. } | Effect::Transient { .. } | Effect::Ambiguous) => false,
        None => matches!(outcome, Outcome::NotSent { .. }),
    };
    let stays = matches!(decision, None | Some(Decision::Abandon));
    ensure(!costs_nothing || stays, "P4", || {
        format!("request {request} was decided by {outcome:?}: {decision:?}")
    })?;
    let (attempts, status) = match decision {
        None | Some(Decision::Abandon) => return Ok(()),
        Some(Decision::Delay { message, .. }) => (message.history.attempts, None),
        Some(Decision::Finish(report) | Decision::Bury(report)) => {
            (report.attempts, Some(report.status))
        }
        Some(Decision::Repeat { .. } | Decision::Duplicate { .. } | Decision::Forget) => {
            return Violation::of("P1", format!("request {request} was sent and forgotten"));
        }
    };
    let before = item.copy.history.attempts;
    // Who asks for a report of what is unknown is told of every attempt.
    let is_charged = is_charged || status == Some(Status::Unknown);
    ensure(attempts == before + u32::from(is_charged), "P4", || {
        format!("request {request}: attempt {attempts} follows {before}, charged {is_charged}")
    })?;
    ensure(attempts <= attempts_max, "P7", || {
        format!("request {request} has made {attempts} attempts")
    })?;
    let fits = match (outcome, status) {
        (Outcome::Accepted(_), status) => status == Some(Status::Accepted),
        (Outcome::Failed(Effect::Refused { .. }, _), status) => status == Some(Status::Rejected),
        (Outcome::Failed(Effect::Transient { then_invalid, .. }, _), Some(Status::Rejected)) => {
            *then_invalid
        }
        (_, Some(Status::Accepted | Status::Rejected)) => false,
        (_, Some(Status::Expired | Status::Failed | Status::Unknown) | None) => true,
    };
    ensure(fits, "P1", || {
        format!("request {request}: {outcome:?} became {decision:?}")
    })
}
