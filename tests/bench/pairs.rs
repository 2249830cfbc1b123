//! What remembering recipients costs: the core alone, in virtual time.

use anyhow::{Context, Result};
use harness::figures::Used;
use std::time::Duration;
use whatsapp_dispatcher::contract::request::Inbound;
use whatsapp_dispatcher::core::Now;
use whatsapp_dispatcher::core::lane::pacing::{PaceConfig, Spacing};
use whatsapp_dispatcher::core::lane::{
    Drawn, Lane, LaneConfig, Redelivery, RedeliveryPolicy, Step,
};
use whatsapp_dispatcher::core::media::source::Sources;
use whatsapp_dispatcher::core::operation::{IntakeConfig, SchemaCheck};
use whatsapp_dispatcher::core::outcome::Outcome;
use whatsapp_dispatcher::core::outcome::answer::Accepted;
use whatsapp_dispatcher::core::request::intake::intake;
use whatsapp_dispatcher::core::request::message::LaneId;
use whatsapp_dispatcher::core::request::retry::RetryPolicy;

const PAIRS: u32 = 1_000_000;

/// One message to each, all owing for longer than this takes.
pub(crate) fn run() -> Result<()> {
    println!("\npairs: the pair limit of {PAIRS} recipients remembered by one lane");
    let mut now = Now {
        mono: Duration::from_secs(1),
        wall_ms: 1_800_000_000_000,
        steady_ms: 1_800_000_000_000,
    };
    let before_mb = Used::by(std::process::id())?.rss_mb;
    let mut lane = Lane::new(LaneId::new("10001"), config(), now);
    let luck = Drawn {
        jitter: 0.5,
        quick_pause: Duration::ZERO,
    };
    for n in 0..PAIRS {
        now.mono += Duration::from_micros(100);
        send_one(&mut lane, n, now, luck)?;
    }
    let used_mb = Used::by(std::process::id())?.rss_mb - before_mb;
    println!(
        "  {} remembered, {used_mb:.0} MB, {:.0} bytes each",
        lane.view().pairs,
        used_mb * 1_048_576.0 / f64::from(PAIRS)
    );
    Ok(())
}

fn send_one(lane: &mut Lane, n: u32, now: Now, luck: Drawn) -> Result<()> {
    let body = format!(r#"{{"to":"+1555{n:07}","type":"text","text":{{"body":"hi"}}}}"#);
    let id = n.to_string();
    let inbound = Inbound {
        message_id: Some(&id),
        ..Inbound::default()
    };
    let bounds = IntakeConfig {
        sources: Sources::NONE,
        max_body_bytes: 1_000,
        check_sizes: false,
        user_ids_in_to: false,
        schema: SchemaCheck::Off,
    };
    let message = intake(body.into(), inbound, &bounds, now)
        .ok()
        .context("a sound message")?;
    lane.accept(message, u64::from(n), now);
    let Step::Send(attempt) = lane.next(now) else {
        anyhow::bail!("message {n} was not sent");
    };
    let outcome = Outcome::Accepted(Accepted::default());
    lane.resolve(attempt.ticket, outcome, now, luck);
    lane.settled(attempt.ticket, true);
    Ok(())
}

fn config() -> LaneConfig {
    LaneConfig {
        pace: PaceConfig {
            limit_mps: 100_000.0,
            utilization: 1.0,
            burst: Duration::from_millis(1),
        },
        shadow_mps: None,
        pair: Spacing {
            interval: Duration::from_secs(600),
            burst: 45,
        },
        pairs_max: 10_000_000,
        pair_wait_max: Duration::from_secs(30),
        latency: Duration::from_millis(10),
        max_in_flight: 10,
        buffer: Duration::ZERO,
        dedupe_ids_max: 1_000,
        breaker_failures: 5,
        bulk_every: 10,
        retry: RetryPolicy {
            max_attempts: 5,
            max_age_s: 86_400,
            base_s: 2,
            max_delay_s: 60,
        },
        redelivery: Redelivery {
            policy: RedeliveryPolicy::Resend,
            max_deliveries: 20,
        },
    }
}
