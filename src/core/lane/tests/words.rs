//! What a story says, and what the API answers in it.

use super::*;
use crate::contract::result::ErrorDocument;
use crate::contract::result::ResultDocument;

pub(super) fn to_person(name: &str, rest: &str) -> String {
    let person = name.chars().next().unwrap_or_default().to_ascii_lowercase();
    format!(r#"{{"to":"{}",{rest}}}"#, u32::from(person))
}

/// What it told of more than its message: `, token block 190`, and with a pause `, lane throttle 4 for 60`.
pub(super) fn found(finding: Option<Finding>) -> String {
    finding.map_or(String::new(), |finding| {
        let code = finding
            .code
            .map_or(String::new(), |code| format!(" {code}"));
        let pause = finding
            .pause
            .map_or(String::new(), |pause| format!(" for {}", pause.as_secs()));
        let again = if finding.before.is_some() {
            " again"
        } else {
            ""
        };
        let (scope, why) = (finding.scope.as_str(), finding.why.as_str());
        format!(", {scope} {why}{code}{pause}{again}")
    })
}

/// `accepted #1 !`: how it ends, the attempts made, and ! if it may be a duplicate.
pub(super) fn told(decision: &Decision) -> String {
    let flag = |flagged: bool| if flagged { " !" } else { "" };
    let report = |report: &ResultDocument| {
        let doubt = flag(report.possible_duplicate);
        format!("{} #{}{doubt}", report.status.as_str(), report.attempts)
    };
    match decision {
        Decision::Finish(finished) => report(finished),
        Decision::Bury(buried) => format!("bury {}", report(buried)),
        Decision::Delay { delay_s, message } => {
            let history = &message.history;
            let copied = if history.copied_ms > 0 { " ?" } else { "" };
            let blamed = if history.blamed { " blamed" } else { "" };
            format!(
                "delay {delay_s} #{}{blamed}{}{copied}",
                history.attempts,
                flag(history.possible_duplicate)
            )
        }
        Decision::Repeat { flagged } => format!("repeat{}", flag(*flagged)),
        Decision::Duplicate { report, .. } => format!("duplicate, {}", report.status.as_str()),
        Decision::Forget => "forget".to_owned(),
        Decision::Abandon => "abandon".to_owned(),
    }
}

fn error(class: Class) -> ErrorDocument {
    ErrorDocument {
        code: Some(1),
        ..ErrorDocument::own(class.as_str(), "")
    }
}
pub(super) fn accepted() -> Outcome {
    Outcome::Accepted(Accepted::default())
}
pub(super) fn refused() -> Outcome {
    let effect = Effect::Refused {
        class: Class::Invalid,
        scope: Scope::Message,
        retry_not_before_s: None,
    };
    failed(effect)
}
pub(super) fn failed(effect: Effect) -> Outcome {
    Outcome::Failed(effect, error(effect.class()))
}
pub(super) const FREE: Held = Held {
    paused_since_ms: None,
    hold: None,
    is_said_to_be_well: false,
};
pub(super) const PAUSED: Held = Held {
    paused_since_ms: Some(WALL_MS),
    hold: None,
    is_said_to_be_well: false,
};
pub(super) fn held(scope: Scope, why: Why, for_s: u64) -> Held {
    let hold = Hold {
        scope,
        why,
        code: Some(1),
        remedy: "none",
        since_ms: WALL_MS,
        until_ms: WALL_MS + for_s * 1_000,
        failed_probes: 0,
    };
    Held {
        hold: Some(hold),
        ..FREE
    }
}
pub(super) fn transient(proves_unsent: bool) -> Outcome {
    failing(Scope::Message, proves_unsent)
}
pub(super) fn failing(scope: Scope, proves_unsent: bool) -> Outcome {
    failed(Effect::Transient {
        scope,
        then_invalid: false,
        max_retries: None,
        min_delay_s: None,
        proves_unsent,
    })
}
pub(super) fn unknown() -> Outcome {
    failed(Effect::Ambiguous)
}
pub(super) fn not_sent() -> Outcome {
    Outcome::NotSent {
        error: error(Class::Transient),
    }
}
pub(super) fn throttled(scope: Scope, pause_s: u32) -> Outcome {
    failed(Effect::Throttled {
        scope,
        pause_s: Some(pause_s),
        slow_down: false,
        new_limit: false,
    })
}
pub(super) fn too_fast(pause_s: Option<u32>) -> Outcome {
    failed(Effect::Throttled {
        scope: Scope::Lane,
        pause_s,
        slow_down: true,
        new_limit: false,
    })
}
pub(super) fn blocked(second_recipient: bool) -> Outcome {
    failed(Effect::Blocked {
        scope: Scope::Lane,
        remedy: "none",
        is_penalty: false,
        second_recipient,
    })
}

/// Of a publication that can be told from others.
pub(super) fn stamped(history: History) -> Inbound<'static> {
    Inbound {
        history,
        incarnation: Some(1),
        ..Inbound::default()
    }
}

/// Redelivered, with its count of returns.
pub(super) fn again(delivery_count: u64) -> Inbound<'static> {
    Inbound {
        redelivered: true,
        delivery_count,
        ..Inbound::default()
    }
}

pub(super) fn not_before(at: &'static str) -> Option<Header<'static>> {
    Some(Header::Text(at.as_bytes()))
}
