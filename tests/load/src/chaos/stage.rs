//! Everything that runs during one scenario, and what the scenario notes.

use super::nodes::{LOADS_USER, Nodes, WORKERS_USER};
use super::process::{Process, Signal, has_panicked};
use super::scenario::{Ailment, Scenario};
use super::traffic::{Load, Traffic};
use super::verdict::{Course, Figures, SECOND, full, judge};
use super::watch::Watch;
use super::worker::{Places, Setting, Worker};
use crate::run::all_answered;
use crate::sim;
use anyhow::{Context, Result, ensure};
use harness::proxy::Proxy;
use harness::tls::{Authority, Front};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::{process::Command, time::sleep};

/// Seconds of work that a lane is kept supplied with: more than a worker holds ready.
const BACKLOG_S: usize = 4;
/// Of lanes that send little.
const BACKLOG_MIN: usize = 40;
const WORKERS_MAX: u16 = 3;
const FLOWS_WITHIN: Duration = Duration::from_secs(60);
/// Longer than a worker's drain may take.
const DRAIN: Duration = Duration::from_secs(75);
/// What waits on the delay ladder, or for an API that is looked at ever more rarely.
const ANSWERED_WITHIN: Duration = Duration::from_secs(100);
/// Listening on for a second result to the same request.
const SETTLE: Duration = Duration::from_millis(1_500);

/// Where things are.
pub(crate) struct Ground {
    pub(crate) binaries: PathBuf,
    pub(crate) logs: PathBuf,
    /// The simulator's; the workers' admin ports and the forwarders' follow.
    pub(crate) port: u16,
    pub(crate) seed: u64,
}

pub(crate) struct Stage<'a> {
    pub(crate) nodes: &'a mut Nodes,
    pub(crate) workers: Vec<Worker>,
    /// One per worker, between it and RabbitMQ, and the load's.
    pub(crate) forwarders: Vec<Proxy>,
    pub(crate) lanes: Vec<String>,
    /// Of each, in messages per second.
    limit: usize,
    pub(crate) chance: fastrand::Rng,
    pub(crate) sim: String,
    pub(crate) logs: PathBuf,
    traffic: Option<Traffic>,
    watch: Watch,
    sim_process: Process,
    began: Instant,
    /// What the simulator's clock said when ours said so.
    sim_zero: Instant,
    flowing: Option<Instant>,
    healed: Option<Instant>,
    pub(crate) struck: Option<usize>,
    /// TLS between the workers and the API, if the scenario wants it.
    pub(crate) front: Option<(Front, Authority)>,
    /// The scenario makes a worker panic.
    pub(crate) expects_panic: bool,
    /// Figures that only this scenario has.
    pub(crate) notes: Vec<String>,
    /// Promises that only this scenario makes, broken.
    pub(crate) broken: Vec<String>,
}

impl<'a> Stage<'a> {
    pub(crate) async fn set(
        scenario: Scenario,
        ground: &Ground,
        nodes: &'a mut Nodes,
    ) -> Result<Self> {
        let began = Instant::now();
        let logs = ground.logs.join(scenario.name());
        std::fs::create_dir_all(&logs)?;
        nodes.ensure(scenario.nodes()).await?;
        nodes.fresh_vhost(&scenario.name()).await?;
        let lane_count = scenario.size().1;
        let lanes: Vec<String> = (1..=lane_count).map(|n| format!("2000{n}")).collect();
        let (sim, sim_process) = start_sim(ground, &lanes, scenario.limit(), &logs)?;
        let sim_zero = sim::zero(&sim).await?;
        let watch = Watch::start(sim.clone(), began);
        let mut stage = Self {
            nodes,
            workers: vec![],
            forwarders: vec![],
            lanes,
            limit: scenario.limit(),
            chance: fastrand::Rng::with_seed(ground.seed),
            sim,
            logs,
            traffic: None,
            watch,
            sim_process,
            began,
            sim_zero,
            flowing: None,
            healed: None,
            struck: None,
            front: None,
            expects_panic: false,
            notes: vec![],
            broken: vec![],
        };
        if let Scenario::Api(Ailment::Tls, _) = scenario {
            let target = stage.sim.trim_start_matches("http://").to_owned();
            let authority = Authority::new();
            let front = Front::start(authority.acceptor("localhost"), target).await;
            stage.front = Some((front, authority));
        }
        stage.add_workers(ground, scenario.config()).await?;
        Ok(stage)
    }

    async fn add_workers(&mut self, ground: &Ground, more: &str) -> Result<()> {
        let node_count = self.nodes.count();
        let graph = self.graph()?;
        for index in 0..=WORKERS_MAX {
            // Each prefers another node, and takes any.
            let targets =
                (0..node_count).map(|node| self.nodes.address((node + index) % node_count));
            let port = ground.port + 1 + WORKERS_MAX + index;
            let forwarder = Proxy::at(port, targets.collect()).await?;
            let places = Places {
                binaries: &ground.binaries,
                logs: &self.logs,
                pids: &ground.logs,
            };
            let setting = Setting {
                amqp: &self.nodes.amqp(WORKERS_USER, &forwarder.address),
                graph: &graph,
                admin_port: ground.port + 1 + index,
                lanes: &self.lanes,
                limit: self.limit,
                more,
            };
            // The last way is the load's own.
            if index < WORKERS_MAX {
                let worker = Worker::new(&format!("w{}", index + 1), &places, &setting)?;
                self.workers.push(worker);
            }
            self.forwarders.push(forwarder);
        }
        Ok(())
    }

    /// The workers' way to the API, as their config says it.
    fn graph(&self) -> Result<String> {
        let Some((front, authority)) = &self.front else {
            return Ok(format!("base_url = \"{}\"", self.sim));
        };
        let file = self.logs.join("ca.pem");
        std::fs::write(&file, authority.pem())?;
        let (port, file) = (front.port, file.display());
        Ok(format!(
            "base_url = \"https://localhost:{port}\"\nca_file = \"{file}\""
        ))
    }

    /// The worker's next send panics; waits for its end.
    pub(crate) async fn wish_panic(&mut self, index: usize) -> Result<()> {
        let worker = self.workers.get_mut(index).context("no such worker")?;
        std::fs::write(worker.wish(), "")?;
        let mut process = worker.process.take().context("it does not run")?;
        let code = process.exit(DRAIN).await?;
        let name = worker.name.clone();
        self.say(&format!("{name} has panicked"));
        if code != Some(1) {
            let what = format!("{name} ended with {code:?} instead of 1");
            self.broken.push(what);
        }
        Ok(())
    }

    /// Starts so many workers and the load, and waits until every lane is at its limit.
    pub(crate) async fn open(&mut self, workers: usize) -> Result<()> {
        for index in 0..workers {
            self.start(index).await?;
        }
        let amqp = self.amqp_of_the_load()?;
        let load = Load {
            amqp,
            lanes: self.lanes.clone(),
            backlog: (BACKLOG_S * self.limit).max(BACKLOG_MIN),
        };
        let prefix = format!(
            "{}-{:x}",
            self.nodes.vhost,
            self.began.elapsed().as_micros()
        );
        self.traffic = Some(Traffic::start(load, prefix).await?);
        ensure!(
            self.full_load(FLOWS_WITHIN).await,
            "not every lane flows after {FLOWS_WITHIN:?}"
        );
        self.flowing = Some(Instant::now());
        let spread = self.spread_text().await;
        self.say(&format!(
            "all lanes are at full load; over the workers {spread}"
        ));
        Ok(())
    }

    /// A reader of results, and nothing to read yet.
    pub(crate) async fn open_idle(&mut self) -> Result<()> {
        let amqp = self.amqp_of_the_load()?;
        let load = Load {
            amqp,
            lanes: self.lanes.clone(),
            backlog: 0,
        };
        // What is bound and published to is made by a worker.
        self.start(0).await?;
        self.drain(0).await?;
        self.traffic = Some(Traffic::start(load, self.nodes.vhost.clone()).await?);
        Ok(())
    }

    /// Over all lanes in turn, all due at the same time.
    pub(crate) async fn publish_scheduled(&self, count: usize, due_in_s: u64) -> Result<()> {
        let traffic = self.traffic.as_ref().context("there is no load")?;
        let amqp = self.amqp_of_the_load()?;
        let due = traffic
            .publish_scheduled(&amqp, &self.lanes, count, due_in_s)
            .await?;
        self.say(&format!("{count} requests, due at {due}"));
        Ok(())
    }

    /// How many requests a worker has moved to the delay ladder.
    pub(crate) async fn moved(&self, index: usize) -> f64 {
        match self.workers.get(index) {
            Some(worker) => worker.moved().await,
            None => 0.0,
        }
    }

    /// By a way that nobody freezes.
    pub(crate) fn amqp_of_the_load(&self) -> Result<String> {
        let last = self.forwarders.last().context("no forwarder")?;
        Ok(self.nodes.amqp(LOADS_USER, &last.address))
    }

    /// Every lane is answered as fast as its limit allows.
    async fn full_load(&self, patience: Duration) -> bool {
        let Some(traffic) = &self.traffic else {
            return false;
        };
        let deadline = Instant::now() + patience;
        // One that sends once a second may be answered a little later than that.
        let window = if self.limit == 1 { 3 * SECOND } else { SECOND };
        // Not from the API's ledger: reading that would hold up the API itself.
        while Instant::now() < deadline {
            sleep(Duration::from_millis(200)).await;
            let since = Instant::now().checked_sub(window);
            let answered =
                since.map(|since| traffic.book.lock().answered_since(self.lanes.len(), since));
            if answered.is_some_and(|lanes| lanes.iter().all(|&count| count >= full(self.limit))) {
                return true;
            }
        }
        false
    }

    /// One line of what happens.
    pub(crate) fn say(&self, what: &str) {
        println!("    {:>5.1} s  {what}", self.began.elapsed().as_secs_f64());
    }

    pub(crate) async fn start(&mut self, index: usize) -> Result<()> {
        let worker = self.workers.get_mut(index).context("no such worker")?;
        worker.start()?;
        worker.ready().await
    }

    pub(crate) async fn signal(&mut self, index: usize, signal: Signal) -> Result<()> {
        let worker = self.workers.get_mut(index).context("no such worker")?;
        let process = worker.process.as_mut().context("it does not run")?;
        process.signal(signal).await?;
        if signal == Signal::Kill {
            process.exit(DRAIN).await?;
            worker.process = None;
        }
        Ok(())
    }

    /// In order; its exit code must say so.
    pub(crate) async fn drain(&mut self, index: usize) -> Result<()> {
        let worker = self.workers.get_mut(index).context("no such worker")?;
        let mut process = worker.process.take().context("it does not run")?;
        process.signal(Signal::Term).await?;
        let code = process.exit(DRAIN).await?;
        if code != Some(0) {
            let name = &worker.name;
            self.broken
                .push(format!("{name} ended with {code:?} instead of 0"));
        }
        Ok(())
    }

    /// Which worker has which lanes now.
    pub(crate) async fn spread(&self) -> BTreeMap<usize, Vec<String>> {
        let mut spread = BTreeMap::new();
        for (index, worker) in self.workers.iter().enumerate() {
            if worker.process.is_some() {
                spread.insert(index, worker.lanes().await);
            }
        }
        spread
    }

    /// `2/2/2`
    pub(crate) async fn spread_text(&self) -> String {
        let spread = self.spread().await;
        let counts: Vec<_> = spread
            .values()
            .map(|lanes| lanes.len().to_string())
            .collect();
        counts.join("/")
    }

    /// The worker with the most lanes: whose loss hurts most.
    pub(crate) async fn busiest(&self) -> Result<usize> {
        let spread = self.spread().await;
        let busiest = spread.into_iter().max_by_key(|(_, lanes)| lanes.len());
        Ok(busiest.context("no worker runs")?.0)
    }

    pub(crate) fn name(&self, index: usize) -> String {
        self.workers
            .get(index)
            .map(|worker| worker.name.clone())
            .unwrap_or_default()
    }

    /// Whoever deletes a queue deletes what is in it: nobody promises an answer to that any more.
    pub(crate) fn forget(&mut self, lane: usize) {
        if let Some(traffic) = &self.traffic {
            let count = traffic.book.lock().doubt_all(lane);
            self.notes
                .push(format!("{count} requests may have been deleted"));
        }
    }

    /// The last fault is over.
    pub(crate) fn healed(&mut self, what: &str) {
        self.say(what);
        self.healed = Some(Instant::now());
    }

    /// Goes on for so long, with the load.
    pub(crate) async fn go_on(&self, seconds: u64) {
        sleep(Duration::from_secs(seconds)).await;
    }

    /// Waits until every lane is at full load again, as long as that may take, and a little more.
    pub(crate) async fn recover(&self, patience: Duration) {
        self.go_on(1).await;
        let recovered = self.full_load(patience).await;
        self.say(if recovered {
            "all lanes are at full load"
        } else {
            "full load was not reached"
        });
        self.go_on(3).await;
    }

    fn judge(&self, truth: &sim::Truth, until: Instant) -> Figures {
        let on_sim = |at: Instant| at.saturating_duration_since(self.sim_zero);
        let course = Course {
            lanes: &self.lanes,
            limit: self.limit,
            from: self.flowing.map(on_sim).unwrap_or_default(),
            until: on_sim(until),
            healed: self.healed.map(on_sim),
            struck: self.struck,
        };
        match &self.traffic {
            Some(traffic) => judge(&course, &traffic.book.lock(), truth),
            None => Figures::default(),
        }
    }

    /// No more load; everything is answered, or never will be; then the balance.
    pub(crate) async fn close(&mut self) -> Result<Figures> {
        let until = Instant::now();
        let traffic = self.traffic.as_mut().context("there was no load")?;
        traffic.stop_publishing().await?;
        all_answered(&traffic.book, ANSWERED_WITHIN).await;
        sleep(SETTLE).await;
        let open = traffic.book.lock().open();
        self.say(&format!("the load has ended, {open} without an answer"));
        self.notes.append(&mut self.watch.end());
        let truth = sim::truth(&self.sim).await?;
        Ok(self.judge(&truth, until))
    }

    /// Ends all that runs, in whatever state it is. Says what the logs complain of.
    pub(crate) async fn clear(self) -> Result<()> {
        drop(self.traffic);
        let mut ending = tokio::task::JoinSet::new();
        for mut worker in self.workers {
            if let Some(process) = worker.process.take() {
                ending.spawn(process.end(Duration::from_secs(20)));
            }
        }
        while ending.join_next().await.is_some() {}
        self.sim_process.end(Duration::from_secs(5)).await;
        self.nodes.drop_vhost().await;
        ensure!(
            has_panicked(&self.logs)? == self.expects_panic,
            "a worker panicked, or did not: {}",
            self.logs.display()
        );
        Ok(())
    }
}

fn start_sim(
    ground: &Ground,
    lanes: &[String],
    limit: usize,
    logs: &Path,
) -> Result<(String, Process)> {
    let address = format!("127.0.0.1:{}", ground.port);
    // It counts arrivals: if it had to wait for its turn, they would seem to come bunched. Not allowed to, it runs as it is.
    let mut command = Command::new("nice");
    command
        .args(["-n", "-10"])
        .arg(ground.binaries.join("graph-sim"))
        .args(["--listen", &address, "--seed", &ground.seed.to_string()])
        // Answers after 80 to 120 ms, and arrivals scattered as on a real way to Meta.
        .args(["--latency-ms", "80", "--latency-jitter-ms", "40"])
        .args(["--arrival-jitter-ms", "12"]);
    for lane in lanes {
        command.arg(format!("--number={lane}={limit}"));
    }
    let process = Process::start("sim", command, &address, logs, &ground.logs)?;
    Ok((format!("http://{address}"), process))
}
