//! A request and where it goes.

use crate::operations::{OF_ACCOUNTS, OF_NUMBERS};

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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    /// An operation on an account that changes it, such as `POST /v24.0/900/message_templates`
    OnAccount { waba: &'a str, edge: &'a str },
}

impl<'a> Route<'a> {
    /// The phone number id; none for what is about a WABA or a token.
    pub(crate) fn number(self) -> Option<&'a str> {
        match self {
            Self::Messages { number }
            | Self::Marketing { number }
            | Self::Number { number }
            | Self::OnNumber { number, .. } => Some(number),
            Self::Templates { .. } | Self::Token | Self::OnAccount { .. } => None,
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
            Self::Token => None,
        }
    }
}

/// Where a path leads; `None` for what this API does not have.
pub(crate) fn route(method: Method, path: &str) -> Option<Route<'_>> {
    let rest = path.strip_prefix("/v")?;
    let (version, rest) = rest.split_once('/')?;
    let (major, minor) = version.split_once('.')?;
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !is_number(major) || !is_number(minor) {
        return None;
    }
    let rest = rest.trim_end_matches('/');
    let route = match (method, rest.split_once('/')) {
        (Method::Post, Some((number, "messages"))) => Route::Messages { number },
        (Method::Post, Some((number, "marketing_messages"))) => Route::Marketing { number },
        (Method::Get, Some((waba, "message_templates"))) => Route::Templates { waba },
        (Method::Get | Method::Post | Method::Delete, Some((number, edge)))
            if OF_NUMBERS.contains(&edge) =>
        {
            Route::OnNumber { number, edge }
        }
        (Method::Post | Method::Delete, Some((waba, edge))) if OF_ACCOUNTS.contains(&edge) => {
            Route::OnAccount { waba, edge }
        }
        (Method::Get, None) if rest == "debug_token" => Route::Token,
        (Method::Get, None) => Route::Number { number: rest },
        _ => return None,
    };
    let is_whole = route.object().is_none_or(|(_, id)| is_number(id));
    is_whole.then_some(route)
}
