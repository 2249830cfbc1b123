//! What was published, confirmed and answered. Plain bookkeeping: times are given by the caller.

use crate::sim::Taken;
use harness::answer::{Answer, Findings, Status, fault};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// What is known of a publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Its confirm is awaited.
    Sent,
    /// The broker has it: from here on it must not be lost.
    Confirmed,
    /// The connection ended before the confirm: it may or may not be there.
    Doubtful,
}

/// One published request.
pub(crate) struct Entry {
    /// Index into the numbers of this load.
    pub(crate) number: usize,
    pub(crate) high: bool,
    pub(crate) fate: Fate,
    pub(crate) published: Instant,
    pub(crate) answered: Option<Instant>,
    /// Different results, in the order of arrival; the same one twice stands here once.
    pub(crate) answers: Vec<Answer>,
    /// Results that repeat an earlier one word by word.
    repeats: usize,
}

impl Entry {
    /// From publish to result.
    pub(crate) fn took(&self) -> Option<Duration> {
        self.answered
            .map(|at| at.saturating_duration_since(self.published))
    }

    /// The first.
    pub(crate) fn answer(&self) -> Option<&Answer> {
        self.answers.first()
    }

    /// Results that repeat an earlier one word by word.
    pub(crate) fn repeats(&self) -> usize {
        self.repeats
    }

    /// Results after the first.
    pub(crate) fn more_results(&self) -> usize {
        self.repeats + self.answers.len().saturating_sub(1)
    }

    /// What is wrong with it, if the API took this of it.
    pub(crate) fn fault(&self, taken: &[&Taken]) -> Option<&'static str> {
        // What the API took, the broker had.
        let may_be_gone = self.fate == Fate::Doubtful && taken.is_empty();
        if self.answers.is_empty() && may_be_gone {
            return None;
        }
        fault(&self.answers, taken)
    }
}

/// All requests of one load; the n-th has the id `<prefix>-<n>`.
pub(crate) struct Book {
    prefix: String,
    entries: Vec<Entry>,
    /// Neither answered nor doubtful, by number.
    open: Vec<usize>,
    /// Results with ids of this load that nobody published.
    pub(crate) strangers: usize,
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
            fate: Fate::Sent,
            published: now,
            answered: None,
            answers: vec![],
            repeats: 0,
        });
        if self.open.len() <= number {
            self.open.resize(number + 1, 0);
        }
        self.open[number] += 1;
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

    pub(crate) fn confirm(&mut self, index: usize) {
        if let Some(entry) = self.entries.get_mut(index) {
            // What is forgotten stays so.
            if entry.fate == Fate::Sent {
                entry.fate = Fate::Confirmed;
            }
        }
    }

    pub(crate) fn doubt(&mut self, index: usize) {
        if let Some(entry) = self.entries.get_mut(index) {
            // Twice, if what is already forgotten is not confirmed either.
            let is_open = entry.answers.is_empty() && entry.fate != Fate::Doubtful;
            self.open[entry.number] -= usize::from(is_open);
            entry.fate = Fate::Doubtful;
        }
    }

    /// All of a number that have no answer; says how many.
    pub(crate) fn doubt_all(&mut self, number: usize) -> usize {
        let entries = self.entries.iter().enumerate();
        let open = entries.filter(|(_, entry)| entry.number == number && entry.answers.is_empty());
        let open: Vec<usize> = open.map(|(index, _)| index).collect();
        open.iter().for_each(|&index| self.doubt(index));
        open.len()
    }

    /// Notes a result; those of other loads are none of our business.
    pub(crate) fn answer(&mut self, id: &str, answer: Answer, now: Instant) {
        self.answer_delivered(id, answer, false, now);
    }

    /// `again`: the broker says that this reader may have had it before.
    pub(crate) fn answer_delivered(&mut self, id: &str, answer: Answer, again: bool, now: Instant) {
        let Some(index) = self.index(id) else { return };
        let Some(entry) = self.entries.get_mut(index) else {
            self.strangers += 1;
            return;
        };
        if entry.answers.contains(&answer) {
            entry.repeats += usize::from(!again);
            return;
        }
        if entry.answers.is_empty() {
            entry.answered = Some(now);
            // A doubtful one is open no more.
            self.open[entry.number] -= usize::from(entry.fate != Fate::Doubtful);
        }
        entry.answers.push(answer);
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub(crate) fn of(&self, number: usize) -> impl Iterator<Item = &Entry> {
        self.entries
            .iter()
            .filter(move |entry| entry.number == number)
    }

    /// Requests of each of so many numbers that were answered since then.
    pub(crate) fn answered_since(&self, numbers: usize, since: Instant) -> Vec<usize> {
        let mut counts = vec![0; numbers];
        for entry in &self.entries {
            if entry.answered.is_some_and(|at| at > since) {
                counts[entry.number] += 1;
            }
        }
        counts
    }

    /// Holds the results against the API's ledger. `look` sees each request with what the API took of it, and what is wrong with it.
    pub(crate) fn balance<'a>(
        &self,
        ledger: &'a [Taken],
        mut look: impl FnMut(&Entry, &[&'a Taken], Option<&str>),
    ) -> Findings {
        let mut findings = Findings::default();
        let mut taken: HashMap<usize, Vec<&Taken>> = HashMap::new();
        for message in ledger {
            let index = message.opaque.as_deref().and_then(|id| self.index(id));
            match index.filter(|index| *index < self.entries.len()) {
                Some(index) => taken.entry(index).or_default().push(message),
                None => findings.note("taken by the API, and nobody's", &message.wamid),
            }
        }
        for (index, entry) in self.entries.iter().enumerate() {
            let taken = taken.get(&index).map_or(&[][..], Vec::as_slice);
            let fault = entry.fault(taken);
            look(entry, taken, fault);
            if let Some(fault) = fault {
                findings.note(fault, self.id(index));
            }
        }
        for _ in 0..self.strangers {
            findings.note("results with ids that nobody published", &self.prefix);
        }
        findings
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
    pub(crate) repeats: usize,
    pub(crate) possible_duplicates: usize,
    /// Publish to result, ascending.
    pub(crate) high: Vec<Duration>,
    pub(crate) bulk: Vec<Duration>,
}

impl Tally {
    fn add(&mut self, entry: &Entry) {
        self.published += 1;
        self.repeats += entry.more_results();
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
    fn open_is_what_must_still_be_answered() {
        let (mut book, now) = (Book::new("chaos".to_owned()), Instant::now());
        let ids: Vec<_> = [0, 1, 1]
            .map(|number| book.publish(number, false, now))
            .into();
        assert_eq!((book.open_of(0), book.open_of(1)), (1, 2));
        book.confirm(0);
        book.answer(&ids[0], answer(Status::Accepted), now);
        book.doubt(1);
        assert_eq!((book.open_of(0), book.open_of(1)), (0, 1));
        book.answer(&ids[1], answer(Status::Accepted), now);
        book.answer(&ids[2], answer(Status::Accepted), now);
        book.doubt(2);
        assert_eq!(book.open(), 0);
    }

    #[test]
    fn the_same_result_twice_is_a_repeat_and_another_one_is_kept() {
        let (mut book, now) = (Book::new("chaos".to_owned()), Instant::now());
        let id = book.publish(0, false, now);
        for (status, again) in [
            (Status::Accepted, false),
            (Status::Accepted, false),
            (Status::Accepted, true),
            (Status::Unknown, false),
        ] {
            book.answer_delivered(&id, answer(status), again, now);
        }
        book.answer("chaos-7", answer(Status::Accepted), now);
        book.answer("other-0", answer(Status::Accepted), now);
        let entry = &book.entries[0];
        assert_eq!(
            (entry.answers.len(), entry.repeats(), book.strangers),
            (2, 1, 1)
        );
        assert_eq!(entry.more_results(), 2);
    }
}
