//! Fault scripts: which requests go wrong, and how.

use crate::seed::Seed;
use crate::validate::normal_recipient;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Faults in the order in which they are tried: the first that matches wins.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Script {
    pub faults: Vec<Fault>,
}

impl From<Vec<Fault>> for Script {
    fn from(faults: Vec<Fault>) -> Self {
        Self { faults }
    }
}

impl From<Fault> for Script {
    fn from(fault: Fault) -> Self {
        vec![fault].into()
    }
}

/// One fault: what it matches and what it does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Everything, when left out.
    #[serde(rename = "match", default)]
    pub matches: Match,
    pub action: Action,
    /// Whether the request is handled by the rules before the fault strikes, and
    /// so may be in the ledger. Left out: as the action says, see [`Action`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted: Option<bool>,
    /// Time added to the latency before the fault strikes, in milliseconds.
    #[serde(default)]
    pub delay_ms: u64,
    /// Headers added to the answer, such as `retry-after`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
}

/// Conditions that must all hold; what is left out holds always.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Match {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone_number_id: Option<String>,
    /// The recipient, in any notation of the same number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recipient: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recipient_prefix: Option<String>,
    /// The name of a template message's template.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// The start of `biz_opaque_callback_data`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opaque_prefix: Option<String>,
    /// The start of the bearer token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_prefix: Option<String>,
    pub on: On,
    /// From so many milliseconds after the script was set.
    pub from_ms: u64,
    /// Until so many milliseconds after the script was set (exclusive).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_ms: Option<u64>,
    /// The share of requests that fulfil the rest, drawn with the seed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ratio: Option<f64>,
    /// How often the fault strikes at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub times: Option<u64>,
}

/// The kind of request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum On {
    /// `POST …/messages`.
    #[default]
    Send,
    /// Every `GET`.
    Get,
    /// `GET …/message_templates`.
    Templates,
    /// `GET /debug_token`.
    Token,
    /// An operation that is no message: `POST …/block_users`, and their like.
    Operation,
    Any,
}

impl On {
    /// Whether it means this kind of request.
    fn covers(self, kind: Self) -> bool {
        match self {
            Self::Any => true,
            Self::Get => kind != Self::Send && kind != Self::Operation,
            Self::Send | Self::Templates | Self::Token | Self::Operation => kind == self,
        }
    }
}

/// What happens to the request. Unless said otherwise it is not accepted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    /// A Graph error; status and texts come from the error table when left out.
    Error {
        code: i64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        status: Option<u16>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        subcode: Option<i64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        details: Option<String>,
    },
    /// The ordinary answer, later. Goes by the rules.
    Slow { ms: u64 },
    /// Any status and body, such as the edge's `502` in HTML.
    Http {
        status: u16,
        #[serde(default)]
        body: String,
        #[serde(default = "html")]
        content_type: String,
    },
    /// The ordinary answer, cut. Goes by the rules.
    Truncate {
        /// Half of the body when left out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        keep_bytes: Option<usize>,
        /// True: the length header promises the whole body and the connection
        /// ends early. False: the answer is well-formed HTTP and only its JSON is cut.
        #[serde(default)]
        close: bool,
    },
    /// The ordinary answer, with so many bytes of padding in it. Goes by the rules.
    HugeBody { bytes: usize },
    /// The ordinary answer, its body in pieces over so many milliseconds. Goes by the rules.
    Trickle { ms: u64 },
    /// A TCP reset before the request was accepted.
    ResetBefore {},
    /// A TCP reset after the rules, instead of the answer. Goes by the rules.
    ResetAfter {},
    /// No answer while the connection lives. Goes by the rules if `accepted`.
    Hang {},
    /// HTTP 200 with an error object in it.
    SuccessWithError { code: i64 },
}

fn html() -> String {
    "text/html; charset=utf-8".to_owned()
}

impl Action {
    /// A Graph error as it mostly comes.
    pub fn error(code: i64) -> Self {
        Self::Error {
            code,
            status: None,
            subcode: None,
            details: None,
        }
    }

    /// The action's name in scripts and statistics.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Error { .. } => "error",
            Self::Slow { .. } => "slow",
            Self::Http { .. } => "http",
            Self::Truncate { .. } => "truncate",
            Self::HugeBody { .. } => "huge_body",
            Self::Trickle { .. } => "trickle",
            Self::ResetBefore {} => "reset_before",
            Self::ResetAfter {} => "reset_after",
            Self::Hang {} => "hang",
            Self::SuccessWithError { .. } => "success_with_error",
        }
    }

    fn follows_rules(&self) -> bool {
        match self {
            Self::Slow { .. }
            | Self::Truncate { .. }
            | Self::HugeBody { .. }
            | Self::Trickle { .. }
            | Self::ResetAfter {} => true,
            Self::Error { .. }
            | Self::Http { .. }
            | Self::ResetBefore {}
            | Self::Hang {}
            | Self::SuccessWithError { .. } => false,
        }
    }
}

impl Fault {
    /// A fault for every send.
    pub fn new(action: Action) -> Self {
        Self {
            matches: Match::default(),
            action,
            accepted: None,
            delay_ms: 0,
            headers: BTreeMap::new(),
        }
    }

    /// A fault for sends to one recipient.
    pub fn to(recipient: impl Into<String>, action: Action) -> Self {
        let mut fault = Self::new(action);
        fault.matches.recipient = Some(recipient.into());
        fault
    }

    /// So often at most.
    #[must_use]
    pub fn times(mut self, times: u64) -> Self {
        self.matches.times = Some(times);
        self
    }

    /// Time the fault adds to the latency.
    pub(crate) fn delay_us(&self) -> u64 {
        let slow_ms = match self.action {
            Action::Slow { ms } => ms,
            Action::Error { .. }
            | Action::Http { .. }
            | Action::Truncate { .. }
            | Action::HugeBody { .. }
            | Action::Trickle { .. }
            | Action::ResetBefore {}
            | Action::ResetAfter {}
            | Action::Hang {}
            | Action::SuccessWithError { .. } => 0,
        };
        (self.delay_ms + slow_ms) * 1_000
    }

    /// Whether the rules handle the request before the fault strikes.
    pub(crate) fn follows_rules(&self) -> bool {
        self.accepted.unwrap_or_else(|| self.action.follows_rules())
    }
}

/// What a script can see of a request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Traits<'a> {
    pub(crate) on: On,
    /// None for what is about a WABA or a token.
    pub(crate) phone_number_id: Option<&'a str>,
    pub(crate) recipient: Option<&'a str>,
    pub(crate) template: Option<&'a str>,
    pub(crate) opaque: Option<&'a str>,
    pub(crate) token: Option<&'a str>,
}

/// A script in force: since when, and how often each fault struck.
#[derive(Debug, Default)]
pub(crate) struct Running {
    script: Script,
    struck: Vec<u64>,
    since_us: u64,
}

impl Running {
    pub(crate) fn new(mut script: Script, now_us: u64) -> Self {
        for fault in &mut script.faults {
            let matches = &mut fault.matches;
            for recipient in [&mut matches.recipient, &mut matches.recipient_prefix] {
                *recipient = recipient
                    .take()
                    .map(|recipient| normal_recipient(&recipient));
            }
        }
        Self {
            struck: vec![0; script.faults.len()],
            script,
            since_us: now_us,
        }
    }

    /// The fault that strikes this request, if any.
    pub(crate) fn pick(&mut self, of: Traits<'_>, now_us: u64, seed: &mut Seed) -> Option<&Fault> {
        let age_ms = now_us.saturating_sub(self.since_us) / 1_000;
        for (fault, struck) in self.script.faults.iter().zip(&mut self.struck) {
            let matches = &fault.matches;
            let spent = matches.times.is_some_and(|times| *struck >= times);
            if spent || !matches.holds(of, age_ms) || !seed.chance(matches.ratio.unwrap_or(1.0)) {
                continue;
            }
            *struck += 1;
            return Some(fault);
        }
        None
    }

    pub(crate) fn script(&self) -> &Script {
        &self.script
    }

    /// How often each fault struck, in the script's order.
    pub(crate) fn struck(&self) -> &[u64] {
        &self.struck
    }
}

impl Match {
    /// All conditions but `ratio` and `times`.
    fn holds(&self, of: Traits<'_>, age_ms: u64) -> bool {
        let is = |wanted: &Option<String>, given: Option<&str>| match wanted {
            None => true,
            Some(wanted) => given == Some(wanted.as_str()),
        };
        let starts = |wanted: &Option<String>, given: Option<&str>| match wanted {
            None => true,
            Some(wanted) => given.is_some_and(|given| given.starts_with(wanted.as_str())),
        };
        self.on.covers(of.on)
            && age_ms >= self.from_ms
            && self.to_ms.is_none_or(|to_ms| age_ms < to_ms)
            && is(&self.phone_number_id, of.phone_number_id)
            && is(&self.recipient, of.recipient)
            && starts(&self.recipient_prefix, of.recipient)
            && is(&self.template, of.template)
            && starts(&self.opaque_prefix, of.opaque)
            && starts(&self.token_prefix, of.token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: Traits<'_> = Traits {
        on: On::Send,
        phone_number_id: Some("111"),
        recipient: Some("34600112233"),
        template: None,
        opaque: Some("d-1"),
        token: Some("token"),
    };

    fn strikes(running: &mut Running, of: Traits<'_>, now_us: u64) -> Option<&'static str> {
        running
            .pick(of, now_us, &mut Seed::new(1))
            .map(|fault| fault.action.name())
    }

    fn running(json: &str) -> Running {
        Running::new(serde_json::from_str(json).unwrap(), 0)
    }

    #[test]
    fn the_first_match_wins_and_times_run_out() {
        let mut running = running(
            r#"{"faults":[
                {"match":{"recipient":"+34 600 112233","times":1},"action":{"kind":"reset_after"}},
                {"match":{"recipient_prefix":"+34"},"action":{"kind":"slow","ms":5}}]}"#,
        );
        assert_eq!(strikes(&mut running, REQUEST, 0), Some("reset_after"));
        assert_eq!(strikes(&mut running, REQUEST, 0), Some("slow"));
        assert_eq!(
            strikes(
                &mut running,
                Traits {
                    recipient: Some("44"),
                    ..REQUEST
                },
                0
            ),
            None
        );
        assert_eq!(running.struck(), [1, 1]);
    }

    #[test]
    fn a_time_window_counts_from_when_the_script_was_set() {
        let json = r#"{"faults":[{"match":{"from_ms":100,"to_ms":200},"action":{"kind":"hang"}}]}"#;
        let mut running = Running::new(serde_json::from_str(json).unwrap(), 5_000_000);
        for (now_us, strikes_then) in [
            (5_099_999, None),
            (5_100_000, Some("hang")),
            (5_199_999, Some("hang")),
            (5_200_000, None),
        ] {
            assert_eq!(
                strikes(&mut running, REQUEST, now_us),
                strikes_then,
                "{now_us}"
            );
        }
    }

    #[test]
    fn faults_are_for_sends_unless_they_say_otherwise() {
        let get = Traits {
            on: On::Get,
            ..REQUEST
        };
        let mut sends = running(r#"{"faults":[{"action":{"kind":"hang"}}]}"#);
        let mut all = running(r#"{"faults":[{"match":{"on":"any"},"action":{"kind":"hang"}}]}"#);
        assert_eq!(strikes(&mut sends, get, 0), None);
        assert_eq!(strikes(&mut all, get, 0), Some("hang"));
        for (on, struck) in [
            (On::Send, [true, false, false, false]),
            (On::Get, [false, true, true, true]),
            (On::Templates, [false, false, true, false]),
            (On::Token, [false, false, false, true]),
            (On::Any, [true; 4]),
        ] {
            let kinds = [On::Send, On::Get, On::Templates, On::Token];
            assert_eq!(kinds.map(|kind| on.covers(kind)), struck, "{on:?}");
        }
    }

    #[test]
    fn a_misspelt_script_is_refused() {
        for json in [
            r#"{"fault":[]}"#,
            r#"{"faults":[{"action":{"kind":"explode"}}]}"#,
            r#"{"faults":[{"action":{"kind":"slow","sm":5}}]}"#,
            r#"{"faults":[{"match":{"recipent":"1"},"action":{"kind":"hang"}}]}"#,
        ] {
            assert!(serde_json::from_str::<Script>(json).is_err(), "{json}");
        }
    }
}
