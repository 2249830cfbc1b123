//! Which decision may follow which outcome, and what it counts (P4).

use super::checks::{Checked, Violation, ensure};
use super::conduct::Item;
use whatsapp_dispatcher::core::lane::Decision;
use whatsapp_dispatcher::core::outcome::{Outcome, Scope};
use whatsapp_dispatcher::core::report::Status;

pub(super) fn check(
    item: &Item,
    outcome: &Outcome,
    decision: Option<&Decision>,
    is_old: bool,
    is_charged: bool,
    attempts_max: u32,
) -> Checked {
    let request = item.request;
    let costs_nothing = match outcome {
        // Waits in the broker, not in the lane.
        Outcome::Throttled {
            scope: Scope::Template,
            ..
        } => false,
        Outcome::Throttled { .. } | Outcome::NotSent { .. } => true,
        Outcome::Blocked {
            second_recipient, ..
        } => is_old || !second_recipient,
        Outcome::Accepted(_)
        | Outcome::Refused { .. }
        | Outcome::Transient { .. }
        | Outcome::Unknown { .. } => false,
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
        Some(Decision::Repeat { .. } | Decision::Forget) => {
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
        (Outcome::Refused { .. }, status) => status == Some(Status::Rejected),
        (Outcome::Transient { then_invalid, .. }, Some(Status::Rejected)) => *then_invalid,
        (_, Some(Status::Accepted | Status::Rejected)) => false,
        (_, Some(Status::Expired | Status::Failed | Status::Unknown) | None) => true,
    };
    ensure(fits, "P1", || {
        format!("request {request}: {outcome:?} became {decision:?}")
    })
}
