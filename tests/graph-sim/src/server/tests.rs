//! A real socket: what a client sees against what the ledger says.

use super::*;
use crate::script::{Action, Fault};
use serde_json::{Value, json};
use std::io::ErrorKind;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Bounds every wait, so that a broken simulator fails a test instead of hanging it.
const PATIENCE: Duration = Duration::from_secs(10);

struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn promised_bytes(&self) -> usize {
        let line = self
            .head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        line.unwrap().parse().unwrap()
    }
}

struct Client(TcpStream);

impl Client {
    async fn connect(sim: &Sim) -> Self {
        Self(TcpStream::connect(sim.addr()).await.unwrap())
    }

    async fn write(&mut self, method: &str, target: &str, body: &str) {
        let length = body.len();
        let request = format!(
            "{method} {target} HTTP/1.1\r\nhost: graph\r\nauthorization: Bearer token\r\n\
             content-length: {length}\r\n\r\n{body}"
        );
        self.0.write_all(request.as_bytes()).await.unwrap();
    }

    async fn send(&mut self, opaque: &str) {
        let body = json!({ "messaging_product": "whatsapp", "to": "+34600112233", "type": "text",
                           "text": { "body": "hi" }, "biz_opaque_callback_data": opaque });
        self.write("POST", "/v24.0/111/messages", &body.to_string())
            .await;
    }

    /// Reads until an answer is whole or the connection ends.
    async fn read(&mut self) -> std::io::Result<Answer> {
        let mut bytes = Vec::new();
        loop {
            let got = tokio::time::timeout(PATIENCE, self.0.read_buf(&mut bytes))
                .await
                .unwrap()?;
            let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
            if let Some(end) = end {
                let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
                let status = head.split(' ').nth(1).unwrap().parse().unwrap();
                let answer = Answer {
                    status,
                    head,
                    body: bytes[end + 4..].to_vec(),
                };
                if got == 0 || answer.body.len() >= answer.promised_bytes() {
                    return Ok(answer);
                }
            } else if got == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
    }

    async fn ask(&mut self, method: &str, target: &str, body: &str) -> Answer {
        self.write(method, target, body).await;
        self.read().await.unwrap()
    }
}

async fn started(rules: NumberRules) -> Sim {
    let numbers = [("111".to_owned(), rules)].into();
    Sim::start(Options {
        numbers,
        ..Options::default()
    })
    .await
    .unwrap()
}

async fn with_fault(action: Action) -> (Sim, Client) {
    let sim = started(NumberRules::default()).await;
    sim.set_script(Fault::new(action));
    let client = Client::connect(&sim).await;
    (sim, client)
}

async fn until(sim: &Sim, wanted: impl FnMut(&Stats) -> bool) -> Stats {
    tokio::time::timeout(PATIENCE, sim.until(wanted))
        .await
        .unwrap()
}

#[tokio::test]
async fn answers_follow_each_other_on_one_connection() {
    let sim = started(NumberRules::default()).await;
    let mut client = Client::connect(&sim).await;
    for opaque in ["a", "b"] {
        client.send(opaque).await;
        let answer = client.read().await.unwrap();
        assert_eq!(answer.status, 200);
        assert_eq!(answer.json()["contacts"][0]["wa_id"], "34600112233");
    }
    let opaque: Vec<_> = sim
        .ledger()
        .into_iter()
        .map(|entry| entry.opaque.unwrap())
        .collect();
    assert_eq!(opaque, ["a", "b"]);
    assert_eq!(sim.stats().connections.max, 1);
}

#[tokio::test]
async fn a_reset_after_accepting_is_in_the_ledger() {
    let (sim, mut client) = with_fault(Action::ResetAfter {}).await;
    client.send("a").await;
    assert_eq!(
        client.read().await.err().unwrap().kind(),
        ErrorKind::ConnectionReset
    );
    assert_eq!(sim.ledger().len(), 1);
    until(&sim, |stats| {
        stats.in_flight.now == 0 && stats.connections.now == 0
    })
    .await;
}

#[tokio::test]
async fn a_reset_before_accepting_is_not() {
    let (sim, mut client) = with_fault(Action::ResetBefore {}).await;
    client.send("a").await;
    assert_eq!(
        client.read().await.err().unwrap().kind(),
        ErrorKind::ConnectionReset
    );
    assert!(sim.ledger().is_empty());
    assert_eq!(sim.stats().numbers["111"].received, 1);
}

#[tokio::test]
async fn a_truncated_answer_is_whole_http_with_broken_json() {
    let (sim, mut client) = with_fault(Action::Truncate {
        keep_bytes: Some(30),
        close: false,
    })
    .await;
    client.send("a").await;
    let answer = client.read().await.unwrap();
    assert_eq!(
        (answer.status, answer.body.len(), answer.promised_bytes()),
        (200, 30, 30)
    );
    assert!(serde_json::from_slice::<Value>(&answer.body).is_err());
    assert_eq!(sim.ledger().len(), 1);
}

#[tokio::test]
async fn a_cut_answer_promises_more_than_it_sends() {
    let (sim, mut client) = with_fault(Action::Truncate {
        keep_bytes: Some(30),
        close: true,
    })
    .await;
    client.send("a").await;
    let answer = client.read().await.unwrap();
    assert_eq!((answer.status, answer.body.len()), (200, 30));
    assert!(answer.promised_bytes() > 100);
    assert_eq!(sim.ledger().len(), 1);
}

#[tokio::test]
async fn a_huge_body_arrives_whole() {
    let (_sim, mut client) = with_fault(Action::HugeBody { bytes: 3_000_000 }).await;
    client.send("a").await;
    let answer = client.read().await.unwrap();
    assert_eq!(answer.body.len(), 3_000_000);
    assert!(answer.json()["messages"][0]["id"].is_string());
}

#[tokio::test]
async fn a_trickle_arrives_whole_and_late() {
    let (_sim, mut client) = with_fault(Action::Trickle { ms: 300 }).await;
    client.send("a").await;
    let began = Instant::now();
    let answer = client.read().await.unwrap();
    assert!(answer.json()["messages"][0]["id"].is_string());
    assert_eq!(answer.promised_bytes(), answer.body.len());
    // All pauses but the last.
    assert!(began.elapsed() >= Duration::from_millis(280));
}

#[tokio::test]
async fn a_hang_is_in_flight_until_the_client_goes() {
    let (sim, mut client) = with_fault(Action::Hang {}).await;
    client.send("a").await;
    until(&sim, |stats| {
        stats
            .numbers
            .get("111")
            .is_some_and(|n| n.in_flight.now == 1)
    })
    .await;
    drop(client);
    until(&sim, |stats| stats.in_flight.now == 0).await;
    assert!(sim.ledger().is_empty());
}

#[tokio::test]
async fn a_request_on_its_way_arrives_though_its_client_is_gone() {
    let sim = started(NumberRules {
        arrival_jitter_ms: 100,
        ..NumberRules::default()
    })
    .await;
    let mut client = Client::connect(&sim).await;
    client.send("a").await;
    let on_its_way = until(&sim, |stats| stats.in_flight.now == 1).await;
    // The seed makes it take a while.
    assert_eq!(on_its_way.numbers["111"].received, 0);
    drop(client);
    until(&sim, |stats| stats.in_flight.now == 0).await;
    let arrived = until(&sim, |stats| stats.numbers["111"].received == 1).await;
    assert_eq!(arrived.numbers["111"].accepted, 1);
}

#[tokio::test]
async fn closed_it_resets_and_refuses_until_it_opens_again() {
    let sim = started(NumberRules::default()).await;
    let mut before = Client::connect(&sim).await;
    assert_eq!(
        before
            .ask("GET", "/v24.0/111?fields=status", "")
            .await
            .status,
        200
    );
    sim.close().await;
    let refused = TcpStream::connect(sim.addr()).await.err().unwrap();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    assert_eq!(
        before.read().await.err().unwrap().kind(),
        ErrorKind::ConnectionReset
    );
    sim.open().await;
    let mut after = Client::connect(&sim).await;
    assert_eq!(
        after
            .ask("GET", "/v24.0/111?fields=status", "")
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn the_control_endpoints_set_and_show() {
    let sim = started(NumberRules::default()).await;
    let mut client = Client::connect(&sim).await;
    for (target, body) in [
        (
            "/_sim/numbers",
            json!({ "phone_number_id": "111", "mps": 1 }),
        ),
        (
            "/_sim/tokens",
            json!([{ "token": "old", "state": "expired" }]),
        ),
        (
            "/_sim/script",
            json!({ "faults": [{ "match": { "opaque_prefix": "slow" },
                                              "action": { "kind": "slow", "ms": 1 } }] }),
        ),
    ] {
        let answer = client.ask("POST", target, &body.to_string()).await;
        assert_eq!(
            (answer.status, answer.json()),
            (200, json!({ "success": true })),
            "{target}"
        );
    }
    for (opaque, status) in [("slow-1", 200), ("b", 400)] {
        client.send(opaque).await;
        assert_eq!(client.read().await.unwrap().status, status);
    }
    let stats = client.ask("GET", "/_sim/stats", "").await.json();
    let number = &stats["numbers"]["111"];
    assert_eq!(
        (&number["accepted"], &number["rejected"]),
        (&json!(1), &json!({ "130429": 1 }))
    );
    assert_eq!(stats["struck"], json!([1]));
    let page = client
        .ask("GET", "/_sim/ledger?after=0&limit=5", "")
        .await
        .json();
    assert_eq!(
        (&page["next"], &page["entries"][0]["opaque"]),
        (&json!(1), &json!("slow-1"))
    );
    assert_eq!(client.ask("POST", "/_sim/reset", "").await.status, 200);
    assert!(sim.ledger().is_empty());
    let wrong = client
        .ask("POST", "/_sim/script", r#"{"faults":[{}]}"#)
        .await;
    assert_eq!(wrong.status, 400);
    assert!(wrong.json()["error"].as_str().unwrap().contains("action"));
    assert_eq!(client.ask("GET", "/_sim/nothing", "").await.status, 404);
}

#[tokio::test]
async fn templates_change_while_it_runs_and_next_leads_back_to_the_simulator() {
    let sim = started(NumberRules::default()).await;
    let waba_id = NumberRules::default().waba_id;
    let (first, second) = ("otp_v2", "late_v1");
    sim.set_templates([first, second].map(|name| Template::new(&waba_id, name, "APPROVED")));
    let mut client = Client::connect(&sim).await;
    let paused = json!({ "waba_id": waba_id, "name": second, "status": "PAUSED" });
    let set = client
        .ask("POST", "/_sim/templates", &paused.to_string())
        .await;
    assert_eq!(set.status, 200);
    let mut target = format!("/v24.0/{waba_id}/message_templates?fields=name,status&limit=1");
    for (name, status) in [(first, "APPROVED"), (second, "PAUSED")] {
        let page = client.ask("GET", &target, "").await.json();
        let row = &page["data"][0];
        assert_eq!(
            (&row["name"], &row["status"]),
            (&json!(name), &json!(status))
        );
        if let Some(next) = page["paging"]["next"].as_str() {
            next.strip_prefix(&sim.url())
                .unwrap()
                .clone_into(&mut target);
        }
    }
    let stats = sim.stats();
    assert_eq!(stats.template_gets[&waba_id], 2);
    assert!(stats.numbers.is_empty() && sim.ledger().is_empty());
    sim.change_number("111", |rules| rules.messaging_limit = "TIER_250".to_owned());
    let limit = "whatsapp_business_manager_messaging_limit";
    let number = client
        .ask("GET", &format!("/v24.0/111?fields={limit}"), "")
        .await;
    assert_eq!(number.json(), json!({ limit: "TIER_250", "id": "111" }));
}

#[tokio::test]
async fn a_block_of_the_whole_waba_heals_by_the_clock() {
    let sim = started(NumberRules::default()).await;
    let mut client = Client::connect(&sim).await;
    let waba_id = NumberRules::default().waba_id;
    let both = json!({ "waba_id": waba_id, "app": "shop", "blocked_code": 368 });
    let refused = client.ask("POST", "/_sim/numbers", &both.to_string()).await;
    assert_eq!(refused.status, 400);
    let error = refused.json()["error"].clone();
    assert!(error.as_str().unwrap().contains("not both"), "{error}");
    let block = json!({ "waba_id": waba_id, "blocked_code": 368, "blocked_ms": 3_600_000 });
    let set = client
        .ask("POST", "/_sim/numbers", &block.to_string())
        .await;
    assert_eq!(set.status, 200);
    client.send("a").await;
    assert_eq!(client.read().await.unwrap().json()["error"]["code"], 368);
    let soon = |rules: &mut NumberRules| rules.blocked_ms = Some(1);
    sim.change_waba(&waba_id, soon).unwrap();
    // Bounded by the test's patience, should it never heal.
    let healed = async {
        loop {
            client.send("b").await;
            if client.read().await.unwrap().status == 200 {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, healed).await.unwrap();
    assert!(sim.change_app("shop", soon).is_err());
}
