//! Messages that say `media: upload`: they wait in their places until the API has their files, and only they.

use super::uploads::Files;
use super::{Flight, Lane, Step};
use crate::contract::words::Priority;
use crate::core::Now;
use crate::core::lane::backlog::Key;
use crate::core::media::links::Source;
use crate::core::media::upload::Uploaded;
use crate::core::outcome::Outcome;

/// Codes by which the API refuses the id of a media that it does not have any more. Source: as observed, the page of error codes names none
/// for it: parameter value not valid, media upload error, invalid parameter.
const MEDIA_GONE: [i64; 3] = [131_009, 131_053, 100];

impl Lane {
    /// How the files stand of the one whose turn it is.
    pub(super) fn look_for_files(&mut self, key: &Key, priority: Priority, now: Now) -> Files {
        let front = self.backlog.front(key, priority);
        let links = front.and_then(|front| front.message.links.as_deref());
        links.map_or(Files::NONE, |links| self.uploads.look(links, now))
    }

    /// Does something instead of sending one whose files are not ready.
    pub(super) fn go_without(
        &mut self,
        key: &Key,
        priority: Priority,
        files: Files,
        now: Now,
    ) -> Option<Step> {
        let message = &self.backlog.front(key, priority)?.message;
        let is_full = self.backlog.held() >= self.config.parked_max(self.window.most());
        let terms = self.terms(now, 0.0);
        let decision = match files {
            Files::Awaited if !is_full => {
                self.backlog.hold(key, priority);
                return self.uploads.next_wanted().map(Step::Upload);
            }
            Files::Awaited | Files::Late | Files::Ready(_) => terms.await_media(message, None),
            Files::Failed(place, failure) => {
                let links = message.links.as_deref().unwrap_or_default();
                let at = links.get(place).map_or("", |link| &link.at);
                terms.without_media(message, at, failure)
            }
        };
        self.decide_front(key, priority, decision)
    }

    /// Takes what came of an upload.
    pub fn uploaded(&mut self, source: Source, uploaded: Uploaded, now: Now) {
        self.uploads.uploaded(source, uploaded, now);
        self.backlog.release_held();
    }

    /// Whether an attempt was refused for ids that are gone: it goes again, with new ones.
    pub(super) fn is_media_gone(&mut self, flight: &Flight, outcome: &Outcome, now: Now) -> bool {
        let Outcome::Failed(_, error) = outcome else {
            return false;
        };
        let Some(links) = flight.waiting.message.links.as_deref() else {
            return false;
        };
        let names_media = |text: &Option<String>| {
            text.as_ref().is_some_and(|text| {
                let names_id = flight.media_ids.iter().any(|id| text.contains(&**id));
                names_id || text.to_ascii_lowercase().contains("media")
            })
        };
        let is_about_media = names_media(&error.title) || names_media(&error.details);
        let is_refused = error.code.is_some_and(|code| MEDIA_GONE.contains(&code));
        is_refused && is_about_media && self.uploads.refused(links, &flight.media_ids, now)
    }
}
