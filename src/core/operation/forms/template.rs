//! Messages made from a template, and the parts that fill it in. Pointers of a part begin at the part.

use super::form::Row::{May, Must};
use super::form::Takes::{List, Made, Number, Object, Text, Word};
use super::form::{Cases, Form, LOCATION, MEDIA, Takes, form};
use super::run::Run;

pub(super) static TEMPLATE: Form = form(
    "template",
    &[
        Must("/template/name", Made(&[Run::of("a-z0-9_", 1, None)])),
        Must("/template/language/code", Word),
        May("/template/components/*", Takes::Like(&COMPONENT)),
    ],
);

static COMPONENT: Form = Form {
    name: "component",
    rows: &[
        Must("/type", Word),
        May("/parameters/*", Takes::Like(&PARAMETER)),
    ],
    cases: Some(Cases {
        at: "/type",
        default: None,
        forms: &[("button", &BUTTON), ("carousel", &CAROUSEL)],
    }),
};

static BUTTON: Form = form(
    "component_button",
    &[Must("/sub_type", Word), Must("/index", Number)],
);

static CAROUSEL: Form = form(
    "component_carousel",
    &[
        Must(
            "/cards",
            List {
                min: 1,
                max: Some(10),
            },
        ),
        Must("/cards/*/card_index", Number),
        May("/cards/*/components/*", Takes::Like(&COMPONENT)),
    ],
);

static PARAMETER: Form = Form {
    name: "parameter",
    rows: &[Must("/type", Word), May("/parameter_name", Word)],
    cases: Some(Cases {
        at: "/type",
        default: None,
        forms: &[
            ("text", &TEXT),
            ("currency", &CURRENCY),
            ("date_time", &DATE_TIME),
            ("image", &IMAGE),
            ("video", &VIDEO),
            ("document", &DOCUMENT),
            ("location", &LOCATION_PARAMETER),
            ("coupon_code", &COUPON),
            ("limited_time_offer", &OFFER),
            ("action", &ACTION),
        ],
    }),
};

static TEXT: Form = form("parameter_text", &[Must("/text", Text)]);
static CURRENCY: Form = form(
    "parameter_currency",
    &[
        Must("/currency/fallback_value", Text),
        Must("/currency/code", Word),
        Must("/currency/amount_1000", Number),
    ],
);
static DATE_TIME: Form = form(
    "parameter_date_time",
    &[Must("/date_time/fallback_value", Text)],
);
static IMAGE: Form = form("parameter_image", &[Must("/image", Takes::Like(&MEDIA))]);
static VIDEO: Form = form("parameter_video", &[Must("/video", Takes::Like(&MEDIA))]);
static DOCUMENT: Form = form(
    "parameter_document",
    &[Must("/document", Takes::Like(&MEDIA))],
);
static LOCATION_PARAMETER: Form = form(
    "parameter_location",
    &[Must("/location", Takes::Like(&LOCATION))],
);
static COUPON: Form = form(
    "parameter_coupon_code",
    &[Must("/coupon_code", Made(&[Run::any(1, 20)]))],
);
static OFFER: Form = form(
    "parameter_limited_time_offer",
    &[Must("/limited_time_offer/expiration_time_ms", Number)],
);
static ACTION: Form = form("parameter_action", &[Must("/action", Object)]);
