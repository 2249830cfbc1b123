//! What happens to the API.

use super::scenario::{Ailment, Reach};
use super::stage::Stage;
use anyhow::Result;
use harness::http;
use harness::tls::Authority;
use serde_json::{Value, json};

pub(crate) async fn ailing(
    stage: &mut Stage<'_>,
    ailment: Ailment,
    reach: Reach,
    seconds: u64,
) -> Result<()> {
    let only = match reach {
        Reach::One => stage.lanes.first().cloned(),
        Reach::All => None,
    };
    if reach == Reach::One {
        stage.struck = Some(0);
    }
    if let Some(action) = action(ailment) {
        let matches = only.map_or(json!({}), |lane| json!({ "phone_number_id": lane }));
        let script = json!({ "faults": [{ "match": matches, "action": action }] });
        http::post(&stage.sim, "/_sim/script", script).await?;
    } else if ailment == Ailment::Refused {
        let outage = json!({ "ms": seconds * 1_000 });
        http::post(&stage.sim, "/_sim/outage", outage).await?;
    }
    if let Some((front, _)) = stage.front.as_ref().filter(|_| ailment == Ailment::Tls) {
        front.change(Authority::new().acceptor("localhost"));
    }
    stage.say("the API is ill");
    stage.go_on(seconds).await;
    if action(ailment).is_some() {
        http::post(&stage.sim, "/_sim/script", json!({ "faults": [] })).await?;
    }
    if let Some((front, authority)) = &stage.front {
        front.change(authority.acceptor("localhost"));
    }
    stage.healed("the API is well");
    Ok(())
}

/// As the simulator's scripts say it, if they can.
fn action(ailment: Ailment) -> Option<Value> {
    Some(match ailment {
        Ailment::Refused | Ailment::Tls => return None,
        Ailment::Hanging => json!({ "kind": "hang" }),
        Ailment::Slow => json!({ "kind": "slow", "ms": 3_000 }),
        Ailment::ResetBefore => json!({ "kind": "reset_before" }),
        Ailment::ResetAfter => json!({ "kind": "reset_after" }),
        Ailment::BadGateway => {
            json!({ "kind": "http", "status": 502, "body": "<html>Bad Gateway</html>" })
        }
        Ailment::Trickle => json!({ "kind": "trickle", "ms": 40_000 }),
        Ailment::Truncated => json!({ "kind": "truncate" }),
        Ailment::Huge => json!({ "kind": "huge_body", "bytes": 64_000_000 }),
    })
}
