//! `load demo`: a mixed load shown live, and at the end what became of it.

use crate::balance;
use crate::book::Book;
use crate::broker::{self, Publisher, Shared};
use crate::loopback;
use crate::plan::{self, Number, Plan};
use crate::run::all_answered;
use crate::screen::Screen;
use crate::sim;
use crate::summary::summary;
use crate::table::Snapshot;
use crate::workers::{Owners, Worker};
use anyhow::Result;
use harness::amqp;
use std::time::{Duration, Instant, SystemTime};
use tokio::time::{Instant as TokioInstant, sleep, sleep_until};

/// Long enough for a retry that draws its longest delays.
const PATIENCE: Duration = Duration::from_secs(60);
/// Listening on for a second result to the same request.
const SETTLE: Duration = Duration::from_millis(500);
const REDRAW: Duration = Duration::from_millis(150);

#[derive(clap::Args)]
pub(crate) struct Options {
    /// The broker and virtual host, such as amqp://guest:guest@127.0.0.1:45672/demo
    #[arg(long)]
    amqp: String,
    /// The simulated API, such as http://127.0.0.1:45680
    #[arg(long)]
    sim: String,
    /// A worker and its admin address, NAME=URL; may be repeated
    #[arg(long = "worker", value_name = "NAME=URL")]
    workers: Vec<Worker>,
    /// A phone number id and its messages per second, ID=MPS; four of them
    #[arg(long = "number", value_name = "ID=MPS", required = true)]
    numbers: Vec<Number>,
    /// Allow another host than this one
    #[arg(long)]
    anywhere: bool,
}

/// True if everything adds up.
pub(crate) async fn demo(options: Options) -> Result<bool> {
    let urls = options.workers.iter().map(|worker| &worker.url);
    for url in urls.chain([&options.amqp, &options.sim]) {
        loopback::check(url, options.anywhere)?;
    }
    let plan = Plan::new(options.numbers)?;
    sim::prepare(&options.sim, plan::script()).await?;
    let connection = amqp::connect(&options.amqp).await?;
    let book = Shared::new(Book::new(fresh_prefix()));
    let consumer = amqp::results(&connection).await?;
    let publisher = Publisher::new(&connection, plan.ids(), book.clone()).await?;
    let mut watch = Watch::new(&plan, &options.workers, &book);
    tokio::select! {
        done = publish_and_wait(&plan, publisher, &book) => done?,
        lost = broker::read_results(consumer, book.clone()) => lost?,
        () = watch.keep_showing() => {}
    }
    let last = watch.finish();
    let truth = sim::truth(&options.sim).await?;
    let book = book.lock();
    Ok(conclude(&plan, &book, &truth, &last))
}

/// Short, since it is read by people; the virtual host is new at each run.
fn fresh_prefix() -> String {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    format!("demo-{:x}", now.as_secs())
}

async fn publish_and_wait(plan: &Plan, mut publisher: Publisher, book: &Shared) -> Result<()> {
    let began = TokioInstant::now();
    for planned in &plan.requests {
        sleep_until(began + planned.at).await;
        publisher.publish(&planned.request).await?;
    }
    publisher.flush().await?;
    all_answered(book, PATIENCE).await;
    sleep(SETTLE).await;
    Ok(())
}

/// Looks at the load now and then, and shows it.
struct Watch<'a> {
    plan: &'a Plan,
    workers: &'a [Worker],
    book: &'a Shared,
    owners: Owners,
    screen: Screen,
    began: Instant,
}

impl<'a> Watch<'a> {
    fn new(plan: &'a Plan, workers: &'a [Worker], book: &'a Shared) -> Self {
        Self {
            plan,
            workers,
            book,
            owners: Owners::default(),
            screen: Screen::new(),
            began: Instant::now(),
        }
    }

    async fn keep_showing(&mut self) {
        loop {
            self.owners.look(self.workers).await;
            self.screen.show(&self.snapshot());
            sleep(REDRAW).await;
        }
    }

    fn snapshot(&self) -> Snapshot {
        let book = self.book.lock();
        Snapshot::take(self.plan, &book, &self.owners, self.began, Instant::now())
    }

    /// The last picture, whatever the clock says.
    fn finish(&mut self) -> Snapshot {
        let last = self.snapshot();
        self.screen.show(&last);
        last
    }
}

fn conclude(plan: &Plan, book: &Book, truth: &sim::Truth, last: &Snapshot) -> bool {
    println!("{}", summary(plan, book, truth, last));
    let faults = balance::faults(plan, book, truth);
    for fault in &faults {
        eprintln!("load: does not add up: {fault}");
    }
    if faults.is_empty() {
        println!("Everything adds up.");
    }
    faults.is_empty()
}
