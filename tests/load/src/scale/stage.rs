//! The workers, the scaler that starts and ends them, and what is noted meanwhile.

use super::load::Load;
use super::prometheus;
use super::scaler::Scaler;
use crate::chaos::process::Signal;
use crate::chaos::worker::{Places, Setting, Worker};
use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::time::sleep_until;

/// The signal as deploy/prometheus/rules.yaml records it.
const SIGNAL: &str = "job:wa_dispatcher_workers_needed";
/// Longer than a worker's drain may take.
const DRAIN: Duration = Duration::from_secs(75);

/// A worker that has come or gone.
pub(crate) struct Change {
    pub(crate) worker: String,
    pub(crate) has_come: bool,
    /// Until ready; or from SIGTERM to its end.
    pub(crate) from: Instant,
    pub(crate) until: Instant,
}

pub(crate) struct Poll {
    pub(crate) signal: Option<f64>,
    pub(crate) desired: usize,
}

pub(crate) struct Stage {
    pub(crate) load: Load,
    pub(crate) prometheus: String,
    pub(crate) polls: Vec<Poll>,
    pub(crate) changes: Vec<Change>,
    /// Promises that were broken.
    pub(crate) broken: Vec<String>,
    pub(crate) began: Instant,
    pub(crate) load_ended: Option<Instant>,
    scaler: Scaler,
    /// The first of them run.
    workers: Vec<Worker>,
    running: usize,
    next_poll: Instant,
}

pub(crate) struct Crew<'a> {
    pub(crate) binaries: &'a Path,
    pub(crate) logs: &'a Path,
    pub(crate) admin_port: u16,
    pub(crate) names: Vec<String>,
}

pub(crate) fn workers(crew: &Crew<'_>, setting: &Setting<'_>) -> Result<Vec<Worker>> {
    let mut workers = vec![];
    for (name, port) in crew.names.iter().zip(crew.admin_port..) {
        let places = Places {
            binaries: crew.binaries,
            logs: crew.logs,
            pids: crew.logs,
        };
        let setting = Setting {
            admin_port: port,
            ..*setting
        };
        workers.push(Worker::new(name, &places, &setting)?);
    }
    Ok(workers)
}

impl Stage {
    /// One worker runs already.
    pub(crate) fn new(
        load: Load,
        prometheus: String,
        scaler: Scaler,
        workers: Vec<Worker>,
    ) -> Self {
        let now = Instant::now();
        Self {
            load,
            prometheus,
            polls: vec![],
            changes: vec![],
            broken: vec![],
            began: now,
            load_ended: None,
            scaler,
            workers,
            running: 1,
            next_poll: now,
        }
    }

    pub(crate) fn running(&self) -> usize {
        self.running
    }

    pub(crate) fn most(&self) -> usize {
        self.scaler.spec().max_replica_count
    }

    /// One line of what happens.
    pub(crate) fn say(&self, what: &str) {
        println!("    {:>5.1} s  {what}", self.began.elapsed().as_secs_f64());
    }

    pub(crate) fn must(&mut self, holds: bool, what: &str) {
        if !holds {
            self.say(&format!("BROKEN: {what}"));
            self.broken.push(what.to_owned());
        }
    }

    pub(crate) async fn ask(&self, query: &str) -> Result<f64> {
        let value = prometheus::value(&self.prometheus, query).await?;
        Ok(value.unwrap_or_default())
    }

    /// As KEDA: asks once per polling interval, and does what the answer says.
    pub(crate) async fn poll(&mut self) -> Result<()> {
        sleep_until(self.next_poll.into()).await;
        // What took longer than an interval is not made up for.
        self.next_poll = Instant::now() + self.scaler.spec().polling_interval;
        self.load.check()?;
        let signal = prometheus::value(&self.prometheus, SIGNAL).await?;
        let running = self.running;
        let desired = self.scaler.desired(self.began.elapsed(), running, signal);
        self.tell(signal, desired).await?;
        self.polls.push(Poll { signal, desired });
        if desired > running {
            self.start(desired).await?;
        }
        while self.running > desired {
            self.end_last().await?;
        }
        Ok(())
    }

    async fn tell(&self, signal: Option<f64>, desired: usize) -> Result<()> {
        let allowed = self.ask("job:wa_dispatcher_lane_work_allowed_messages_per_second:sum");
        let allowed = allowed.await?;
        let query = "wa_dispatcher_worker_capacity_messages_per_second";
        let capacities = prometheus::values(&self.prometheus, query).await?;
        let capacities: Vec<_> = capacities.iter().map(|mps| format!("{mps:.0}")).collect();
        let signal = signal.map_or("none".to_owned(), |signal| format!("{signal}"));
        self.say(&format!(
            "needed {signal}, running {}, desired {desired}; {allowed:.0} messages per second may be sent, one worker carries {}",
            self.running,
            capacities.join(", ")
        ));
        Ok(())
    }

    /// Polls until it holds.
    pub(crate) async fn until(
        &mut self,
        what: &str,
        patience: Duration,
        holds: impl AsyncFn(&Self) -> Result<bool>,
    ) -> Result<()> {
        let deadline = Instant::now() + patience;
        while !holds(self).await? {
            ensure!(
                Instant::now() < deadline,
                "not within {} s: {what}",
                patience.as_secs()
            );
            self.poll().await?;
        }
        self.say(what);
        Ok(())
    }

    /// All at once, as a Deployment does.
    async fn start(&mut self, desired: usize) -> Result<()> {
        let from = Instant::now();
        let new = self.workers.get_mut(self.running..desired);
        let new = new.context("more workers than there are")?;
        for worker in &mut *new {
            worker.start()?;
        }
        for worker in new {
            worker.ready().await?;
            self.changes.push(Change {
                worker: worker.name.clone(),
                has_come: true,
                from,
                until: Instant::now(),
            });
        }
        self.running = desired;
        self.say(&format!("{desired} workers run"));
        Ok(())
    }

    /// The newest goes first. It is under load, drains, and says so with its exit code.
    async fn end_last(&mut self) -> Result<()> {
        let from = Instant::now();
        let worker = self.running.checked_sub(1);
        let worker = worker.and_then(|last| self.workers.get_mut(last));
        let worker = worker.context("no worker runs")?;
        let mut process = worker.process.take().context("it does not run")?;
        process.signal(Signal::Term).await?;
        let code = process.exit(DRAIN).await?;
        let name = worker.name.clone();
        self.running -= 1;
        let until = Instant::now();
        self.say(&format!(
            "{name} has drained within {:.2} s; {} run",
            (until - from).as_secs_f64(),
            self.running
        ));
        self.must(
            code == Some(0),
            &format!("{name} ended with {code:?} instead of 0"),
        );
        self.changes.push(Change {
            worker: name,
            has_come: false,
            from,
            until,
        });
        Ok(())
    }

    /// Everything is over: the last worker goes as the others did.
    pub(crate) async fn end(&mut self) -> Result<()> {
        while self.running > 0 {
            self.end_last().await?;
        }
        Ok(())
    }
}
