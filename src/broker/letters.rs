//! Letters about a delivery: its result, its copy for later, the request that was given up. [`super::publish`] knows of none of
//! these, and takes a letter whoever wrote it.

mod copies;

use super::delivery::Delivery;
use super::headers::{self, Copy};
use super::publish::{Confirmed, Letter, Published, Publisher};
use super::results_log::FoundResult;
use super::ways::Way;
use crate::contract::names::{self, DEAD, RESULTS};
use crate::contract::result::ResultDocument;
use crate::core::request::ladder;
use crate::core::request::message::Message;
use lapin::BasicProperties;
use lapin::types::AMQPValue;

impl Publisher {
    /// The result on `wa.results`, and to `reply_to` if the request named one.
    pub async fn result(&self, delivery: &Delivery, report: &ResultDocument) -> Published {
        let Ok(body) = serde_json::to_vec(report) else {
            // A struct of strings and numbers cannot fail to serialise.
            tracing::error!("a result could not be written as JSON");
            return std::future::pending().await;
        };
        let is_held = || delivery.is_valid();
        let letter = Letter {
            way: self.way_of(delivery.lane()),
            lane: delivery.lane(),
            id: delivery.id(),
            exchange: RESULTS,
            routing_key: &result_key(report),
            body: &body,
            properties: result_properties(delivery).with_timestamp(report.completed_at / 1000),
            while_held: (!report.is_the_apis()).then_some(&is_held),
        };
        self.answer(delivery, letter).await
    }

    /// The result that another worker had published, once more: for its own reader may have died as well.
    pub async fn republish(
        &self,
        delivery: &Delivery,
        found: &FoundResult,
        flagged: bool,
    ) -> Published {
        let body = if flagged {
            flag(&found.body)
        } else {
            found.body.to_vec()
        };
        let mut properties = result_properties(delivery);
        if let Some(timestamp_s) = found.timestamp_s {
            properties = properties.with_timestamp(timestamp_s);
        }
        let is_held = || delivery.is_valid();
        let letter = Letter {
            way: self.way_of(delivery.lane()),
            lane: delivery.lane(),
            id: delivery.id(),
            exchange: RESULTS,
            routing_key: &found.routing_key,
            body: &body,
            properties,
            while_held: Some(&is_held),
        };
        self.answer(delivery, letter).await
    }

    /// The result of an earlier request of this id.
    pub async fn duplicate(&self, delivery: &Delivery, found: &FoundResult) -> Published {
        let found = FoundResult {
            body: mark_duplicate(&found.body).into(),
            ..found.clone()
        };
        self.republish(delivery, &found, false).await
    }

    async fn answer(&self, delivery: &Delivery, mut letter: Letter<'_>) -> Published {
        let published = self.traced(delivery, &mut letter).await;
        if let (Published::Taken(_), Some(to)) = (&published, delivery.properties.reply_to()) {
            let (body, properties) = (letter.body, letter.properties);
            self.reply(to.as_str(), body, properties);
        }
        published
    }

    /// The request, for later, onto the delay ladder. Given back: RabbitMQ has the original again, and a second copy would be a second
    /// send.
    pub async fn delayed(&self, delivery: &Delivery, message: &Message, delay_s: u32) -> Published {
        let mut history = headers::history(&message.history);
        history.push(headers::incarnation(message.incarnation));
        history.extend(
            message
                .address
                .as_ref()
                .map(|at| headers::target(&at.target)),
        );
        let rung = ladder::entry(delay_s);
        let is_held = || delivery.is_valid();
        let mut letter = Letter {
            way: Way::Rung(rung),
            lane: delivery.lane(),
            id: delivery.id(),
            exchange: &names::rung(rung),
            routing_key: &ladder::routing_key(delay_s, delivery.lane()),
            body: &delivery.body,
            properties: headers::copied(&delivery.properties, Copy::Delayed, history),
            while_held: Some(&is_held),
        };
        self.traced(delivery, &mut letter).await
    }

    /// The whole request into `wa.dead`; with fewer headers if they left no room for ours. `flagged`: it may have been sent; `now_ms`:
    /// when it was kept. `None`: RabbitMQ has it again.
    pub async fn dead(
        &self,
        delivery: &Delivery,
        reason: &str,
        code: Option<i64>,
        flagged: bool,
        now_ms: u64,
    ) -> Option<Confirmed> {
        let epitaph = headers::epitaph(reason, code, delivery.published_for(), flagged, now_ms);
        self.kept(delivery, epitaph, false).await
    }

    /// The whole request into `wa.dead`, in place of what is never taken: its result (`outlives_delivery` as that), or its copy for later.
    pub async fn unpublishable(
        &self,
        delivery: &Delivery,
        outlives_delivery: bool,
        now_ms: u64,
    ) -> Option<Confirmed> {
        let epitaph = headers::epitaph(
            "unpublishable",
            None,
            delivery.published_for(),
            true,
            now_ms,
        );
        self.kept(delivery, epitaph, outlives_delivery).await
    }

    async fn kept(
        &self,
        delivery: &Delivery,
        mut epitaph: Vec<(&'static str, AMQPValue)>,
        outlives_delivery: bool,
    ) -> Option<Confirmed> {
        epitaph.extend(delivery.left_out_bytes.map(headers::body_bytes));
        let is_held = || delivery.is_valid();
        let mut letter = Letter {
            way: Way::Dead,
            lane: delivery.lane(),
            id: delivery.id(),
            exchange: DEAD,
            routing_key: delivery.published_for(),
            body: &delivery.body,
            properties: headers::copied(&delivery.properties, Copy::Dead, epitaph),
            while_held: (!outlives_delivery).then_some(&is_held),
        };
        self.traced(delivery, &mut letter).await.confirmed()
    }

    /// Publishes it, as a span of the request's trace if it is traced.
    async fn traced(&self, delivery: &Delivery, letter: &mut Letter<'_>) -> Published {
        let Some(span) = delivery.publishing(letter.exchange, letter.routing_key) else {
            return self.publish(letter).await;
        };
        let headers = headers::traced(letter.properties.headers().as_ref(), span.trace());
        letter.properties = letter.properties.clone().with_headers(headers);
        let published = self.publish(letter).await;
        span.ends(matches!(published, Published::Taken(_)));
        published
    }
}

/// A result that says `possible_duplicate`, and is else the same byte for byte. No text in it can look like that member: its quotes
/// would be escaped.
fn flag(result: &[u8]) -> Vec<u8> {
    let (no, yes) = (
        "\"possible_duplicate\":false",
        "\"possible_duplicate\":true",
    );
    match std::str::from_utf8(result) {
        Ok(text) => text.replacen(no, yes, 1).into_bytes(),
        Err(_) => result.to_vec(),
    }
}

/// A result that says `duplicate_of_earlier`, and is else the same byte for byte.
fn mark_duplicate(result: &[u8]) -> Vec<u8> {
    const MARK: &str = "\"duplicate_of_earlier\":true,";
    const BEFORE: &str = "\"attempts\":";
    match std::str::from_utf8(result) {
        Ok(text) if !text.contains(MARK) => text
            .replacen(BEFORE, &format!("{MARK}{BEFORE}"), 1)
            .into_bytes(),
        Ok(_) | Err(_) => result.to_vec(),
    }
}

/// A request's routing key may be as long as AMQP allows, and the status comes before it: what is too long is cut, as the body
/// names the number too.
fn result_key(report: &ResultDocument) -> String {
    const MAX_BYTES: usize = 255;
    let mut key = format!("{}.{}", report.status.as_str(), report.target());
    key.truncate(key.floor_char_boundary(MAX_BYTES));
    key
}

/// Returns the properties that every result of a request has.
fn result_properties(delivery: &Delivery) -> BasicProperties {
    let incarnation = headers::incarnation(delivery.incarnation());
    let properties = headers::copied(&delivery.properties, Copy::Result, [incarnation])
        .with_content_type(headers::JSON.into());
    match delivery.operation() {
        Some(operation) => properties.with_type(operation.into()),
        None => properties,
    }
}

#[cfg(test)]
mod tests {
    use super::flag;

    #[test]
    fn a_flagged_result_is_the_same_but_for_its_flag() {
        let told = r#"{"v":1,"id":"\"possible_duplicate\":false","attempts":1,"possible_duplicate":no,"completed_at":"…"}"#;
        let (no, yes) = (told.replace("no", "false"), told.replace("no", "true"));
        for before in [&no, &yes] {
            assert_eq!(flag(before.as_bytes()), yes.as_bytes());
        }
    }
}
