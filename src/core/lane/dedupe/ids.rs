//! The ends of ids, as many as fit: of those beyond, the oldest are forgotten.

use super::word::{Known, Note, Word};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

pub(super) struct Ids {
    max: usize,
    known: HashMap<u64, Known>,
    /// Which is forgotten next, the oldest first. An id that was noted more than once has several entries, of which the last counts.
    order: BinaryHeap<Reverse<(u32, u64)>>,
}

impl Ids {
    pub(super) fn new(max: usize) -> Self {
        Self {
            max,
            known: HashMap::new(),
            order: BinaryHeap::new(),
        }
    }

    pub(super) fn max(&self) -> usize {
        self.max
    }

    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    pub(super) fn get(&self, key: u64) -> Known {
        self.known.get(&key).copied().unwrap_or_default()
    }

    /// Takes note, in whichever order; what is `superseded` happened before all that is noted of its id already.
    pub(super) fn apply(&mut self, note: &Note, superseded: bool) {
        let is_end = matches!(note.word, Word::Accepted | Word::Unknown);
        let is_new = !superseded && note.word == Word::Away || is_end;
        if !is_new && !self.known.contains_key(&note.key) {
            return;
        }
        let known = self.known.entry(note.key).or_default();
        let before_s = known.last_s();
        if superseded {
            known.apply_superseded(note);
        } else {
            known.apply(note);
        }
        match known.last_s() {
            0 => drop(self.known.remove(&note.key)),
            last_s if last_s != before_s => self.order.push(Reverse((last_s, note.key))),
            _ => {}
        }
    }

    /// Forgets what was before `horizon_s`, and the oldest of what does not fit. Returns from when on it remembers all, if something did
    /// not fit.
    pub(super) fn forget(&mut self, horizon_s: u32) -> Option<u32> {
        let mut all_since_s = None;
        while let Some(Reverse((at_s, key))) = self.order.peek().copied() {
            let is_full = self.known.len() > self.max || self.order.len() > 2 * self.max;
            if at_s >= horizon_s && !is_full {
                break;
            }
            self.order.pop();
            if self
                .known
                .get(&key)
                .is_some_and(|known| known.last_s() <= at_s)
            {
                self.known.remove(&key);
                if is_full {
                    all_since_s = Some(at_s.saturating_add(1));
                }
            }
        }
        all_since_s
    }

    /// Counts whatever takes up memory.
    #[cfg(test)]
    pub(super) fn entries(&self) -> usize {
        self.known.len().max(self.order.len())
    }
}
