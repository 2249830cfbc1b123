//! What the API does wrong in one seed, as a script of the simulator's.

use super::Us;
use super::chance::Chance;
use super::plan::{Request, TEMPLATES};
use graph_sim::{Action, Fault, Match, On};

/// Marks a scripted refusal, so that one the rules give can be told from it.
pub(crate) const SCRIPTED: &str = "scripted";

/// One code and more of every class and scope of the dispatcher's table, and one that it does not know.
const CODES: [i64; 24] = [
    1, 2, 131_000, 131_016, 134_101, // transient
    4, 80_007, 130_429, 131_056, 131_057, // throttled
    190, 368, 10, 200, 131_048, 131_042, // blocked
    100, 132_001, // invalid
    131_026, // undeliverable
    131_047, 131_049, // policy
    506, 999_999, 2_494_100,
];

/// "Template is paused".
pub(crate) const TEMPLATE_PAUSED: i64 = 132_015;

const LONE_CODES: [i64; 2] = [999_997, 999_998];

/// Errors after which the message may have gone out all the same.
const MAYBE_SENT: [i64; 5] = [1, 2, 131_000, 131_016, 506];

pub(crate) fn draw(chance: &mut Chance) -> Vec<Fault> {
    let mut faults = vec![];
    for kind in 0..9 {
        if chance.percent(60) {
            continue;
        }
        let accepted = Some(chance.percent(50));
        let fault = match kind {
            0 => Fault::new(Action::Slow {
                ms: chance.within(100..=8_000),
            }),
            1 => Fault {
                accepted,
                ..gateway(chance.pick(&[500, 502, 503, 504, 408]))
            },
            2 => gateway(chance.pick(&[301, 403, 404, 429])),
            3 => Fault::new(Action::Truncate {
                keep_bytes: None,
                close: chance.percent(50),
            }),
            4 => Fault::new(Action::ResetBefore {}),
            5 => Fault::new(Action::ResetAfter {}),
            6 => Fault {
                accepted,
                ..Fault::new(Action::Hang {})
            },
            7 => Fault::new(Action::SuccessWithError {
                code: chance.pick(&CODES),
            }),
            _ => Fault::new(Action::HugeBody { bytes: 100_000 }),
        };
        faults.push(fault);
    }
    for _ in 0..chance.pick(&[0, 1, 3]) {
        let code = chance.pick(&CODES);
        let accepted = (MAYBE_SENT.contains(&code) && chance.percent(50)).then_some(true);
        let mut fault = Fault {
            accepted,
            ..Fault::new(scripted(code))
        };
        if chance.percent(20) {
            let seconds = chance.pick(&["1", "7", "45"]);
            fault.headers = [("retry-after".to_owned(), seconds.to_owned())].into();
        }
        faults.push(fault);
    }
    for fault in &mut faults {
        fault.matches = Match {
            ratio: Some(chance.pick(&[0.02, 0.2, 0.9])),
            times: chance.pick(&[None, Some(1), Some(6)]),
            ..Match::default()
        };
    }
    faults
}

/// The whole API in trouble for seconds or minutes, in one seed of three.
pub(crate) fn outage(span: Us, chance: &mut Chance) -> Option<Fault> {
    if chance.percent(67) {
        return None;
    }
    let from_ms = chance.within(0..=span / 1_000);
    let lasts_ms = chance.pick(&[2_000, 10_000, 90_000]);
    let action = match chance.within(0..=2) {
        0 => scripted(2),
        1 => scripted(131_016),
        _ => gateway(502).action,
    };
    Some(Fault {
        matches: Match {
            on: On::Any,
            from_ms,
            to_ms: Some(from_ms + lasts_ms),
            ..Match::default()
        },
        accepted: chance.percent(20).then_some(true),
        ..Fault::new(action)
    })
}

/// A template that Meta has paused for a while, in one seed of four.
pub(crate) fn template(span: Us, chance: &mut Chance) -> Option<Fault> {
    if chance.percent(75) {
        return None;
    }
    let from_ms = chance.within(0..=span / 1_000);
    Some(Fault {
        matches: Match {
            template: Some(chance.pick(&TEMPLATES).to_owned()),
            from_ms,
            to_ms: Some(from_ms + chance.pick(&[1_000, 10_000])),
            ..Match::default()
        },
        ..Fault::new(scripted(TEMPLATE_PAUSED))
    })
}

/// What a request says of lost answers: of those that do not want it sent again, every third wants a report, the others say nothing.
pub(crate) fn on_unknown(no: u64, is_resent: bool) -> Option<&'static str> {
    match is_resent {
        true => Some("resend"),
        false => no.is_multiple_of(3).then_some("report"),
    }
}

/// A request that intake refuses.
pub(crate) fn spoil(request: Request, chance: &mut Chance) -> Request {
    let spoilt = Request {
        is_valid: false,
        ..request
    };
    match chance.within(0..=4) {
        0 => Request {
            body: "not JSON".to_owned(),
            ..spoilt
        },
        1 => Request {
            body: r#"{"type":"text","text":{"body":"to whom?"}}"#.to_owned(),
            ..spoilt
        },
        2 => Request { id: None, ..spoilt },
        3 => Request {
            operation: Some("template"),
            ..spoilt
        },
        _ => Request {
            on_unknown: Some("perhaps"),
            ..spoilt
        },
    }
}

/// One person's requests, which the API refuses for ever with what others would be stopped by, in one seed of four. Outlives the calm.
pub(crate) fn lone(requests: &[Request], seed: u64) -> Option<Fault> {
    let people: Vec<usize> = requests
        .iter()
        .filter_map(|request| request.person)
        .collect();
    // Of its own, so that a seed's other faults are what they were before there was this one.
    let chance = &mut Chance::new(seed ^ 0xb1a3e);
    if chance.percent(75) || people.is_empty() {
        return None;
    }
    let (code, status) = chance.pick(&[
        (190, None),
        (3, None),
        (131_031, None),
        (10, None),
        // In no row of the table.
        (LONE_CODES[0], Some(401)),
        (LONE_CODES[1], Some(403)),
    ]);
    let person = chance.pick(&people);
    let action = Action::Error {
        code,
        status,
        subcode: None,
        details: Some(SCRIPTED.to_owned()),
    };
    Some(Fault::to(format!("49151{person:04}"), action))
}

fn scripted(code: i64) -> Action {
    Action::Error {
        code,
        status: None,
        subcode: None,
        details: Some(SCRIPTED.to_owned()),
    }
}

fn gateway(status: u16) -> Fault {
    Fault::new(Action::Http {
        status,
        body: "<html>no</html>".to_owned(),
        content_type: "text/html".to_owned(),
    })
}
