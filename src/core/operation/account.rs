//! The operations of an account and its numbers: all that are no messages, as one table.
//!
//! Source: Meta's pages and its OpenAPI file, as `tests/cases/meta-openapi-paths.txt` has that; the words for repeats are by what Meta
//! documents of a second call, and where it documents nothing, by the careful side.

use super::body::{Added, Checked, check_product, member};
use super::config::IntakeConfig;
use super::facts::{AnswerForm, Base, Facts, Method, Parameters, Repeat, Route, Spans};
use super::file::FileOf;
use super::file_link;
use super::forms::Row::{AtLeastOne, ExactlyOne, May, Must};
use super::forms::Takes::{Flag, List, Number, Object, Text, Whole, Word};
use super::forms::{Form, MESSAGE, Row};
use super::lookup;

use crate::contract::fault::Fault;
use serde_json::Value;

#[cfg(test)]
mod tests;

/// The row that the others are changed from.
const ACCOUNT: Facts = Facts {
    name: "",
    types: &[],
    route: Route::Account,
    method: Method::Get,
    base: Base::Graph,
    path: "",
    parameters: Parameters::Usual,
    repeat: Repeat::Doubles,
    lookup: None,
    answer: AnswerForm::Whole(&[]),
    is_confirmed: false,
    hourly: None,
    per_node: &[],
    form: &MESSAGE,
    check,
};

/// Edits of an approved template. Source: Meta, "Template management": one in 24 hours, ten in 30 days; rejected and paused ones are free.
const EDITS: Spans = &[(1, 24 * 3_600), (10, 30 * 24 * 3_600)];

/// The member that Meta wants in most bodies; added where it is missing.
const PRODUCT: Row = May("/messaging_product", Word);

macro_rules! operations {
    ($($name:literal $method:ident $path:literal $repeat:ident [$($row:expr),*] { $($more:tt)* };)*) => {
        &[$(Facts {
            name: $name,
            types: &[$name],
            method: Method::$method,
            path: $path,
            repeat: Repeat::$repeat,
            form: &Form { name: $name, rows: &[$($row),*], cases: None },
            $($more)*
            ..ACCOUNT
        }),*]
    };
}

/// The table of operations: name, method, path, whether a repeat is harmless, what the body must have, and what else is special.
#[rustfmt::skip] // One operation, one line.
pub static ACCOUNT_OPERATIONS: &[Facts] = operations! {
    // Messages and media that are there.
    "message_history" Get "{phone_number_id}/message_history" Harmless [] {};
    "message_history_events" Get "{node}/events" Harmless [] {};
    "media_upload" Post "{phone_number_id}/media" Harmless [Must("/link", Word), May("/file_name", Word), May("/ttl_minutes", Whole { min: 60, max: 43_200 })] { parameters: Parameters::File(FileOf::Media), check: file_link::check, };
    "upload_handle" Post "{node}/uploads" Harmless [Must("/link", Word), May("/file_name", Word)] { parameters: Parameters::File(FileOf::Handle), check: file_link::check, };
    "media_get" Get "{node}" Harmless [] {};
    "media_delete" Delete "{node}" Harmless [] {};
    // People.
    "block_users" Post "{phone_number_id}/block_users" Harmless [PRODUCT, Must("/block_users", List { min: 1, max: Some(1_000) })] { answer: AnswerForm::Whole(&["/block_users/failed_users"]), };
    "unblock_users" Delete "{phone_number_id}/block_users" Harmless [PRODUCT, Must("/block_users", List { min: 1, max: Some(1_000) })] { parameters: Parameters::Json, answer: AnswerForm::Whole(&["/block_users/failed_users"]), };
    "list_blocked" Get "{phone_number_id}/block_users" Harmless [] {};
    "contact_book_delete" Delete "{phone_number_id}/contact_book" Harmless [] {};
    // Texts and pictures that people see of a number.
    "profile_get" Get "{phone_number_id}/whatsapp_business_profile" Harmless [] {};
    "profile_update" Post "{phone_number_id}/whatsapp_business_profile" Harmless [PRODUCT, May("/about", Text), May("/address", Text), May("/description", Text), May("/email", Text), May("/vertical", Word), May("/websites", List { min: 0, max: Some(2) })] {};
    "profile_picture_set" Post "{phone_number_id}/whatsapp_business_profile" Harmless [Must("/link", Word), May("/file_name", Word)] { parameters: Parameters::File(FileOf::ProfilePicture), check: file_link::check, };
    "compliance_get" Get "{phone_number_id}/business_compliance_info" Harmless [] {};
    "compliance_set" Post "{phone_number_id}/business_compliance_info" Harmless [PRODUCT, Must("/entity_name", Word), Must("/entity_type", Word), Must("/grievance_officer_details", Object), Must("/customer_care_details", Object)] {};
    "display_name_update" Post "{phone_number_id}" Harmless [Must("/new_display_name", Word)] {};
    "oba_status" Get "{phone_number_id}/official_business_account" Harmless [] {};
    "oba_request" Post "{phone_number_id}/official_business_account" Doubles [] {};
    "username_get" Get "{phone_number_id}/username" Harmless [] {};
    "username_set" Post "{phone_number_id}/username" Harmless [Must("/username", Word)] {};
    "username_delete" Delete "{phone_number_id}/username" Harmless [] { is_confirmed: true, };
    "username_suggestions" Get "{phone_number_id}/username_suggestions" Harmless [] {};
    // Numbers.
    "phone_numbers_list" Get "{waba_id}/phone_numbers" Harmless [] {};
    "phone_number_get" Get "{phone_number_id}" Harmless [] {};
    "phone_number_add" Post "{waba_id}/phone_numbers" Harmless [Must("/cc", Number), Must("/phone_number", Number), Must("/verified_name", Word)] { lookup: Some(&lookup::NUMBER), };
    "settings_get" Get "{phone_number_id}/settings" Harmless [] {};
    "settings_set" Post "{phone_number_id}/settings" Harmless [] {};
    "two_step_pin_set" Post "{phone_number_id}" Harmless [Must("/pin", Number)] {};
    "number_callback_set" Post "{phone_number_id}" Harmless [Must("/webhook_configuration", Object)] {};
    // Accounts.
    "waba_get" Get "{waba_id}" Harmless [] {};
    "waba_update" Post "{waba_id}" Harmless [] {};
    "waba_list_owned" Get "{node}/owned_whatsapp_business_accounts" Harmless [] {};
    "waba_list_client" Get "{node}/client_whatsapp_business_accounts" Harmless [] {};
    "waba_users_list" Get "{waba_id}/assigned_users" Harmless [] {};
    "waba_users_add" Post "{waba_id}/assigned_users" Harmless [Must("/user", Number), Must("/tasks", List { min: 1, max: None })] {};
    "waba_users_remove" Delete "{waba_id}/assigned_users" Harmless [Must("/user", Number)] {};
    "subscribe_app" Post "{waba_id}/subscribed_apps" Harmless [May("/override_callback_uri", Text), May("/verify_token", Text)] {};
    "list_subscriptions" Get "{waba_id}/subscribed_apps" Harmless [] {};
    "unsubscribe_app" Delete "{waba_id}/subscribed_apps" Harmless [] {};
    // Templates.
    "template_list" Get "{waba_id}/message_templates" Harmless [] {};
    "template_get" Get "{node}" Harmless [] {};
    "template_create" Post "{waba_id}/message_templates" Harmless [Must("/name", Word), Must("/language", Word), Must("/category", Word)] { lookup: Some(&lookup::TEMPLATE), hourly: Some(100), };
    "template_edit" Post "{node}" Harmless [] { per_node: EDITS, };
    "template_delete" Delete "{waba_id}/message_templates" Harmless [AtLeastOne("", &["name", "hsm_ids"])] { is_confirmed: true, };
    "template_unpause" Post "{node}/unpause" Harmless [] {};
    "template_compare" Get "{node}/compare" Harmless [Must("/template_ids", List { min: 1, max: None }), Must("/start", Number), Must("/end", Number)] {};
    "template_migrate" Post "{waba_id}/migrate_message_templates" Harmless [Must("/source_waba_id", Number)] { answer: AnswerForm::Whole(&["/failed_templates"]), };
    "template_upsert_auth" Post "{waba_id}/upsert_message_templates" Harmless [] {};
    "template_library" Get "message_template_library" Harmless [] {};
    "template_archive" Post "{waba_id}/message_templates/archive" Harmless [Must("/hsm_ids", List { min: 1, max: Some(100) })] { base: Base::Business, answer: AnswerForm::Whole(&["/failed_templates"]), };
    "template_unarchive" Post "{waba_id}/message_templates/unarchive" Harmless [Must("/hsm_ids", List { min: 1, max: Some(100) })] { base: Base::Business, answer: AnswerForm::Whole(&["/failed_templates"]), };
    "template_group_list" Get "{waba_id}/template_groups" Harmless [] {};
    "template_group_create" Post "{waba_id}/template_groups" Doubles [Must("/name", Word)] {};
    "template_group_get" Get "{node}" Harmless [] {};
    "template_group_update" Post "{node}" Harmless [] {};
    "template_group_delete" Delete "{node}" Harmless [] { is_confirmed: true, };
    // Flows.
    "flow_list" Get "{waba_id}/flows" Harmless [] {};
    "flow_create" Post "{waba_id}/flows" Harmless [Must("/name", Word), Must("/categories", List { min: 1, max: None })] { lookup: Some(&lookup::FLOW), };
    "flow_get" Get "{node}" Harmless [] {};
    "flow_update" Post "{node}" Harmless [] {};
    "flow_delete" Delete "{node}" Harmless [] { is_confirmed: true, };
    "flow_assets" Get "{node}/assets" Harmless [] {};
    "flow_asset_set" Post "{node}/assets" Harmless [Must("/link", Word), May("/file_name", Word)] { parameters: Parameters::File(FileOf::FlowAsset), check: file_link::check, };
    "flow_publish" Post "{node}/publish" Harmless [] { is_confirmed: true, };
    "flow_deprecate" Post "{node}/deprecate" Harmless [] { is_confirmed: true, };
    "flow_migrate" Post "{waba_id}/migrate_flows" Harmless [Must("/source_waba_id", Number)] { answer: AnswerForm::Whole(&["/failed_flows"]), };
    // QR codes, conversational components, commerce, encryption.
    "qr_list" Get "{phone_number_id}/message_qrdls" Harmless [] {};
    "qr_create" Post "{phone_number_id}/message_qrdls" Doubles [Must("/prefilled_message", Word)] {};
    "qr_update" Post "{phone_number_id}/message_qrdls" Harmless [Must("/code", Word), Must("/prefilled_message", Word)] {};
    "qr_get" Get "{phone_number_id}/message_qrdls/{node}" Harmless [] {};
    "qr_delete" Delete "{phone_number_id}/message_qrdls/{node}" Harmless [] { is_confirmed: true, };
    "automation_get" Get "{phone_number_id}" Harmless [] { parameters: Parameters::Fields("conversational_automation"), };
    "automation_set" Post "{phone_number_id}/conversational_automation" Harmless [May("/enable_welcome_message", Flag), May("/commands", List { min: 0, max: Some(30) }), May("/prompts", List { min: 0, max: Some(4) })] {};
    "commerce_get" Get "{phone_number_id}/whatsapp_commerce_settings" Harmless [] {};
    "commerce_set" Post "{phone_number_id}/whatsapp_commerce_settings" Harmless [AtLeastOne("", &["is_cart_enabled", "is_catalog_visible"])] { parameters: Parameters::Query, };
    "encryption_key_get" Get "{phone_number_id}/whatsapp_business_encryption" Harmless [] {};
    "encryption_key_set" Post "{phone_number_id}/whatsapp_business_encryption" Harmless [Must("/business_public_key", Word)] { parameters: Parameters::Form, };
    // Payments, in India.
    "payment_config_list" Get "{waba_id}/payment_configurations" Harmless [] {};
    "payment_config_get" Get "{waba_id}/payment_configuration/{node}" Harmless [] {};
    "payment_config_create" Post "{waba_id}/payment_configuration" Harmless [Must("/configuration_name", Word), Must("/provider_name", Word), May("/merchant_category_code", Word), May("/purpose_code", Word), May("/merchant_vpa", Word), May("/redirect_url", Text)] { lookup: Some(&lookup::PAYMENT_CONFIG), };
    "payment_config_update" Post "{waba_id}/payment_configuration/{node}" Harmless [] {};
    "payment_oauth_link" Post "{waba_id}/generate_payment_configuration_oauth_link" Harmless [Must("/configuration_name", Word), May("/redirect_url", Text)] {};
    "payment_config_delete" Delete "{waba_id}/payment_configuration" Harmless [Must("/configuration_name", Word)] { parameters: Parameters::Json, is_confirmed: true, };
    "payment_lookup" Get "{phone_number_id}/payments/{node}/{node}" Harmless [] {};
    "payment_refund" Post "{phone_number_id}/payments_refund" Doubles [Must("/reference_id", Word), Must("/payment_config_id", Word), Must("/amount", Object)] { lookup: Some(&lookup::REFUND), is_confirmed: true, };
    // Figures and health.
    "analytics" Get "{waba_id}" Harmless [Must("/start", Number), Must("/end", Number), Must("/granularity", Word)] { parameters: Parameters::Fields("analytics"), };
    "conversation_analytics" Get "{waba_id}" Harmless [Must("/start", Number), Must("/end", Number), Must("/granularity", Word)] { parameters: Parameters::Fields("conversation_analytics"), };
    "pricing_analytics" Get "{waba_id}" Harmless [Must("/start", Number), Must("/end", Number), Must("/granularity", Word)] { parameters: Parameters::Fields("pricing_analytics"), };
    "call_analytics" Get "{waba_id}" Harmless [Must("/start", Number), Must("/end", Number), Must("/granularity", Word)] { parameters: Parameters::Fields("call_analytics"), };
    "template_analytics" Get "{waba_id}/template_analytics" Harmless [Must("/start", Number), Must("/end", Number), Must("/template_ids", List { min: 1, max: Some(10) })] {};
    "template_group_analytics" Get "{waba_id}/template_group_analytics" Harmless [Must("/start", Number), Must("/end", Number)] {};
    "health_check" Get "{node}" Harmless [] { parameters: Parameters::Fields("health_status"), };
    // Groups.
    "group_list" Get "{phone_number_id}/groups" Harmless [May("/limit", Whole { min: 1, max: 1_024 })] {};
    "group_create" Post "{phone_number_id}/groups" Doubles [PRODUCT, Must("/subject", Word), May("/description", Text)] { is_confirmed: true, };
    "group_get" Get "{node}" Harmless [] {};
    "group_update" Post "{node}" Harmless [PRODUCT] {};
    "group_picture_set" Post "{node}" Harmless [Must("/link", Word), May("/file_name", Word)] { parameters: Parameters::File(FileOf::GroupPicture), check: file_link::check, };
    "group_delete" Delete "{node}" Harmless [] { is_confirmed: true, };
    "group_invite_get" Get "{node}/invite_link" Harmless [] {};
    "group_invite_reset" Post "{node}/invite_link" Doubles [PRODUCT] { is_confirmed: true, };
    "group_invite_revoke" Delete "{node}/invite_link" Harmless [] { is_confirmed: true, };
    "group_join_requests_list" Get "{node}/join_requests" Harmless [] {};
    "group_join_requests_approve" Post "{node}/join_requests" Harmless [PRODUCT, Must("/join_requests", List { min: 1, max: None })] { answer: AnswerForm::Whole(&["/failed_join_requests"]), };
    "group_join_requests_reject" Delete "{node}/join_requests" Harmless [PRODUCT, Must("/join_requests", List { min: 1, max: None })] { parameters: Parameters::Json, answer: AnswerForm::Whole(&["/failed_join_requests"]), };
    "group_participants_remove" Delete "{node}/participants" Harmless [PRODUCT, Must("/participants", List { min: 1, max: Some(8) })] { parameters: Parameters::Json, answer: AnswerForm::Whole(&["/failed_participants"]), };
};

const SCARCE: &str = "is taken from no queue: Meta allows it a few times in 72 hours, or once, and locks the number after that; call the API by hand";
const OF_THE_APP: &str =
    "is taken from no queue: it needs the app's own token, which no account has";
const ENCRYPTED: &str = "is taken from no queue: the keys of an encrypted body are its sender's, and nothing of it can be checked, paced or told apart here";
const SECONDS_COUNT: &str = "is taken from no queue: it is over within seconds";

/// Operations that are refused with a word, and that word.
pub const NOT_QUEUED: [(&str, &str); 14] = [
    ("request_code", SCARCE),
    ("verify_code", SCARCE),
    ("register", SCARCE),
    ("deregister", SCARCE),
    ("migrate_account", SCARCE),
    ("coexistence_sync", SCARCE),
    ("code_exchange", SCARCE),
    ("app_subscription_set", OF_THE_APP),
    ("debug_token", OF_THE_APP),
    ("send_encrypted", ENCRYPTED),
    ("call_connect", SECONDS_COUNT),
    ("call_pre_accept", SECONDS_COUNT),
    ("call_accept", SECONDS_COUNT),
    ("call_reject", SECONDS_COUNT),
];

/// Whether a member stands in the document itself, and not deeper.
fn is_direct(at: &str) -> bool {
    at.rfind('/') == Some(0)
}

/// Checks that what Meta requires is there. Whether it is right, Meta says.
fn check(facts: &Facts, body: &Value, _: &IntakeConfig, faults: &mut Vec<Fault>) -> Checked {
    check_product(body, faults);
    let mut added = vec![];
    for row in facts.form.rows {
        match row {
            Must(at, _) if is_direct(at) => {
                if member(body, &at[1..]).is_none() {
                    faults.push(Fault::new(at, "is required"));
                }
            }
            AtLeastOne("", names) | ExactlyOne("", names) => {
                if !names.iter().any(|name| member(body, name).is_some()) {
                    faults.push(Fault::new("", format!("needs one of {names:?}")));
                }
            }
            May("/messaging_product", _) => added.push(Added::product(body)),
            May(..) | Must(..) | AtLeastOne(..) | ExactlyOne(..) => {}
        }
    }
    Checked {
        recipient: None,
        template: None,
        own_opaque: None,
        added,
        lifetime: None,
    }
}
