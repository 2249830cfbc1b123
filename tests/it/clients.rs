//! Requests as callers of other clients and protocols publish them, each by the real client: `clients/publish.py` and `clients/publish.js`.
//! They log in with an upstream service's rights and no more. deploy/contract/README.md, "Callers of other clients and protocols", is the table of these.
//!
//! Where a client is not installed its test passes, unchecked; `deploy/dev test` tells at its start which could not be installed.

mod caller;

use crate::support::NUMBER;
use caller::{Caller, Dates, KEPT, NOBODY};
use serde_json::Value;

/// AMQP 0-9-1: everything is a property or a header of that name.
async fn amqp_0_9_1(client: &'static str, dates: Dates) {
    let Some(caller) = Caller::of(client).await else {
        return;
    };
    caller.is_heard().await;
    caller.is_replied_to("").await;
    caller.dates(dates).await;
    caller.is_persistent().await;
    // What the language calls nothing is a header that is not there.
    assert_eq!(caller.status_of("absent").await, "accepted");
    caller.world.finish().await;
}

/// AMQP 1.0: sections, addresses, and other names for the same. Its outcome is the confirm: `accepted`, and neither `released` nor `rejected`.
async fn amqp_1_0(client: &'static str, dates: Dates) {
    let Some(caller) = Caller::of(client).await else {
        return;
    };
    caller.is_heard().await;
    caller.is_replied_to("").await;
    caller.dates(dates).await;
    caller.is_persistent().await;
    caller.hears_that_it_is_not_stored().await;
    caller.world.finish().await;
}

const DATETIME: Dates = Dates {
    past: Some("past date"),
    lost: None,
};
const NO_DATES: Dates = Dates {
    past: None,
    lost: None,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pika() {
    amqp_0_9_1("pika", DATETIME).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn aio_pika() {
    amqp_0_9_1("aio-pika", DATETIME).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kombu() {
    amqp_0_9_1("kombu", DATETIME).await;
}

/// JavaScript's `Date` is an empty table in both; amqplib has a way to say a timestamp.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn amqplib() {
    let dates = Dates {
        past: Some("past date"),
        lost: Some("date"),
    };
    amqp_0_9_1("amqplib", dates).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_client() {
    let dates = Dates {
        past: None,
        lost: Some("date"),
    };
    amqp_0_9_1("rabbitmq-client", dates).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rhea() {
    amqp_1_0("rhea", DATETIME).await;
}

/// A body that is no data: what these clients make of a string or of bytes by themselves.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_of_amqp_1_0_that_are_values() {
    for client in ["rhea", "proton"] {
        let Some(caller) = Caller::of(client).await else {
            continue;
        };
        for oddity in ["text", "bytes as a value", "absent"] {
            assert_eq!(caller.status_of(oddity).await, "accepted", "{oddity}");
        }
        if client == "rhea" {
            let (at, problem) = caller.fault_of("object").await;
            assert_eq!(at, "");
            assert!(problem.contains("rhea: message.data_section"), "{problem}");
        }
        caller.world.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn proton() {
    amqp_1_0("proton", NO_DATES).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_amqp_python_client() {
    amqp_1_0("rabbitmq-amqp-python-client", NO_DATES).await;
}

/// An id that is a UUID or a number comes as text; one of bytes, or longer than 255, in a header.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_of_amqp_1_0_that_are_no_text() {
    let ways = [
        ("proton", "uuid", "urn:uuid:"),
        ("rhea", "number", ""),
        ("proton", "binary id", ""),
    ];
    for (client, oddity, prefix) in ways {
        let Some(caller) = Caller::of(client).await else {
            continue;
        };
        let id = caller.publishes(oddity).await;
        let id = if oddity == "number" { "4711" } else { &id };
        let result = caller.world.results.wait(&format!("{prefix}{id}")).await;
        assert_eq!(result.json()["status"], "accepted");
        caller.world.finish().await;
    }
}

/// One that is too long is told from one that is missing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_of_amqp_1_0_that_is_too_long() {
    let Some(caller) = Caller::of("rhea").await else {
        return;
    };
    caller.publishes("long id").await;
    let (at, problem) = caller.first_fault().await;
    assert_eq!(at, "/@amqp/headers/x-message-id");
    assert!(problem.contains("too long"), "{problem}");
    caller.world.finish().await;
}

/// Milliseconds in place of seconds: JavaScript's own measure.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn times_in_milliseconds() {
    let Some(caller) = Caller::of("amqplib").await else {
        return;
    };
    let (at, problem) = caller.fault_of("past date in ms").await;
    assert_eq!(at, "/@amqp/headers/expires-at");
    assert!(problem.contains("counts seconds"), "{problem}");
    let result = caller.result_of("time in ms").await.json();
    assert_eq!(result["status"], "accepted");
    assert_eq!(result["enqueued_at"], Value::Null);
    caller.world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compressed_body() {
    let Some(caller) = Caller::of("kombu").await else {
        return;
    };
    let (_, problem) = caller.fault_of("compressed").await;
    assert!(problem.contains("the header compression"), "{problem}");
    caller.world.finish().await;
}

/// STOMP: names of its own for some properties, everything else a header. Its receipt comes also for what no queue took.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stomp() {
    let Some(caller) = Caller::of("stomp.py").await else {
        return;
    };
    caller.is_heard().await;
    caller.is_replied_to("").await;
    caller.is_replied_to("amq queue").await;
    caller.is_persistent().await;
    caller.leads_strays_nowhere();
    let (_, output) = caller.tries(NOBODY, "").await;
    assert!(output.status.success());
    caller.world.finish().await;
}

/// MQTT: no id, but in a user property of MQTT 5; no time or priority, and no reply. It comes to `amq.topic`, which somebody has to bind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mqtt() {
    let Some(caller) = Caller::of("paho-mqtt").await else {
        return;
    };
    // Nobody has bound it yet: only MQTT 5 says so.
    let (_, output) = caller.tries(NUMBER, "").await;
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("No matching subscribers"), "{told}");
    caller.publishes("3.1.1").await;
    caller.bind_mqtt(NUMBER);
    caller.publishes("3.1.1").await;
    let (at, _) = caller.first_fault().await;
    assert_eq!(at, "/@amqp/message_id");
    let result = caller.result_of("").await;
    assert_eq!(result.json()["status"], "accepted");
    assert_eq!(result.header("x-campaign").as_deref(), Some("spring"));
    caller.bind_mqtt(KEPT);
    caller.is_persistent().await;
    caller.world.finish().await;
}
