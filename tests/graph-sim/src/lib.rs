//! A faithful simulator of the WhatsApp Cloud API's send side, for tests, demo
//! and benchmarks: strict limits, real error bodies, scripted faults, and a
//! ledger of what was truly accepted.
//!
//! It shares no type with the dispatcher: two independent readings of the API's
//! documents catch each other's mistakes.
//!
//! # Three uses, one set of rules
//!
//! Under virtual time, through [`rules::World`] only: no clock, no socket, all
//! chance from the seed.
//!
//! ```
//! use graph_sim::{Options, rules::{Method, Request, World}};
//!
//! let mut world = World::new(&Options::default());
//! let (path, received_us) = ("/v24.0/111/messages", 0);
//! let body = br#"{"messaging_product":"whatsapp","to":"+34600112233","type":"text","text":{"body":"hi"}}"#;
//! let arrival_us = world.arrival_us(Method::Post, path, received_us);
//! let request = Request {
//!     method: Method::Post, path, query: "", bearer: Some("token"), body, received_us,
//! };
//! let reply = world.handle(&request, arrival_us); // to be delivered at reply.answer_at_us
//! assert_eq!(reply.status, 200);
//! assert_eq!(world.ledger(0, 10).entries[0].recipient, "34600112233");
//! ```
//!
//! Inside a test, over loopback, on the test's own runtime:
//!
//! ```
//! use graph_sim::{Action, Fault, NumberRules, Options, Script, Sim};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! let rules = NumberRules { mps: Some(40), latency_ms: 20, ..NumberRules::default() };
//! let numbers = [("111".to_owned(), rules)].into();
//! let sim = Sim::start(Options { numbers, ..Options::default() }).await?;
//! sim.set_script(Script { faults: vec![Fault::new(Action::ResetAfter {})] });
//! let base_url = sim.url(); // http://127.0.0.1:PORT
//! // … run what is to be tested, then compare its results with the ledger:
//! # drop(base_url);
//! assert_eq!(sim.ledger().len(), 0);
//! sim.until(|stats| stats.in_flight.now == 0).await; // waits for an event, not for a time
//! # Ok(())
//! # }
//! ```
//!
//! As a program, which prints `listening http://ADDRESS seed=SEED` once it is ready
//! and ends with code 0 on SIGTERM or SIGINT; `--help` names the arguments:
//!
//! ```text
//! graph-sim --listen 127.0.0.1:8090 --number 111=80 --latency-ms 100 --arrival-jitter-ms 12
//! ```
//!
//! # Routes
//!
//! Any version prefix `/vN.N/`; HTTP/1.1, and HTTP/2 with prior knowledge. A body
//! is read up to 16 MiB.
//!
//! | request | answer |
//! |---|---|
//! | `POST /{v}/{phone_number_id}/messages` | a send, or mark as read and typing |
//! | `POST /{v}/{phone_number_id}/marketing_messages` | the same for a template; what is none is refused (134100) |
//! | `GET /{v}/{phone_number_id}?fields=…` | the named fields and `id`: `throughput`, `is_on_biz_app`, `platform_type`, `quality_rating`, `status`, `health_status`, `display_phone_number`, `verified_name`, `name_status`, `code_verification_status`, `account_mode`, `whatsapp_business_manager_messaging_limit`, `messaging_limit_tier` (deprecated, always TIER_UNLIMITED) |
//! | `GET /{v}/{waba_id}/message_templates?fields=…&limit=N&after=CURSOR` | a page of at most `N` (25) templates: `name`, `language`, `status`, `category` and `id`; `paging` has `cursors`, and `next` only while there is more |
//! | `GET /{v}/debug_token?input_token=…` | `expires_at` (0: never), `scopes`, `granular_scopes` … of a token; of one that is not valid `is_valid: false` and the `error`, with HTTP 200 |
//! | an operation of a number, an account or an object, such as `POST /{v}/{waba_id}/flows` | see `operations/`, a table a file: what one sets or creates a later read shows, and an id that is gone is unknown (100/33) |
//! | anything else | 2500, unknown path |
//!
//! What refuses a send, in this order; the real validators run in no fixed one:
//! fault script · token (190, HTTP 401) · number not the token's (100/33) ·
//! `appsecret_proof` (100) · body (100, 131008, 131009, 131051) · `blocked_code` ·
//! upgrade (131057) · throughput (130429) · pair (131056). A send is charged to both
//! limits or to neither. Marks as read are charged to no limit, but a block and an
//! upgrade refuse them too.
//!
//! The reads are refused in the same order: token · a number not the token's, a WABA without
//! a number of the token's (100/33) · `appsecret_proof` · parameters (100). A WABA is served
//! if a number of it is. Where the path names no number, the proof is that of the app of the
//! numbers that the token is good for (in the WABA), and wanted only if each of them is of
//! an app with a secret. `next` leads to this simulator and, as Meta's own, has the token
//! in it: a client must not log it.
//!
//! Operations take their parameters from the query, or from a body as JSON, as a form or in
//! parts, as the real API does. Lists come in pages (`limit`, `after`, `paging.cursors`). They
//! and the reads use up the calls an hour of their account, an app each (`calls_per_hour`);
//! `x-business-use-case-usage` says how many, and what is beyond is refused (80008). Nobody
//! reviews a template or asks to join a group by himself: the controls do that.
//!
//! What ends by itself counts from when it was set: from the start (or the reset) if the
//! options set it, from the change if one names it (in code: alters it). After
//! `blocked_ms` a `blocked_code` is gone, after `upgrade_ms` the level is HIGH.
//!
//! A request counts against the limits when it *arrives*: at its receipt, or with
//! `arrival_jitter_ms` J up to 2 J later. Once received it arrives even if its client
//! is gone by then. The latency counts from the receipt.
//!
//! # Options
//!
//! [`Options`] in code; in a file, TOML or JSON, the same names, where
//! `numbers` lists changes to `defaults` (see [`NumberRules`] for their meaning):
//!
//! ```toml
//! listen = "127.0.0.1:8090"
//! seed = 42
//! usage_headers = false
//! ledger_capacity = 10000000   # 0 keeps counters only
//! keep_bodies = false
//! http2_max_streams = 100
//! apps = { shop = "the app's secret" }
//!
//! [defaults]
//! waba_id = "900"
//! latency_ms = 100
//! latency_jitter_ms = 30
//! arrival_jitter_ms = 12
//!
//! [[numbers]]                  # none: every number is served
//! phone_number_id = "111"
//! level = "HIGH"
//!
//! [[numbers]]
//! phone_number_id = "222"
//! mps = 40
//! inbound_mps = 5.0
//! quality_rating = "YELLOW"
//! messaging_limit = "TIER_2K"
//! pair_burst = 0
//! app = "shop"
//! usage = { business_percent = 95, regain_minutes = 5, app_percent = 40 }
//!
//! [[tokens]]                   # none: every token is valid
//! token = "secret"
//! numbers = ["111"]
//! expires_at = 1767139200      # what debug_token says; 0: never
//!
//! [[templates]]                # none: the lists are empty
//! waba_id = "900"
//! name = "otp_v2"
//! language = "es"              # en_US
//! status = "PAUSED"            # APPROVED
//!
//! [[script.faults]]
//! match = { phone_number_id = "111", ratio = 0.01 }
//! action = { kind = "slow", ms = 3000 }
//! ```
//!
//! `health_status` shows a block at the APP for the codes 3 and 104, at the WABA for 368,
//! 131031, 131042, 131064, 141010 and 141014, else at the PHONE_NUMBER; the other entities
//! are AVAILABLE. `health` replaces the overall word and, as that is the worst of the
//! entities', the word there. `errors` go with BLOCKED, `additional_info` with LIMITED.
//!
//! `status`, `quality_rating`, `messaging_limit`, a template's `status` and a token's
//! `expires_at` are only told: nothing is refused for them.
//!
//! A number's [`Usage`] is in the headers of all its answers, successes and errors:
//! `x-business-use-case-usage` with `business_percent` and `regain_minutes`, `x-app-usage`
//! with `app_percent`. It is set as a whole. `usage_headers` gives numbers without a
//! `business_percent` one that follows their throughput.
//!
//! # Fault scripts
//!
//! The first fault that matches strikes; see [`Fault`], [`Match`] and [`Action`].
//! `accepted` says whether the rules handle the request first, so that it may be in
//! the ledger; the default is no for `error`, `http`, `reset_before`, `hang` and
//! `success_with_error`, and yes for `slow`, `trickle`, `truncate`, `huge_body` and `reset_after`.
//! All conditions are optional and must all hold. Times count from when the script was set.
//!
//! ```json
//! {"faults": [
//!   {"match": {"recipient": "+34600112233", "times": 1}, "action": {"kind": "reset_after"}},
//!   {"match": {"recipient_prefix": "+44"}, "action": {"kind": "reset_before"}, "delay_ms": 50},
//!   {"match": {"template": "gone_v1"}, "action": {"kind": "error", "code": 132001}},
//!   {"match": {"phone_number_id": "111", "from_ms": 5000, "to_ms": 65000},
//!    "action": {"kind": "http", "status": 502, "body": "<html>Bad Gateway</html>", "content_type": "text/html"}},
//!   {"match": {"opaque_prefix": "d-7"}, "action": {"kind": "hang"}, "accepted": true},
//!   {"match": {"ratio": 0.01}, "action": {"kind": "error", "code": 131016, "status": 503, "subcode": 1, "details": "…"},
//!    "headers": {"retry-after": "2"}},
//!   {"match": {"ratio": 0.01}, "action": {"kind": "truncate", "keep_bytes": 40, "close": true}},
//!   {"match": {"ratio": 0.01}, "action": {"kind": "huge_body", "bytes": 5000000}},
//!   {"match": {"ratio": 0.01}, "action": {"kind": "trickle", "ms": 5000}},
//!   {"match": {"ratio": 0.01}, "action": {"kind": "success_with_error", "code": 131026}},
//!   {"match": {"token_prefix": "old"}, "action": {"kind": "error", "code": 190, "subcode": 463}},
//!   {"match": {"on": "any"}, "action": {"kind": "slow", "ms": 200}}
//! ]}
//! ```
//!
//! `on` is `send` (default; every `POST …/messages` and `…/marketing_messages`), `get` (every `GET`), `templates` or
//! `token` (only those `GET`s) or `any`; with a `phone_number_id` only what is about that
//! number. A reset is of the whole TCP connection, and so of every stream of an HTTP/2
//! connection. Requests for numbers and WABAs that are not served meet no fault.
//!
//! # Control
//!
//! | request | |
//! |---|---|
//! | `GET /_sim/ledger?after=SEQ&limit=N` | a [`Page`]: entries after `SEQ` (0), at most `N` (10,000); go on with `after=next` while `more` |
//! | `GET /_sim/stats` | [`Stats`] |
//! | `GET /_sim/script`, `POST /_sim/script` | the [`Script`] |
//! | `POST /_sim/numbers` | `{"phone_number_id": "111", "mps": 40}` or an array: changes or adds numbers; `*` means all, and those yet to be seen; `{"waba_id": "9", …}` or `{"app": "shop", …}` without `phone_number_id` means all numbers of that WABA or app, beside it these are settings; `null` goes back to the level's `mps`, lifts `blocked_code`, ends `upgrade_ms`, clears `usage` … |
//! | `POST /_sim/tokens` | `{"token": "secret", "state": "expired"}` or an array; states `valid`, `expired`, `revoked`, `unknown`; `numbers` and `expires_at` left out stay; `*` means tokens that are not listed |
//! | `POST /_sim/templates` | `{"waba_id": "900", "name": "otp_v2", "status": "PAUSED"}` or an array: adds templates or changes their status; without `language` in every language |
//! | `POST /_sim/reset` | back to the options, with empty limits, ledger and counts |
//! | `POST /_sim/outage` | `{"ms": 60000}`: 50 ms later resets every connection and refuses new ones for that long |
//!
//! Each `POST` answers `{"success":true}`, or 400 and `{"error": "…"}`.

mod budget;
mod change;
mod control;
mod errors;
mod http;
mod ledger;
mod limits;
mod marketing;
mod node;
mod number;
mod operations;
mod options;
mod proof;
mod query;
mod reply;
mod request;
pub mod rules;
mod script;
mod seed;
mod server;
mod standing;
mod token;
mod validate;
mod wire;

pub use change::{Change, Whose};
pub use ledger::{Entry, Gauge, NumberStats, Page, Stats};
pub use limits::PairMode;
pub use operations::Template;
pub use options::{Level, NumberChange, NumberRules, Options, Setup, Token, TokenState, Usage};
pub use script::{Action, Fault, Match, On, Script};
pub use server::Sim;
