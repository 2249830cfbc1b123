//! The load: daily messages on every lane, and on some a backlog that is kept up as long as that is wished for.

use crate::book::Book;
use crate::broker::{self, Publisher, Request, Shared};
use anyhow::{Context, Result, bail};
use harness::amqp;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::sleep;

const TICK: Duration = Duration::from_millis(5);
/// Of a backlog at once, so that daily messages come between.
const PORTION: usize = 40;
/// RabbitMQ confirms late while workers take all of the machine.
const WINDOW: usize = 2_000;

/// What is to be published from now on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wish {
    /// Messages per second on each lane.
    pub(crate) daily_mps: f64,
    /// By lane: so many requests without an answer, always. It counts daily ones in.
    pub(crate) backlog: Vec<usize>,
    pub(crate) is_over: bool,
}

pub(crate) struct Load {
    pub(crate) book: Shared,
    wish: Arc<Mutex<Wish>>,
    publisher: JoinSet<Result<()>>,
    reader: JoinSet<Result<()>>,
}

impl Load {
    pub(crate) async fn start(amqp: &str, numbers: Vec<String>, prefix: String) -> Result<Self> {
        let book = Shared::new(Book::new(prefix));
        let wish = Arc::new(Mutex::new(Wish {
            backlog: vec![0; numbers.len()],
            ..Wish::default()
        }));
        let (mut publisher, mut reader) = (JoinSet::new(), JoinSet::new());
        // On connections of their own: RabbitMQ holds back one that publishes faster than it can take.
        let reading = amqp::connect(amqp).await?;
        let consumer = amqp::results(&reading).await?;
        let into = book.clone();
        reader.spawn(async move {
            let _open = reading;
            broker::read_results(consumer, into).await
        });
        let publishing = amqp::connect(amqp).await?;
        let confirmed = Publisher::new(&publishing, numbers, book.clone()).await?;
        let confirmed = confirmed.with_window(WINDOW);
        let (from, into) = (Arc::clone(&wish), book.clone());
        publisher.spawn(async move {
            let _open = publishing;
            publish(confirmed, &into, &from).await
        });
        Ok(Self {
            book,
            wish,
            publisher,
            reader,
        })
    }

    pub(crate) fn wish(&self) -> MutexGuard<'_, Wish> {
        lock(&self.wish)
    }

    /// Neither task ends by itself: if one has, it says why.
    pub(crate) fn check(&mut self) -> Result<()> {
        match self
            .publisher
            .try_join_next()
            .or_else(|| self.reader.try_join_next())
        {
            None => Ok(()),
            Some(ended) => {
                ended??;
                bail!("the load has ended by itself")
            }
        }
    }

    /// Publishes nothing more; what was published is confirmed.
    pub(crate) async fn stop(&mut self) -> Result<()> {
        self.wish().is_over = true;
        let ended = self.publisher.join_next().await;
        ended.context("the publisher had ended")??
    }
}

fn lock(wish: &Mutex<Wish>) -> MutexGuard<'_, Wish> {
    wish.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn publish(mut publisher: Publisher, book: &Shared, wish: &Mutex<Wish>) -> Result<()> {
    // Daily messages that are due, in fractions of one; the lanes take turns.
    let (mut due, mut turn, mut last) = (0.0, 0, Instant::now());
    loop {
        let wish = lock(wish).clone();
        if wish.is_over {
            return publisher.flush().await;
        }
        let lanes = wish.backlog.len();
        due += count(lanes) * wish.daily_mps * last.elapsed().as_secs_f64();
        last = Instant::now();
        let mut is_idle = true;
        while due >= 1.0 {
            due -= 1.0;
            turn = (turn + 1) % lanes;
            publisher.publish(&request(book, turn)).await?;
        }
        for (lane, &backlog) in wish.backlog.iter().enumerate() {
            let missing = backlog.saturating_sub(book.lock().open_of(lane));
            is_idle &= missing == 0;
            for _ in 0..missing.min(PORTION) {
                publisher.publish(&request(book, lane)).await?;
            }
        }
        if is_idle {
            sleep(TICK).await;
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a few lanes")]
fn count(lanes: usize) -> f64 {
    lanes as f64
}

/// To one person each: the pair limit is not what is shown here.
fn request(book: &Shared, number: usize) -> Request {
    let index = book.lock().entries().len();
    let to = 10_000_000 + index;
    let body = format!(r#"{{"to":"155{to}","type":"text","text":{{"body":"scale {index}"}}}}"#);
    Request {
        number,
        priority: 0,
        body: body.into_bytes(),
    }
}
