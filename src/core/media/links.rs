//! Links to media in the body of a message, and the ids that take their place.

use super::content::Kind;
use bytes::Bytes;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// Links of one body that are looked at; the API takes fewer.
const LINKS_MAX: usize = 50;

/// The member whose content is the business's own, and no part of a message.
const OF_A_FLOW: &str = "flow_action_payload";

/// A file that a message names by its link. Its URL may be a secret: it is never printed.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Source {
    pub kind: Kind,
    pub url: Arc<str>,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Source").field(&self.kind).finish()
    }
}

/// A link, and where it stands.
#[derive(Clone, Debug)]
pub struct Link {
    /// JSON pointer.
    pub at: String,
    pub source: Source,
    /// The object with the link, in the body.
    span: Range<usize>,
}

/// The members of a JSON object in their order, each as it stands in the text.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = vec![];
                while let Some(member) = map.next_entry::<Name<'de>, &'de RawValue>()? {
                    members.push((member.0.0, member.1));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

fn members<'a>(object: &'a RawValue) -> Option<Vec<(Cow<'a, str>, &'a RawValue)>> {
    let members: Members<'a> = serde_json::from_str(object.get()).ok()?;
    Some(members.0)
}

fn text(value: &RawValue) -> Option<String> {
    serde_json::from_str(value.get()).ok()
}

/// Finds the links to media: `{"link": …}` as the member `image`, `video`, `audio`, `document` or `sticker`, however deep. What names an id
/// already has none. `body`: a JSON document, which was read before, and so is no deeper than such may be.
pub fn find(body: &[u8]) -> Vec<Link> {
    let mut links = vec![];
    if let Ok(document) = serde_json::from_slice::<&RawValue>(body) {
        let start = document.get().as_ptr() as usize - body.as_ptr() as usize;
        collect(document, start, &mut String::new(), &mut links);
    }
    links
}

/// `start`: where the value stands in the body.
fn collect(value: &RawValue, start: usize, at: &mut String, links: &mut Vec<Link>) {
    let place = |inner: &RawValue| start + offset(value, inner);
    let whole = at.len();
    if let Some(members) = members(value) {
        for (name, inner) in members {
            if name == OF_A_FLOW {
                continue;
            }
            at.push('/');
            at.push_str(&name.replace('~', "~0").replace('/', "~1"));
            match Kind::of_word(&name).and_then(|kind| link_of(kind, inner)) {
                Some(source) if links.len() < LINKS_MAX => links.push(Link {
                    at: format!("{at}/link"),
                    source,
                    span: place(inner)..place(inner) + inner.get().len(),
                }),
                Some(_) => {}
                None => collect(inner, place(inner), at, links),
            }
            at.truncate(whole);
        }
    } else if let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(value.get()) {
        for (index, inner) in items.into_iter().enumerate() {
            at.push_str(&format!("/{index}"));
            collect(inner, place(inner), at, links);
            at.truncate(whole);
        }
    }
}

/// By how much `inner`, a part of `outer`, stands behind its beginning.
fn offset(outer: &RawValue, inner: &RawValue) -> usize {
    inner.get().as_ptr() as usize - outer.get().as_ptr() as usize
}

fn link_of(kind: Kind, object: &RawValue) -> Option<Source> {
    let members = members(object)?;
    // The last of two with the same name counts.
    let last = |wanted: &str| {
        let named = members.iter().rev().find(|(name, _)| name == wanted);
        named.and_then(|(_, value)| text(value))
    };
    if last("id").is_some_and(|id| !id.is_empty()) {
        return None;
    }
    let url = last("link")?.into();
    Some(Source { kind, url })
}

/// Puts ids in the place of links, in the order of [`find`]. All else stays byte for byte as it is.
pub fn put_ids(body: &Bytes, links: &[Link], ids: &[Arc<str>]) -> Bytes {
    let mut changed = Vec::with_capacity(body.len());
    let mut done = 0;
    for (link, id) in links.iter().zip(ids) {
        let object = body.get(link.span.clone()).unwrap_or_default();
        changed.extend_from_slice(body.get(done..link.span.start).unwrap_or_default());
        put_id(object, id, &mut changed);
        done = link.span.end;
    }
    changed.extend_from_slice(body.get(done..).unwrap_or_default());
    changed.into()
}

fn put_id(object: &[u8], id: &str, into: &mut Vec<u8>) {
    let id = serde_json::Value::from(id).to_string();
    let document = serde_json::from_slice::<&RawValue>(object).ok();
    let members = document.and_then(members).unwrap_or_default();
    into.extend_from_slice(b"{\"id\":");
    into.extend_from_slice(id.as_bytes());
    for (name, value) in members
        .iter()
        .filter(|(name, _)| name != "link" && name != "id")
    {
        into.push(b',');
        into.extend_from_slice(serde_json::Value::from(&**name).to_string().as_bytes());
        into.push(b':');
        into.extend_from_slice(value.get().as_bytes());
    }
    into.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn found(body: &str) -> Vec<(String, Kind, String)> {
        let links = find(body.as_bytes()).into_iter();
        links
            .map(|link| (link.at, link.source.kind, link.source.url.to_string()))
            .collect()
    }

    #[test]
    fn links_are_found_wherever_a_message_may_have_them() {
        let image = json!({"image": {"link": "https://a/1"}});
        for (body, at, kind) in [
            (
                json!({"type": "image", "image": {"link": "https://a/1", "caption": "c"}}),
                "/image/link",
                Kind::Image,
            ),
            (
                json!({"interactive": {"header": {"type": "video", "video": {"link": "https://a/1"}}}}),
                "/interactive/header/video/link",
                Kind::Video,
            ),
            (
                json!({"template": {"components": [{"type": "header", "parameters": [{"type": "image", "image": {"link": "https://a/1"}}]}]}}),
                "/template/components/0/parameters/0/image/link",
                Kind::Image,
            ),
            (
                json!({"template": {"components": [{"cards": [{"components": [{"parameters": [image]}]}]}]}}),
                "/template/components/0/cards/0/components/0/parameters/0/image/link",
                Kind::Image,
            ),
        ] {
            let expected = vec![(at.to_owned(), kind, "https://a/1".to_owned())];
            assert_eq!(found(&body.to_string()), expected);
        }
        for body in [
            json!({"image": {"id": "1", "link": "https://a/1"}}),
            json!({"image": {"link": null}}),
            json!({"image": "https://a/1"}),
            json!({"text": {"body": "link"}}),
            json!({"interactive": {"action": {"parameters": {"flow_action_payload": {"data": {"image": {"link": "https://a/1"}}}}}}}),
        ] {
            assert_eq!(found(&body.to_string()), vec![], "{body}");
        }
        let twice = r#"{"image":{"link":"https://a/1","link":"https:\/\/a\/2","id":null}}"#;
        assert_eq!(found(twice)[0].2, "https://a/2");
    }

    #[test]
    fn an_id_takes_a_links_place_and_all_else_stays() {
        let body = Bytes::from_static(
            br#" {"to":"49" , "n":1.50,"image": { "caption":"\u00e9", "link":"https://a/1" }, "x":[{"document":{"link":"https://a/2","filename":"f"}}]} "#,
        );
        let links = find(&body);
        let ids = ["11".into(), "22".into()];
        let changed = put_ids(&body, &links, &ids);
        let expected = r#" {"to":"49" , "n":1.50,"image": {"id":"11","caption":"\u00e9"}, "x":[{"document":{"id":"22","filename":"f"}}]} "#;
        assert_eq!(changed, expected);
        assert_eq!(put_ids(&body, &[], &[]), body);
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(json!(null)),
            any::<i32>().prop_map(Value::from),
            "[a-z\"/~]{0,6}".prop_map(Value::from),
        ];
        let name = prop_oneof![
            Just("image".to_owned()),
            Just("document".to_owned()),
            Just("link".to_owned()),
            Just("id".to_owned()),
            "[a-z/~\"]{0,3}",
        ];
        leaf.prop_recursive(5, 40, 5, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec((name.clone(), inner), 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        /// Each pointer leads to its link, and what is put there is what the pointer then leads to; nothing else changes.
        #[test]
        fn pointers_and_places_agree(document in any_json()) {
            let body = Bytes::from(document.to_string());
            let links = find(&body);
            let ids: Vec<Arc<str>> = (0..links.len()).map(|n| n.to_string().into()).collect();
            let mut expected = document.clone();
            for (link, id) in links.iter().zip(&ids) {
                prop_assert_eq!(document.pointer(&link.at), Some(&Value::from(&*link.source.url)));
                let object = link.at.trim_end_matches("/link");
                let object = expected.pointer_mut(object).and_then(Value::as_object_mut).unwrap();
                object.remove("link");
                object.insert("id".to_owned(), Value::from(&**id));
            }
            let changed: Value = serde_json::from_slice(&put_ids(&body, &links, &ids)).unwrap();
            prop_assert_eq!(changed, expected);
        }
    }
}
