//! One record of `wa.lanes.log`, as JSON. What a later version writes and this one does not know is passed over.

use super::{Hold, Reach, Why};
use crate::contract::record::{NewsDocument, RecordDocument};
use crate::contract::words::Scope;
use crate::core::fleet::tenure::Unsent;
use crate::core::outcome::remedy_like;
use crate::core::request::recent::Identity;
use std::sync::Arc;

/// One thing that a worker tells all others.
#[derive(Clone, PartialEq, Debug)]
pub struct Record {
    pub at_ms: u64,
    pub worker: Arc<str>,
    pub run: u64,
    pub reach: Reach,
    pub news: News,
}

#[derive(Clone, PartialEq, Debug)]
pub enum News {
    Held(Hold),
    Lifted,
    Paused {
        since_ms: u64,
    },
    Resumed,
    TemplateHeld {
        until_ms: u64,
    },
    /// A worker took the lane.
    Taken,
    /// The worker left the lane in order, and gave these back unsent.
    Left {
        unsent: Unsent,
    },
    /// The worker is there, or is about to end; it may say which lanes it has, and since when. Not of one lane: the reach says nothing.
    Present {
        ends: bool,
        lanes: Vec<(Arc<str>, u64)>,
    },
}

/// The subject of a record: the last one of a slot stands. A pause and a block of the same lane are two things.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Slot(Reach, Topic);

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Topic {
    Hold,
    Pause,
    Tenure,
    Presence,
}

impl Record {
    /// True if the record says who has a lane, not what holds it.
    pub fn is_of_tenure(&self) -> bool {
        matches!(
            self.news,
            News::Taken | News::Left { .. } | News::Present { .. }
        )
    }

    pub fn slot(&self) -> Slot {
        let topic = match self.news {
            News::Held(_) | News::Lifted | News::TemplateHeld { .. } => Topic::Hold,
            News::Paused { .. } | News::Resumed => Topic::Pause,
            News::Taken | News::Left { .. } => Topic::Tenure,
            News::Present { .. } => Topic::Presence,
        };
        Slot(self.reach.clone(), topic)
    }

    /// The same as if written at that moment by another clock: what lasts lasts as long.
    #[must_use]
    pub fn moved_to(mut self, at_ms: u64) -> Self {
        let before_ms = std::mem::replace(&mut self.at_ms, at_ms);
        let moved = |ms: &mut u64| {
            *ms = match ms.checked_sub(before_ms) {
                Some(later_ms) => at_ms.saturating_add(later_ms),
                None => at_ms.saturating_sub(before_ms - *ms),
            };
        };
        match &mut self.news {
            News::Held(hold) => {
                moved(&mut hold.since_ms);
                moved(&mut hold.until_ms);
            }
            News::Paused { since_ms } => moved(since_ms),
            News::TemplateHeld { until_ms } => moved(until_ms),
            // Since when it has its lanes is told as it was told first.
            News::Present { .. }
            | News::Lifted
            | News::Resumed
            | News::Taken
            | News::Left { .. } => {}
        }
        self
    }

    pub fn to_json(&self) -> Vec<u8> {
        let wire = RecordDocument {
            at_ms: self.at_ms,
            worker: (*self.worker).into(),
            run: self.run,
            scope: self.reach.scope.as_str().into(),
            key: (*self.reach.key).into(),
            news: wire_news(&self.news),
        };
        // A struct of strings and numbers cannot fail to serialise.
        serde_json::to_vec(&wire).unwrap_or_default()
    }

    /// `None`: not a record that this version knows.
    pub fn from_json(bytes: &[u8]) -> Option<Self> {
        let wire: RecordDocument<'_> = serde_json::from_slice(bytes).ok()?;
        let scope = Scope::of_word(&wire.scope)?;
        Some(Self {
            at_ms: wire.at_ms,
            worker: wire.worker.into(),
            run: wire.run,
            reach: Reach {
                scope,
                key: wire.key.into(),
            },
            news: news(wire.news, scope)?,
        })
    }
}

fn wire_news(news: &News) -> NewsDocument {
    match news {
        News::Held(hold) => NewsDocument::Held {
            why: hold.why.as_str().to_owned(),
            code: hold.code,
            remedy: hold.remedy.to_owned(),
            since_ms: hold.since_ms,
            until_ms: hold.until_ms,
            failed_probes: hold.failed_probes,
        },
        News::Lifted => NewsDocument::Lifted,
        News::Paused { since_ms } => NewsDocument::Paused {
            since_ms: *since_ms,
        },
        News::Resumed => NewsDocument::Resumed,
        News::TemplateHeld { until_ms } => NewsDocument::TemplateHeld {
            until_ms: *until_ms,
        },
        News::Present { ends, lanes } => NewsDocument::Present {
            ends: *ends,
            lanes: lanes.clone(),
        },
        News::Taken => NewsDocument::Taken,
        News::Left { unsent } => NewsDocument::Left {
            unsent: unsent
                .iter()
                .map(|(request, count)| (request.id().to_owned(), request.hops(), *count))
                .collect(),
            incarnations: unsent
                .iter()
                .map(|(request, _)| request.incarnation().unwrap_or(0))
                .collect(),
        },
    }
}

fn news(news: NewsDocument, scope: Scope) -> Option<News> {
    Some(match news {
        NewsDocument::Held {
            why,
            code,
            remedy,
            since_ms,
            until_ms,
            failed_probes,
        } => News::Held(Hold {
            scope,
            why: Why::of_word(&why)?,
            code,
            remedy: remedy_like(&remedy),
            since_ms,
            until_ms,
            failed_probes,
        }),
        NewsDocument::Lifted => News::Lifted,
        NewsDocument::Paused { since_ms } => News::Paused { since_ms },
        NewsDocument::Resumed => News::Resumed,
        NewsDocument::TemplateHeld { until_ms } => News::TemplateHeld { until_ms },
        NewsDocument::Present { ends, lanes } => News::Present { ends, lanes },
        NewsDocument::Taken => News::Taken,
        NewsDocument::Left {
            unsent,
            incarnations,
        } => News::Left {
            unsent: unsent
                .iter()
                .zip(incarnations.into_iter().chain(std::iter::repeat(0)))
                .map(|((id, hops, count), incarnation)| {
                    let incarnation = Some(incarnation).filter(|incarnation| *incarnation > 0);
                    (Identity::new(id, *hops, incarnation), *count)
                })
                .collect(),
        },
    })
}
