//! The exchanges and what is published to them, as an AsyncAPI 3.0 document.

use super::{request, result, yaml};
use crate::broker::headers::described::{Described, Kind, ON_DEAD_LETTERS, ON_RESULTS, is_echoed};
use crate::broker::topology::{Object, Topology};
use crate::contract::names::{DEAD, OPERATIONS, RESULTS, SEND};
use crate::contract::result::VERSION;
use crate::contract::words::Status;
use crate::core::operation::{Operation, Route};
use serde_json::{Map, Value, json};

/// The version of AsyncAPI's AMQP bindings.
const BINDING: &str = "0.3.0";
const NUMBER: &str = "The id of a business phone number, as the path of a POST has it";
const TARGET: &str = "The id of a business phone number, or of its WhatsApp Business Account";

pub(super) fn make_document() -> String {
    let document = json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "whatsapp-dispatcher",
            "version": VERSION.to_string(),
            "description": "WhatsApp Cloud API requests through RabbitMQ: publish what you would POST, read one result of each. \
                Its meaning stands in README.md beside this file.",
            "license": { "name": env!("CARGO_PKG_LICENSE") },
        },
        "defaultContentType": "application/json",
        "channels": channels(),
        "operations": operations(),
        "components": { "messages": messages(), "messageTraits": traits() },
    });
    let text = yaml::write(&document);
    format!(
        "# Written by `whatsapp-dispatcher reference` from `src/cli/reference/contract/asyncapi.rs`: change that, not this file.\n{text}"
    )
}

/// An exchange as the dispatcher declares it.
fn exchange(name: &str) -> Value {
    let kind = Topology::default()
        .objects()
        .into_iter()
        .find_map(|object| match object {
            Object::Exchange { name: of, kind, .. } if of == name => Some(kind.as_str()),
            Object::Exchange { .. }
            | Object::Queue { .. }
            | Object::QueueBinding { .. }
            | Object::ExchangeBinding { .. } => None,
        });
    json!({ "amqp": {
        "is": "routingKey",
        "exchange": { "name": name, "type": kind, "durable": true, "autoDelete": false },
        "bindingVersion": BINDING,
    } })
}

/// The requests that AMQP's `type` can ask for, each with the word.
fn asked_for() -> impl Iterator<Item = (&'static str, Operation)> {
    Operation::all().filter_map(|operation| Some((*operation.facts().types.last()?, operation)))
}

/// Lists those of one exchange.
fn asked_by(route: Route) -> impl Iterator<Item = &'static str> {
    let those = asked_for().filter(move |(_, operation)| operation.facts().route == route);
    those.map(|(name, _)| name)
}

fn channel(about: &str, address: &str, exchange_name: &str, messages: &[&str]) -> Value {
    let reference = |name: &&str| {
        let component = json!({ "$ref": format!("#/components/messages/{name}") });
        ((*name).to_owned(), component)
    };
    json!({
        "description": about,
        "address": address,
        "messages": messages.iter().map(reference).collect::<Map<_, _>>(),
        "bindings": exchange(exchange_name),
    })
}

fn channels() -> Value {
    let mut requests = channel(
        "Requests, by the number that sends",
        "{phone_number_id}",
        SEND,
        &asked_by(Route::Number).collect::<Vec<_>>(),
    );
    requests["parameters"] = json!({ "phone_number_id": { "description": NUMBER } });
    let mut operations = channel(
        "Operations on an account and its numbers, by the id of either",
        "{target}",
        OPERATIONS,
        &asked_by(Route::Account).collect::<Vec<_>>(),
    );
    operations["parameters"] = json!({ "target": { "description": TARGET } });
    let mut results = channel(
        "What became of each request",
        "{status}.{target}",
        RESULTS,
        &["result"],
    );
    results["parameters"] = json!({
        "status": { "enum": Status::WORDS },
        "target": { "description": "The request's routing key" },
    });
    let mut dead = channel(
        "Requests that were given up, whole, for replay",
        "{target}",
        DEAD,
        &["dead_letter"],
    );
    dead["parameters"] = json!({ "target": { "description": "The request's routing key" } });
    json!({
        "requests": requests,
        "operations": operations,
        "results": results,
        "dead_letters": dead,
        "replies": {
            "description": "The queue that a request named in reply_to",
            "address": null,
            "messages": { "result": { "$ref": "#/components/messages/result" } },
        },
    })
}

fn operations() -> Value {
    let sent = |channel: &str, message: &str| {
        json!({
            "action": "send",
            "channel": { "$ref": format!("#/channels/{channel}") },
            "messages": [{ "$ref": format!("#/channels/{channel}/messages/{message}") }],
            "bindings": { "amqp": { "deliveryMode": 2, "timestamp": true, "bindingVersion": BINDING } },
        })
    };
    let received = |channel: &str, route: Route| {
        let those = asked_by(route)
            .map(|name| json!({ "$ref": format!("#/channels/{channel}/messages/{name}") }));
        json!({
            "action": "receive",
            "channel": { "$ref": format!("#/channels/{channel}") },
            "messages": those.collect::<Vec<_>>(),
            "bindings": { "amqp": { "deliveryMode": 2, "mandatory": true, "timestamp": true, "bindingVersion": BINDING } },
            "reply": {
                "address": { "description": "The AMQP property reply_to, if there is one", "location": "$message.header#/reply_to" },
                "channel": { "$ref": "#/channels/replies" },
                "messages": [{ "$ref": "#/channels/replies/messages/result" }],
            },
        })
    };
    json!({
        "request": received("requests", Route::Number),
        "operation": received("operations", Route::Account),
        "result": sent("results", "result"),
        "dead_letter": sent("dead_letters", "dead_letter"),
    })
}

fn messages() -> Value {
    let file = |path: &str| format!("./{}", path.rsplit('/').next().unwrap_or(path));
    let (request, result) = (file(request::FILE), file(result::FILE));
    let traits = json!([{ "$ref": "#/components/messageTraits/identified" }]);
    let mut messages = json!({
        "result": {
            "title": "Result",
            "payload": { "$ref": format!("{result}#/$defs/result") },
            "headers": headers_of_results(&request),
            "traits": traits,
        },
        "dead_letter": {
            "title": "Request that was given up",
            "payload": { "description": "Its body as it came, which may be no JSON" },
            "headers": headers(&ON_DEAD_LETTERS),
            "traits": traits,
        },
    });
    for (name, operation) in asked_for() {
        messages[name] = json!({
            "title": format!("Request for {} /{}", operation.facts().method.as_str(), operation.facts().path),
            "payload": { "$ref": format!("{request}#/$defs/{}", request::definition_of(operation)) },
            "headers": { "$ref": format!("{request}#/$defs/headers") },
            "traits": traits,
            "bindings": { "amqp": { "messageType": name, "bindingVersion": BINDING } },
            "x-amqp-properties": { "$ref": format!("{request}#/$defs/properties") },
        });
    }
    messages
}

fn traits() -> Value {
    json!({ "identified": {
        "description": "The AMQP property message_id is the request's identity, in its result as well; correlation_id is echoed",
        "contentType": "application/json",
        "correlationId": { "description": "The AMQP property", "location": "$message.header#/correlation_id" },
        "bindings": { "amqp": { "bindingVersion": BINDING } },
    } })
}

/// The headers of ours, and those of the request's that are echoed. `request`: where its schema is.
fn headers_of_results(request: &str) -> Value {
    let mut headers = headers(&ON_RESULTS);
    let of_requests = request::headers();
    let names = of_requests["properties"]
        .as_object()
        .into_iter()
        .flat_map(Map::keys);
    for name in names.filter(|name| is_echoed(name)) {
        let echoed = format!("{request}#/$defs/headers/properties/{name}");
        headers["properties"][name] = json!({ "$ref": echoed });
    }
    headers
}

/// The headers of ours that a message has; its caller's stand beside them.
fn headers(described: &[Described]) -> Value {
    let properties = described.iter().map(|header| {
        let kind = match header.kind {
            Kind::Text => "string",
            Kind::Whole => "integer",
            Kind::Flag => "boolean",
        };
        (
            header.name.to_owned(),
            json!({ "type": kind, "description": header.meaning }),
        )
    });
    let certain = described.iter().filter(|header| header.is_certain);
    let certain: Vec<&str> = certain.map(|header| header.name).collect();
    json!({
        "type": "object",
        "required": certain,
        "properties": properties.collect::<Map<_, _>>(),
        "patternProperties": { "^x-": { "description": "Its caller's" } },
    })
}
