//! Files that messages of a lane name by link and are sent by id: which of them the API has, and which are being uploaded. One upload is
//! under way for each, however many messages wait for it.

use crate::core::Now;
use crate::core::media::links::{Link, Source};
use crate::core::media::upload::{Failure, Uploaded, Wanted};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// Sources that are remembered; the uploader knows more, and all again.
const REMEMBERED_MAX: usize = 1_000;

/// A failure stands for so long: all that wait meet the same end, and no source is asked once per message.
const FAILED_FOR: Duration = Duration::from_secs(5);

/// A file is not uploaded again so soon because its id was refused: then that is not why.
const REPLACED_FOR: Duration = Duration::from_secs(60);

enum Upload {
    Ready {
        media_id: Arc<str>,
        until: Duration,
        /// When it came in the place of one that was refused.
        replaced_at: Option<Duration>,
    },
    UnderWay {
        is_late: bool,
        is_replacement: bool,
    },
    Failed {
        failure: Failure,
        until: Duration,
    },
}

impl Upload {
    /// Until when it is of use; `None` while it is under way.
    fn until(&self) -> Option<Duration> {
        match self {
            Self::Ready { until, .. } | Self::Failed { until, .. } => Some(*until),
            Self::UnderWay { .. } => None,
        }
    }
}

/// How the files of a message stand.
#[derive(PartialEq, Debug)]
pub(super) enum Files {
    /// The API has them, under these ids.
    Ready(Vec<Arc<str>>),
    /// Some are being uploaded.
    Awaited,
    /// Likewise, and that takes long.
    Late,
    /// The one at this place among the links cannot be had.
    Failed(usize, Failure),
}

impl Files {
    /// There are none.
    pub(super) const NONE: Self = Self::Ready(vec![]);
}

#[derive(Default)]
pub(super) struct Uploads {
    known: HashMap<Source, Upload>,
    wanted: VecDeque<Wanted>,
}

impl Uploads {
    /// Looks for the files of a message, and wants those that are missing.
    pub(super) fn look(&mut self, links: &[Link], now: Now) -> Files {
        let mut ids = Vec::with_capacity(links.len());
        let (mut is_late, mut failed) = (false, None);
        for (place, link) in links.iter().enumerate() {
            let known = self.known.get(&link.source);
            let is_over = |upload: &Upload| upload.until().is_some_and(|until| until <= now.mono);
            match known.filter(|upload| !is_over(upload)) {
                Some(Upload::Ready { media_id, .. }) => ids.push(media_id.clone()),
                Some(Upload::UnderWay { is_late: late, .. }) => is_late |= late,
                Some(Upload::Failed { failure, .. }) => {
                    failed.get_or_insert((place, failure.clone()));
                }
                None => self.want(link.source.clone(), None),
            }
        }
        match failed {
            Some((place, failure)) => Files::Failed(place, failure),
            None if ids.len() == links.len() => Files::Ready(ids),
            None if is_late => Files::Late,
            None => Files::Awaited,
        }
    }

    fn want(&mut self, source: Source, gone: Option<Arc<str>>) {
        let under_way = Upload::UnderWay {
            is_late: false,
            is_replacement: gone.is_some(),
        };
        self.remember(source.clone(), under_way);
        self.wanted.push_back(Wanted { source, gone });
    }

    fn remember(&mut self, source: Source, upload: Upload) {
        if self.known.len() >= REMEMBERED_MAX && !self.known.contains_key(&source) {
            let ended = self
                .known
                .iter()
                .filter_map(|(source, upload)| Some((upload.until()?, source)));
            let oldest = ended
                .min_by_key(|(until, _)| *until)
                .map(|(_, source)| source.clone());
            if let Some(oldest) = oldest {
                self.known.remove(&oldest);
            }
        }
        self.known.insert(source, upload);
    }

    /// Says which upload is to be begun now.
    pub(super) fn next_wanted(&mut self) -> Option<Wanted> {
        self.wanted.pop_front()
    }

    /// Takes what came of an upload.
    pub(super) fn uploaded(&mut self, source: Source, uploaded: Uploaded, now: Now) {
        let is_replacement = matches!(
            self.known.get(&source),
            Some(Upload::UnderWay {
                is_replacement: true,
                ..
            })
        );
        let upload = match uploaded {
            Uploaded::Ready {
                media_id,
                fresh_for,
            } => Upload::Ready {
                media_id,
                until: now.mono + fresh_for,
                replaced_at: is_replacement.then_some(now.mono),
            },
            Uploaded::Late => Upload::UnderWay {
                is_late: true,
                is_replacement,
            },
            Uploaded::Failed(failure) => Upload::Failed {
                failure,
                until: now.mono + FAILED_FOR,
            },
        };
        self.remember(source, upload);
    }

    /// The API refused these ids as ids. True if others may do: then the files are uploaded again.
    pub(super) fn refused(&mut self, links: &[Link], ids: &[Arc<str>], now: Now) -> bool {
        let mut may_others_do = false;
        for (link, id) in links.iter().zip(ids) {
            match self.known.get(&link.source) {
                Some(Upload::Ready {
                    media_id,
                    replaced_at,
                    ..
                }) if media_id == id => {
                    let is_new = replaced_at.is_some_and(|at| at + REPLACED_FOR > now.mono);
                    if !is_new {
                        may_others_do = true;
                        self.want(link.source.clone(), Some(id.clone()));
                    }
                }
                // Another upload has come, or comes, in the place of the one that was refused.
                Some(Upload::Ready { .. } | Upload::UnderWay { .. }) => may_others_do = true,
                Some(Upload::Failed { .. }) | None => {}
            }
        }
        may_others_do
    }
}
