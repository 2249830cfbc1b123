//! What happens in each scenario: to workers here, to RabbitMQ and to the API in files of their own.

use super::process::Signal;
use super::scenario::Scenario;
use super::stage::Stage;
use super::worker::Wrap;
use super::{mix, play_api, play_broker, play_evidence};
use anyhow::{Context, Result, ensure};
use harness::proxy::Mode;
use std::path::PathBuf;
use std::time::{Duration, Instant};

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) async fn play(scenario: Scenario, stage: &mut Stage<'_>, minutes: u64) -> Result<()> {
    if scenario == Scenario::Descriptors {
        first_worker_with(stage, Wrap::Descriptors(DESCRIPTORS))?;
    }
    if scenario == Scenario::Scheduled {
        return scheduled(stage).await;
    }
    stage.open(scenario.size().0).await?;
    match scenario {
        Scenario::Scale => scale(stage).await?,
        // Done above.
        Scenario::Scheduled => {}
        Scenario::Kill => kill(stage).await?,
        Scenario::Evidence => play_evidence::evidence(stage).await?,
        Scenario::Stop => stop(stage).await?,
        Scenario::Rolling => rolling(stage).await?,
        Scenario::Partition => partition(stage).await?,
        Scenario::Descriptors => descriptors(stage).await?,
        Scenario::Clock => clock(stage).await?,
        Scenario::Quick => quick(stage).await?,
        Scenario::Mix => mix::mix(stage, minutes).await?,
        Scenario::BrokerTerm => play_broker::restart(stage, Signal::Term).await?,
        Scenario::BrokerKill => play_broker::restart(stage, Signal::Kill).await?,
        Scenario::AlarmMemory => play_broker::alarm(stage, &play_broker::MEMORY, 15).await?,
        Scenario::AlarmDisk => play_broker::alarm(stage, &play_broker::DISK, 15).await?,
        Scenario::LaneDeleted => play_broker::lane_deleted(stage).await?,
        Scenario::ConnectionsClosed => play_broker::connections_closed(stage).await?,
        Scenario::ConsumerTimeout => play_broker::consumer_timeout(stage).await?,
        Scenario::ClusterNode => play_broker::node_killed(stage).await?,
        Scenario::ClusterLeader => play_broker::leaders_moved(stage).await?,
        Scenario::RejectPublish => play_broker::results_refused(stage).await?,
        Scenario::StuckReader => play_broker::reader_stuck(stage).await?,
        Scenario::Credentials => play_broker::password_changed(stage).await?,
        Scenario::SlowConfirms => late(stage).await?,
        Scenario::Panic => panic(stage).await?,
        Scenario::Drain => drain(stage).await?,
        Scenario::Api(ailment, reach) => play_api::ailing(stage, ailment, reach, 60).await?,
    }
    stage.recover(PATIENCE).await;
    Ok(())
}

async fn scale(stage: &mut Stage<'_>) -> Result<()> {
    stage.go_on(4).await;
    for index in [1, 2] {
        stage.start(index).await?;
    }
    stage.say("three workers");
    stage.go_on(8).await;
    let spread = stage.spread_text().await;
    let idle = stage
        .spread()
        .await
        .values()
        .filter(|lanes| lanes.is_empty())
        .count();
    if idle > 0 {
        stage.broken.push(format!("a worker has no lane: {spread}"));
    }
    stage
        .notes
        .push(format!("lanes over three workers {spread}"));
    for index in [0, 1] {
        stage.drain(index).await?;
    }
    stage.healed("one worker");
    Ok(())
}

async fn kill(stage: &mut Stage<'_>) -> Result<()> {
    stage.go_on(3).await;
    let survivor = stage.chance.usize(0..3);
    for index in (0..3).filter(|&index| index != survivor) {
        stage.signal(index, Signal::Kill).await?;
    }
    stage.healed("two of three workers are killed");
    Ok(())
}

/// Requests that are all due at the same moment, and how long after they are published.
const SCHEDULED: usize = 3_000;
const DUE_IN_S: u64 = 40;

/// The worker that is killed has moved so many.
const MOVED: f64 = 200.0;

async fn scheduled(stage: &mut Stage<'_>) -> Result<()> {
    stage.open_idle().await?;
    stage.publish_scheduled(SCHEDULED, DUE_IN_S).await?;
    // Both at once, so that each gets lanes.
    for index in 0..2 {
        stage.workers.get_mut(index).context("no worker")?.start()?;
    }
    let deadline = Instant::now() + PATIENCE;
    let victim = loop {
        ensure!(Instant::now() < deadline, "no worker moves anything");
        let moved = [stage.moved(0).await, stage.moved(1).await];
        if let Some(victim) = moved.iter().position(|moved| *moved >= MOVED) {
            break victim;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    stage.signal(victim, Signal::Kill).await?;
    let moved = stage.moved(1 - victim).await;
    let name = stage.name(victim);
    stage.healed(&format!("{name} is killed, the other has moved {moved}"));
    stage.go_on(DUE_IN_S).await;
    Ok(())
}

async fn stop(stage: &mut Stage<'_>) -> Result<()> {
    let worker = stage.busiest().await?;
    stage.signal(worker, Signal::Stop).await?;
    stage.say(&format!("{} is stopped", stage.name(worker)));
    stage.go_on(45).await;
    stage.notes.push(format!(
        "lanes while it stands {}",
        stage.spread_text().await
    ));
    stage.signal(worker, Signal::Cont).await?;
    stage.healed(&format!("{} goes on", stage.name(worker)));
    stage.go_on(10).await;
    Ok(())
}

async fn rolling(stage: &mut Stage<'_>) -> Result<()> {
    for index in 0..3 {
        stage.drain(index).await?;
        stage.say(&format!("{} has drained", stage.name(index)));
        stage.go_on(1).await;
        stage.start(index).await?;
        stage.go_on(3).await;
    }
    stage.healed("all are new");
    Ok(())
}

async fn partition(stage: &mut Stage<'_>) -> Result<()> {
    let worker = stage.busiest().await?;
    let way = stage.forwarders.get(worker).context("no way")?;
    way.set(Mode::BlackHole).await;
    stage.say(&format!(
        "nothing passes between {} and RabbitMQ",
        stage.name(worker)
    ));
    stage.go_on(45).await;
    let readiness = match stage.workers.get(worker) {
        Some(worker) => worker.readiness().await,
        None => String::new(),
    };
    stage.notes.push(format!("its /readyz then: {readiness}"));
    if let Some(way) = stage.forwarders.get(worker) {
        way.set(Mode::Pass).await;
    }
    stage.healed("it passes again");
    stage.go_on(15).await;
    Ok(())
}

/// Three round trips lie between a request and its acknowledgement.
async fn late(stage: &mut Stage<'_>) -> Result<()> {
    let set = async |stage: &Stage<'_>, mode| {
        for forwarder in stage.forwarders.iter().take(stage.workers.len()) {
            forwarder.set(mode).await;
        }
    };
    set(stage, Mode::Delay(Duration::from_millis(300))).await;
    stage.say("RabbitMQ is 300 ms away");
    stage.go_on(20).await;
    set(stage, Mode::Pass).await;
    stage.healed("RabbitMQ is near");
    Ok(())
}

/// It drains its other lanes and ends; whoever looks after it starts it again.
async fn panic(stage: &mut Stage<'_>) -> Result<()> {
    let worker = stage.busiest().await?;
    stage.expects_panic = true;
    stage.wish_panic(worker).await?;
    stage.go_on(2).await;
    stage.start(worker).await?;
    stage.healed("it is started again");
    Ok(())
}

/// Each lane that it leaves must tell the other worker what of it is surely unsent: what is not told is `unknown`.
async fn drain(stage: &mut Stage<'_>) -> Result<()> {
    stage.go_on(5).await;
    let began = Instant::now();
    stage.drain(0).await?;
    let took_s = began.elapsed().as_secs_f64();
    stage.notes.push(format!("it took {took_s:.1} s to leave"));
    stage.healed("one worker");
    Ok(())
}

/// Enough to start and to hold a session, not enough for the connections of two lanes to the API.
const DESCRIPTORS: u32 = 32;

fn first_worker_with(stage: &mut Stage<'_>, wrap: Wrap) -> Result<()> {
    stage.workers.first_mut().context("no worker")?.wrap = wrap;
    Ok(())
}

async fn descriptors(stage: &mut Stage<'_>) -> Result<()> {
    stage.go_on(20).await;
    stage
        .notes
        .push(format!("lanes {}", stage.spread_text().await));
    stage.drain(0).await?;
    first_worker_with(stage, Wrap::Nothing)?;
    stage.start(0).await?;
    stage.healed("it has as many as it wants");
    Ok(())
}

/// The library, if the script could get it.
pub(crate) fn faketime() -> Option<PathBuf> {
    let library = PathBuf::from(std::env::var_os("CHAOS_FAKETIME")?);
    library.exists().then_some(library)
}

async fn clock(stage: &mut Stage<'_>) -> Result<()> {
    let library = faketime().context("no libfaketime here")?;
    let file = stage.logs.join("clock");
    std::fs::write(&file, "+0s\n")?;
    for index in 0..3 {
        let worker = stage.workers.get_mut(index).context("no worker")?;
        worker.wrap = Wrap::Clock(library.clone(), file.clone());
        stage.drain(index).await?;
        stage.start(index).await?;
    }
    for offset in ["+3600s", "-3600s", "+0s"] {
        stage.go_on(5).await;
        std::fs::write(&file, format!("{offset}\n"))?;
        stage.say(&format!("the clocks say {offset}"));
    }
    stage.healed("the clocks are right");
    Ok(())
}

/// Kill, broker kill and a rolling restart, as short as they can be.
async fn quick(stage: &mut Stage<'_>) -> Result<()> {
    stage.signal(0, Signal::Kill).await?;
    stage.say("w1 is killed");
    stage.go_on(1).await;
    stage.start(0).await?;
    play_broker::restart(stage, Signal::Kill).await?;
    stage.recover(PATIENCE).await;
    for index in 0..2 {
        ensure!(stage.workers.len() > index, "two workers are needed");
        stage.drain(index).await?;
        stage.start(index).await?;
    }
    stage.healed("both workers are new");
    Ok(())
}
