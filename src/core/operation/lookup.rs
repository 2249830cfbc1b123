//! Lookups tell what a lost answer was about: the API is asked before a request is repeated that would be refused, or paid, a second time.

use serde_json::Value;

/// A read that shows whether an operation was done.
pub struct Lookup {
    /// The path, as that of an operation; other names in braces are members of the request's body.
    pub path: &'static str,
    /// Makes the parameters of the read, from the request's body.
    pub query: fn(&Value) -> Vec<(&'static str, String)>,
    /// Finds the part of the read's answer that shows that it was done.
    pub find: fn(request: &Value, answer: &Value) -> Option<Value>,
}

/// By its name and language, of which an account has one template.
pub(super) static TEMPLATE: Lookup = Lookup {
    path: "{waba_id}/message_templates",
    query: |request| {
        vec![
            ("name", text(request, "name")),
            ("fields", "id,name,language,status,category".to_owned()),
            ("limit", MANY.to_owned()),
        ]
    },
    find: |request, answer| {
        listed(answer, |found| {
            is_same(request, found, &["name", "language"])
        })
    },
};

/// By its name, which an account gives to one flow.
pub(super) static FLOW: Lookup = Lookup {
    path: "{waba_id}/flows",
    query: |_| {
        vec![
            ("fields", "id,name,status".to_owned()),
            ("limit", MANY.to_owned()),
        ]
    },
    find: |request, answer| listed(answer, |found| is_same(request, found, &["name"])),
};

/// By its digits.
pub(super) static NUMBER: Lookup = Lookup {
    path: "{waba_id}/phone_numbers",
    query: |_| {
        vec![
            ("fields", "id,display_phone_number,verified_name".to_owned()),
            ("limit", "100".to_owned()),
        ]
    },
    find: |request, answer| {
        let wanted = digits(&text(request, "cc")) + &digits(&text(request, "phone_number"));
        listed(answer, |found| {
            digits(&text(found, "display_phone_number")) == wanted
        })
    },
};

/// By its name, in lists within the list. Source: Meta, "Onboarding APIs" of payments in India, November 2025.
pub(super) static PAYMENT_CONFIG: Lookup = Lookup {
    path: "{waba_id}/payment_configurations",
    query: |_| vec![],
    find: |request, answer| {
        let lists = answer.get("data")?.as_array()?.iter();
        let lists = lists.filter_map(|list| list.get("payment_configurations")?.as_array());
        let is_it = |found: &&Value| is_same(request, found, &["configuration_name"]);
        lists.flatten().find(is_it).cloned()
    },
};

/// By the refunds of the payment. One of the same amount is taken for this one: who pays the same sum back twice, on purpose and within
/// the time of a lost answer, has to ask again.
pub(super) static REFUND: Lookup = Lookup {
    path: "{phone_number_id}/payments/{payment_config_id}/{reference_id}",
    query: |_| vec![],
    find: |request, answer| {
        let wanted = request.pointer("/amount/value").map(plain)?;
        let payments = answer.get("payments")?.as_array()?.iter();
        let refunds = payments.filter_map(|payment| payment.get("refunds")?.as_array());
        let same =
            |refund: &&Value| refund.pointer("/amount/value").map(plain) == Some(wanted.clone());
        refunds.flatten().find(same).cloned()
    },
};

/// Entries of a page: more than fits to one name, and what Meta gives at once.
const MANY: &str = "100";

fn listed(answer: &Value, is_it: impl Fn(&Value) -> bool) -> Option<Value> {
    let entries = answer.get("data")?.as_array()?;
    entries.iter().find(|entry| is_it(entry)).cloned()
}

fn is_same(request: &Value, found: &Value, members: &[&str]) -> bool {
    let is_same = |member: &&str| {
        request.get(*member).is_some() && request.get(*member) == found.get(*member)
    };
    members.iter().all(is_same)
}

/// Meta writes numbers as texts here and there.
fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

fn text(value: &Value, member: &str) -> String {
    value.get(member).map(plain).unwrap_or_default()
}

fn digits(text: &str) -> String {
    text.chars().filter(char::is_ascii_digit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_was_done_is_found_and_nothing_else() {
        let template = json!({"id": "1", "name": "sale", "language": "en", "status": "PENDING"});
        let refund = json!({"id": "r", "amount": {"value": 500, "offset": 100}});
        let paid = json!({"payments": [{"refunds": [refund]}]});
        let number = json!({"id": "7", "display_phone_number": "+34 600-000-001"});
        for (lookup, request, answer, is_found) in [
            (
                &TEMPLATE,
                json!({"name": "sale", "language": "en"}),
                json!({"data": [template]}),
                true,
            ),
            (
                &TEMPLATE,
                json!({"name": "sale", "language": "de"}),
                json!({"data": [template]}),
                false,
            ),
            (
                &TEMPLATE,
                json!({"name": "sale"}),
                json!({"data": [template]}),
                false,
            ),
            (
                &FLOW,
                json!({"name": "a"}),
                json!({"data": [{"id": "2", "name": "a"}]}),
                true,
            ),
            (
                &FLOW,
                json!({"name": "a"}),
                json!({"error": {"code": 100}}),
                false,
            ),
            (
                &NUMBER,
                json!({"cc": "34", "phone_number": "600000001"}),
                json!({"data": [number]}),
                true,
            ),
            (
                &PAYMENT_CONFIG,
                json!({"configuration_name": "c"}),
                json!({"data": [{"payment_configurations": [{"configuration_name": "b"}, {"configuration_name": "c"}]}]}),
                true,
            ),
            (
                &REFUND,
                json!({"amount": {"value": "500"}}),
                paid.clone(),
                true,
            ),
            (
                &REFUND,
                json!({"amount": {"value": "501"}}),
                paid.clone(),
                false,
            ),
            (&REFUND, json!({}), paid, false),
        ] {
            assert_eq!(
                (lookup.find)(&request, &answer).is_some(),
                is_found,
                "{request}"
            );
        }
    }
}
