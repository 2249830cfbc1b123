//! A request and where it goes.

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
    Other,
}

/// The parts of `/v24.0/111/messages`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Route<'a> {
    pub(crate) id: &'a str,
    pub(crate) edge: Edge,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Edge {
    Messages,
    Node,
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
    let (id, edge) = match (method, rest.trim_end_matches('/').split_once('/')) {
        (Method::Post, Some((id, "messages"))) => (id, Edge::Messages),
        (Method::Get, None) => (rest.trim_end_matches('/'), Edge::Node),
        _ => return None,
    };
    is_number(id).then_some(Route { id, edge })
}

/// The word for an edge's requests in error messages.
pub(crate) fn verb(edge: Edge) -> &'static str {
    match edge {
        Edge::Messages => "post",
        Edge::Node => "get",
    }
}
