//! Requests that say `media: upload`.

use super::*;
use crate::contract::result::ErrorDocument;
use crate::core::media::content::Kind;
use crate::core::media::links::Source;
use crate::core::media::upload::{Failure, Wanted};

/// A request of an image.
fn image(name: &'static str, link: &'static str) -> Do {
    GetMedia(name, link)
}

pub(super) fn source(link: &str) -> Source {
    Source {
        kind: Kind::Image,
        url: link.into(),
    }
}

/// `upload https://a`, and what is gone.
pub(super) fn said(wanted: &Wanted) -> String {
    let gone = wanted.gone.as_ref();
    let gone = gone.map_or(String::new(), |id| format!(" for {id}"));
    format!("upload {}{gone}", wanted.source.url)
}

impl Story {
    pub(super) fn get_media(&mut self, name: &'static str, link: &str) -> String {
        let image = format!(r#""type":"image","image":{{"link":"{link}"}}"#);
        let inbound = Inbound {
            media: Some(Header::Text(b"upload")),
            ..Inbound::default()
        };
        self.take(name, to_person(name, &image), inbound)
    }
}

fn ready(id: &str) -> Uploaded {
    Uploaded::Ready {
        media_id: id.into(),
        fresh_for: Duration::from_secs(600),
    }
}

const A: &str = "https://a/1.jpg";
const B: &str = "https://b/1.jpg";

fn no_media(text: &str) -> Outcome {
    let error = ErrorDocument {
        code: Some(131_053),
        details: Some(text.to_owned()),
        ..ErrorDocument::own(Class::Invalid.as_str(), "")
    };
    let effect = Effect::Refused {
        class: Class::Invalid,
        scope: Scope::Message,
        retry_not_before_s: None,
    };
    Outcome::Failed(effect, error)
}

#[test]
fn one_upload_serves_all_and_only_those_wait() {
    check(vec![
        (image("a1", A), "waits"),
        (image("b1", A), "waits"),
        (Get("b2"), "waits"),
        (Get("c1"), "waits"),
        (Next, "upload https://a/1.jpg, send c1, idle"),
        (File(A, ready("11")), "flowing"),
        (Next, "send a1, send b1, idle"),
        (Answer("b1", accepted()), "accepted #1"),
        (Settled("b1", true), "flowing"),
        (Next, "send b2, idle"),
        (Answer("c1", accepted()), "accepted #1"),
        (Settled("c1", true), "flowing"),
        // Fresh for ten minutes, and then wanted again.
        (At(599.0), "flowing"),
        (image("d1", A), "waits"),
        (Next, "send d1, idle"),
        (Answer("a1", accepted()), "accepted #1"),
        (Settled("a1", true), "flowing"),
        (At(600.0), "flowing"),
        (image("e1", A), "waits"),
        (Next, "upload https://a/1.jpg, idle"),
    ]);
}

#[test]
fn each_source_is_one_upload() {
    check(vec![
        (image("a1", A), "waits"),
        (image("b1", B), "waits"),
        (Next, "upload https://a/1.jpg, upload https://b/1.jpg, idle"),
        (File(B, ready("22")), "flowing"),
        (Next, "send b1, idle"),
    ]);
}

#[test]
fn what_takes_long_is_awaited_on_the_ladder() {
    check(vec![
        (image("a1", A), "waits"),
        (Next, "upload https://a/1.jpg, idle"),
        (File(A, Uploaded::Late), "flowing"),
        (Next, "a1 delay 2 #0, idle"),
        (Settled("a1", true), "flowing"),
        (image("b1", A), "waits"),
        (Next, "b1 delay 2 #0, idle"),
        (File(A, ready("11")), "flowing"),
        (image("c1", A), "waits"),
        (Next, "send c1, idle"),
    ]);
}

#[test]
fn a_file_that_cannot_be_had_ends_those_that_name_it() {
    check(vec![
        (image("a1", A), "waits"),
        (image("b1", A), "waits"),
        (Next, "upload https://a/1.jpg, idle"),
        (
            File(A, Uploaded::Failed(Failure::invalid("HTTP 404"))),
            "flowing",
        ),
        (Next, "a1 rejected #0, b1 rejected #0, idle"),
        // For some seconds it is not tried again.
        (At(4.0), "flowing"),
        (image("c1", A), "waits"),
        (Next, "c1 rejected #0, idle"),
        (At(5.0), "flowing"),
        (image("d1", A), "waits"),
        (Next, "upload https://a/1.jpg, idle"),
        (
            File(A, Uploaded::Failed(Failure::transient("HTTP 503"))),
            "flowing",
        ),
        (Next, "d1 delay 2 #0, idle"),
    ]);
}

#[test]
fn an_id_that_is_gone_is_replaced_once() {
    let gone = || no_media("Media id 11 does not exist");
    check(vec![
        (image("a1", A), "waits"),
        (Next, "upload https://a/1.jpg, idle"),
        (File(A, ready("11")), "flowing"),
        (Next, "send a1, idle"),
        (Answer("a1", gone()), "stays"),
        (Next, "upload https://a/1.jpg for 11, idle"),
        (File(A, ready("12")), "flowing"),
        (Next, "send a1, idle"),
        // The new one is refused as well: then that is not why.
        (Answer("a1", gone()), "rejected #1"),
        (Settled("a1", true), "flowing"),
        (At(60.0), "flowing"),
        (image("b1", A), "waits"),
        (Next, "send b1, idle"),
        (Answer("b1", gone()), "stays"),
    ]);
}

#[test]
fn what_the_api_refuses_for_other_reasons_is_refused() {
    check(vec![
        (image("a1", A), "waits"),
        (Next, "upload https://a/1.jpg, idle"),
        (File(A, ready("11")), "flowing"),
        (At(60.0), "flowing"),
        (Next, "send a1, idle"),
        (
            Answer("a1", no_media("Recipient is not valid")),
            "rejected #1",
        ),
    ]);
}

#[test]
fn a_lost_channel_leaves_the_upload() {
    check(vec![
        (image("a1", A), "waits"),
        (Next, "upload https://a/1.jpg, idle"),
        (Lost, "flowing"),
        (Rejoined, "flowing"),
        (image("a2", A), "waits"),
        (Next, "idle"),
        (At(1.0), "flowing"),
        (File(A, ready("11")), "flowing"),
        (Next, "send a2, idle"),
    ]);
}
