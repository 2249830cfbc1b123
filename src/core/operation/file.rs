//! Operations that carry a file: as the body of their message, or as a link to it.

use super::presence::member;
use crate::contract::fault::Fault;
use crate::core::media::content::{self, HEAD_BYTES, Kind, Type, Wrong};
use bytes::Bytes;
use serde_json::Value;
use std::fmt;
use std::sync::Arc;

const MB: u64 = 1024 * 1024;

/// Largest picture of a profile or a group, in bytes. Source: that of any image.
const PICTURE_MAX_BYTES: u64 = 5 * MB;

/// Largest JSON of a flow, in bytes. Source: Meta, "Flow JSON", 2026.
const FLOW_MAX_BYTES: u64 = 10 * MB;

/// The use of an operation's file, and so the way in which it goes to the API.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FileOf {
    /// To be sent by id.
    Media,
    /// For samples of templates, by a session of the resumable upload.
    Handle,
    /// By a session likewise, and then by its handle.
    ProfilePicture,
    GroupPicture,
    FlowAsset,
}

impl FileOf {
    /// Whether it goes by a session of the app's, which header `node` then names.
    pub fn is_by_session(self) -> bool {
        matches!(self, Self::Handle | Self::ProfilePicture)
    }

    /// Finds the type that the API takes the file as. `head`: its first bytes. `declared`: what its source says.
    ///
    /// # Errors
    /// What is certain that the API does not take.
    pub fn check(
        self,
        head: &[u8],
        bytes: u64,
        declared: Option<&str>,
    ) -> Result<&'static str, Wrong> {
        if self == Self::FlowAsset {
            return check_flow(head, bytes);
        }
        let found = content::check(head, bytes, declared, None)?;
        let (is_taken, wanted, limit) = match self {
            Self::Media | Self::FlowAsset => return Ok(found.mime),
            Self::Handle => (is_sample(found), SAMPLES.join(", "), found.max_bytes),
            Self::ProfilePicture => (
                found.kind == Kind::Image,
                "image/jpeg, image/png".to_owned(),
                PICTURE_MAX_BYTES,
            ),
            Self::GroupPicture => (
                found.mime == "image/jpeg",
                "image/jpeg".to_owned(),
                PICTURE_MAX_BYTES,
            ),
        };
        if !is_taken {
            return Err(Wrong::Type { wanted });
        }
        if bytes > limit {
            return Err(Wrong::Size { limit, bytes });
        }
        Ok(found.mime)
    }

    /// The largest file that can be one, whatever its type.
    pub fn most_bytes(self) -> u64 {
        match self {
            Self::Media | Self::Handle => content::MOST_BYTES,
            Self::ProfilePicture | Self::GroupPicture => PICTURE_MAX_BYTES,
            Self::FlowAsset => FLOW_MAX_BYTES,
        }
    }
}

/// Types of samples. Source: Meta, "Resumable Upload API", 2026.
const SAMPLES: [&str; 4] = ["application/pdf", "image/jpeg", "image/png", "video/mp4"];

fn is_sample(found: &Type) -> bool {
    SAMPLES.contains(&found.mime)
}

fn check_flow(head: &[u8], bytes: u64) -> Result<&'static str, Wrong> {
    if bytes > FLOW_MAX_BYTES {
        let limit = FLOW_MAX_BYTES;
        return Err(Wrong::Size { limit, bytes });
    }
    let begins = head.trim_ascii_start().first();
    if begins == Some(&b'{') {
        return Ok("application/json");
    }
    let wanted = "application/json".to_owned();
    Err(if bytes == 0 {
        Wrong::Empty
    } else {
        Wrong::Type { wanted }
    })
}

/// Where a file comes from. Never printed: a link may be a secret.
#[derive(Clone, PartialEq, Eq)]
pub enum FileFrom {
    Body(Bytes),
    Link(Arc<str>),
}

/// A file on its way to the API.
#[derive(Clone, PartialEq, Eq)]
pub struct FileToUpload {
    pub of: FileOf,
    pub from: FileFrom,
    /// The file's name and type, as far as its caller says so.
    pub name: Option<String>,
    pub declared: Option<String>,
    /// How long the API keeps it, if it is told.
    pub ttl_minutes: Option<u64>,
    /// The path of the uploads of the app, if it goes by a session.
    pub uploads_path: Option<String>,
}

impl fmt::Debug for FileToUpload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FileToUpload").field(&self.of).finish()
    }
}

/// Reads a body as what names a file by its link, if it is that: a JSON object, which says itself to be JSON, or nothing. The JSON of a flow
/// is one as well, and has no link.
pub fn read_link(of: FileOf, body: &[u8], content_type: Option<&str>) -> Option<Value> {
    let content_type = content_type.unwrap_or("application/json");
    let is_json = content_type
        .trim_start()
        .to_ascii_lowercase()
        .starts_with("application/json");
    let document: Value = serde_json::from_slice(body).ok().filter(|_| is_json)?;
    let has_link = member(&document, "link").is_some();
    (document.is_object() && (has_link || of != FileOf::FlowAsset)).then_some(document)
}

/// Checks a file that came as the body.
pub(in crate::core) fn check_body(
    of: FileOf,
    body: &[u8],
    content_type: Option<&str>,
) -> Option<Fault> {
    let bytes = u64::try_from(body.len()).unwrap_or(u64::MAX);
    let head = body.get(..HEAD_BYTES).unwrap_or(body);
    let problem = match of.check(head, bytes, content_type).err()? {
        Wrong::Empty => "is empty: the file's bytes, or {\"link\": …}".to_owned(),
        Wrong::Type { wanted } => format!("is a file whose content is none of {wanted}"),
        Wrong::Size { limit, bytes } => {
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
            return Some(Fault::too_long(
                "",
                "is larger than Meta takes, in bytes",
                limit,
                bytes,
            ));
        }
    };
    Some(Fault::new("", problem))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::media::content::samples::{JPEG, MP4, OGG, PDF, PNG};

    #[test]
    fn each_use_has_its_types_and_sizes() {
        for (of, head, bytes, expected) in [
            (FileOf::Media, OGG, 1_000, Some("audio/ogg")),
            (FileOf::Media, JPEG, 6 * MB, None),
            (FileOf::Handle, PDF, 6 * MB, Some("application/pdf")),
            (FileOf::Handle, MP4, 1_000, Some("video/mp4")),
            (FileOf::Handle, OGG, 1_000, None),
            (FileOf::ProfilePicture, PNG, 5 * MB, Some("image/png")),
            (FileOf::ProfilePicture, PNG, 5 * MB + 1, None),
            (FileOf::ProfilePicture, PDF, 1_000, None),
            (FileOf::GroupPicture, JPEG, 1_000, Some("image/jpeg")),
            (FileOf::GroupPicture, PNG, 1_000, None),
            (
                FileOf::FlowAsset,
                b" {\"version\"",
                1_000,
                Some("application/json"),
            ),
            (FileOf::FlowAsset, b"[]", 2, None),
            (FileOf::FlowAsset, b"{", 10 * MB + 1, None),
            (FileOf::FlowAsset, b"", 0, None),
        ] {
            assert_eq!(
                of.check(head, bytes, None).ok(),
                expected,
                "{of:?} {head:?} {bytes}"
            );
            assert!(expected.is_none() || bytes <= of.most_bytes());
        }
    }

    #[test]
    fn a_link_is_json_that_says_so_or_nothing() {
        let json = Some("application/json; charset=utf-8");
        for (of, body, content_type, is_link) in [
            (FileOf::Media, r#"{"link":"https://a/"}"#, None, true),
            (FileOf::Media, r#"{"link":"https://a/"}"#, json, true),
            (
                FileOf::Media,
                r#"{"link":"https://a/"}"#,
                Some("text/plain"),
                false,
            ),
            (FileOf::Media, "{}", None, true),
            (FileOf::Media, "words", None, false),
            (FileOf::Media, "[]", json, false),
            (FileOf::FlowAsset, r#"{"version":"7.0"}"#, json, false),
            (FileOf::FlowAsset, r#"{"link":"https://a/"}"#, json, true),
        ] {
            let link = read_link(of, body.as_bytes(), content_type);
            assert_eq!(link.is_some(), is_link, "{body} {content_type:?}");
        }
    }
}
