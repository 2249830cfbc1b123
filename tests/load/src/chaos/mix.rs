//! Many faults in a row, drawn with the seed: what no single scenario thought of.

use super::play::PATIENCE;
use super::process::Signal;
use super::scenario::{Ailment, Reach};
use super::stage::Stage;
use super::{play_api, play_broker};
use anyhow::Result;
use harness::proxy::Mode;
use std::time::{Duration, Instant};

#[derive(Clone, Copy, Debug)]
enum Fault {
    Kill,
    Drain,
    Stop,
    Freeze,
    Close,
    BrokerTerm,
    BrokerKill,
    Alarm,
    Api,
}

const FAULTS: [Fault; 9] = [
    Fault::Kill,
    Fault::Drain,
    Fault::Stop,
    Fault::Freeze,
    Fault::Close,
    Fault::BrokerTerm,
    Fault::BrokerKill,
    Fault::Alarm,
    Fault::Api,
];

pub(crate) async fn mix(stage: &mut Stage<'_>, minutes: u64) -> Result<()> {
    let end = Instant::now() + Duration::from_secs(60 * minutes);
    let mut count = 0;
    while Instant::now() < end {
        let fault = stage.chance.choice(FAULTS).unwrap_or(Fault::Kill);
        strike(stage, fault).await?;
        count += 1;
        // Not always until all is well again: faults meet in life as well.
        if stage.chance.bool() {
            let pause_s = stage.chance.u64(1..6);
            stage.go_on(pause_s).await;
        } else {
            stage.recover(PATIENCE).await;
        }
    }
    stage.struck = None;
    stage.notes.push(format!("{count} faults"));
    stage.healed("no more faults");
    Ok(())
}

async fn strike(stage: &mut Stage<'_>, fault: Fault) -> Result<()> {
    let worker = stage.chance.usize(0..3);
    let seconds = stage.chance.u64(2..8);
    let name = stage.name(worker);
    match fault {
        Fault::Kill => {
            stage.signal(worker, Signal::Kill).await?;
            stage.say(&format!("{name} is killed"));
            stage.go_on(seconds).await;
            stage.start(worker).await?;
        }
        Fault::Drain => {
            stage.drain(worker).await?;
            stage.say(&format!("{name} has drained"));
            stage.start(worker).await?;
        }
        Fault::Stop => {
            stage.signal(worker, Signal::Stop).await?;
            // Below, around and beyond the time after which RabbitMQ gives its lanes away.
            let seconds = seconds * 5;
            stage.say(&format!("{name} is stopped for {seconds} s"));
            stage.go_on(seconds).await;
            stage.signal(worker, Signal::Cont).await?;
        }
        Fault::Freeze => {
            let seconds = seconds * 5;
            stage.say(&format!(
                "nothing passes between {name} and RabbitMQ for {seconds} s"
            ));
            set_mode(stage, worker, Mode::BlackHole).await;
            stage.go_on(seconds).await;
            set_mode(stage, worker, Mode::Pass).await;
        }
        Fault::Close => {
            let vhost = stage.nodes.vhost.clone();
            let close = ["close_all_connections", "-p", &vhost, "chaos"];
            stage.nodes.ctl(0, &close).await?;
            stage.say("all connections are closed");
        }
        Fault::BrokerTerm => play_broker::restart(stage, Signal::Term).await?,
        Fault::BrokerKill => play_broker::restart(stage, Signal::Kill).await?,
        Fault::Alarm => play_broker::alarm(stage, &play_broker::DISK, seconds).await?,
        Fault::Api => {
            let ailment = stage
                .chance
                .choice(Ailment::SCRIPTED)
                .unwrap_or(Ailment::Refused);
            let reach = if stage.chance.bool() {
                Reach::One
            } else {
                Reach::All
            };
            stage.say(&format!("{ailment:?}, {reach:?}"));
            play_api::ailing(stage, ailment, reach, seconds).await?;
            stage.struck = None;
        }
    }
    Ok(())
}

async fn set_mode(stage: &Stage<'_>, worker: usize, mode: Mode) {
    if let Some(forwarder) = stage.forwarders.get(worker) {
        forwarder.set(mode).await;
    }
}
