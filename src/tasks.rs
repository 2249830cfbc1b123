//! The tasks that run beside the lanes for as long as the worker does. Each has a name, a period if it comes round by itself, and counts
//! its rounds; `/readyz?verbose` shows the list.

use crate::clock::Clock;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

/// One task, as the list shows it.
struct Entry {
    name: &'static str,
    /// The account that it serves, if there is one task per account.
    account: Option<Arc<str>>,
    /// `None`: it waits for something to happen.
    period: Option<Duration>,
    progress: Mutex<Progress>,
}

#[derive(Clone, Copy, Default)]
struct Progress {
    rounds: u64,
    /// When the last round ended, by the monotonic clock.
    last: Option<Duration>,
    has_ended: bool,
}

impl Entry {
    fn progress(&self) -> Progress {
        *self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn update(&self, change: impl FnOnce(&mut Progress)) {
        change(&mut self.progress.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        match &self.account {
            Some(waba_id) => write!(f, " of {waba_id}"),
            None => Ok(()),
        }
    }
}

/// By this a task counts its rounds.
pub struct Rounds {
    entry: Arc<Entry>,
    clock: Clock,
}

impl Rounds {
    /// Counts a round that has ended.
    pub fn count(&self) {
        let now = self.clock.now().mono;
        self.entry.update(|progress| {
            progress.rounds += 1;
            progress.last = Some(now);
        });
    }
}

/// The list of tasks, to be shown.
#[derive(Clone)]
pub struct TaskList {
    entries: Arc<Mutex<Vec<Arc<Entry>>>>,
    clock: Clock,
}

impl TaskList {
    pub fn new(clock: Clock) -> Self {
        Self {
            entries: Arc::default(),
            clock,
        }
    }

    fn add(
        &self,
        name: &'static str,
        account: Option<Arc<str>>,
        period: Option<Duration>,
    ) -> Arc<Entry> {
        let entry = Arc::new(Entry {
            name,
            account,
            period,
            progress: Mutex::default(),
        });
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.push(entry.clone());
        entry
    }

    /// One line per task: its name, its period and its last round.
    pub fn describe(&self) -> String {
        let now = self.clock.now().mono;
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = entries.iter().map(|entry| line(entry, now));
        lines.collect()
    }
}

fn line(entry: &Entry, now: Duration) -> String {
    let progress = entry.progress();
    let mut line = format!("{entry}: ");
    line += if progress.has_ended { "ended" } else { "runs" };
    if let Some(period) = entry.period {
        line += &format!(", every {} s", period.as_secs());
        line += &match progress.last {
            Some(last) => {
                let ago = now.saturating_sub(last).as_secs();
                format!(", {} rounds, the last {ago} s ago", progress.rounds)
            }
            None => ", no round yet".to_owned(),
        };
    }
    line.push('\n');
    line
}

/// All tasks that run. None of them ends by itself.
pub struct Tasks {
    running: JoinSet<(Arc<Entry>, String)>,
    list: TaskList,
}

impl Tasks {
    pub fn new(list: TaskList) -> Self {
        Self {
            running: JoinSet::new(),
            list,
        }
    }

    /// Starts a task that waits for something to happen. Should it end all the same, it returns why.
    /// The same, on a thread of its own: what it does takes no time from the lanes.
    pub fn start_apart(
        &mut self,
        name: &'static str,
        thread: &str,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> std::io::Result<()> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (ends, ended) = oneshot::channel::<()>();
        let work = move || {
            runtime.block_on(task);
            drop(ends);
        };
        std::thread::Builder::new()
            .name(thread.to_owned())
            .spawn(work)?;
        self.start(name, async {
            drop(ended.await);
            String::new()
        });
        Ok(())
    }

    pub fn start(
        &mut self,
        name: &'static str,
        task: impl Future<Output = String> + Send + 'static,
    ) {
        let entry = self.list.add(name, None, None);
        self.running.spawn(async move { (entry, task.await) });
    }

    /// Starts a task that comes round by itself, and counts its rounds.
    pub fn start_periodic<Task: Future<Output = String> + Send + 'static>(
        &mut self,
        name: &'static str,
        account: Option<Arc<str>>,
        period: Duration,
        task: impl FnOnce(Rounds) -> Task,
    ) {
        let entry = self.list.add(name, account, Some(period));
        let rounds = Rounds {
            entry: entry.clone(),
            clock: self.list.clock,
        };
        let task = task(rounds);
        self.running.spawn(async move { (entry, task.await) });
    }

    /// Waits for one to end, and says which and why.
    pub async fn ended(&mut self) -> String {
        match self.running.join_next().await {
            Some(Ok((entry, why))) => {
                entry.update(|progress| progress.has_ended = true);
                format!(
                    "{entry} ended{}{why}",
                    if why.is_empty() { "" } else { ": " }
                )
            }
            Some(Err(_)) => "a part beside the lanes panicked".to_owned(),
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_list_says_what_each_task_does() {
        let list = TaskList::new(Clock::start());
        let mut tasks = Tasks::new(list.clone());
        tasks.start("search", std::future::pending());
        let period = Duration::from_secs(5);
        let account = Some("77".into());
        tasks.start_periodic("reader", account, period, |rounds| async move {
            for _ in 0..2 {
                tokio::time::sleep(period).await;
                rounds.count();
            }
            "no more to read".to_owned()
        });
        let first = list.describe();
        assert_eq!(
            first,
            "search: runs\nreader of 77: runs, every 5 s, no round yet\n"
        );
        assert_eq!(tasks.ended().await, "reader of 77 ended: no more to read");
        tokio::time::sleep(Duration::from_secs(3)).await;
        let last = list.describe();
        let line = "reader of 77: ended, every 5 s, 2 rounds, the last 3 s ago";
        assert_eq!(last.lines().nth(1), Some(line));
    }
}
