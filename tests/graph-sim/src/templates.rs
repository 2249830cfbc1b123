//! The message templates of WABAs, and the pages that `GET …/message_templates` shows.

use crate::errors::ApiError;
use crate::query::{encoded, names, parameter};
use crate::seed::{mix, push_opaque};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// What a `GET` without `fields` answers. Meta's own answer has the components too.
const DEFAULT_FIELDS: &str = "name,language,status,category";
/// Meta docs, "Paginated Results".
const DEFAULT_LIMIT: usize = 25;
const FIRST_ID: u64 = 700_000_000_000_001;

/// A message template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Template {
    pub waba_id: String,
    pub name: String,
    /// One name may stand for several languages, each with its own id and status. Left
    /// out: all that there are, or en_US if there is none yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// APPROVED, PENDING, REJECTED, PAUSED, DISABLED, IN_APPEAL, PENDING_DELETION, DELETED
    /// or LIMIT_EXCEEDED (Meta docs, "WhatsApp Business HSM"). No send is refused for it.
    #[serde(default = "approved")]
    pub status: String,
}

fn approved() -> String {
    "APPROVED".to_owned()
}

impl Template {
    /// In every language that it has.
    pub fn new(waba_id: &str, name: &str, status: &str) -> Self {
        Self {
            waba_id: waba_id.to_owned(),
            name: name.to_owned(),
            language: None,
            status: status.to_owned(),
        }
    }
}

/// A template in one language.
#[derive(Debug)]
struct Listed {
    id: u64,
    waba_id: String,
    name: String,
    language: String,
    status: String,
}

/// All templates, in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Templates(Vec<Listed>);

impl Templates {
    /// Adds a template or changes its status.
    pub(crate) fn set(&mut self, template: Template) {
        let mut is_new = true;
        for listed in self
            .0
            .iter_mut()
            .filter(|listed| listed.is_meant_by(&template))
        {
            listed.status.clone_from(&template.status);
            is_new = false;
        }
        if is_new {
            self.0.push(Listed {
                id: FIRST_ID + self.0.len() as u64,
                waba_id: template.waba_id,
                name: template.name,
                language: template.language.unwrap_or_else(|| "en_US".to_owned()),
                status: template.status,
            });
        }
    }

    /// Creates one, which waits for Meta's review. A name has each language once.
    pub(crate) fn create(
        &mut self,
        waba: &str,
        body: Option<&Map<String, Value>>,
    ) -> Result<Value, ApiError> {
        let given = |name: &str| {
            let value = body.and_then(|body| body.get(name)).and_then(Value::as_str);
            value.ok_or_else(|| ApiError::parameter(&format!("The parameter {name} is required")))
        };
        let (name, language, category) = (given("name")?, given("language")?, given("category")?);
        let is_it = |listed: &Listed| {
            listed.waba_id == waba && listed.name == name && listed.language == language
        };
        if self.0.iter().any(is_it) {
            // Meta docs, "Error codes": the name is taken in this language.
            return Err(
                ApiError::parameter("There is already content in this language")
                    .with_subcode(Some(2_388_024)),
            );
        }
        let id = FIRST_ID + self.0.len() as u64;
        self.0.push(Listed {
            id,
            waba_id: waba.to_owned(),
            name: name.to_owned(),
            language: language.to_owned(),
            status: "PENDING".to_owned(),
        });
        Ok(json!({ "id": id.to_string(), "status": "PENDING", "category": category }))
    }

    /// Deletes a name in every language.
    pub(crate) fn delete(&mut self, waba: &str, query: &str) -> Result<Value, ApiError> {
        let name = parameter(query, "name").filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| ApiError::parameter("The parameter name is required"))?;
        let is_kept = |listed: &Listed| listed.waba_id != waba || listed.name != name;
        let before = self.0.len();
        self.0.retain(is_kept);
        if self.0.len() == before {
            return Err(ApiError::parameter("Message template not found"));
        }
        Ok(json!({ "success": true }))
    }

    /// The page of a WABA's templates that a query asks for. `link` is the request's URL
    /// without its query, `token` its bearer.
    pub(crate) fn page(
        &self,
        waba: &str,
        query: &str,
        link: &str,
        token: &str,
    ) -> Result<Vec<u8>, ApiError> {
        let given = |name| parameter(query, name).filter(|value| !value.is_empty());
        let fields = given("fields").unwrap_or_else(|| DEFAULT_FIELDS.to_owned());
        let limit = match given("limit") {
            None => DEFAULT_LIMIT,
            Some(limit) => limit
                .parse()
                .map_err(|_| ApiError::parameter("Param limit must be an integer"))?,
        };
        let all = self.0.iter().filter(|listed| listed.waba_id == waba);
        let all: Vec<&Listed> = all.collect();
        let from = match given("after") {
            None => 0,
            Some(cursor) => {
                let at = all.iter().position(|listed| listed.cursor() == cursor);
                at.ok_or_else(|| ApiError::parameter("Invalid cursor"))? + 1
            }
        };
        let rest = &all[from..];
        let shown = &rest[..limit.min(rest.len())];
        let data: Result<Vec<Value>, ApiError> =
            shown.iter().map(|listed| listed.node(&fields)).collect();
        let mut page = json!({ "data": data? });
        if let Some((first, last)) = shown.first().zip(shown.last()) {
            let (before, after) = (first.cursor(), last.cursor());
            page["paging"] = json!({ "cursors": { "before": before, "after": after } });
            if rest.len() > shown.len() {
                page["paging"]["next"] = next(link, query, token, &after).into();
            }
        }
        Ok(page.to_string().into_bytes())
    }
}

impl Listed {
    /// Whether a change to `template` is one to this.
    fn is_meant_by(&self, template: &Template) -> bool {
        let language = template.language.as_ref();
        self.waba_id == template.waba_id
            && self.name == template.name
            && language.is_none_or(|language| *language == self.language)
    }

    /// Opaque as Meta's, and pointing to this template whatever comes or changes.
    fn cursor(&self) -> String {
        let mut cursor = String::new();
        push_opaque(&mut cursor, mix(self.id));
        cursor
    }

    fn node(&self, fields: &str) -> Result<Value, ApiError> {
        let mut node = Map::new();
        for field in names(fields) {
            let value = match field {
                "id" => continue,
                "name" => self.name.as_str(),
                "language" => self.language.as_str(),
                "status" => self.status.as_str(),
                "category" => "UTILITY",
                _ => return Err(ApiError::no_field(field, "WhatsAppMessageTemplate")),
            };
            node.insert(field.to_owned(), value.into());
        }
        node.insert("id".to_owned(), self.id.to_string().into());
        Ok(node.into())
    }
}

/// The URL of the page after the one that ends with `after`. As Meta's, it carries the
/// token: not a thing to log.
fn next(link: &str, query: &str, token: &str, after: &str) -> String {
    let mut next = format!("{link}?access_token={}", encoded(token));
    for pair in query.split('&') {
        let name = pair.split('=').next().unwrap_or(pair);
        // A proof is each request's own.
        if !matches!(name, "" | "access_token" | "after" | "appsecret_proof") {
            next.push('&');
            next.push_str(pair);
        }
    }
    next + "&after=" + after
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINK: &str = "http://graph/v24.0/900/message_templates";

    fn templates(names: &[&str]) -> Templates {
        let mut templates = Templates::default();
        for name in names {
            templates.set(Template::new("900", name, "APPROVED"));
        }
        templates
    }

    fn page(templates: &Templates, query: &str) -> Value {
        let page = templates.page("900", query, LINK, "a|b").unwrap();
        serde_json::from_slice(&page).unwrap()
    }

    fn column(page: &Value, field: &str) -> Vec<String> {
        let rows = page["data"].as_array().unwrap().iter();
        rows.map(|row| row[field].as_str().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn pages_follow_each_other_until_there_is_no_next() {
        let mut templates = templates(&["a", "b", "c", "d", "e"]);
        templates.set(Template::new("901", "x", "APPROVED"));
        let (mut seen, mut pages, mut after) = (vec![], 0, String::new());
        loop {
            let query = format!("fields=name%2Cstatus&limit=2&after={after}");
            let page = page(&templates, &query);
            seen.extend(column(&page, "name"));
            pages += 1;
            let paging = &page["paging"];
            after = paging["cursors"]["after"].as_str().unwrap().to_owned();
            let Some(next) = paging["next"].as_str() else {
                assert_eq!(paging["cursors"]["before"], after, "one is left");
                break;
            };
            let wanted =
                format!("{LINK}?access_token=a%7Cb&fields=name%2Cstatus&limit=2&after={after}");
            assert_eq!(next, wanted);
            // What comes meanwhile comes at the end.
            if pages == 1 {
                templates.set(Template::new("900", "a", "PAUSED"));
                templates.set(Template::new("900", "f", "PENDING"));
                templates.set(Template::new("900", "g", "PENDING"));
            }
        }
        assert_eq!((seen.join(""), pages), ("abcdefg".to_owned(), 4));
    }

    #[test]
    fn nothing_is_no_page_and_a_full_last_page_has_no_next() {
        let none = Templates::default();
        assert_eq!(page(&none, ""), json!({ "data": [] }));
        let two = templates(&["a", "b"]);
        assert_eq!(page(&two, "limit=0"), json!({ "data": [] }));
        let full = page(&two, "limit=2");
        assert_eq!(column(&full, "name"), ["a", "b"]);
        assert_eq!(full["paging"]["next"], Value::Null);
        let after = full["paging"]["cursors"]["after"].as_str().unwrap();
        let beyond = page(&two, &format!("after={after}"));
        assert_eq!(beyond, json!({ "data": [] }));
        let many: Vec<String> = (0..26).map(|n| n.to_string()).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let first = page(&templates(&many), "");
        assert_eq!(column(&first, "name").len(), 25);
        assert!(first["paging"]["next"].is_string());
    }

    #[test]
    fn a_name_has_a_status_in_each_language() {
        let mut templates = templates(&["a"]);
        let mut spanish = Template::new("900", "a", "PENDING");
        spanish.language = Some("es".to_owned());
        templates.set(spanish.clone());
        let list = page(&templates, "");
        let first = json!({ "name": "a", "language": "en_US", "status": "APPROVED",
                            "category": "UTILITY", "id": "700000000000001" });
        assert_eq!(list["data"][0], first);
        assert_eq!(column(&list, "status"), ["APPROVED", "PENDING"]);
        assert_ne!(list["data"][0]["id"], list["data"][1]["id"]);
        spanish.status = "REJECTED".to_owned();
        templates.set(spanish);
        let list = page(&templates, "");
        assert_eq!(column(&list, "status"), ["APPROVED", "REJECTED"]);
        templates.set(Template::new("900", "a", "PAUSED"));
        let list = page(&templates, "fields=status");
        assert_eq!(column(&list, "status"), ["PAUSED", "PAUSED"]);
    }

    #[test]
    fn what_is_not_understood_is_a_wrong_parameter() {
        let templates = templates(&["a"]);
        for query in ["limit=x", "limit=-1", "after=x", "fields=nonsense"] {
            let error = templates.page("900", query, LINK, "t").unwrap_err();
            assert_eq!((error.status, error.code), (400, 100), "{query}");
        }
    }
}
