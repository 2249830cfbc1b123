//! Types of files that Meta takes, told by their first bytes. Source: Meta, "Media" (Cloud API), "Supported media types", 2026; the name of
//! 3GP's type, and that no other types are taken, by what `POST /{phone_number_id}/media` answers to a wrong one.

use crate::contract::words::words;
use std::fmt;

/// Meta's table does not say which kilobytes it means: the larger ones refuse nothing that is taken.
const KB: u64 = 1024;
const MB: u64 = 1024 * KB;

/// The largest file that Meta takes of any type, in bytes.
pub const MOST_BYTES: u64 = 100 * MB;

/// First bytes of a file that [`check`] wants to see, if there are so many.
pub const HEAD_BYTES: usize = 16 * 1024;

words! {
    /// A kind of message that carries a file. Its word is the name of the member with the file.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
    pub enum Kind {
        Audio = "audio",
        Document = "document",
        Image = "image",
        Sticker = "sticker",
        Video = "video",
    }
}

/// A type of file.
#[derive(PartialEq, Eq, Debug)]
pub struct Type {
    pub mime: &'static str,
    /// The kind that it is sent as, if not as a document.
    pub kind: Kind,
    /// The largest that Meta takes, in bytes.
    pub max_bytes: u64,
}

const fn of(mime: &'static str, kind: Kind, max_bytes: u64) -> Type {
    Type {
        mime,
        kind,
        max_bytes,
    }
}

/// All that Meta takes.
#[rustfmt::skip] // A table: one line per type.
pub static TYPES: [Type; 18] = [
    of("audio/aac", Kind::Audio, 16 * MB),
    of("audio/amr", Kind::Audio, 16 * MB),
    of("audio/mpeg", Kind::Audio, 16 * MB),
    of("audio/mp4", Kind::Audio, 16 * MB),
    of("audio/ogg", Kind::Audio, 16 * MB),
    of("image/jpeg", Kind::Image, 5 * MB),
    of("image/png", Kind::Image, 5 * MB),
    of("image/webp", Kind::Sticker, 500 * KB),
    of("video/mp4", Kind::Video, 16 * MB),
    of("video/3gpp", Kind::Video, 16 * MB),
    of("text/plain", Kind::Document, MOST_BYTES),
    of("application/pdf", Kind::Document, MOST_BYTES),
    of("application/msword", Kind::Document, MOST_BYTES),
    of("application/vnd.ms-excel", Kind::Document, MOST_BYTES),
    of("application/vnd.ms-powerpoint", Kind::Document, MOST_BYTES),
    of("application/vnd.openxmlformats-officedocument.wordprocessingml.document", Kind::Document, MOST_BYTES),
    of("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", Kind::Document, MOST_BYTES),
    of("application/vnd.openxmlformats-officedocument.presentationml.presentation", Kind::Document, MOST_BYTES),
];

/// The largest sticker that does not move.
const STILL_STICKER_MAX_BYTES: u64 = 100 * KB;

/// Types that files of one container may be of, which their first bytes do not always tell.
const IN_ISO_MEDIA: [&str; 3] = ["video/mp4", "audio/mp4", "video/3gpp"];
const IN_OLE: [&str; 3] = [
    "application/msword",
    "application/vnd.ms-excel",
    "application/vnd.ms-powerpoint",
];
const IN_ZIP: [&str; 3] = [
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation",
];

/// Why Meta would not take a file. Never repeats anything of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Wrong {
    Empty,
    Type { wanted: String },
    Size { limit: u64, bytes: u64 },
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("names a file that is empty"),
            Self::Type { wanted } => write!(f, "names a file whose content is none of {wanted}"),
            Self::Size { limit, bytes } => {
                write!(f, "names a file of {bytes} bytes: Meta takes {limit}")
            }
        }
    }
}

/// Finds the type that Meta takes a file as. `declared`: what its source says it is. `wanted`: the kind of message that it is for.
///
/// The content has the first word; its source is asked where the content leaves it open.
///
/// # Errors
/// What is certain that Meta does not take.
pub fn check(
    head: &[u8],
    bytes: u64,
    declared: Option<&str>,
    wanted: Option<Kind>,
) -> Result<&'static Type, Wrong> {
    if bytes == 0 {
        return Err(Wrong::Empty);
    }
    let candidates = look_at(head);
    let declared = declared.map(essence);
    // Any of Meta's types can be sent as a document.
    let fits = |one: &&Type| wanted.is_none_or(|kind| kind == Kind::Document || kind == one.kind);
    let possible = || TYPES.iter().filter(|one| candidates.contains(&one.mime));
    let is_declared = |one: &&Type| declared.as_deref() == Some(one.mime);
    let found = possible()
        .filter(fits)
        .find(is_declared)
        .or_else(|| {
            candidates
                .first()
                .and_then(|first| possible().filter(fits).find(|one| one.mime == *first))
        })
        .or_else(|| possible().find(fits));
    let Some(found) = found else {
        return Err(Wrong::Type {
            wanted: names(wanted),
        });
    };
    let limit = match wanted {
        Some(Kind::Document) => MOST_BYTES,
        _ if found.mime == "image/webp" && !is_animated(head) => STILL_STICKER_MAX_BYTES,
        Some(_) | None => found.max_bytes,
    };
    if bytes > limit {
        return Err(Wrong::Size { limit, bytes });
    }
    Ok(found)
}

/// The largest file that can be of this kind, whatever its type.
pub fn most_bytes(wanted: Option<Kind>) -> u64 {
    let of_kind = TYPES
        .iter()
        .filter(|one| wanted.is_none_or(|kind| kind == one.kind));
    of_kind.map(|one| one.max_bytes).max().unwrap_or(MOST_BYTES)
}

fn names(wanted: Option<Kind>) -> String {
    let fits = |one: &&Type| wanted.is_none_or(|kind| kind == Kind::Document || kind == one.kind);
    let names: Vec<_> = TYPES.iter().filter(fits).map(|one| one.mime).collect();
    names.join(", ")
}

/// The types that the content may be of, the likeliest first.
fn look_at(head: &[u8]) -> Vec<&'static str> {
    let is_iso_media = head.get(4..8) == Some(b"ftyp");
    if is_iso_media {
        let mut types = IN_ISO_MEDIA.to_vec();
        let first = match head.get(8..10) {
            Some(b"3g") => 2,
            Some(b"M4") if head.get(10) == Some(&b'A') => 1,
            Some(_) | None => 0,
        };
        types.swap(0, first);
        return types;
    }
    let Some(seen) = infer::get(head) else {
        return if is_text(head) {
            vec!["text/plain"]
        } else {
            vec![]
        };
    };
    let seen = match seen.mime_type() {
        "audio/m4a" => "audio/mp4",
        "audio/opus" => "audio/ogg",
        // Markup and scripts are texts.
        text if text.starts_with("text/") => "text/plain",
        other => other,
    };
    match seen {
        "application/zip" => IN_ZIP.to_vec(),
        "application/x-ole-storage" => IN_OLE.to_vec(),
        _ => vec![seen],
    }
}

fn is_text(head: &[u8]) -> bool {
    let is_utf8 = match std::str::from_utf8(head) {
        Ok(_) => true,
        // The last character may be cut.
        Err(error) => error.error_len().is_none() && error.valid_up_to() > 0,
    };
    is_utf8 && !head.contains(&0)
}

/// Whether a WebP moves. Source: WebP container specification, the flags of `VP8X`.
fn is_animated(head: &[u8]) -> bool {
    const ANIMATION: u8 = 0b10;
    head.get(12..16) == Some(b"VP8X") && head.get(20).is_some_and(|flags| flags & ANIMATION != 0)
}

/// A type without its parameters, under the name that Meta has for it.
fn essence(declared: &str) -> String {
    let essence = declared.split(';').next().unwrap_or_default();
    let essence = essence.trim().to_ascii_lowercase();
    match essence.as_str() {
        "image/jpg" | "image/pjpeg" => "image/jpeg",
        "audio/mp3" => "audio/mpeg",
        "audio/m4a" | "audio/x-m4a" => "audio/mp4",
        "audio/opus" => "audio/ogg",
        "video/3gp" => "video/3gpp",
        _ => return essence,
    }
    .to_owned()
}

#[cfg(test)]
pub mod samples {
    //! The least of a file of each type that tells what it is.

    /// Sixteen bits of the head of a JPEG, and so on.
    pub const JPEG: &[u8] = b"\xff\xd8\xff\xe0\x00\x10JFIF";
    pub const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR";
    pub const PDF: &[u8] = b"%PDF-1.7\n";
    pub const OGG: &[u8] = b"OggS\x00\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00";
    pub const MP4: &[u8] = b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isomiso2";
    pub const M4A: &[u8] = b"\x00\x00\x00\x18ftypM4A \x00\x00\x02\x00isomiso2";
    pub const THREE_GP: &[u8] = b"\x00\x00\x00\x18ftyp3gp5\x00\x00\x02\x00isomiso2";
    pub const GIF: &[u8] = b"GIF89a\x01\x00\x01\x00";
    pub const ZIP: &[u8] = b"PK\x03\x04\x14\x00\x00\x00\x08\x00";
    pub const STILL: &[u8] = b"RIFF\x24\x00\x00\x00WEBPVP8 \x18\x00\x00\x00\x00";
    pub const MOVING: &[u8] = b"RIFF\x24\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00\x02\x00\x00\x00";
}

#[cfg(test)]
mod tests {
    use super::samples::{GIF, JPEG, M4A, MOVING, MP4, OGG, PDF, PNG, STILL, THREE_GP, ZIP};
    use super::*;

    const DOCX: &str = "application/vnd.openxmlformats-officedocument.wordprocessingml.document";

    #[test]
    fn content_says_what_a_file_is() {
        for (head, declared, wanted, expected) in [
            (JPEG, None, Some(Kind::Image), Some("image/jpeg")),
            (
                JPEG,
                Some("image/png"),
                Some(Kind::Image),
                Some("image/jpeg"),
            ),
            (JPEG, Some("text/html"), None, Some("image/jpeg")),
            (
                PNG,
                Some("image/png; x=1"),
                Some(Kind::Image),
                Some("image/png"),
            ),
            (JPEG, None, Some(Kind::Document), Some("image/jpeg")),
            (JPEG, None, Some(Kind::Video), None),
            (PDF, None, Some(Kind::Image), None),
            (PDF, None, Some(Kind::Document), Some("application/pdf")),
            (
                OGG,
                Some("audio/ogg; codecs=opus"),
                Some(Kind::Audio),
                Some("audio/ogg"),
            ),
            (MP4, None, Some(Kind::Video), Some("video/mp4")),
            (MP4, Some("audio/mp4"), None, Some("audio/mp4")),
            (MP4, None, Some(Kind::Audio), Some("audio/mp4")),
            (M4A, None, None, Some("audio/mp4")),
            (THREE_GP, Some("video/3gp"), None, Some("video/3gpp")),
            (THREE_GP, None, Some(Kind::Video), Some("video/3gpp")),
            (GIF, Some("image/jpeg"), Some(Kind::Image), None),
            (ZIP, Some(DOCX), Some(Kind::Document), Some(DOCX)),
            (
                b"plain words",
                None,
                Some(Kind::Document),
                Some("text/plain"),
            ),
            (b"<html><body>not found", None, Some(Kind::Image), None),
            (b"\x00\x01\x02\x03", None, None, None),
            (STILL, None, Some(Kind::Sticker), Some("image/webp")),
        ] {
            let found = check(head, 1_000, declared, wanted).ok();
            assert_eq!(
                found.map(|found| found.mime),
                expected,
                "{head:?} {wanted:?}"
            );
        }
    }

    #[test]
    fn sizes_are_the_tables() {
        for (head, wanted, most) in [
            (JPEG, Some(Kind::Image), 5 * MB),
            (JPEG, Some(Kind::Document), 100 * MB),
            (MP4, None, 16 * MB),
            (PDF, None, 100 * MB),
            (STILL, Some(Kind::Sticker), 100 * KB),
            (MOVING, Some(Kind::Sticker), 500 * KB),
        ] {
            assert!(check(head, most, None, wanted).is_ok());
            let wrong = check(head, most + 1, None, wanted).unwrap_err();
            assert_eq!(
                wrong,
                Wrong::Size {
                    limit: most,
                    bytes: most + 1
                }
            );
        }
        assert_eq!(check(b"", 0, None, None), Err(Wrong::Empty));
        assert_eq!(most_bytes(Some(Kind::Sticker)), 500 * KB);
        assert_eq!(most_bytes(None), MOST_BYTES);
    }

    #[test]
    fn a_cut_character_leaves_a_text() {
        let text = "añ".as_bytes();
        assert!(is_text(&text[..2]));
        assert!(!is_text(b"\xff\xfe"));
    }
}
