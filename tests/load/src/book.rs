//! What was published and what came back. Plain bookkeeping: times are given by the caller.

use crate::answer::{Answer, Status};
use std::time::{Duration, Instant};

/// One published request.
pub(crate) struct Entry {
    /// Index into the numbers of this load.
    pub(crate) number: usize,
    pub(crate) high: bool,
    pub(crate) published: Instant,
    pub(crate) answered: Option<(Instant, Answer)>,
    /// Results after the first.
    pub(crate) repeats: u32,
}

impl Entry {
    /// From publish to result.
    pub(crate) fn took(&self) -> Option<Duration> {
        self.answered
            .as_ref()
            .map(|(at, _)| at.saturating_duration_since(self.published))
    }

    pub(crate) fn answer(&self) -> Option<&Answer> {
        self.answered.as_ref().map(|(_, answer)| answer)
    }
}

/// All requests of one load; the n-th has the id `<prefix>-<n>`.
pub(crate) struct Book {
    prefix: String,
    entries: Vec<Entry>,
    /// Published and not answered, by number.
    open: Vec<usize>,
    /// Results with ids of this load that nobody published.
    pub(crate) strangers: u32,
}

impl Book {
    pub(crate) fn new(prefix: String) -> Self {
        Self {
            prefix,
            entries: vec![],
            open: vec![],
            strangers: 0,
        }
    }

    /// Notes a request that is about to be published, and names it.
    pub(crate) fn publish(&mut self, number: usize, high: bool, now: Instant) -> String {
        self.entries.push(Entry {
            number,
            high,
            published: now,
            answered: None,
            repeats: 0,
        });
        if self.open.len() <= number {
            self.open.resize(number + 1, 0);
        }
        if let Some(open) = self.open.get_mut(number) {
            *open += 1;
        }
        self.id(self.entries.len() - 1)
    }

    pub(crate) fn id(&self, index: usize) -> String {
        format!("{}-{index}", self.prefix)
    }

    fn index(&self, id: &str) -> Option<usize> {
        id.strip_prefix(&self.prefix)?
            .strip_prefix('-')?
            .parse()
            .ok()
    }

    pub(crate) fn find(&self, id: &str) -> Option<&Entry> {
        self.entries.get(self.index(id)?)
    }

    /// Notes a result; those of other loads are none of our business.
    pub(crate) fn answer(&mut self, id: &str, answer: Answer, now: Instant) {
        let Some(index) = self.index(id) else { return };
        let Some(entry) = self.entries.get_mut(index) else {
            self.strangers += 1;
            return;
        };
        if entry.answered.is_some() {
            entry.repeats += 1;
        } else {
            entry.answered = Some((now, answer));
            if let Some(open) = self.open.get_mut(entry.number) {
                *open -= 1;
            }
        }
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub(crate) fn of(&self, number: usize) -> impl Iterator<Item = &Entry> {
        self.entries
            .iter()
            .filter(move |entry| entry.number == number)
    }

    /// Published and not answered.
    pub(crate) fn open(&self) -> usize {
        self.open.iter().sum()
    }

    pub(crate) fn open_of(&self, number: usize) -> usize {
        self.open.get(number).copied().unwrap_or_default()
    }

    pub(crate) fn tally(&self, number: usize) -> Tally {
        let mut tally = Tally::default();
        self.of(number).for_each(|entry| tally.add(entry));
        tally.high.sort_unstable();
        tally.bulk.sort_unstable();
        tally
    }
}

/// One number's counts and latencies.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) published: usize,
    /// In the order of [`Status::ALL`].
    by_status: [usize; Status::ALL.len()],
    pub(crate) repeats: u32,
    pub(crate) possible_duplicates: usize,
    /// Publish to result, ascending.
    pub(crate) high: Vec<Duration>,
    pub(crate) bulk: Vec<Duration>,
}

impl Tally {
    fn add(&mut self, entry: &Entry) {
        self.published += 1;
        self.repeats += entry.repeats;
        let (Some(answer), Some(took)) = (entry.answer(), entry.took()) else {
            return;
        };
        for (status, count) in Status::ALL.iter().zip(&mut self.by_status) {
            *count += usize::from(*status == answer.status);
        }
        self.possible_duplicates += usize::from(answer.possible_duplicate);
        if entry.high {
            self.high.push(took)
        } else {
            self.bulk.push(took)
        }
    }

    pub(crate) fn count(&self, status: Status) -> usize {
        Status::ALL
            .iter()
            .zip(self.by_status)
            .filter(|(this, _)| **this == status)
            .map(|(_, count)| count)
            .sum()
    }

    pub(crate) fn answered(&self) -> usize {
        self.by_status.iter().sum()
    }

    pub(crate) fn missing(&self) -> usize {
        self.published - self.answered()
    }

    /// The sum of several numbers.
    pub(crate) fn total(tallies: &[Self]) -> Self {
        let mut sum = Self::default();
        for tally in tallies {
            sum.published += tally.published;
            sum.by_status
                .iter_mut()
                .zip(tally.by_status)
                .for_each(|(sum, count)| *sum += count);
            sum.repeats += tally.repeats;
            sum.possible_duplicates += tally.possible_duplicates;
            sum.high.extend(&tally.high);
            sum.bulk.extend(&tally.bulk);
        }
        sum.high.sort_unstable();
        sum.bulk.sort_unstable();
        sum
    }
}

/// Nearest rank; `None` when there is nothing to rank. `sorted` ascends.
pub(crate) fn percentile(sorted: &[Duration], percent: usize) -> Option<Duration> {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn answer(status: Status) -> Answer {
        Answer {
            status,
            wamid: None,
            attempts: 1,
            possible_duplicate: false,
            error: None,
        }
    }

    #[test]
    fn every_request_is_counted_once() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut book = Book::new("load-1".to_owned());
        let ids: Vec<String> = (0..4).map(|n| book.publish(n % 2, n == 0, start)).collect();
        book.answer(&ids[0], answer(Status::Accepted), at(10));
        book.answer(&ids[2], answer(Status::Rejected), at(30));
        book.answer(&ids[2], answer(Status::Accepted), at(40));
        book.answer("load-2-0", answer(Status::Accepted), at(50));
        book.answer("load-1-9", answer(Status::Accepted), at(50));

        let tally = book.tally(0);
        assert_eq!(
            (
                tally.published,
                tally.answered(),
                tally.missing(),
                tally.repeats
            ),
            (2, 2, 0, 1)
        );
        assert_eq!(
            (tally.count(Status::Accepted), tally.count(Status::Rejected)),
            (1, 1)
        );
        assert_eq!((tally.high.len(), tally.bulk.len()), (1, 1));
        assert_eq!(
            (book.tally(1).missing(), book.open(), book.strangers),
            (2, 2, 1)
        );
        assert_eq!(
            (book.open_of(0), book.open_of(1), book.open_of(2)),
            (0, 2, 0)
        );
    }

    #[test]
    fn percentiles_are_nearest_ranks() {
        let sorted: Vec<Duration> = (1..=200).map(Duration::from_millis).collect();
        assert_eq!(percentile(&sorted, 50), Some(Duration::from_millis(100)));
        assert_eq!(percentile(&sorted, 99), Some(Duration::from_millis(198)));
        assert_eq!(percentile(&sorted[..1], 99), Some(Duration::from_millis(1)));
        assert_eq!(percentile(&[], 99), None);
    }
}
