//! What was published, confirmed and answered while things broke. Plain bookkeeping: times are given by the caller.

use crate::answer::Answer;
use std::time::Instant;

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

pub(crate) struct Entry {
    /// Index into the lanes of the load.
    pub(crate) lane: usize,
    pub(crate) fate: Fate,
    /// Different results, in the order of arrival; the same one twice stands here once.
    pub(crate) answers: Vec<Answer>,
    /// Results that repeat an earlier one word by word.
    pub(crate) repeats: usize,
    pub(crate) answered: Option<Instant>,
}

/// All requests of one load; the n-th has the id `<prefix>-<n>`.
pub(crate) struct Diary {
    prefix: String,
    pub(crate) entries: Vec<Entry>,
    /// Per lane: neither answered nor doubtful.
    open: Vec<usize>,
    /// Results with ids of this load that nobody published.
    pub(crate) strangers: usize,
}

impl Diary {
    pub(crate) fn new(prefix: String, lanes: usize) -> Self {
        Self {
            prefix,
            entries: vec![],
            open: vec![0; lanes],
            strangers: 0,
        }
    }

    pub(crate) fn publish(&mut self, lane: usize) -> (usize, String) {
        self.entries.push(Entry {
            lane,
            fate: Fate::Sent,
            answers: vec![],
            repeats: 0,
            answered: None,
        });
        self.open[lane] += 1;
        let index = self.entries.len() - 1;
        (index, self.id(index))
    }

    pub(crate) fn id(&self, index: usize) -> String {
        format!("{}-{index}", self.prefix)
    }

    pub(crate) fn index(&self, id: &str) -> Option<usize> {
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
            self.open[entry.lane] -= usize::from(is_open);
            entry.fate = Fate::Doubtful;
        }
    }

    /// All of a lane that have no answer; says how many.
    pub(crate) fn doubt_all(&mut self, lane: usize) -> usize {
        let entries = self.entries.iter().enumerate();
        let open = entries.filter(|(_, entry)| entry.lane == lane && entry.answers.is_empty());
        let open: Vec<usize> = open.map(|(index, _)| index).collect();
        open.iter().for_each(|&index| self.doubt(index));
        open.len()
    }

    /// `again`: the broker says that this reader may have had it before.
    pub(crate) fn answer(&mut self, id: &str, answer: Answer, again: bool, now: Instant) {
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
            self.open[entry.lane] -= usize::from(entry.fate != Fate::Doubtful);
        }
        entry.answers.push(answer);
    }

    pub(crate) fn open(&self, lane: usize) -> usize {
        self.open.get(lane).copied().unwrap_or_default()
    }

    /// Requests of each lane that were answered since then.
    pub(crate) fn answered_since(&self, since: Instant) -> Vec<usize> {
        let mut counts = vec![0; self.open.len()];
        for entry in &self.entries {
            if entry.answered.is_some_and(|at| at > since) {
                counts[entry.lane] += 1;
            }
        }
        counts
    }

    pub(crate) fn open_in_all(&self) -> usize {
        self.open.iter().sum()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::answer::Status;
    use crate::book::tests::answer;

    #[test]
    fn open_is_what_must_still_be_answered() {
        let (mut diary, now) = (Diary::new("chaos".to_owned(), 2), Instant::now());
        let ids: Vec<_> = [0, 1, 1].map(|lane| diary.publish(lane)).into();
        assert_eq!((diary.open(0), diary.open(1)), (1, 2));
        diary.confirm(ids[0].0);
        diary.answer(&ids[0].1, answer(Status::Accepted), false, now);
        diary.doubt(ids[1].0);
        assert_eq!((diary.open(0), diary.open(1)), (0, 1));
        diary.answer(&ids[1].1, answer(Status::Accepted), false, now);
        diary.answer(&ids[2].1, answer(Status::Accepted), false, now);
        diary.doubt(ids[2].0);
        assert_eq!(diary.open_in_all(), 0);
    }

    #[test]
    fn the_same_result_twice_is_a_repeat_and_another_one_is_kept() {
        let (mut diary, now) = (Diary::new("chaos".to_owned(), 1), Instant::now());
        let (index, id) = diary.publish(0);
        for (status, again) in [
            (Status::Accepted, false),
            (Status::Accepted, false),
            (Status::Accepted, true),
            (Status::Unknown, false),
        ] {
            diary.answer(&id, answer(status), again, now);
        }
        diary.answer("chaos-7", answer(Status::Accepted), false, now);
        diary.answer("other-0", answer(Status::Accepted), false, now);
        let entry = &diary.entries[index];
        assert_eq!(
            (entry.answers.len(), entry.repeats, diary.strangers),
            (2, 1, 1)
        );
    }
}
