//! A request beside its body, without AMQP's types: what its caller writes, and what it has been through, which travels with it.

/// AMQP headers in all, encoded. RabbitMQ takes 128 KiB of them in one frame; a request that fills it could not be carried any
/// further, as we add some of our own.
pub const MAX_HEADERS_BYTES: usize = 65_536;

/// Longest id in characters: it must fit `biz_opaque_callback_data` and leave room for what others add.
pub const ID_CHARS_MAX: usize = 128;

/// Longest id in bytes, as each result has it as its `message_id`. Source: AMQP 0-9-1, short strings.
pub const ID_BYTES_MAX: usize = 255;

/// Longest tag, in characters.
pub const TAG_CHARS_MAX: usize = 64;

/// Most tags of one request.
pub const TAGS_MAX: usize = 8;

/// Where an id may stand if `message_id` is empty, the first that is there: RabbitMQ moves what AMQP 1.0 allows and AMQP 0-9-1 does not
/// to `x-message-id`; MQTT 5 has no message id, but user properties.
pub const ID_HEADERS: [&str; 2] = ["x-message-id", "message-id"];

/// The headers that a caller may say something with.
pub const EXPIRES_AT: &str = "expires-at";
pub const NOT_BEFORE: &str = "not-before";
pub const ON_UNKNOWN: &str = "on-unknown";
pub const TAG: &str = "tag";
/// The header of an operation that has the id in the path, where that is not the account's or the number's.
pub const NODE: &str = "node";
/// The header which says that an operation is meant that destroys or pays.
pub const CONFIRM: &str = "confirm";
pub const DEDUPE: &str = "dedupe";
/// The header by which a message has the files that it names by link uploaded, and is sent with their ids.
pub const MEDIA: &str = "media";
/// The one value of that header.
pub const MEDIA_UPLOAD: &str = "upload";
/// The header of an operation that carries a file: its name.
pub const FILE_NAME: &str = "file-name";

/// Longest time that header `dedupe` may name, in seconds.
pub const DEDUPE_MAX_S: u32 = 86_400;

/// An AMQP header as far as intake can use it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Header<'a> {
    /// Not necessarily UTF-8: AMQP does not promise it.
    Text(&'a [u8]),
    Int(i64),
    Bool(bool),
    /// AMQP timestamp, in seconds.
    TimestampS(u64),
    EmptyTable,
    Other,
}

/// The properties and headers of a delivery, without AMQP's types.
#[derive(Clone, Debug, Default)]
pub struct Inbound<'a> {
    /// The account, if it came by an account's lane.
    pub account: Option<&'a str>,
    /// The routing key that its caller published it with: the id of a number, or of an account.
    pub target: &'a str,
    /// The property.
    pub message_id: Option<&'a str>,
    /// The first of [`ID_HEADERS`] that is there.
    pub id_header: Option<(&'static str, Header<'a>)>,
    pub priority: Option<u8>,
    pub timestamp_s: Option<u64>,
    /// Size of the body as it was published, also where it was too large to be kept.
    pub body_bytes: usize,
    pub operation: Option<&'a str>,
    pub reply_to: Option<&'a str>,
    pub content_encoding: Option<&'a str>,
    /// The header of that name, which tells of a body that a client has compressed.
    pub compression: Option<Header<'a>>,
    pub redelivered: bool,
    pub delivery_count: u64,
    /// See [`crate::core::request::message::Message::incarnation`].
    pub incarnation: Option<u64>,
    /// Size of all headers together.
    pub headers_bytes: usize,
    pub expires_at: Option<Header<'a>>,
    pub not_before: Option<Header<'a>>,
    pub on_unknown: Option<Header<'a>>,
    /// See [`NODE`].
    pub node: Option<Header<'a>>,
    /// See [`CONFIRM`].
    pub confirm: Option<Header<'a>>,
    /// The items of header `tag`, which may be a list.
    pub tags: Vec<Header<'a>>,
    pub dedupe: Option<Header<'a>>,
    /// See [`MEDIA`].
    pub media: Option<Header<'a>>,
    /// See [`FILE_NAME`].
    pub file_name: Option<Header<'a>>,
    pub content_type: Option<&'a str>,
    pub history: History,
}

impl<'a> Header<'a> {
    /// A tag as it may be: what an operator counts requests by.
    pub fn tag(self) -> Option<&'a str> {
        let Self::Text(text) = self else {
            return None;
        };
        let tag = std::str::from_utf8(text).ok()?;
        let is_one = (1..=TAG_CHARS_MAX).contains(&tag.chars().count());
        is_one.then_some(tag)
    }
}

impl<'a> Inbound<'a> {
    /// Returns whatever names the request, also if it cannot be its identity.
    pub fn id(&self) -> Option<&'a str> {
        let property = self.message_id.filter(|id| !id.is_empty());
        let header = || match self.id_header? {
            (_, Header::Text(text)) => std::str::from_utf8(text).ok(),
            (
                _,
                Header::Int(_)
                | Header::Bool(_)
                | Header::TimestampS(_)
                | Header::EmptyTable
                | Header::Other,
            ) => None,
        };
        property.or_else(header).filter(|id| !id.is_empty())
    }
}

/// The history of a request. It travels in our own AMQP headers through the delay ladder, so a restart forgets nothing.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct History {
    /// Requests to the API that counted against `retry.max_attempts`.
    pub attempts: u32,
    /// Requests to the API that did not, as it was in trouble.
    pub uncharged: u32,
    /// Times the API turned this request away by a pair limit; the exponent X of the 4^X s wait.
    pub throttles: u32,
    /// Passes through the delay ladder. With the id it tells a delayed copy from its original.
    pub hops: u32,
    /// When a worker first took the request; 0 before that. Milliseconds since the epoch.
    pub first_seen_ms: u64,
    /// An earlier send may have reached the person.
    pub possible_duplicate: bool,
    /// The request was delivered over and over, with others, and one of them may be what every worker died of.
    pub suspected: bool,
    /// There may be another copy of it, made by a worker that ended before it could say so: from when on that one may have come off the
    /// ladder, in milliseconds since the epoch. 0: there is none.
    pub copied_ms: u64,
    /// A hold was met by it again when it was the one to try whether that is over: the next time counts against it, not its lane.
    pub blamed: bool,
    /// With `dedupe`: when a worker first took it. Milliseconds since the epoch; 0 without that header.
    pub arrived_ms: u64,
    /// With `dedupe`: an earlier request of its id is under way, or may be. It went onto the ladder to wait for that, and is not itself
    /// what others of its id wait for.
    pub follows: bool,
    /// The API code that sent it round last, for whoever reads `wa.dead`.
    pub last_error: Option<i64>,
}
