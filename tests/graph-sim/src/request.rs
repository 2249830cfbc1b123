//! A request and where it goes.

use crate::operations::{Of, place};

/// One request as the API sees it.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    pub method: Method,
    /// Such as `/v24.0/111/messages`.
    pub path: &'a str,
    /// What follows the `?`, still percent-encoded.
    pub query: &'a str,
    /// What follows `Authorization: Bearer`.
    pub bearer: Option<&'a str>,
    pub body: &'a [u8],
    /// When the whole request had been read.
    pub received_us: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    Get,
    Post,
    Delete,
    Other,
}

impl Method {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Delete => "DELETE",
            Self::Other => "other",
        }
    }
}

/// What a request is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route<'a> {
    /// `POST /v24.0/111/messages`
    Messages { number: &'a str },
    /// `POST /v24.0/111/marketing_messages`
    Marketing { number: &'a str },
    /// `GET /v24.0/111`
    Number { number: &'a str },
    /// `GET /v24.0/900/message_templates`
    Templates { waba: &'a str },
    /// `GET /v24.0/debug_token`
    Token,
    /// An operation on a number, such as `POST /v24.0/111/block_users`
    OnNumber { number: &'a str, edge: &'a str },
    /// An operation on an account, such as `POST /v24.0/900/message_templates`
    OnAccount { waba: &'a str, edge: &'a str },
    /// An operation on what has an id of its own, such as `POST /v24.0/700000000000001/publish`
    OnObject { id: &'a str, edge: &'a str },
    /// An operation on none of these, such as `GET /v24.0/message_template_library`
    OnApp { id: &'a str, edge: &'a str },
    /// A number, an account or an object, as only its id tells
    Node { id: &'a str },
}

impl<'a> Route<'a> {
    /// The phone number id; none for what is about a WABA or a token.
    pub(crate) fn number(self) -> Option<&'a str> {
        match self {
            Self::Messages { number }
            | Self::Marketing { number }
            | Self::Number { number }
            | Self::OnNumber { number, .. } => Some(number),
            Self::Templates { .. }
            | Self::Token
            | Self::OnAccount { .. }
            | Self::OnObject { .. }
            | Self::OnApp { .. }
            | Self::Node { .. } => None,
        }
    }

    /// The id in the path, and the word for the request in error messages.
    pub(crate) fn object(self) -> Option<(&'static str, &'a str)> {
        match self {
            Self::Messages { number } | Self::Marketing { number } => Some(("post", number)),
            Self::Number { number } => Some(("get", number)),
            Self::Templates { waba } => Some(("get", waba)),
            Self::OnNumber { number, .. } => Some(("post", number)),
            Self::OnAccount { waba, .. } => Some(("post", waba)),
            Self::OnObject { id, .. } | Self::Node { id } => Some(("request", id)),
            Self::OnApp { .. } | Self::Token => None,
        }
    }
}

/// Where a path leads; `None` for what this API does not have.
pub(crate) fn route(method: Method, path: &str) -> Option<Route<'_>> {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let version = path
        .strip_prefix("/v")
        .and_then(|rest| rest.split_once('/'));
    let version = version.filter(|(version, _)| {
        version
            .split_once('.')
            .is_some_and(|(major, minor)| is_number(major) && is_number(minor))
    });
    let Some((_, rest)) = version else {
        return of_business(method, path);
    };
    let rest = rest.trim_end_matches('/');
    let route = match (method, rest.split_once('/')) {
        (Method::Post, Some((number, "messages"))) => Route::Messages { number },
        (Method::Post, Some((number, "marketing_messages"))) => Route::Marketing { number },
        (Method::Get, Some((waba, "message_templates"))) => Route::Templates { waba },
        (_, Some((id, edge))) => match place(method, edge)? {
            Of::Number => Route::OnNumber { number: id, edge },
            Of::Account => Route::OnAccount { waba: id, edge },
            Of::Object(_) => return Some(Route::OnObject { id, edge }),
            Of::App => return Some(Route::OnApp { id, edge }),
        },
        (Method::Get, None) if rest == "debug_token" => Route::Token,
        (_, None) if rest == "debug_token" => return None,
        (Method::Get | Method::Post, None) if rest.starts_with("upload:") => {
            return Some(Route::OnApp {
                id: rest,
                edge: "upload",
            });
        }
        (Method::Get, None) if is_number(rest) => Route::Number { number: rest },
        (_, None) => {
            let is_named = place(method, rest) == Some(Of::App);
            return Some(if is_named {
                Route::OnApp { id: "", edge: rest }
            } else {
                Route::Node { id: rest }
            });
        }
    };
    let is_whole = route.object().is_none_or(|(_, id)| is_number(id));
    is_whole.then_some(route)
}

/// Paths of Meta's other host, `api.facebook.com`, which have no version.
fn of_business(method: Method, path: &str) -> Option<Route<'_>> {
    let (waba, edge) = path.strip_prefix('/')?.split_once('/')?;
    let is_its = edge.starts_with("message_templates/") && place(method, edge)? == Of::Account;
    is_its.then_some(Route::OnAccount { waba, edge })
}
