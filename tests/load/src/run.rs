//! `load run`: a measured load.

use crate::book::{Book, Tally};
use crate::broker::{self, Publisher, Request, Shared};
use crate::loopback;
use anyhow::{Result, ensure};
use harness::amqp;
use harness::answer::Status;
use harness::figures::percentile;
use std::time::{Duration, Instant, SystemTime};
use tokio::time::{Instant as TokioInstant, sleep, sleep_until};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// The broker, such as amqp://guest:guest@127.0.0.1:45672
    #[arg(long)]
    amqp: String,
    /// Phone number ids; requests go to them in turn
    #[arg(long, value_delimiter = ',', required = true)]
    number: Vec<String>,
    /// Requests in all
    #[arg(long)]
    count: usize,
    /// Requests per second in all; as fast as they are confirmed if left out
    #[arg(long)]
    rate: Option<f64>,
    /// The share of requests of high priority
    #[arg(long, default_value_t = 0.05)]
    high_ratio: f64,
    /// Different recipients; few of them run into the pair limit
    #[arg(long, default_value_t = 10_000)]
    recipients: usize,
    /// Give up so many seconds after the last publish
    #[arg(long, default_value_t = 120)]
    timeout_s: u64,
    /// Keep listening for duplicates so long after the last result, in milliseconds
    #[arg(long, default_value_t = 500)]
    settle_ms: u64,
    /// Allow another host than this one
    #[arg(long)]
    anywhere: bool,
}

/// True if every request was answered exactly once.
pub(crate) async fn run(options: Options) -> Result<bool> {
    loopback::check(&options.amqp, options.anywhere)?;
    ensure!(options.recipients > 0, "--recipients must be at least 1");
    ensure!(
        options.rate.is_none_or(|rate| rate > 0.0),
        "--rate must be above 0"
    );
    let connection = amqp::connect(&options.amqp).await?;
    let book = Shared::new(Book::new(fresh_prefix()));
    let consumer = amqp::results(&connection).await?;
    let publisher = Publisher::new(&connection, options.number.clone(), book.clone()).await?;
    let began = Instant::now();
    tokio::select! {
        done = publish_and_wait(&options, publisher, &book) => done?,
        lost = broker::read_results(consumer, book.clone()) => lost?,
        () = progress(&book, options.count) => {}
    }
    Ok(report(&options, &book.lock(), began))
}

/// Differs from run to run, so that late results of another one do not count here.
pub(crate) fn fresh_prefix() -> String {
    format!(
        "load-{:x}",
        SystemTime::UNIX_EPOCH
            .elapsed()
            .unwrap_or_default()
            .as_micros()
    )
}

async fn publish_and_wait(
    options: &Options,
    mut publisher: Publisher,
    book: &Shared,
) -> Result<()> {
    let began = TokioInstant::now();
    for index in 0..options.count {
        if let Some(rate) = options.rate {
            // Counted from the start, so that a late one does not delay those behind it.
            #[expect(
                clippy::cast_precision_loss,
                reason = "counts of a load are far below 2^52"
            )]
            sleep_until(began + Duration::from_secs_f64(index as f64 / rate)).await;
        }
        publisher.publish(&request(options, index)).await?;
    }
    publisher.flush().await?;
    all_answered(book, Duration::from_secs(options.timeout_s)).await;
    sleep(Duration::from_millis(options.settle_ms)).await;
    Ok(())
}

/// Or until the patience is over.
pub(crate) async fn all_answered(book: &Shared, patience: Duration) {
    let deadline = Instant::now() + patience;
    while book.lock().open() > 0 && Instant::now() < deadline {
        sleep(Duration::from_millis(20)).await;
    }
}

fn request(options: &Options, index: usize) -> Request {
    let high = is_high(index, options.high_ratio);
    let to = 10_000_000 + index % options.recipients;
    let body = format!(
        r#"{{"messaging_product":"whatsapp","to":"155{to}","type":"text","text":{{"body":"load {index}"}}}}"#
    );
    Request {
        number: index % options.number.len(),
        priority: if high { 9 } else { 0 },
        body: body.into_bytes(),
    }
}

/// Spreads the high ones evenly: each time the running share passes a whole number.
#[expect(
    clippy::cast_precision_loss,
    reason = "counts of a load are far below 2^52"
)]
fn is_high(index: usize, ratio: f64) -> bool {
    ((index + 1) as f64 * ratio).floor() > (index as f64 * ratio).floor()
}

async fn progress(book: &Shared, count: usize) {
    loop {
        sleep(Duration::from_secs(2)).await;
        let (published, open) = {
            let book = book.lock();
            (book.entries().len(), book.open())
        };
        eprintln!(
            "published {published} of {count}, answered {}",
            published - open
        );
    }
}

fn report(options: &Options, book: &Book, began: Instant) -> bool {
    let tallies: Vec<Tally> = (0..options.number.len())
        .map(|number| book.tally(number))
        .collect();
    for (number, tally) in options.number.iter().zip(&tallies) {
        print_tally(number, tally);
    }
    let total = Tally::total(&tallies);
    if tallies.len() > 1 {
        print_tally("total", &total);
    }
    let last = book
        .entries()
        .iter()
        .filter_map(|entry| entry.answered)
        .max();
    if let Some(last) = last {
        let took = last.saturating_duration_since(began).as_secs_f64();
        #[expect(
            clippy::cast_precision_loss,
            reason = "counts of a load are far below 2^52"
        )]
        let rate = total.answered() as f64 / took;
        println!(
            "{} results in {took:.2} s: {rate:.1} per second",
            total.answered()
        );
    }
    total.missing() == 0 && total.repeats == 0 && book.strangers == 0
}

fn print_tally(name: &str, tally: &Tally) {
    print!("{name}: published {}", tally.published);
    for status in Status::ALL {
        print!(", {status} {}", tally.count(status));
    }
    println!(
        ", missing {}, duplicate results {}, possible_duplicate {}",
        tally.missing(),
        tally.repeats,
        tally.possible_duplicates
    );
    for (class, sorted) in [("high", &tally.high), ("bulk", &tally.bulk)] {
        if let (Some(p50), Some(p99), Some(max)) = (
            percentile(sorted, 50),
            percentile(sorted, 99),
            sorted.last(),
        ) {
            println!(
                "  {class}: {} answered, publish to result p50 {}, p99 {}, max {}",
                sorted.len(),
                ms(p50),
                ms(p99),
                ms(*max)
            );
        }
    }
}

fn ms(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_high_ones_are_spread_evenly() {
        let high: Vec<usize> = (0..100).filter(|&index| is_high(index, 0.05)).collect();
        assert_eq!(high.len(), 5);
        assert!(high.windows(2).all(|pair| pair[1] - pair[0] == 20));
        assert_eq!((0..10).filter(|&index| is_high(index, 1.0)).count(), 10);
        assert_eq!((0..10).filter(|&index| is_high(index, 0.0)).count(), 0);
    }
}
