//! The tables against what Meta publishes: a request of ours that its OpenAPI file does not have is listed here with the reason, and one of
//! the file that is not ours, too. Neither list keeps what it no longer needs.

use crate::core::operation::{Facts, Operation};
use std::collections::BTreeSet;

const PUBLISHED: &str = include_str!("../../../../tests/cases/meta-openapi-paths.txt");

/// What header `node` names, by how the operation's name begins. The first that fits counts.
const NODES: [(&str, &str); 8] = [
    ("flow_", "{Flow-ID}"),
    ("group_", "{group_id}"),
    ("health_check", "{Phone-Number-ID}"),
    ("media_", "{Media-ID}"),
    ("message_history_events", "{Message-History-ID}"),
    ("qr_", "{QR-Code-ID}"),
    ("template_group_", "{Template-Group-ID}"),
    ("waba_list_", "{Business-ID}"),
];

/// Operations that the file does not have.
const NOT_PUBLISHED: [(&str, &[&str]); 6] = [
    ("the file has no sessions of uploads", &["upload_handle"]),
    (
        "is newer than the file",
        &[
            "contact_book_delete",
            "template_archive",
            "template_unarchive",
            "username_delete",
            "username_get",
            "username_set",
            "username_suggestions",
        ],
    ),
    (
        "payments are on Meta's pages only",
        &[
            "payment_config_create",
            "payment_config_delete",
            "payment_config_get",
            "payment_config_list",
            "payment_config_update",
            "payment_lookup",
            "payment_oauth_link",
            "payment_refund",
        ],
    ),
    (
        "analytics are on Meta's pages only",
        &["template_analytics", "template_group_analytics"],
    ),
    (
        "of templates the file has the plain calls only",
        &[
            "template_compare",
            "template_group_create",
            "template_group_delete",
            "template_group_get",
            "template_group_list",
            "template_group_update",
            "template_library",
            "template_migrate",
            "template_unpause",
            "template_upsert_auth",
        ],
    ),
    (
        "the file has POST and DELETE of it, and Meta's page on groups GET, too",
        &["group_invite_get"],
    ),
];

/// Requests of the file that no operation makes.
const NOT_OURS: [(&str, &[&str]); 7] = [
    (
        "is taken from no queue: few are allowed, or seconds count",
        &[
            "GET /{Version}/{Phone-Number-ID}/call_permissions",
            "POST /{Version}/{Phone-Number-ID}/calls",
            "POST /{Version}/{Phone-Number-ID}/deregister",
            "POST /{Version}/{Phone-Number-ID}/register",
            "POST /{Version}/{Phone-Number-ID}/request_code",
            "POST /{Version}/{Phone-Number-ID}/verify_code",
        ],
    ),
    (
        "gives a file, or is encrypted as a whole",
        &[
            "GET /{Version}/{Media-URL}",
            "POST /{Version}/{Phone-Number-ID}/messages_encrypted",
        ],
    ),
    (
        "is for partners: signups, solutions, numbers verified ahead, credit",
        &[
            "DELETE /{Version}/{Pre-Verified-Phone-Number-ID}",
            "GET /{Version}/{Application-ID}/connected_client_businesses",
            "GET /{Version}/{Application-ID}/whatsapp_business_solutions",
            "GET /{Version}/{Business-ID}/extendedcredits",
            "GET /{Version}/{Business-ID}/preverified_numbers",
            "GET /{Version}/{Migration-Intent-ID}",
            "GET /{Version}/{OBO-Mobility-Intent-ID}",
            "GET /{Version}/{Pre-Verified-Phone-Number-ID}",
            "GET /{Version}/{Pre-Verified-Phone-Number-ID}/partners",
            "GET /{Version}/{Solution-ID}",
            "GET /{Version}/{Solution-ID}/access_token",
            "GET /{Version}/{User-ID}/assigned_whatsapp_business_accounts",
            "GET /{Version}/{WABA-ID}/in_progress_onbehalf_request",
            "GET /{Version}/{WABA-ID}/solutions",
            "POST /{Version}/{Application-ID}/whatsapp_business_solution",
            "POST /{Version}/{Business-ID}/add_phone_numbers",
            "POST /{Version}/{Business-ID}/onboard_partners_to_mm_lite",
            "POST /{Version}/{Business-ID}/share_preverified_numbers",
            "POST /{Version}/{Pre-Verified-Phone-Number-ID}/request_code",
            "POST /{Version}/{Pre-Verified-Phone-Number-ID}/verify_code",
            "POST /{Version}/{Solution-ID}/accept",
            "POST /{Version}/{Solution-ID}/accept_deactivation_request",
            "POST /{Version}/{Solution-ID}/reject",
            "POST /{Version}/{Solution-ID}/reject_deactivation_request",
            "POST /{Version}/{Solution-ID}/send_deactivation_request",
            "POST /{Version}/{WABA-ID}/obo_mobility_intent",
            "POST /{Version}/{WABA-ID}/set_obo_mobility_intent",
            "POST /{Version}/{WABA-ID}/set_solution_migration_intent",
        ],
    ),
    (
        "reads what is no account, number or part of one",
        &[
            "GET /{Version}/{Business-ID}",
            "GET /{Version}/{WABA-Bot-ID}",
        ],
    ),
    (
        "is on none of Meta's pages",
        &[
            "GET /{Version}/{WABA-ID}/activities",
            "GET /{Version}/{WABA-ID}/schedules",
            "GET /{Version}/{WhatsApp-Account-Number-ID}",
            "GET /{Version}/{WhatsApp-Business-Profile-ID}",
            "POST /{Version}/{WABA-ID}/schedules",
            "POST /{Version}/{WhatsApp-Business-Profile-ID}",
        ],
    ),
    (
        "is denied by Meta's guide: people join groups by their link",
        &["POST /{Version}/{group_id}/participants"],
    ),
    ("comes from Meta", &["POST /whatsapp/webhooks"]),
];

fn listed(list: &[(&str, &[&'static str])]) -> BTreeSet<&'static str> {
    list.iter().flat_map(|(_, of)| of.iter().copied()).collect()
}

/// The file has two names for an account's id.
fn published() -> BTreeSet<String> {
    let lines = PUBLISHED.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| line.replace("{WhatsApp-Business-Account-ID}", "{WABA-ID}"))
        .collect()
}

/// An operation's request, in the words of the file.
fn request(facts: &Facts) -> String {
    let known = NODES
        .iter()
        .find(|(start, _)| facts.name.starts_with(start));
    let node = known.map_or("{TEMPLATE_ID}", |(_, node)| node);
    let path = facts
        .path
        .replace("{phone_number_id}", "{Phone-Number-ID}")
        .replace("{waba_id}", "{WABA-ID}")
        .replace("{node}", node);
    format!("{} /{{Version}}/{path}", facts.method.as_str())
}

#[test]
fn each_operation_is_published_or_listed() {
    let published = published();
    assert_eq!(published.len(), 113);
    let missing: BTreeSet<&str> = Operation::all()
        .map(Operation::facts)
        .filter(|facts| !published.contains(&request(facts)))
        .map(|facts| facts.name)
        .collect();
    assert_eq!(missing, listed(&NOT_PUBLISHED));
}

#[test]
fn each_published_request_is_ours_or_listed() {
    let ours: BTreeSet<String> = Operation::all()
        .map(|operation| request(operation.facts()))
        .collect();
    let published = published();
    let others: BTreeSet<&str> = published.difference(&ours).map(String::as_str).collect();
    assert_eq!(others, listed(&NOT_OURS));
}
