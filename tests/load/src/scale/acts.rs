//! The acts of the play: what is published and refused in each, and what the signal and the workers must make of it.

use super::Size;
use super::stage::Stage;
use anyhow::{Context, Result};
use harness::http;
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::time::sleep;

const PATIENCE: Duration = Duration::from_secs(180);

/// The lanes' numbers: those of the campaign, then others with room, then two that will be held.
pub(crate) struct Lanes {
    pub(crate) numbers: Vec<String>,
    pub(crate) campaign: usize,
    pub(crate) open: usize,
}

impl Lanes {
    fn of_campaign(&self) -> impl Iterator<Item = &String> {
        self.numbers.iter().take(self.campaign)
    }

    fn held(&self) -> impl Iterator<Item = &String> {
        self.numbers.iter().skip(self.open)
    }
}

/// Held one way each: the account is locked, and calls are throttled.
pub(crate) const BLOCKED: i64 = 131_031;
pub(crate) const THROTTLED: i64 = 80_007;
const HELD: &str =
    r#"sum(max by (phone_number_id) (wa_dispatcher_lane_state{state=~"away|paused"}))"#;
const HELD_BACKLOG: &str = r#"sum(max by (phone_number_id) (wa_dispatcher_lane_backlog_messages) and on (phone_number_id) (wa_dispatcher_lane_state{state=~"away|paused"} == 1))"#;
const OWNED: &str = "sum(wa_dispatcher_lane_owned)";
const WITH_LANES: &str = "count(sum by (instance) (wa_dispatcher_lane_owned) > 0)";

/// Where the API and a worker's admin port are.
pub(crate) struct Places<'a> {
    pub(crate) api: &'a str,
    pub(crate) admin: &'a str,
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
    places: &Places<'_>,
) -> Result<f64> {
    println!(
        "==> 2. backlogs that must not be sent: an account is blocked, calls are throttled, the campaign is paused"
    );
    hold(lanes, places).await?;
    let count = lanes.campaign + lanes.held().count();
    stage
        .until("their lanes are held", PATIENCE, async |stage| {
            Ok(stage.ask(HELD).await? >= as_f64(count))
        })
        .await?;
    let mut waiting = 0;
    for (lane, backlog) in stage.load.wish().backlog.iter_mut().enumerate() {
        *backlog = match lane {
            lane if lane < lanes.campaign => size.campaign_backlog,
            lane if lane >= lanes.open => size.held_backlog,
            _ => 0,
        };
        waiting += *backlog;
    }
    let waiting = as_f64(waiting) * 0.9;
    stage
        .until("their backlogs wait", PATIENCE, async |stage| {
            Ok(stage.ask(HELD_BACKLOG).await? >= waiting)
        })
        .await?;
    let held = stage.ask(HELD_BACKLOG).await?;
    let what = "a backlog that must not be sent asks for no worker";
    stays_alone(stage, size.calm_polls, what).await?;
    Ok(held)
}

async fn hold(lanes: &Lanes, places: &Places<'_>) -> Result<()> {
    let Places { api, admin } = places;
    for number in lanes.of_campaign() {
        operator(admin, number, "pause").await?;
    }
    let mut held = lanes.held();
    let (blocked, throttled) = (held.next(), held.next());
    let (blocked, throttled) = blocked.zip(throttled).context("two lanes to hold")?;
    let block = json!({ "phone_number_id": blocked, "blocked_code": BLOCKED });
    http::post(api, "/_sim/numbers", block).await?;
    let action = json!({ "kind": "error", "code": THROTTLED });
    let fault = json!({ "match": { "phone_number_id": throttled }, "action": action });
    http::post(api, "/_sim/script", json!({ "faults": [fault] })).await
}

/// Until it has reached all workers: a worker that is busy with the first of them says that it has not yet.
async fn operator(admin: &str, number: &str, what: &str) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match http::post(admin, &format!("/lanes/{number}/{what}"), json!({})).await {
            Err(error) if Instant::now() > deadline => return Err(error),
            Err(_) => sleep(Duration::from_millis(500)).await,
            Ok(()) => return Ok(()),
        }
    }
}

pub(crate) async fn campaign(
    stage: &mut Stage,
    lanes: &Lanes,
    size: &Size,
    places: &Places<'_>,
) -> Result<(Instant, Instant)> {
    println!("==> 3. the campaign's lanes may send");
    for number in lanes.of_campaign() {
        operator(places.admin, number, "resume").await?;
    }
    let most = stage.most();
    stage
        .until("all workers run", PATIENCE, async |stage| {
            Ok(stage.running() == most)
        })
        .await?;
    stage
        .until("every worker has lanes", PATIENCE, async |stage| {
            Ok(stage.ask(WITH_LANES).await? >= as_f64(most))
        })
        .await?;
    let (from, polled) = (Instant::now(), stage.polls.len());
    for _ in 0..size.campaign_polls {
        stage.poll().await?;
    }
    let polls = stage.polls.iter().skip(polled);
    let fewer = polls.filter(|poll| poll.desired < most).count();
    stage.must(fewer == 0, "no worker goes while the campaign lasts");
    Ok((from, Instant::now()))
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
pub(crate) async fn released(stage: &mut Stage, lanes: &Lanes, places: &Places<'_>) -> Result<()> {
    let Places { api, admin } = places;
    println!("==> 5. the held lanes are mended, and all must add up");
    http::post(api, "/_sim/script", json!({ "faults": [] })).await?;
    for number in lanes.held() {
        let mended = json!({ "phone_number_id": number, "blocked_code": null });
        http::post(api, "/_sim/numbers", mended).await?;
        operator(admin, number, "resume").await?;
    }
    stage.load_ended = Some(Instant::now());
    stage.load.stop().await?;
    stage
        .until("every request is answered", PATIENCE, async |stage| {
            Ok(stage.load.book.lock().open() == 0)
        })
        .await?;
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "counts of a load")]
fn as_f64(count: usize) -> f64 {
    count as f64
}
