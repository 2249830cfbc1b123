use super::*;
use crate::request::Method;

use crate::operations::tests::call;

const LINK: &str = "http://graph/v24.0/900/message_templates";

fn templates(names: &[&str]) -> Store {
    let mut templates = Store::default();
    for name in names {
        set(&mut templates, Template::new("900", name, "APPROVED"));
    }
    templates
}

fn list_by(templates: &Store, query: &str) -> Result<Value, ApiError> {
    let mut call = call(
        Method::Get,
        Of::Account,
        "900",
        "message_templates",
        query,
        "",
    );
    call.link = LINK.to_owned();
    call.token = "a|b";
    list(templates, &call)
}

fn page(templates: &Store, query: &str) -> Value {
    list_by(templates, query).unwrap()
}

fn column(page: &Value, field: &str) -> Vec<String> {
    let rows = page["data"].as_array().unwrap().iter();
    rows.map(|row| row[field].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn pages_follow_each_other_until_there_is_no_next() {
    let mut templates = templates(&["a", "b", "c", "d", "e"]);
    set(&mut templates, Template::new("901", "x", "APPROVED"));
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
            set(&mut templates, Template::new("900", "a", "PAUSED"));
            set(&mut templates, Template::new("900", "f", "PENDING"));
            set(&mut templates, Template::new("900", "g", "PENDING"));
        }
    }
    assert_eq!((seen.join(""), pages), ("abcdefg".to_owned(), 4));
}

#[test]
fn nothing_is_no_page_and_a_full_last_page_has_no_next() {
    let none = Store::default();
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
    set(&mut templates, spanish.clone());
    let list = page(&templates, "");
    let first = json!({ "name": "a", "language": "en_US", "status": "APPROVED",
                        "category": "UTILITY", "id": "700000000000001" });
    assert_eq!(list["data"][0], first);
    assert_eq!(column(&list, "status"), ["APPROVED", "PENDING"]);
    assert_ne!(list["data"][0]["id"], list["data"][1]["id"]);
    spanish.status = "REJECTED".to_owned();
    set(&mut templates, spanish);
    let list = page(&templates, "");
    assert_eq!(column(&list, "status"), ["APPROVED", "REJECTED"]);
    set(&mut templates, Template::new("900", "a", "PAUSED"));
    let list = page(&templates, "fields=status");
    assert_eq!(column(&list, "status"), ["PAUSED", "PAUSED"]);
}

#[test]
fn what_is_not_understood_is_a_wrong_parameter() {
    let templates = templates(&["a"]);
    for query in ["limit=x", "limit=-1", "after=x", "fields=nonsense"] {
        let error = list_by(&templates, query).unwrap_err();
        assert_eq!((error.status, error.code), (400, 100), "{query}");
    }
}
