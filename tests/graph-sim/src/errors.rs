//! Error answers as the Graph API words them.
//!
//! Statuses are those of Meta's last error list that had a status column
//! (November 2025); codes without one are given the 400 seen in practice.

use serde_json::{Map, Value, json};
use std::borrow::Cow;

/// One error answer: what the body's `error` object says, and its HTTP status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub(crate) status: u16,
    pub(crate) code: i64,
    pub(crate) subcode: Option<i64>,
    kind: &'static str,
    message: Cow<'static, str>,
    details: Option<Cow<'static, str>>,
}

const OAUTH: &str = "OAuthException";
const GRAPH_METHOD: &str = "GraphMethodException";

/// `(code, HTTP status, title, details)`.
type Row = (i64, u16, &'static str, &'static str);

#[rustfmt::skip] // One row per line.
const TABLE: &[Row] = &[
    (0, 401, "AuthException", "We were unable to authenticate the app user."),
    (1, 400, "API Unknown", "Invalid request or possible server error."),
    (2, 503, "API Service", "Temporary due to downtime or due to being overloaded."),
    (3, 500, "API Method", "Capability or permissions issue."),
    (4, 400, "API Too Many Calls", "The app has reached its API call rate limit."),
    (10, 403, "API Permission Denied", "Permission is either not granted or has been removed."),
    (33, 400, "Parameter value is not valid", "The business phone number has been deleted."),
    (100, 400, "Invalid parameter", "The request included one or more unsupported or misspelled parameters."),
    (104, 400, "Incorrect signature", "Requests must be signed with a valid access token."),
    (190, 401, "Access token has expired", "Your access token has expired."),
    (200, 403, "API Permission", "Permission is either not granted or has been removed."),
    (368, 403, "Temporarily blocked for policies violations", "The account has been restricted or disabled for violating a platform policy."),
    (80007, 400, "Rate limit issues", "The WhatsApp Business Account has reached its rate limit."),
    (80008, 400, "There have been too many calls to this WhatsApp Business account. Wait a bit and try again.", ""),
    (130403, 400, "Recipient blocked", "The recipient is on this number's block list."),
    (130429, 400, "Rate limit hit", "Message failed to send because there were too many messages sent from this phone number in a short period of time"),
    (130472, 400, "User's number is part of an experiment", "Failed to send message because this user's phone number is part of an experiment"),
    (130497, 403, "Business account is restricted from messaging users in this country.", "The account may not message users in that country."),
    (131000, 500, "Something went wrong", "Message failed to send due to an unknown error."),
    (131005, 403, "Access denied", "Permission is either not granted or has been removed."),
    (131008, 400, "Required parameter is missing", "The request is missing a required parameter."),
    (131009, 400, "Parameter value is not valid", "One or more parameter values are invalid."),
    (131016, 500, "Service unavailable", "A service is temporarily unavailable."),
    (131020, 400, "Group has no participants", "The group has no participants besides the business."),
    (131021, 400, "Recipient cannot be sender", "Sender and recipient phone number is the same."),
    (131026, 400, "Message undeliverable", "Message Undeliverable."),
    (131030, 400, "Recipient phone number not in allowed list", "Add the recipient phone number to the recipient list and try again."),
    (131031, 403, "Business Account locked", "Business account has been locked."),
    (131037, 400, "WhatsApp provided number needs display name approval before message can be sent.", "The display name must be approved before a message can be sent."),
    (131041, 400, "Group not found", "The group does not exist."),
    (131042, 400, "Business eligibility payment issue", "Message failed to send because there were one or more errors related to your payment method."),
    (131045, 500, "Incorrect certificate", "Message failed to send due to a phone number registration error."),
    (131047, 400, "Re-engagement message", "Message failed to send because more than 24 hours have passed since the customer last replied to this number."),
    (131048, 400, "Spam rate limit hit", "Message failed to send because there are restrictions on how many messages can be sent from this phone number."),
    (131049, 400, "Meta chose not to deliver.", "This message was not delivered to maintain healthy ecosystem engagement."),
    (131050, 400, "User has stopped receiving marketing messages", "The recipient chose to stop receiving marketing messages from this business."),
    (131051, 400, "Unsupported message type", "Message type is not currently supported."),
    (131053, 400, "Media upload error", "Media upload error"),
    (131056, 400, "(Business Account, Consumer Account) pair rate limit hit", "Message failed to send because there were too many messages sent from this phone number to the same phone number in a short period of time."),
    (131057, 500, "Account in maintenance mode", "Business Account is in maintenance mode"),
    (131062, 400, "Business-scoped user ID recipient not supported", "This message cannot be sent to a business-scoped user ID."),
    (131063, 400, "Marketing messages disabled", "Marketing templates are disabled on this endpoint for the account."),
    (131064, 400, "Account limited", "The account is limited for template misclassification."),
    (131201, 206, "Request partially succeeded", "The request succeeded for some participants only."),
    (131202, 400, "Group request failed", "The request is not possible for this group."),
    (131203, 400, "Terms not accepted", "The terms of service for groups have not been accepted."),
    (131204, 400, "Group request failed", "The request is not possible for this group."),
    (131207, 403, "Group suspended", "The group is suspended."),
    (131208, 429, "Too many group requests", "Too many group operations."),
    (131214, 400, "Group creation disabled", "The creation of groups is disabled for this number."),
    (131215, 403, "Not eligible for groups", "The number is not eligible for groups."),
    (132000, 400, "Number of parameters does not match the expected number of params", "The number of variable values does not match the template."),
    (132001, 404, "Template name does not exist in the translation", "The template does not exist in the specified language or the template has not been approved."),
    (132005, 400, "Translated text too long", "The translated text is too long."),
    (132007, 400, "Template Format Character Policy Violated", "The template content violates a policy."),
    (132012, 400, "Parameter format does not match format in the created template", "Variable values formatted incorrectly."),
    (132015, 400, "Template is paused", "Template is paused due to low quality so it cannot be sent in a template message."),
    (132016, 400, "Template is disabled", "Template has been paused too many times due to low quality and is now permanently disabled."),
    (132068, 400, "Flow is in blocked state", "Flow is in blocked state."),
    (132069, 400, "Flow is in throttled state", "Flow is in throttled state and 10 messages using this flow were already sent in the last hour."),
    (133004, 503, "Server Temporarily Unavailable", "Server is temporarily unavailable."),
    (133006, 400, "Phone number re-verification needed", "Phone number needs to be verified before registering."),
    (133010, 400, "Phone number not registered", "Phone number not registered on the Whatsapp Business Platform."),
    (134011, 400, "WhatsApp Payments terms of service has not been accepted", "The payments terms have not been accepted."),
    (134100, 400, "Invalid template category", "Only marketing templates can be sent through this endpoint."),
    (135000, 400, "Generic user error", "Message failed to send because of an unknown error with your request parameters."),
    (139002, 400, "Flow cannot be published", "Only a draft can be published."),
    (139003, 400, "Flow cannot be deprecated", "Only a published flow can be deprecated."),
    (139004, 400, "Flow cannot be deleted", "Only a draft can be deleted."),
    (139100, 400, "Failed to block/unblock users", "Some users could not be blocked or unblocked."),
    (139101, 400, "Block list limit reached", "The limit of blocked users has been reached."),
    (139102, 400, "Block list concurrent update", "The block list was updated at the same time."),
    (139103, 500, "Block list internal error", "An internal error occurred."),
    (139200, 403, "Request refused", "The request was refused."),
    (147001, 400, "Username error", "The username cannot be used."),
];

impl ApiError {
    /// The documented error of that code; a code the table does not know is a 400.
    pub(crate) fn of(code: i64) -> Self {
        let known = TABLE.iter().find(|row| row.0 == code);
        let (_, status, title, details) =
            known.copied().unwrap_or((code, 400, "Unknown error", ""));
        Self {
            status,
            code,
            subcode: None,
            kind: OAUTH,
            message: format!("(#{code}) {title}").into(),
            details: Some(details.into()).filter(|details: &Cow<'_, str>| !details.is_empty()),
        }
    }

    /// The documented error of that code, with details about this request.
    pub(crate) fn detailed(code: i64, details: impl Into<Cow<'static, str>>) -> Self {
        Self {
            details: Some(details.into()),
            ..Self::of(code)
        }
    }

    /// A generic Graph error: code 100 with its own sentence and no `error_data`.
    pub(crate) fn parameter(message: &str) -> Self {
        let message = format!("(#100) {message}").into();
        Self {
            message,
            details: None,
            ..Self::of(100)
        }
    }

    /// A field that such a node does not have.
    pub(crate) fn no_field(field: &str, node: &str) -> Self {
        Self::parameter(&format!(
            "Tried accessing nonexisting field ({field}) on node type ({node})"
        ))
    }

    /// An object id that does not exist or that this token may not see.
    pub(crate) fn unknown_object(verb: &str, id: &str) -> Self {
        let message = format!(
            "Unsupported {verb} request. Object with ID '{id}' does not exist, cannot be loaded due \
             to missing permissions, or does not support this operation. Please read the Graph API \
             documentation at https://developers.facebook.com/docs/graph-api"
        );
        Self {
            subcode: Some(33),
            kind: GRAPH_METHOD,
            message: message.into(),
            details: None,
            ..Self::of(100)
        }
    }

    pub(crate) fn unknown_path(path: &str) -> Self {
        let message = format!("Unknown path components: {path}").into();
        Self {
            status: 400,
            code: 2500,
            subcode: None,
            kind: OAUTH,
            message,
            details: None,
        }
    }

    /// A missing or unreadable access token.
    pub(crate) fn no_token() -> Self {
        Self {
            message: "Invalid OAuth access token - Cannot parse access token".into(),
            details: None,
            ..Self::of(190)
        }
    }

    /// An access token that was good once.
    pub(crate) fn expired_token() -> Self {
        Self {
            subcode: Some(463),
            message: "Error validating access token: Session has expired.".into(),
            details: None,
            ..Self::of(190)
        }
    }

    /// An access token that was taken back.
    pub(crate) fn revoked_token() -> Self {
        Self {
            subcode: Some(460),
            message: "Error validating access token: The session has been invalidated because the \
                      user changed their password or Facebook has changed the session for security \
                      reasons."
                .into(),
            details: None,
            ..Self::of(190)
        }
    }

    /// A missing or wrong `appsecret_proof` for an app that requires one.
    pub(crate) fn wrong_proof(given: bool) -> Self {
        let message = if given {
            "Invalid appsecret_proof provided in the API argument"
        } else {
            "API calls from the server require an appsecret_proof argument"
        };
        Self {
            kind: GRAPH_METHOD,
            message: message.into(),
            details: None,
            ..Self::of(100)
        }
    }

    pub(crate) fn with_status(self, status: Option<u16>) -> Self {
        Self {
            status: status.unwrap_or(self.status),
            ..self
        }
    }

    pub(crate) fn with_subcode(self, subcode: Option<i64>) -> Self {
        Self {
            subcode: subcode.or(self.subcode),
            ..self
        }
    }

    pub(crate) fn with_details(self, details: Option<String>) -> Self {
        Self {
            details: details.map(Cow::from).or(self.details),
            ..self
        }
    }

    /// The `www-authenticate` header that goes with errors in general.
    pub(crate) fn www_authenticate(&self) -> String {
        let error = if self.status == 401 {
            "invalid_token"
        } else {
            "invalid_request"
        };
        format!(
            "OAuth \"Facebook Platform\" \"{error}\" \"{}\"",
            self.message.replace('"', "'")
        )
    }

    /// As `/debug_token` tells it of the token that it was asked about.
    pub(crate) fn in_data(&self) -> Value {
        let mut error = json!({ "code": self.code, "message": self.message });
        if let Some(subcode) = self.subcode {
            error["subcode"] = subcode.into();
        }
        error
    }

    /// The answer's body.
    pub(crate) fn body(&self, fbtrace_id: &str) -> Vec<u8> {
        let mut error = Map::new();
        error.insert("message".into(), self.message.as_ref().into());
        error.insert("type".into(), self.kind.into());
        error.insert("code".into(), self.code.into());
        if let Some(details) = &self.details {
            let data = json!({ "messaging_product": "whatsapp", "details": details });
            error.insert("error_data".into(), data);
        }
        if let Some(subcode) = self.subcode {
            error.insert("error_subcode".into(), subcode.into());
        }
        error.insert("fbtrace_id".into(), fbtrace_id.into());
        json!({ "error": Value::Object(error) })
            .to_string()
            .into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_has_the_documented_shape() {
        let body = ApiError::of(131056).with_subcode(Some(2494071)).body("AbC");
        let body: Value = serde_json::from_slice(&body).unwrap();
        let error = &body["error"];
        assert_eq!(
            error["message"],
            "(#131056) (Business Account, Consumer Account) pair rate limit hit"
        );
        assert_eq!(error["type"], "OAuthException");
        assert_eq!(error["code"], 131056);
        assert_eq!(error["error_subcode"], 2494071);
        assert_eq!(error["error_data"]["messaging_product"], "whatsapp");
        assert!(error["error_data"]["details"].is_string());
        assert_eq!(error["fbtrace_id"], "AbC");
    }

    #[test]
    fn the_table_has_each_code_once_and_in_order() {
        assert!(TABLE.windows(2).all(|rows| rows[0].0 < rows[1].0));
    }

    #[test]
    fn statuses_follow_the_documents_even_where_they_surprise() {
        for (code, status) in [
            (130429, 400),
            (131056, 400),
            (190, 401),
            (131045, 500),
            (131057, 500),
            (2, 503),
        ] {
            assert_eq!(ApiError::of(code).status, status, "{code}");
        }
        assert_eq!(ApiError::of(999_999).status, 400);
    }
}
