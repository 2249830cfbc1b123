//! The table: which code of the API means what. One row per code, so that a review sees all of it.
//!
//! Sources: see [`SOURCES`]. Where a row follows experience rather than the page, a comment says why.
//! Among rows of one code the first that covers an error wins, except that a row for its subcode always does.

use super::row::{Effect, Row, When};
use crate::contract::words::{Class, Scope};

const EC: &str = "EC-2609";
const GRAPH: &str = "GRAPH-2611";
const TP: &str = "TP-2606";
const HEALTH: &str = "SUP-2611";
const PAY: &str = "PAY-2603";
const GROUPS: &str = "GROUPS-2603";
const BLOCK: &str = "BLOCK-2605";
const VAAM: &str = "VAAM-2609";
const MANAGE: &str = "MANAGE-2609";
const FIELD: &str = "FIELD-2611";
const PYWA: &str = "PYWA-2611";
const LEGACY: &str = "EC-2305";

/// The pages that the keys in [`Row::source`] stand for, with the edition that was read.
#[rustfmt::skip] // A table: key, pages.
pub const SOURCES: [(&str, &str); 12] = [
    (EC, "Meta, WhatsApp Cloud API documentation, \"Error codes\", edition of September 2026 (the one of November 2025 also gave HTTP statuses)."),
    (GRAPH, "Meta, Graph API documentation, \"Error handling\" and \"Rate limiting\", read in November 2026."),
    (TP, "Meta, \"Throughput\", edition of June 2026."),
    (HEALTH, "Meta, \"Health status\", read in November 2026."),
    (PAY, "Meta, pages on payments, editions of November 2025 to March 2026."),
    (GROUPS, "Meta, pages on groups, editions of November 2025 to March 2026."),
    (BLOCK, "Meta, \"Block users\", edition of May 2026."),
    (VAAM, "vaam-apps/meta-whatsapp-rs, checked by its authors against Meta's pages of September 2026."),
    (MANAGE, "Meta, pages on templates, flows, calls, verification codes, synchronisation and sign-up, editions of October 2025 to September 2026. None of these is a send: they come to operations on numbers and accounts."),
    (FIELD, "Met by users of the API, and described on no page of Meta's that was found."),
    (PYWA, "david-lev/pywa, errors.py, November 2026: not documented by Meta today."),
    (LEGACY, "Meta, error codes before v17 and of the On-Premises API, mapped to their successors."),
];

const HOUR_S: u64 = 3600;

// One row, one line.
#[rustfmt::skip]
pub const TABLE: &[Row] = &[
    // Authentication, permission, account.
    row(0, TOKEN, "the token's user could not be authenticated", EC),
    row(3, APP, "the app lacks a capability", EC), // an HTTP 500 that never heals by itself
    row(10, PERMISSION, "permission missing or removed", EC),
    row(33, NUMBER_GONE, "the phone number was deleted", EC),
    Row { when: When::Subcode(33), ..row(100, NUMBER_GONE, "number unknown to this token", GRAPH) },
    row(102, TOKEN, "session or token problem", GRAPH),
    row(104, SIGNATURE, "token or request signature missing", GRAPH),
    row(190, TOKEN, "token expired or invalid", EC),
    Row { last: 299, ..row(200, PERMISSION, "permission not granted or removed", EC) },
    row(368, RESTRICTED, "account restricted for a violation of policy", EC),
    row(803, BAD_PATH, "the object in the path does not exist", GRAPH),
    row(2500, BAD_PATH, "unknown path", GRAPH),
    // By country of the recipient, so no fault of the lane.
    row(130497, POLICY, "the account may not message this country", EC),
    row(131005, PERMISSION, "access denied", EC),
    row(131031, RESTRICTED, "account locked", EC),
    row(131037, DISPLAY_NAME, "the display name is not approved", EC),
    row(131042, BILLING, "billing or eligibility problem", EC),
    row(131045, REGISTRATION, "registration or certificate problem", EC), // 500, does not heal
    row(133000, REGISTRATION, "a deregistration is incomplete", EC),
    row(133004, maybe_sent(Scope::Lane), "server temporarily unavailable", EC),
    row(133005, INVALID, "wrong two-step PIN", EC),
    row(133006, REGISTRATION, "the number must be verified first", EC),
    row(133008, INVALID, "too many PIN guesses", EC),
    row(133009, INVALID, "PIN guessed too quickly", EC),
    row(133010, REGISTRATION, "the number is not registered", EC),
    row(133015, REGISTRATION, "the number was deleted a moment ago", EC),
    row(133016, REGISTRATION, "registered too often in 72 hours", EC),
    // Only payment messages are affected, so no block.
    row(134011, POLICY, "payment terms not accepted", EC),
    row(141002, POLICY_TEMPLATE, "template not approved", HEALTH),
    row(141010, RESTRICTED, "business not verified", HEALTH),
    row(141014, RESTRICTED, "account banned", HEALTH),
    // Throttling. Documented statuses differ (400, 429, and 403 through proxies): the code decides.
    row(4, throttled(Scope::App, 60), "the app's call rate", EC),
    row(17, throttled(Scope::App, 60), "the user's call rate", GRAPH),
    row(32, throttled(Scope::App, 60), "the page's call rate", GRAPH),
    row(341, throttled(Scope::App, 60), "an application limit", GRAPH),
    row(613, throttled(Scope::App, 60), "a custom call rate", GRAPH),
    row(80007, throttled(Scope::Waba, 60), "the account's call rate", EC),
    row(80008, throttled(Scope::Waba, 60), "the account's management call rate", GRAPH),
    row(130429, TOO_FAST, "the number's throughput", EC),
    // Called a throttle by Meta, but a penalty for quality that hammering makes worse.
    row(131048, SPAM_NUMBER, "spam restriction of the number", EC),
    row(131056, PAIR, "pair rate limit", EC),
    row(131057, MAINTENANCE, "account in maintenance", EC), // a 500
    row(131064, SPAM_ACCOUNT, "account limited for misclassified templates", EC),
    row(131208, throttled(Scope::Lane, 60), "too many group operations", GROUPS),
    row(2494100, MAINTENANCE, "number in maintenance", TP),
    // Transient. A run of those that name a scope stops all in it: an outage burns no attempts.
    row(1, maybe_wrong(2, None, false), "invalid request or server error", EC),
    row(2, maybe_sent(Scope::App), "downtime or overload", EC),
    row(131000, UNKNOWN_ERROR, "unknown error", EC),
    row(131016, maybe_sent(Scope::Lane), "service temporarily unavailable", EC),
    row(134101, SYNCING, "the template is still syncing", EC),
    row(134102, POLICY_TEMPLATE, "template not eligible", EC), // a 500, yet not transient
    // Documented nowhere for WhatsApp: it may speak of the first copy as well as of this one.
    row(506, Effect::Ambiguous, "duplicate post", GRAPH),
    // The caller's fault.
    row(100, INVALID, "unsupported or misspelt parameter", EC),
    row(2046, INVALID, "illegal change of an order's status", PAY),
    row(2047, INVALID, "a paid order cannot be cancelled", PAY),
    row(2200, INVALID, "the webhook's handshake failed", MANAGE),
    row(131008, INVALID, "required parameter missing", EC),
    row(131009, INVALID, "parameter value invalid", EC),
    // One group's fault, whatever the status: 131207 comes with a 403, which would be the lane's.
    row(131020, INVALID, "the group has no other member", GROUPS),
    row(131021, INVALID, "the sender is the recipient", EC),
    row(131030, INVALID, "recipient not on the test number's list", EC),
    row(131041, INVALID, "the group is unknown", GROUPS),
    row(131044, INVALID, "a call that is not possible", MANAGE),
    row(131051, INVALID, "unsupported message type", EC),
    // Often the link's origin was away for a moment: the details tell.
    Row { when: When::FetchFailed, ..row(131052, maybe_wrong(2, Some(30), true), "media could not be fetched", EC) },
    row(131052, INVALID, "media could not be downloaded", EC),
    Row { when: When::FetchFailed, ..row(131053, maybe_wrong(2, Some(30), true), "media could not be fetched", EC) },
    row(131053, INVALID, "media could not be uploaded", EC),
    row(131055, INVALID, "wrong template category for the endpoint", EC),
    row(131059, INVALID, "bad cursor", EC),
    row(131060, INVALID, "unsupported message", EC),
    row(131062, INVALID, "not allowed to a business-scoped user id", EC),
    row(131063, INVALID_WABA, "marketing templates disabled on this endpoint", EC),
    // A success in part (HTTP 206): it reached some.
    row(131201, Effect::Ambiguous, "a group operation succeeded for some only", GROUPS),
    row(131202, INVALID, "not possible with this group", GROUPS),
    row(131203, POLICY, "the terms for groups are not accepted", GROUPS),
    row(131204, INVALID, "not possible with this group", GROUPS),
    row(131207, UNDELIVERABLE, "the group is suspended", GROUPS),
    Row { last: 131213, ..row(131209, INVALID, "not possible with this group", GROUPS) },
    row(131214, POLICY, "may create no groups, after too much marketing", GROUPS),
    row(131215, POLICY, "not eligible for groups", GROUPS),
    row(132000, INVALID, "wrong number of template parameters", EC),
    row(132001, INVALID_TEMPLATE, "template missing or not approved", EC),
    row(132005, INVALID, "template text too long", EC),
    row(132007, INVALID_TEMPLATE, "template content violates policy", EC),
    row(132008, INVALID, "template parameter issue", PYWA),
    row(132012, INVALID, "template parameter of the wrong format", EC),
    row(132018, INVALID, "template validation failed", EC),
    row(132068, INVALID_TEMPLATE, "flow blocked", EC),
    row(134100, INVALID, "only marketing templates on this endpoint", EC),
    Row { last: 136025, ..row(136024, INVALID, "a verification code was not sent or is wrong", MANAGE) },
    Row { last: 138025, ..row(138000, INVALID, "a call, or the permission to call, is not possible", MANAGE) },
    Row { last: 139004, ..row(139000, INVALID, "the flow cannot be changed", MANAGE) },
    row(139100, INVALID, "some could not be blocked, or unblocked", BLOCK),
    row(139101, POLICY, "the list of blocked users is full", BLOCK),
    row(139102, maybe_wrong(2, Some(5), true), "the list of blocked users is being changed", BLOCK),
    row(139103, maybe_wrong(2, Some(30), true), "the list of blocked users could not be changed", BLOCK),
    // A code without a documented meaning: final for its own message, and nobody else waits for it.
    row(139200, POLICY, "refused, for a reason that Meta documents nowhere", FIELD),
    Row { last: 147005, ..row(147001, INVALID, "the username is not possible", VAAM) },
    Row { last: 200007, ..row(200005, INVALID, "the template's figures cannot be read", MANAGE) },
    row(1752041, INVALID, "already invited to the API for marketing messages", MANAGE),
    Row { last: 2388299, ..row(2388001, INVALID, "the template, or the number's move, is not possible", MANAGE) },
    Row { last: 2494191, ..row(2494164, INVALID, "the sign-up, or the hand-over of a thread, is not possible", MANAGE) },
    Row { last: 2593109, ..row(2593079, INVALID, "the synchronisation with the business app is not possible", MANAGE) },
    row(4233041, INVALID, "the flow could not be migrated", MANAGE),
    row(135000, maybe_wrong(1, None, true), "unknown error with the parameters", EC),
    row(135002, INVALID, "invalid request", PYWA),
    // This recipient, or Meta's rules for now.
    row(1026, UNDELIVERABLE, "the receiver is incapable", LEGACY),
    row(2040, UNDELIVERABLE, "payment message unsupported by the recipient", PAY),
    row(130403, UNDELIVERABLE, "we blocked this user", EC),
    row(131026, UNDELIVERABLE, "cannot be delivered to this recipient", EC),
    row(131036, UNDELIVERABLE, "no-storage: the retry receipt failed", EC),
    row(131035, Effect::Ambiguous, "no-storage: a webhook was lost", EC), // the webhook, not the message
    row(130472, POLICY, "held back by an experiment", EC),
    row(131043, POLICY, "expired before delivery", EC),
    row(131047, POLICY, "outside the 24-hour window", EC),
    // Resending within 24 hours prolongs the cap (April 2026).
    row(131049, not_before(Scope::Message, 24 * HOUR_S), "marketing cap of this user", EC),
    row(131050, POLICY, "the user opted out of marketing", EC),
    row(132015, POLICY_TEMPLATE, "template paused", EC),
    row(132016, POLICY_TEMPLATE, "template disabled", EC),
    row(132069, not_before(Scope::Template, HOUR_S), "flow throttled", EC),
    row(137000, POLICY, "the recipient's identity changed", EC),
    row(470, POLICY, "outside the 24-hour window", LEGACY),
    row(471, SPAM_NUMBER, "spam restriction of the number", LEGACY),
    row(1015, TOO_FAST, "too many requests", LEGACY),
    row(2061, POLICY_TEMPLATE, "template paused", LEGACY),
    row(2062, POLICY_TEMPLATE, "template disabled", LEGACY),
];

const fn row(code: i64, effect: Effect, meaning: &'static str, source: &'static str) -> Row {
    Row {
        code,
        last: code,
        when: When::Always,
        effect,
        meaning,
        source,
    }
}

pub(super) const INVALID: Effect = refused(Class::Invalid, Scope::Message);
const INVALID_TEMPLATE: Effect = refused(Class::Invalid, Scope::Template);
const INVALID_WABA: Effect = refused(Class::Invalid, Scope::Waba);
const UNDELIVERABLE: Effect = refused(Class::Undeliverable, Scope::Message);
const POLICY: Effect = refused(Class::Policy, Scope::Message);
const POLICY_TEMPLATE: Effect = refused(Class::Policy, Scope::Template);

const TOKEN: Effect = blocked(Scope::Token, "load a new token");
const APP: Effect = blocked(Scope::App, "give the app the WhatsApp messaging capability");
const SIGNATURE: Effect = blocked(Scope::App, "check the token and the app secret");
const NUMBER_GONE: Effect = blocked(
    Scope::Lane,
    "check phone_number_id, and that the token may use it",
);
const DISPLAY_NAME: Effect = blocked(Scope::Lane, "have the display name approved");
const REGISTRATION: Effect = blocked(Scope::Lane, "verify and register the number");
// Access may be denied to one object that a single message names.
const PERMISSION: Effect = second_recipient(
    Scope::Lane,
    "give the token the whatsapp_business_messaging permission",
);
const BAD_PATH: Effect = second_recipient(
    Scope::Lane,
    "check graph.base_url, graph.version and phone_number_id",
);
const RESTRICTED: Effect = blocked(
    Scope::Waba,
    "see the account in WhatsApp Manager, and appeal",
);
const BILLING: Effect = blocked(Scope::Waba, "check the account's payment method");
const SPAM_NUMBER: Effect = penalty(
    Scope::Lane,
    "lifts by itself; send what is wanted, and less",
);
const SPAM_ACCOUNT: Effect = penalty(Scope::Waba, "lifts by itself; correct template categories");

/// No pause: the lane finds the rate that is taken.
pub(super) const TOO_FAST: Effect = Effect::Throttled {
    scope: Scope::Lane,
    pause_s: None,
    slow_down: true,
    new_limit: false,
};
const PAIR: Effect = Effect::Throttled {
    scope: Scope::Pair,
    pause_s: None,
    slow_down: false,
    new_limit: false,
};
/// While a number's throughput is raised. Source: Meta, "Error codes" and "Throughput".
const MAINTENANCE: Effect = Effect::Throttled {
    scope: Scope::Lane,
    pause_s: Some(60),
    slow_down: false,
    new_limit: true,
};

pub(super) const fn refused(class: Class, scope: Scope) -> Effect {
    Effect::Refused {
        class,
        scope,
        retry_not_before_s: None,
    }
}

pub(super) const fn blocked(scope: Scope, remedy: &'static str) -> Effect {
    Effect::Blocked {
        scope,
        remedy,
        is_penalty: false,
        second_recipient: false,
    }
}

const fn penalty(scope: Scope, remedy: &'static str) -> Effect {
    Effect::Blocked {
        scope,
        remedy,
        is_penalty: true,
        second_recipient: false,
    }
}

pub(super) const fn second_recipient(scope: Scope, remedy: &'static str) -> Effect {
    Effect::Blocked {
        scope,
        remedy,
        is_penalty: false,
        second_recipient: true,
    }
}

const fn throttled(scope: Scope, pause_s: u32) -> Effect {
    Effect::Throttled {
        scope,
        pause_s: Some(pause_s),
        slow_down: false,
        new_limit: false,
    }
}

const fn not_before(scope: Scope, wait_s: u64) -> Effect {
    Effect::Refused {
        class: Class::Policy,
        scope,
        retry_not_before_s: Some(wait_s),
    }
}

/// The API has trouble; what it answers proves nothing.
/// Trouble that passes, before anything was sent, and nobody else's.
pub(super) const UNSENT: Effect = Effect::Transient {
    scope: Scope::Message,
    max_retries: None,
    min_delay_s: None,
    proves_unsent: true,
    then_invalid: false,
};

pub(super) const fn maybe_sent(scope: Scope) -> Effect {
    Effect::Transient {
        scope,
        max_retries: None,
        min_delay_s: None,
        proves_unsent: false,
        then_invalid: false,
    }
}

/// Trouble of the API's or of this request: met again and again by one while others pass, it is the request's.
const fn maybe_wrong(max_retries: u32, min_delay_s: Option<u32>, proves_unsent: bool) -> Effect {
    Effect::Transient {
        // An answer which proves that a request was looked at and turned down says nothing about others.
        scope: if proves_unsent {
            Scope::Message
        } else {
            Scope::Lane
        },
        max_retries: Some(max_retries),
        min_delay_s,
        proves_unsent,
        then_invalid: true,
    }
}

/// Raised on the way of sending, so it may be sent.
const UNKNOWN_ERROR: Effect = Effect::Transient {
    scope: Scope::Lane,
    max_retries: Some(3),
    min_delay_s: None,
    proves_unsent: false,
    then_invalid: false,
};
const SYNCING: Effect = Effect::Transient {
    scope: Scope::Message,
    max_retries: Some(3),
    min_delay_s: Some(600),
    proves_unsent: true,
    then_invalid: false,
};
