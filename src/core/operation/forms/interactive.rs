//! The kinds of interactive messages. Pointers begin at the body's root.

use super::form::Row::{ExactlyOne, May, Must};
use super::form::Takes::{List, Made, Nothing, Object, OneOf, Text, Whole, Word};
use super::form::{Cases, Form, MEDIA, Row, Takes, form};
use super::run::Run;

pub(super) static INTERACTIVE: Form = Form {
    name: "interactive",
    rows: &[
        Must("/interactive/type", Word),
        May("/interactive/header", Takes::Like(&HEADER)),
        May("/interactive/body", Takes::Like(&WORDING)),
        May("/interactive/footer", Takes::Like(&WORDING)),
        May("/interactive/action", Object),
    ],
    cases: Some(Cases {
        at: "/interactive/type",
        default: None,
        forms: &[
            ("button", &BUTTON),
            ("list", &LIST),
            ("cta_url", &CTA_URL),
            ("flow", &FLOW),
            ("location_request_message", &LOCATION_REQUEST),
            ("address_message", &ADDRESS),
            ("product", &PRODUCT),
            ("product_list", &PRODUCT_LIST),
            ("catalog_message", &CATALOG),
            ("carousel", &CAROUSEL),
            ("call_permission_request", &CALL_PERMISSION),
            ("voice_call", &VOICE_CALL),
            ("order_details", &ORDER_DETAILS),
            ("order_status", &ORDER_STATUS),
        ],
    }),
};

/// A body or a footer.
static WORDING: Form = form("wording", &[Must("/text", Word)]);

static HEADER: Form = Form {
    name: "header",
    rows: &[Must("/type", Word)],
    cases: Some(Cases {
        at: "/type",
        default: None,
        forms: &[
            ("text", &HEADER_TEXT),
            ("image", &HEADER_IMAGE),
            ("video", &HEADER_VIDEO),
            ("document", &HEADER_DOCUMENT),
        ],
    }),
};
static HEADER_TEXT: Form = form("header_text", &[Must("/text", Word)]);
static HEADER_IMAGE: Form = form("header_image", &[Must("/image", Takes::Like(&MEDIA))]);
static HEADER_VIDEO: Form = form("header_video", &[Must("/video", Takes::Like(&MEDIA))]);
static HEADER_DOCUMENT: Form = form("header_document", &[Must("/document", Takes::Like(&MEDIA))]);

const BODY: Row = Must("/interactive/body/text", Word);

/// The `action.name` that a kind has.
const fn action(name: &'static [&'static str]) -> Row {
    Must("/interactive/action/name", OneOf(name))
}

static BUTTON: Form = form(
    "interactive_button",
    &[
        BODY,
        Must("/interactive/action/buttons", List { min: 1, max: None }),
        Must("/interactive/action/buttons/*/type", OneOf(&["reply"])),
        Must("/interactive/action/buttons/*/reply/id", Word),
        Must("/interactive/action/buttons/*/reply/title", Word),
    ],
);

/// Meta takes ten rows in all sections together; a schema can say that of each section only.
static LIST: Form = form(
    "interactive_list",
    &[
        BODY,
        May("/interactive/header/type", OneOf(&["text"])),
        Must("/interactive/action/button", Word),
        Must("/interactive/action/sections", List { min: 1, max: None }),
        Must(
            "/interactive/action/sections/*/rows",
            List {
                min: 1,
                max: Some(10),
            },
        ),
        Must("/interactive/action/sections/*/rows/*/id", Word),
        Must("/interactive/action/sections/*/rows/*/title", Word),
        May("/interactive/action/sections/*/rows/*/description", Text),
        May("/interactive/action/sections/*/title", Text),
    ],
);

static CTA_URL: Form = form(
    "interactive_cta_url",
    &[
        BODY,
        action(&["cta_url"]),
        Must("/interactive/action/parameters/display_text", Word),
        Must("/interactive/action/parameters/url", Word),
    ],
);

static FLOW: Form = form(
    "interactive_flow",
    &[
        action(&["flow"]),
        ExactlyOne("/interactive/action/parameters", &["flow_id", "flow_name"]),
        Must("/interactive/action/parameters/flow_message_version", Word),
        Must("/interactive/action/parameters/flow_cta", Word),
        May(
            "/interactive/action/parameters/mode",
            OneOf(&["draft", "published"]),
        ),
        May(
            "/interactive/action/parameters/flow_action",
            OneOf(&["navigate", "data_exchange"]),
        ),
        May("/interactive/action/parameters/flow_action_payload", Object),
    ],
);

static LOCATION_REQUEST: Form = form(
    "interactive_location_request_message",
    &[BODY, action(&["send_location"])],
);

static ADDRESS: Form = form(
    "interactive_address_message",
    &[
        action(&["address_message"]),
        Must("/interactive/action/parameters/country", Word),
    ],
);

static PRODUCT: Form = form(
    "interactive_product",
    &[
        May("/interactive/header", Nothing),
        Must("/interactive/action/catalog_id", Word),
        Must("/interactive/action/product_retailer_id", Word),
    ],
);

/// Meta takes thirty products in all sections together; a schema can say that of each section only.
static PRODUCT_LIST: Form = form(
    "interactive_product_list",
    &[
        Must("/interactive/header/type", OneOf(&["text"])),
        Must("/interactive/action/catalog_id", Word),
        Must("/interactive/action/sections", List { min: 1, max: None }),
        Must(
            "/interactive/action/sections/*/product_items",
            List {
                min: 1,
                max: Some(30),
            },
        ),
        Must(
            "/interactive/action/sections/*/product_items/*/product_retailer_id",
            Word,
        ),
    ],
);

static CATALOG: Form = form(
    "interactive_catalog_message",
    &[BODY, action(&["catalog_message"])],
);

static CAROUSEL: Form = form(
    "interactive_carousel",
    &[
        BODY,
        Must("/interactive/action/cards", List { min: 2, max: None }),
        Must("/interactive/action/cards/*/action", Object),
        May("/interactive/action/cards/*/body/text", Text),
    ],
);

static CALL_PERMISSION: Form = form(
    "interactive_call_permission_request",
    &[action(&["call_permission_request"])],
);

static VOICE_CALL: Form = form(
    "interactive_voice_call",
    &[
        action(&["voice_call"]),
        May("/interactive/action/parameters/display_text", Text),
        May(
            "/interactive/action/parameters/ttl_minutes",
            Whole {
                min: 1,
                max: 43_200,
            },
        ),
    ],
);

/// The characters of a `reference_id`.
const REFERENCE: &str = "A-Za-z0-9_.-";

/// The `reference_id` may be as long as any country's; India's is shorter.
static ORDER_DETAILS: Form = Form {
    name: "interactive_order_details",
    rows: &[
        action(&["review_and_pay"]),
        Must(
            "/interactive/action/parameters/reference_id",
            Made(&[Run::of(REFERENCE, 1, Some(60))]),
        ),
        Must(
            "/interactive/action/parameters/type",
            OneOf(&["digital-goods", "physical-goods"]),
        ),
        Must("/interactive/action/parameters/currency", Word),
        Must("/interactive/action/parameters/order", Object),
    ],
    cases: Some(Cases {
        at: "/interactive/action/parameters/currency",
        default: None,
        forms: &[("INR", &ORDER_IN_INDIA)],
    }),
};

static ORDER_IN_INDIA: Form = form(
    "interactive_order_details_inr",
    &[Must(
        "/interactive/action/parameters/reference_id",
        Made(&[Run::of(REFERENCE, 1, Some(35))]),
    )],
);

static ORDER_STATUS: Form = form(
    "interactive_order_status",
    &[
        action(&["review_order"]),
        Must("/interactive/action/parameters/reference_id", Word),
        Must("/interactive/action/parameters/order/status", Word),
    ],
);
