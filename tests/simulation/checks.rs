//! A broken promise, and counts of what a run has met.

use std::collections::BTreeMap;
use std::fmt;

/// Which promise broke, and how. P1 to P4, P7 and P8 as in README.md, "What is promised"; `shell` is what the loop around the core must
/// keep, `wake` that nothing waits for ever, `order` that a person's requests keep theirs, `isolation` that lanes lose few connections by
/// another's delivery. Of holds: `scope` is who sends and who stays away, `cost` how many refusals a block takes, `log` that all agree once it is read, `start` that it
/// is read first. Of lanes that pass from worker to worker: `claim` is that all can know whose one is before anything is sent, `told` that
/// what goes back unsent is told, `owner` that whoever had one is the first to have it again. `dedupe` is that an id is sent once where its
/// requests say so, `media` that one upload of a file is under way and nothing goes with a link.
#[derive(Debug)]
pub(crate) struct Violation {
    pub(crate) check: &'static str,
    pub(crate) what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.check, self.what)
    }
}

pub(crate) type Checked = Result<(), Violation>;

impl Violation {
    pub(crate) fn of<T>(check: &'static str, what: impl Into<String>) -> Result<T, Self> {
        Err(Self {
            check,
            what: what.into(),
        })
    }
}

pub(crate) fn ensure(holds: bool, check: &'static str, what: impl FnOnce() -> String) -> Checked {
    match holds {
        true => Ok(()),
        false => Violation::of(check, what()),
    }
}

/// How often something happened, over one seed or many: a simulation that never gets somewhere proves nothing about it.
#[derive(Default)]
pub(crate) struct Tally(pub(crate) BTreeMap<&'static str, u64>);

impl Tally {
    pub(crate) fn count(&mut self, what: &'static str) {
        *self.0.entry(what).or_default() += 1;
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (what, times) in &other.0 {
            *self.0.entry(what).or_default() += times;
        }
    }
}
