//! Upkeep of accounts: tells lanes of a new token and of their number's limit, and reads how the API sees numbers, token and
//! templates, read slowly.

use crate::broker::delays;
use crate::core::fleet::namesakes::PRESENT_EVERY;
use crate::core::fleet::number::{NumberState, TemplateCounts};
use crate::core::fleet::readers::{Has, period, reads_number};
use crate::credentials::{Apps, RELOAD_PERIOD, TokenSlot};
use crate::graph::Graph;
use crate::metrics::Metrics;
use crate::roles::dispatcher::board::Board;
use crate::roles::dispatcher::lane_task::LaneHandle;
use crate::tasks::Rounds;
use backoff::backoff::Backoff;
use futures_util::FutureExt;
use futures_util::future::{pending, select_all};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// First and longest pause before limits that could not be read are asked for again.
const LIMIT_RETRY: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(60));

/// Before the first round at a start: by then each of the other workers has said that it is there.
const ACQUAINTED: Duration = Duration::from_secs(PRESENT_EVERY.as_secs() + 2);

/// Longest that raising a number's throughput takes. Source: Meta, "Throughput".
const UPGRADE_PAUSE: Duration = Duration::from_secs(60);

/// The parts of the worker that accounts are kept up with.
pub struct Upkeep {
    pub graph: Graph,
    pub board: Arc<Board>,
    pub metrics: Arc<Metrics>,
    pub apps: Apps,
}

/// The lanes of one account, with what they authenticate with.
pub struct Account {
    pub waba_id: Arc<str>,
    /// As the config names it.
    pub app: Arc<str>,
    pub tokens: Arc<TokenSlot>,
    /// The lanes of its numbers.
    pub lanes: Vec<NumberLane>,
    /// The lane of its operations.
    pub own_lane: LaneHandle,
    pub state: Mutex<AccountState>,
}

pub struct NumberLane {
    pub handle: LaneHandle,
    /// The config leaves its limit to the API.
    pub reads_limit: bool,
}

/// How the API sees an account, as far as it was read.
#[derive(Clone, Copy, Default)]
pub struct AccountState {
    /// The API says that the token is not valid.
    pub is_token_refused: bool,
    /// Unix seconds; 0: never, or not known.
    pub token_expires_at: u64,
    pub templates: TemplateCounts,
}

impl Account {
    pub fn state(&self) -> AccountState {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn update(&self, change: impl FnOnce(&mut AccountState)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Looks at the account's token file; a new token wakes the lanes that the old one had blocked. For ever.
pub async fn watch_token(upkeep: Arc<Upkeep>, account: Arc<Account>, rounds: Rounds) -> String {
    let reloads = |result| {
        let metrics = &upkeep.metrics;
        metrics.token_reloads.with_label_values(&[result]).inc();
    };
    let waba_id = &*account.waba_id;
    let mut is_broken = false;
    loop {
        tokio::time::sleep(RELOAD_PERIOD).await;
        rounds.count();
        // A mount that hangs must not stop the lanes.
        let tokens = account.tokens.clone();
        let reloaded = tokio::task::spawn_blocking(move || tokens.reload());
        let Ok(reloaded) = reloaded.await else {
            continue;
        };
        match reloaded {
            Ok(None) => is_broken = false,
            Ok(Some(token)) => {
                is_broken = false;
                reloads("ok");
                tracing::info!(waba_id, "new token loaded");
                // Nothing is known of this one yet.
                account.update(|state| {
                    state.is_token_refused = false;
                    state.token_expires_at = 0;
                });
                upkeep.board.token_changed(waba_id, &token);
                // Not awaited: while the API does not answer, another token must be noticed all the same.
                let (upkeep, account) = (upkeep.clone(), account.clone());
                tokio::spawn(async move { read_token(&upkeep, &account).await });
            }
            Err(error) if !is_broken => {
                is_broken = true;
                reloads("error");
                tracing::warn!(waba_id, %error, "the token file cannot be used: going on with the old token");
            }
            Err(_) => {}
        }
    }
}

/// Reads how the API sees the account's numbers, token and templates: the limits at start, all else every `graph.refresh_s` (or more
/// rarely, see [`period`]), each by one worker of all. For ever.
pub async fn read_account(
    upkeep: Arc<Upkeep>,
    account: Arc<Account>,
    refresh: Duration,
    rounds: Rounds,
) -> String {
    let mut missing: Vec<&LaneHandle> = vec![];
    // A lane begins with its number's limit, whoever has it later.
    for lane in account.lanes.iter().filter(|lane| lane.reads_limit) {
        if !read_number(&upkeep, &account, &lane.handle, true).await {
            missing.push(&lane.handle);
        }
    }
    let acquainted_at = Instant::now() + ACQUAINTED;
    missing = retry_limits(&upkeep, &account, missing, acquainted_at).await;
    tokio::time::sleep_until(acquainted_at).await;
    loop {
        let templates = account.state().templates.iter().sum();
        let period = period(refresh, account.lanes.len(), templates);
        let again_at = Instant::now() + period;
        for lane in read_round(&upkeep, &account).await {
            if missing.iter().all(|known| known.id != lane.id) {
                missing.push(lane);
            }
        }
        rounds.count();
        missing = retry_limits(&upkeep, &account, missing, again_at).await;
        let stale = account.lanes.iter().filter(|lane| lane.reads_limit);
        let stale = stale.map(|lane| lane.handle.limit_is_stale.notified().boxed());
        let stale = select_all(stale.chain([pending().boxed()]));
        // An upgrade takes up to a minute.
        if tokio::time::timeout_at(again_at, stale).await.is_ok() {
            tokio::time::sleep(UPGRADE_PAUSE).await;
        }
    }
}

/// Without its limit a lane sends at the lowest: that cannot wait for the next round. But one whose limit nobody may read must not keep
/// all else from being read again. Returns those that are still missing then.
async fn retry_limits<'a>(
    upkeep: &Upkeep,
    account: &Account,
    mut missing: Vec<&'a LaneHandle>,
    until: Instant,
) -> Vec<&'a LaneHandle> {
    let mut pauses = delays(LIMIT_RETRY.0, LIMIT_RETRY.1);
    while !missing.is_empty() {
        let next_at = Instant::now() + pauses.next_backoff().unwrap_or(LIMIT_RETRY.1);
        if next_at >= until {
            break;
        }
        tokio::time::sleep_until(next_at).await;
        let mut still = vec![];
        for lane in missing {
            if !read_number(upkeep, account, lane, true).await {
                still.push(lane);
            }
        }
        missing = still;
    }
    missing
}

/// All that is this worker's to read. Returns the lanes whose limits could not be read.
async fn read_round<'a>(upkeep: &Upkeep, account: &'a Account) -> Vec<&'a LaneHandle> {
    let is_reader = upkeep.board.is_reader(&account.waba_id);
    let mut missing = vec![];
    for lane in &account.lanes {
        let handle = &lane.handle;
        if !reads_number(who_has(upkeep, handle), is_reader) {
            // This worker's knowledge of the number would grow old.
            handle.update(|seen| {
                seen.number = NumberState::default();
                seen.is_read_elsewhere = true;
            });
            continue;
        }
        handle.update(|seen| seen.is_read_elsewhere = false);
        let is_read = read_number(upkeep, account, handle, lane.reads_limit).await;
        if !is_read && lane.reads_limit {
            missing.push(handle);
        }
    }
    if is_reader {
        read_token(upkeep, account).await;
        read_templates(upkeep, account).await;
    } else {
        account.update(|state| *state = AccountState::default());
    }
    missing
}

fn who_has(upkeep: &Upkeep, lane: &LaneHandle) -> Has {
    if lane.seen().is_owned {
        return Has::Us;
    }
    let owner = lane.orders.borrow().owner.clone();
    match owner {
        // The owner may have ended without a word.
        Some(owner) if !owner.is_us && upkeep.board.is_there(&owner.worker) => Has::Another,
        Some(_) | None => Has::Nobody,
    }
}

/// True if the API has answered.
async fn read_number(
    upkeep: &Upkeep,
    account: &Account,
    lane: &LaneHandle,
    reads_limit: bool,
) -> bool {
    let phone_number_id = &lane.id;
    let token = account.tokens.token();
    let number = match upkeep.graph.number(phone_number_id, &token).await {
        Ok(number) => number,
        Err(error) => {
            counted(upkeep, "number", false);
            if reads_limit {
                tracing::warn!(%phone_number_id, %error, "cannot read the number's throughput level: keeping the limit");
            } else {
                tracing::debug!(%phone_number_id, %error, "cannot read how the API sees the number");
            }
            return false;
        }
    };
    counted(upkeep, "number", true);
    match number.limit_mps() {
        Some(limit_mps) if reads_limit => lane
            .orders
            .send_modify(|orders| orders.limit_mps = Some(limit_mps)),
        None if reads_limit => tracing::warn!(
            %phone_number_id, "the API names no throughput level that is known: keeping the limit"
        ),
        Some(_) | None => {}
    }
    tell_changes(lane, &lane.seen().number, &number);
    lane.update(|seen| seen.number = number);
    true
}

/// Meta's opinion of a number changes rarely, and each time somebody wants to know.
fn tell_changes(lane: &LaneHandle, before: &NumberState, now: &NumberState) {
    let (phone_number_id, waba_id) = (&lane.id, &*lane.waba_id);
    let what = [
        ("quality_rating", before.quality_rating, now.quality_rating),
        ("status", before.status, now.status),
        (
            "throughput_level",
            before.throughput_level,
            now.throughput_level,
        ),
        (
            "messaging_limit",
            before.messaging_limit,
            now.messaging_limit,
        ),
    ];
    for (what, from, to) in what {
        if from != to && from != "unknown" {
            tracing::info!(%phone_number_id, waba_id, what, from, to, "Meta sees the number otherwise");
        }
    }
}

async fn read_token(upkeep: &Upkeep, account: &Account) {
    let (waba_id, token) = (&*account.waba_id, account.tokens.token());
    let read = upkeep.graph.token(&token).await;
    counted(upkeep, "token", read.is_ok());
    match read {
        // Said of a token that is no longer in use.
        Ok(_) if account.tokens.token().fingerprint != token.fingerprint => {}
        Ok(read) => {
            if !read.is_valid && !account.state().is_token_refused {
                tracing::warn!(waba_id, "the API says that the token is not valid");
            }
            let app_id = read.app_id.as_deref();
            let other = app_id.and_then(|id| upkeep.apps.note(&account.app, waba_id, id));
            if let Some(other) = other {
                let app = &account.app;
                tracing::warn!(
                    waba_id,
                    "accounts.app: the tokens of this account and of {other} are of two Meta apps, and both are called {app:?} here, so that what holds one app stops both: give each a name of its own"
                );
            }
            account.update(|state| {
                state.is_token_refused = !read.is_valid;
                state.token_expires_at = read.expires_at;
            });
        }
        Err(error) => {
            tracing::debug!(waba_id, %error, "cannot read how long the token is good");
        }
    }
}

async fn read_templates(upkeep: &Upkeep, account: &Account) {
    let (waba_id, token) = (&*account.waba_id, account.tokens.token());
    match upkeep.graph.templates(waba_id, &token).await {
        Ok(templates) => {
            counted(upkeep, "templates", true);
            account.update(|state| state.templates = templates);
        }
        Err(error) => {
            counted(upkeep, "templates", false);
            tracing::debug!(waba_id, %error, "cannot read the account's templates");
        }
    }
}

fn counted(upkeep: &Upkeep, what: &str, is_ok: bool) {
    let result = if is_ok { "ok" } else { "error" };
    let reads = &upkeep.metrics.api_reads;
    reads.with_label_values(&[what, result]).inc();
}
