//! Requests that say `media: upload`: they wait for their files, nobody else does, and none goes with a link.

use super::Us;
use super::checks::{Checked, Violation, ensure};
use super::conduct::Item;
use super::plan::{Plan, WALL_START_MS};
use super::worker::Who;
use super::world::{Event, Simulation};
use bytes::Bytes;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use whatsapp_dispatcher::core::media::links::Source;
use whatsapp_dispatcher::core::media::upload::{Failure, Uploaded, Wanted};
use whatsapp_dispatcher::core::operation::call::Content;

/// Files that requests name.
const LINKS: usize = 5;

/// How long messages wait for an upload in their lane, as the shell has it.
const PATIENCE_US: Us = 5_000_000;

/// Shorter than the real ten minutes: so that sources are asked again within a story.
const FRESH_FOR: Duration = Duration::from_secs(8);

/// In one seed of four, every third message is an image that is named by a link. Drawn from no chance, which would change what every seed
/// plans.
pub(super) fn draw(plan: &mut Plan, seed: u64) {
    if seed % 4 != 2 {
        return;
    }
    for (no, request) in plan.requests.iter_mut().enumerate() {
        let is_message = request.is_valid && !request.is_receipt && request.template.is_none();
        if no % 3 == 0 && is_message {
            request.link = Some(no % LINKS);
            // Of two copies that wait for one file, the one is let go only if they are known to be of one publication.
            let incarnation = WALL_START_MS + 700_000 + no as u64;
            request.incarnation = request.incarnation.or(Some(incarnation));
            request.body = with_image(&request.body, no % LINKS);
        }
    }
}

fn url(link: usize) -> String {
    format!("https://files.example/{link}.jpg")
}

fn with_image(body: &str, link: usize) -> String {
    let mut body: Value = serde_json::from_str(body).unwrap();
    let members = body.as_object_mut().unwrap();
    members.remove("text");
    members.insert("type".to_owned(), json!("image"));
    members.insert("image".to_owned(), json!({ "link": url(link) }));
    body.to_string()
}

/// News of an upload.
#[derive(Clone, Debug)]
pub(crate) struct News {
    link: usize,
    /// Which upload it was, of all.
    number: u64,
    uploaded: Uploaded,
    source: Source,
}

/// A lane's second account of its files.
#[derive(Default)]
pub(crate) struct Files {
    /// Uploads that are under way, by their number.
    under_way: BTreeMap<usize, u64>,
    /// Until when those that were uploaded are of use.
    ready: BTreeMap<usize, Us>,
}

impl Files {
    /// It may wait for its file.
    pub(super) fn may_be_awaited(&self, item: &Item, now: Us) -> bool {
        let is_ready = |link| self.ready.get(&link).is_some_and(|until| *until > now);
        item.link.is_some_and(|link| !is_ready(link))
    }
}

impl Simulation {
    /// One upload of a file is under way, however many wait for it.
    pub(super) fn upload(&mut self, who: Who, wanted: Wanted) -> Checked {
        self.uploads += 1;
        let (number, source) = (self.uploads, wanted.source);
        let link = (0..LINKS).find(|link| url(*link) == *source.url);
        let link = link.unwrap_or(LINKS);
        let files = &mut self.shell_mut(who).conduct.files;
        let before = files.under_way.insert(link, number);
        ensure(before.is_none() && link < LINKS, "media", || {
            format!("{who}: two uploads of {link} at once")
        })?;
        let takes = self.chance.within(1_000..=8_000_000);
        let news = |uploaded| News {
            link,
            number,
            uploaded,
            source: source.clone(),
        };
        if takes > PATIENCE_US {
            self.after(PATIENCE_US, Event::Uploaded(who, news(Uploaded::Late)));
        }
        let end = if self.chance.percent(80) {
            Uploaded::Ready {
                media_id: format!("m{number}").into(),
                fresh_for: FRESH_FOR,
            }
        } else {
            Uploaded::Failed(Failure::transient("HTTP 503"))
        };
        self.after(takes, Event::Uploaded(who, news(end)));
        Ok(())
    }

    pub(super) fn uploaded(&mut self, who: Who, news: News) -> Checked {
        let number = Some(&news.number);
        let is_its = self.is_alive(who)
            && self.shell_mut(who).conduct.files.under_way.get(&news.link) == number;
        if !is_its {
            return Ok(());
        }
        if self.shell_mut(who).driver.is_leaving() {
            // Nobody looks at it meanwhile.
            self.after(1_000, Event::Uploaded(who, news));
            return Ok(());
        }
        let News {
            link,
            uploaded,
            source,
            ..
        } = news;
        self.obey(who)?;
        let (now, now_us) = (self.now(), self.now_us);
        let files = &mut self.shell_mut(who).conduct.files;
        match &uploaded {
            Uploaded::Late => {}
            Uploaded::Ready { fresh_for, .. } => {
                files.under_way.remove(&link);
                let until = now_us + fresh_for.as_micros() as Us;
                files.ready.insert(link, until);
            }
            Uploaded::Failed(_) => drop(files.under_way.remove(&link)),
        }
        self.tally.count(match &uploaded {
            Uploaded::Late => "a file takes long",
            Uploaded::Ready { .. } => "a file is uploaded",
            Uploaded::Failed(_) => "a file cannot be had",
        });
        self.shell_mut(who).driver.uploaded(source, uploaded, now);
        self.perform_all(who)?;
        self.turn(who)
    }
}

/// The body of a request to the API, which names a file by its id and by no link.
pub(super) fn body_to_send(item: &Item, content: Option<Content>) -> Result<Bytes, Violation> {
    let body = match content {
        Some(Content::Json(body)) => body,
        Some(Content::Form(_) | Content::File(_)) | None => Bytes::new(),
    };
    if let Some(link) = item.link {
        let document: Value = serde_json::from_slice(&body).unwrap_or_default();
        let image = &document["image"];
        let is_by_id = image["id"].is_string() && image.get("link").is_none();
        ensure(is_by_id, "media", || {
            format!("request {} is sent with link {link}", item.request)
        })?;
    }
    Ok(body)
}
