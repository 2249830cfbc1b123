//! The acts of the play: what is published and refused in each, and what the signal and the workers must make of it.

use super::Size;
use super::stage::Stage;
use crate::http;
use crate::sim;
use anyhow::Result;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(180);

/// Where the lanes' numbers are: those with room first.
pub(crate) struct Lanes {
    pub(crate) numbers: Vec<String>,
    pub(crate) open: usize,
}

/// Held one way each: the account is locked, and calls are throttled.
pub(crate) const BLOCKED: i64 = 131_031;
pub(crate) const THROTTLED: i64 = 80_007;
const HELD: &str = r#"sum(max by (phone_number_id) (wa_dispatcher_lane_state{state="away"}))"#;
const HELD_BACKLOG: &str = r#"sum(max by (phone_number_id) (wa_dispatcher_lane_backlog_messages) and on (phone_number_id) (wa_dispatcher_lane_state{state="away"} == 1))"#;
const OWNED: &str = "sum(wa_dispatcher_lane_owned)";
const WITH_LANES: &str = "count(sum by (instance) (wa_dispatcher_lane_owned) > 0)";

/// What was measured on the way.
#[derive(Default)]
pub(crate) struct Marks {
    /// The campaign's time with one worker, and with all.
    pub(crate) alone: Option<(Instant, Instant)>,
    pub(crate) together: Option<(Instant, Instant)>,
    pub(crate) held_backlog: f64,
}

pub(crate) async fn quiet(stage: &mut Stage, lanes: &Lanes, size: &Size) -> Result<()> {
    println!("==> 1. quiet: daily load on all lanes");
    stage.load.wish().daily_mps = size.daily_mps;
    let all = lanes.numbers.len();
    stage
        .until("one worker has all lanes", PATIENCE, async |stage| {
            Ok(stage.ask(OWNED).await? >= as_f64(all))
        })
        .await?;
    stays_alone(stage, size.calm_polls, "daily load needs no second worker").await
}

/// So many polls at which the signal asks for one worker, and one runs.
async fn stays_alone(stage: &mut Stage, polls: usize, what: &str) -> Result<()> {
    let from = stage.polls.len();
    for _ in 0..polls {
        stage.poll().await?;
    }
    let calm = stage.polls.iter().skip(from);
    let is_calm = calm
        .filter(|poll| poll.signal.is_some_and(|signal| signal <= 1.0) && poll.desired == 1)
        .count();
    stage.must(is_calm == polls, what);
    Ok(())
}

pub(crate) async fn held(
    stage: &mut Stage,
    lanes: &Lanes,
    size: &Size,
    api: &str,
    marks: &mut Marks,
) -> Result<()> {
    println!("==> 2. a backlog on lanes that must not send");
    let held = lanes.numbers.get(lanes.open..).unwrap_or_default();
    if let [blocked, throttled] = held {
        let block = format!(r#"{{"phone_number_id":"{blocked}","blocked_code":{BLOCKED}}}"#);
        http::post(api, "/_sim/numbers", &block).await?;
        let fault = format!(
            r#"{{"faults":[{{"match":{{"phone_number_id":"{throttled}"}},"action":{{"kind":"error","code":{THROTTLED}}}}}]}}"#
        );
        http::post(api, "/_sim/script", &fault).await?;
    }
    let count = held.len();
    stage
        .until("both lanes are held", PATIENCE, async |stage| {
            Ok(stage.ask(HELD).await? >= as_f64(count))
        })
        .await?;
    for backlog in stage.load.wish().backlog.iter_mut().skip(lanes.open) {
        *backlog = size.held_backlog;
    }
    let waiting = as_f64(size.held_backlog * count) * 0.9;
    stage
        .until("their backlog waits", PATIENCE, async |stage| {
            Ok(stage.ask(HELD_BACKLOG).await? >= waiting)
        })
        .await?;
    marks.held_backlog = stage.ask(HELD_BACKLOG).await?;
    stays_alone(
        stage,
        size.calm_polls,
        "a backlog that must not be sent asks for no worker",
    )
    .await
}

pub(crate) async fn campaign(
    stage: &mut Stage,
    lanes: &Lanes,
    size: &Size,
    marks: &mut Marks,
) -> Result<()> {
    println!("==> 3. a campaign on the lanes with room");
    for backlog in stage.load.wish().backlog.iter_mut().take(lanes.open) {
        *backlog = size.campaign_backlog;
    }
    let began = Instant::now();
    let most = stage.most();
    stage
        .until("all workers run", PATIENCE, async |stage| {
            Ok(stage.running() == most)
        })
        .await?;
    let first = stage.changes.iter().map(|change| change.from).min();
    marks.alone = first.map(|first| (began, first));
    stage
        .until("every worker has lanes", PATIENCE, async |stage| {
            Ok(stage.ask(WITH_LANES).await? >= as_f64(most))
        })
        .await?;
    let (from, polled) = (Instant::now(), stage.polls.len());
    for _ in 0..size.campaign_polls {
        stage.poll().await?;
    }
    marks.together = Some((from, Instant::now()));
    let fewer = stage
        .polls
        .iter()
        .skip(polled)
        .any(|poll| poll.desired < most);
    stage.must(!fewer, "no worker goes while the campaign lasts");
    Ok(())
}

pub(crate) async fn over(stage: &mut Stage) -> Result<()> {
    println!("==> 4. the campaign is over, daily load goes on");
    for backlog in &mut stage.load.wish().backlog {
        *backlog = 0;
    }
    stage
        .until("one worker runs", PATIENCE * 2, async |stage| {
            Ok(stage.running() == 1)
        })
        .await
}

/// What holds the lanes is mended, and everything is answered.
pub(crate) async fn released(
    stage: &mut Stage,
    lanes: &Lanes,
    api: &str,
    admin: &str,
) -> Result<()> {
    println!("==> 5. the held lanes are mended, and all must add up");
    http::post(api, "/_sim/script", r#"{"faults":[]}"#).await?;
    for number in lanes.numbers.iter().skip(lanes.open) {
        let mended = format!(r#"{{"phone_number_id":"{number}","blocked_code":null}}"#);
        http::post(api, "/_sim/numbers", &mended).await?;
        http::post(admin, &format!("/lanes/{number}/resume"), "").await?;
    }
    stage.load.stop().await?;
    stage
        .until("every request is answered", PATIENCE, async |stage| {
            Ok(stage.load.book.lock().open() == 0)
        })
        .await?;
    let refused = sim::refused(api).await?;
    stage.must(refused == 0, "the API refused nothing for the rate");
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "counts of a load")]
fn as_f64(count: usize) -> f64 {
    count as f64
}
