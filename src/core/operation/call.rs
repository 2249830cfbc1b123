//! A request to the API, as a value: where it goes and what it carries.

use super::facts::{Facts, Method, Parameters};
use super::file::{FileFrom, FileOf, FileToUpload, read_link};
use super::lookup::Lookup;
use super::{Operation, analytics};
use bytes::Bytes;
use serde_json::{Map, Value};
use std::fmt;

/// Where a session of the resumable upload begins. Source: Meta, "Resumable Upload API".
const UPLOADS_PATH: &str = "{node}/uploads";

/// One request to the API.
pub struct Call {
    pub operation: Operation,
    /// The path behind the base URL.
    pub path: String,
    pub query: Vec<(String, String)>,
    pub body: Option<Content>,
    /// Asked first, if there is one.
    pub lookup: Option<Question>,
}

/// The body may name people, and the query too.
impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Call").field(&self.operation).finish()
    }
}

/// The body of a request.
pub enum Content {
    Json(Bytes),
    Form(Vec<(String, String)>),
    File(Box<FileToUpload>),
}

/// A read before the request, which makes it unnecessary if it finds what that would do.
pub struct Question {
    pub path: String,
    pub query: Vec<(&'static str, String)>,
    request: Value,
    lookup: &'static Lookup,
}

impl Question {
    /// The part of the answer that shows that the request was done.
    pub fn find(&self, answer: &Value) -> Option<Value> {
        (self.lookup.find)(&self.request, answer)
    }
}

/// The names that an operation's path may have in braces.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Address {
    /// The routing key that its caller published it with: an account's id, or one of its numbers'.
    pub target: String,
    pub waba_id: String,
    /// Header `node`.
    pub node: Option<String>,
    /// Header `file-name` and AMQP `content_type`, of an operation that carries a file.
    pub file_name: Option<String>,
    pub content_type: Option<String>,
}

impl Address {
    /// The address of a number's own operations, which name nothing else.
    pub fn of_number(phone_number_id: &str) -> Self {
        Self {
            target: phone_number_id.to_owned(),
            waba_id: String::new(),
            node: None,
            file_name: None,
            content_type: None,
        }
    }

    /// The path of an operation that is done there.
    pub fn path_of(&self, operation: Operation) -> String {
        self.fill(operation.facts().path, &Map::new())
    }

    /// The number, unless it was published for the account.
    pub fn phone_number_id(&self) -> Option<&str> {
        (self.target != self.waba_id).then_some(&self.target)
    }
}

impl Facts {
    /// How many parts the header `node` must have, divided by slashes.
    pub fn node_parts(&self) -> usize {
        let in_path = self.path.matches("{node}").count();
        // A session of uploads is the app's, which the path of what is done with it need not name.
        let is_by_session = matches!(self.parameters, Parameters::File(of) if of.is_by_session());
        in_path.max(usize::from(is_by_session))
    }

    /// Whether it must be published for a number.
    pub fn is_of_a_number(&self) -> bool {
        self.path.contains("{phone_number_id}")
    }

    fn takes_query(&self) -> bool {
        match self.parameters {
            Parameters::Usual => self.method != Method::Post,
            Parameters::Query => true,
            Parameters::Json | Parameters::Form | Parameters::Fields(_) | Parameters::File(_) => {
                false
            }
        }
    }
}

impl Operation {
    /// The request of a message.
    pub(crate) fn to_number(self, phone_number_id: &str, body: Bytes) -> Call {
        let path = fill(self.facts().path, |_| Some(phone_number_id.to_owned()));
        Call {
            operation: self,
            path,
            query: vec![],
            body: Some(Content::Json(body)),
            lookup: None,
        }
    }

    /// The request of an account's operation. `may_be_done`: an earlier one may have done it.
    pub(crate) fn to_account(self, address: &Address, body: Bytes, may_be_done: bool) -> Call {
        let facts = self.facts();
        // Intake has read it before.
        let document: Value = serde_json::from_slice(&body).unwrap_or_default();
        let none = Map::new();
        let members = document.as_object().unwrap_or(&none);
        let (query, content) = match facts.parameters {
            Parameters::Fields(name) => {
                let field = analytics::field(name, members);
                (vec![("fields".to_owned(), field)], None)
            }
            Parameters::Form => (vec![], Some(Content::Form(pairs(members)))),
            Parameters::File(of) => (vec![], Some(Content::File(address.file(of, &body).into()))),
            Parameters::Usual | Parameters::Query if facts.takes_query() => (pairs(members), None),
            Parameters::Usual | Parameters::Query | Parameters::Json => {
                (vec![], Some(Content::Json(body)))
            }
        };
        let lookup = facts.lookup.filter(|_| may_be_done);
        let lookup = lookup.map(|lookup| Question {
            path: address.fill(lookup.path, members),
            query: (lookup.query)(&document),
            lookup,
            request: document.clone(),
        });
        Call {
            operation: self,
            path: address.fill(facts.path, members),
            query,
            body: content,
            lookup,
        }
    }
}

impl Address {
    /// How long the API keeps what an operation uploads as media. Source: Meta, "Media": 30 days unless it is told otherwise.
    pub fn keeps_media_minutes(&self, operation: Operation, body: &Bytes) -> Option<u64> {
        const MINUTES_30_DAYS: u64 = 30 * 24 * 60;
        match operation.facts().parameters {
            Parameters::File(of @ FileOf::Media) => {
                let minutes = self.file(of, body).ttl_minutes;
                Some(minutes.unwrap_or(MINUTES_30_DAYS))
            }
            Parameters::File(_)
            | Parameters::Usual
            | Parameters::Json
            | Parameters::Query
            | Parameters::Form
            | Parameters::Fields(_) => None,
        }
    }

    /// The file of an operation that carries one.
    fn file(&self, of: FileOf, body: &Bytes) -> FileToUpload {
        let content_type = self.content_type.as_deref();
        let document = read_link(of, body, content_type);
        let member = |name: &str| document.as_ref().and_then(|document| document.get(name));
        let text = |name: &str| member(name).and_then(Value::as_str).map(str::to_owned);
        let link = member("link").and_then(Value::as_str);
        let uploads_path = of
            .is_by_session()
            .then(|| self.fill(UPLOADS_PATH, &Map::new()));
        FileToUpload {
            of,
            name: text("file_name").or_else(|| self.file_name.clone()),
            // The source says that of a link's.
            declared: self.content_type.clone().filter(|_| document.is_none()),
            ttl_minutes: member("ttl_minutes").and_then(Value::as_u64),
            uploads_path,
            from: link.map_or_else(
                || FileFrom::Body(body.clone()),
                |link| FileFrom::Link(link.into()),
            ),
        }
    }

    fn fill(&self, path: &str, members: &Map<String, Value>) -> String {
        let node = self.node.as_deref().unwrap_or_default();
        let mut parts = node.split('/');
        fill(path, |name| match name {
            "phone_number_id" => Some(self.target.clone()),
            "waba_id" => Some(self.waba_id.clone()),
            "node" => parts.next().map(str::to_owned),
            member => members.get(member).map(plain),
        })
    }
}

/// The members as pairs of texts, as a query or a form has them. What is null is left out.
fn pairs(members: &Map<String, Value>) -> Vec<(String, String)> {
    let there = members.iter().filter(|(_, value)| !value.is_null());
    there
        .map(|(name, value)| (name.clone(), plain(value)))
        .collect()
}

fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// Puts values in the place of names in braces, each as one segment of the path.
fn fill(path: &str, mut value: impl FnMut(&str) -> Option<String>) -> String {
    let mut filled = String::with_capacity(path.len() + 20);
    let mut rest = path;
    while let Some((before, (name, after))) = rest
        .split_once('{')
        .and_then(|(before, behind)| Some((before, behind.split_once('}')?)))
    {
        filled.push_str(before);
        push_segment(&mut filled, &value(name).unwrap_or_default());
        rest = after;
    }
    filled.push_str(rest);
    filled
}

/// Encodes what would mean something in a URL. Source: RFC 3986, section 2.3, and `:`, which stands in ids of uploads.
fn push_segment(path: &mut String, segment: &str) {
    for byte in segment.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte) {
            path.push(char::from(byte));
        } else {
            path.push_str(&format!("%{byte:02X}"));
        }
    }
}

/// Whether a text can be the header `node`: so many parts that name something, and none that leads elsewhere.
pub fn is_node(text: &str, parts: usize) -> bool {
    let is_part = |part: &str| {
        let is_name = !part.is_empty() && !part.chars().any(char::is_control);
        is_name && part != "." && part != ".."
    };
    text.len() <= 256 && text.split('/').count() == parts && text.split('/').all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn call(name: &str, node: Option<&str>, body: &Value) -> Call {
        let address = Address {
            target: "106".to_owned(),
            waba_id: "102".to_owned(),
            node: node.map(str::to_owned),
            file_name: None,
            content_type: None,
        };
        let operation = Operation::of_type(name).unwrap();
        operation.to_account(&address, body.to_string().into(), true)
    }

    #[test]
    fn each_parameter_goes_where_meta_wants_it() {
        let limit = json!({"limit": 5, "after": "x", "none": null});
        let blocked = json!({"block_users": []});
        let span = json!({"start": 1, "end": 2, "granularity": "DAY"});
        for (name, node, body, path, query, content) in [
            (
                "list_blocked",
                None,
                &limit,
                "106/block_users",
                "after=x&limit=5",
                None,
            ),
            (
                "unblock_users",
                None,
                &blocked,
                "106/block_users",
                "",
                Some("json"),
            ),
            ("template_get", Some("594"), &json!({}), "594", "", None),
            (
                "qr_get",
                Some("A B"),
                &json!({}),
                "106/message_qrdls/A%20B",
                "",
                None,
            ),
            (
                "payment_lookup",
                Some("upi/ref?1"),
                &json!({}),
                "106/payments/upi/ref%3F1",
                "",
                None,
            ),
            (
                "analytics",
                None,
                &span,
                "102",
                "fields=analytics.end(2).granularity(DAY).start(1)",
                None,
            ),
            (
                "commerce_set",
                None,
                &json!({"is_cart_enabled": true}),
                "106/whatsapp_commerce_settings",
                "is_cart_enabled=true",
                None,
            ),
            (
                "encryption_key_set",
                None,
                &json!({"business_public_key": "k"}),
                "106/whatsapp_business_encryption",
                "",
                Some("form"),
            ),
        ] {
            let call = call(name, node, body);
            let pairs = call
                .query
                .iter()
                .map(|(name, value)| format!("{name}={value}"));
            let kind = call.body.map(|content| match content {
                Content::Json(_) => "json",
                Content::Form(_) => "form",
                Content::File(_) => "file",
            });
            let got = (
                call.path.as_str(),
                pairs.collect::<Vec<_>>().join("&"),
                kind,
            );
            assert_eq!(got, (path, query.to_owned(), content), "{name}");
        }
    }

    #[test]
    fn a_lost_refund_is_looked_up_by_its_payment() {
        let body =
            json!({"reference_id": "r/1", "payment_config_id": "upi", "amount": {"value": 1}});
        let question = call("payment_refund", None, &body).lookup.unwrap();
        assert_eq!(question.path, "106/payments/upi/r%2F1");
        let paid = json!({"payments": [{"refunds": [{"amount": {"value": 1}}]}]});
        assert!(question.find(&paid).is_some());
    }

    #[test]
    fn a_node_leads_nowhere_else() {
        for (node, parts, is_one) in [
            ("594425479261596", 1, true),
            ("Y2FwaV9ncm91cDox", 1, true),
            ("upi/ref-1", 2, true),
            ("", 1, false),
            ("..", 1, false),
            ("a/..", 2, false),
            ("a/b", 1, false),
            ("a", 2, false),
            ("a\n", 1, false),
        ] {
            assert_eq!(is_node(node, parts), is_one, "{node:?}");
        }
    }
}
