//! The demo's load: what is published when, to whom, and how it should end.

use crate::broker::Request;
use anyhow::{Context, Result, ensure};
use harness::answer::Status;
use serde_json::{Value, json};
use std::str::FromStr;
use std::time::Duration;

/// A phone number that the workers serve, and Meta's limit for it.
#[derive(Clone, Debug)]
pub(crate) struct Number {
    pub(crate) id: String,
    pub(crate) limit: usize,
}

impl FromStr for Number {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (id, limit) = text.split_once('=').context("expected ID=MPS")?;
        let limit = limit.parse().context("MPS is not a number")?;
        ensure!(!id.is_empty(), "the ID is missing");
        Ok(Self {
            id: id.to_owned(),
            limit,
        })
    }
}

/// What a request shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Bulk,
    /// A one-time password: high priority, published while bulk waits.
    Otp,
    /// One of many to the same person.
    Pair,
    /// Meets an API error that heals.
    Retry,
    /// The API takes it and its answer is lost.
    LostAnswer,
    /// The API refuses its template.
    BadTemplate,
    /// The dispatcher refuses it.
    Invalid,
    /// For a number that no worker serves.
    Unserved,
}

impl Role {
    pub(crate) fn ends_as(self) -> Status {
        match self {
            Self::Bulk | Self::Otp | Self::Pair | Self::Retry => Status::Accepted,
            Self::LostAnswer => Status::Unknown,
            Self::BadTemplate | Self::Invalid | Self::Unserved => Status::Rejected,
        }
    }
}

pub(crate) struct Planned {
    /// From the start.
    pub(crate) at: Duration,
    pub(crate) role: Role,
    pub(crate) request: Request,
}

/// Requests in the order of publishing, so that their index is their number in the book.
pub(crate) struct Plan {
    numbers: Vec<Number>,
    pub(crate) requests: Vec<Planned>,
}

/// The numbers by their part in the demo.
const MAIN: usize = 0;
const PAIRED: usize = 1;
const FAST: usize = 2;
const SLOW: usize = 3;
const SERVED: usize = 4;
/// Behind the numbers that are served.
const UNSERVED: usize = SERVED;
const UNSERVED_ID: &str = "10009";

/// The bulk backlogs last from one second (the fast number) to eight.
const BULK: [usize; SERVED] = [620, 380, 760, 158];
const OTPS: u32 = 30;
const OTP_FROM: Duration = Duration::from_secs(1);
const OTP_EVERY: Duration = Duration::from_millis(200);
/// Meta lets 45 messages to one person go at once, and one more every six seconds.
pub(crate) const PAIR_BURST: usize = 45;
const PAIR: usize = PAIR_BURST + 2;

pub(crate) const PAIR_PERSON: &str = "15590000001";
const RETRY_PERSON: &str = "15590000002";
const LOST_PERSON: &str = "15590000003";
/// "Service unavailable".
pub(crate) const RETRY_CODE: i64 = 131_016;
const GONE_TEMPLATE: &str = "gone_template";

impl Plan {
    pub(crate) fn new(numbers: Vec<Number>) -> Result<Self> {
        ensure!(numbers.len() == SERVED, "the demo takes {SERVED} numbers");
        let taken = numbers.iter().any(|number| number.id == UNSERVED_ID);
        ensure!(!taken, "{UNSERVED_ID} must stay a number of nobody's");
        let mut plan = Self {
            numbers,
            requests: vec![],
        };
        plan.add_rare();
        plan.add_bulk();
        plan.add_otps();
        Ok(plan)
    }

    /// Ahead of the bulk, so that what takes long is over when the bulk is.
    fn add_rare(&mut self) {
        for _ in 0..PAIR {
            self.add(Role::Pair, PAIRED, text(PAIR_PERSON, "see you soon"));
        }
        self.add(Role::Retry, FAST, text(RETRY_PERSON, "patience"));
        self.add(Role::LostAnswer, FAST, text(LOST_PERSON, "sent, or not?"));
        let to = self.new_person();
        self.add(Role::BadTemplate, FAST, template(&to, GONE_TEMPLATE));
        let to = self.new_person();
        self.add(Role::Invalid, MAIN, text(&to, ""));
        let to = self.new_person();
        self.add(Role::Unserved, UNSERVED, text(&to, "anybody there?"));
    }

    /// Each number's share is spread evenly over the whole.
    fn add_bulk(&mut self) {
        let shares = BULK.iter().enumerate();
        let mut turns: Vec<(usize, usize)> = shares
            .flat_map(|(number, &count)| (0..count).map(move |n| (n * 10_000 / count, number)))
            .collect();
        turns.sort_unstable();
        for (_, number) in turns {
            let to = self.new_person();
            self.add(Role::Bulk, number, text(&to, "our new opening hours"));
        }
    }

    /// To the numbers with the longest backlogs: two to the first, one to the last.
    fn add_otps(&mut self) {
        for n in 0..OTPS {
            let number = if n % 3 == 2 { SLOW } else { MAIN };
            let to = self.new_person();
            self.add(Role::Otp, number, template(&to, "one_time_password"));
            if let Some(planned) = self.requests.last_mut() {
                planned.at = OTP_FROM + OTP_EVERY * n;
            }
        }
    }

    fn add(&mut self, role: Role, number: usize, body: Value) {
        let request = Request {
            number,
            priority: if role == Role::Otp { 9 } else { 0 },
            body: body.to_string().into_bytes(),
        };
        self.requests.push(Planned {
            at: Duration::ZERO,
            role,
            request,
        });
    }

    fn new_person(&self) -> String {
        format!("155{}", 10_000_000 + self.requests.len())
    }

    /// Phone number ids, the one of nobody's last.
    pub(crate) fn ids(&self) -> Vec<String> {
        let served = self.numbers.iter().map(|number| number.id.clone());
        served.chain([UNSERVED_ID.to_owned()]).collect()
    }

    /// `None` for the number that nobody serves.
    pub(crate) fn limit(&self, number: usize) -> Option<usize> {
        self.numbers.get(number).map(|number| number.limit)
    }

    pub(crate) fn planned_for(&self, number: usize) -> usize {
        let requests = self.requests.iter();
        requests.filter(|p| p.request.number == number).count()
    }

    /// Which requests play a role.
    pub(crate) fn with(&self, role: Role) -> impl Iterator<Item = usize> {
        let requests = self.requests.iter().enumerate();
        requests.filter_map(move |(index, planned)| (planned.role == role).then_some(index))
    }
}

/// How often each fault of the script must strike.
pub(crate) const FAULTS: [(Role, u64); 3] = [
    (Role::Retry, 2),
    (Role::LostAnswer, 1),
    (Role::BadTemplate, 1),
];

/// What the simulated API is to do wrong, in the order of [`FAULTS`].
pub(crate) fn script() -> Value {
    let [retry, lost, template] = FAULTS.map(|(_, times)| times);
    json!({"faults": [
        {"match": {"recipient": RETRY_PERSON, "times": retry}, "action": {"kind": "error", "code": RETRY_CODE}},
        {"match": {"recipient": LOST_PERSON, "times": lost}, "action": {"kind": "reset_after"}},
        {"match": {"template": GONE_TEMPLATE, "times": template}, "action": {"kind": "error", "code": 132001}},
    ]})
}

fn text(to: &str, body: &str) -> Value {
    json!({"messaging_product": "whatsapp", "to": to, "type": "text", "text": {"body": body}})
}

fn template(to: &str, name: &str) -> Value {
    json!({"messaging_product": "whatsapp", "to": to, "type": "template",
        "template": {"name": name, "language": {"code": "en"}}})
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn plan() -> Plan {
        let numbers = ["10001=80", "10002=80", "10003=1000", "10004=20"];
        Plan::new(numbers.map(|number| number.parse().unwrap()).to_vec()).unwrap()
    }

    #[test]
    fn two_thousand_requests_in_order_of_time_and_one_each_of_what_is_rare() {
        let plan = plan();
        assert_eq!(plan.requests.len(), 2_000);
        assert!(plan.requests.is_sorted_by_key(|planned| planned.at));
        for role in [
            Role::Retry,
            Role::LostAnswer,
            Role::BadTemplate,
            Role::Invalid,
        ] {
            assert_eq!(plan.with(role).count(), 1, "{role:?}");
        }
        let by_number: usize = (0..plan.ids().len()).map(|n| plan.planned_for(n)).sum();
        assert_eq!(by_number, 2_000);
        assert_eq!((plan.limit(2), plan.limit(4)), (Some(1_000), None));
    }

    #[test]
    fn everybody_but_the_paired_person_is_written_to_once() {
        let bodies = plan().requests;
        let mut people: Vec<String> = bodies
            .iter()
            .map(|planned| serde_json::from_slice::<Value>(&planned.request.body).unwrap())
            .map(|body| body["to"].as_str().unwrap().to_owned())
            .filter(|to| to != PAIR_PERSON)
            .collect();
        let all = people.len();
        people.sort_unstable();
        people.dedup();
        assert_eq!((people.len(), all), (all, 2_000 - PAIR));
    }

    #[test]
    fn a_number_is_an_id_and_a_limit() {
        for text in ["", "10001", "=80", "10001=", "10001=fast"] {
            assert!(text.parse::<Number>().is_err(), "{text}");
        }
    }
}
