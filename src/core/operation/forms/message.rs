//! Messages by their type, and receipts. Pointers begin at the body's root.

use super::form::Row::{AtLeastOne, May, Must};
use super::form::Takes::{Flag, ListOrJson, Made, Nothing, OneOf, Recipient, Text, Whole, Word};
use super::form::{Cases, Form, LOCATION, MEDIA, Takes, form};
use super::run::Run;
use super::{interactive, template};

/// The message that this one answers.
static CONTEXT: Form = form("context", &[Must("/message_id", Word)]);

static TYPING: Form = form("typing_indicator", &[Must("/type", OneOf(&["text"]))]);

/// A message to a person or a group. Source: Meta, "Send messages" and the page of each type (v24 to v26 editions), read November 2026.
pub static MESSAGE: Form = Form {
    name: "message",
    rows: &[
        May("/messaging_product", OneOf(&["whatsapp"])),
        May("/recipient_type", OneOf(&["individual", "group"])),
        AtLeastOne("", &["to", "recipient"]),
        May("/to", Recipient),
        May("/recipient", Text),
        May("/type", Word),
        May("/context", Takes::Like(&CONTEXT)),
        May("/biz_opaque_callback_data", Text),
        May("/recipient_identity_key_hash", Text),
    ],
    cases: Some(Cases {
        at: "/type",
        default: Some("text"),
        forms: &[
            ("text", &TEXT),
            ("image", &IMAGE),
            ("audio", &AUDIO),
            ("video", &VIDEO),
            ("document", &DOCUMENT),
            ("sticker", &STICKER),
            ("location", &LOCATION_MESSAGE),
            ("contacts", &CONTACTS),
            ("reaction", &REACTION),
            ("interactive", &interactive::INTERACTIVE),
            ("template", &template::TEMPLATE),
            ("pin", &PIN),
        ],
    }),
};

static TEXT: Form = form(
    "text",
    &[Must("/text/body", Word), May("/text/preview_url", Flag)],
);

static IMAGE: Form = form(
    "image",
    &[
        Must("/image", Takes::Like(&MEDIA)),
        May("/image/caption", Text),
    ],
);

static AUDIO: Form = form(
    "audio",
    &[
        Must("/audio", Takes::Like(&MEDIA)),
        May("/audio/voice", Flag),
        May("/audio/caption", Nothing),
    ],
);

static VIDEO: Form = form(
    "video",
    &[
        Must("/video", Takes::Like(&MEDIA)),
        May("/video/caption", Text),
    ],
);

static DOCUMENT: Form = form(
    "document",
    &[
        Must("/document", Takes::Like(&MEDIA)),
        May("/document/caption", Text),
        May("/document/filename", Text),
    ],
);

static STICKER: Form = form("sticker", &[Must("/sticker", Takes::Like(&MEDIA))]);

static LOCATION_MESSAGE: Form = form("location", &[Must("/location", Takes::Like(&LOCATION))]);

const DASH: Run = Run::of("-", 1, Some(1));

const fn digits(count: usize) -> Run {
    Run::of("0-9", count, Some(count))
}

static CONTACTS: Form = form(
    "contacts",
    &[
        Must("/contacts", ListOrJson { min: 1 }),
        Must("/contacts/*/name/formatted_name", Word),
        AtLeastOne(
            "/contacts/*/name",
            &["first_name", "last_name", "middle_name", "prefix", "suffix"],
        ),
        May(
            "/contacts/*/birthday",
            Made(&[digits(4), DASH, digits(2), DASH, digits(2)]),
        ),
        May("/contacts/*/addresses/*", Takes::Object),
        May("/contacts/*/emails/*", Takes::Object),
        May("/contacts/*/phones/*", Takes::Object),
        May("/contacts/*/urls/*", Takes::Object),
        May("/contacts/*/org", Takes::Object),
    ],
);

static REACTION: Form = form(
    "reaction",
    &[
        Must("/reaction/message_id", Word),
        // An empty one takes the reaction back.
        Must("/reaction/emoji", Text),
        May("/context", Nothing),
    ],
);

/// Groups only.
static PIN: Form = form(
    "pin",
    &[
        Must("/recipient_type", OneOf(&["group"])),
        Must("/pin/type", OneOf(&["pin", "unpin"])),
        Must("/pin/message_id", Word),
        May("/pin/expiration_days", Whole { min: 1, max: 30 }),
    ],
);

/// A marketing template that goes through the Marketing Messages API. Source: Meta, "Marketing Messages API for WhatsApp".
pub static MARKETING_MESSAGE: Form = form(
    "marketing_message",
    &[
        May("", Takes::Like(&MESSAGE)),
        Must("/type", OneOf(&["template"])),
        May("/product_policy", OneOf(&["CLOUD_API_FALLBACK", "STRICT"])),
        May("/message_activity_sharing", Flag),
    ],
);

/// A message that is marked as read, or a typing indicator. Source: Meta, "Mark messages as read" and "Typing indicators".
pub static RECEIPT: Form = form(
    "receipt",
    &[
        May("/messaging_product", OneOf(&["whatsapp"])),
        Must("/status", OneOf(&["read"])),
        Must("/message_id", Word),
        May("/typing_indicator", Takes::Like(&TYPING)),
        May("/biz_opaque_callback_data", Text),
    ],
);
