//! What holding bodies against their forms costs: intake alone, without and with it, in turns.

use anyhow::{Context, Result};
use bytes::Bytes;
use std::hint::black_box;
use std::time::{Duration, Instant};
use whatsapp_dispatcher::contract::request::Inbound;
use whatsapp_dispatcher::core::Now;
use whatsapp_dispatcher::core::media::source::Sources;
use whatsapp_dispatcher::core::operation::{IntakeConfig, SchemaCheck};
use whatsapp_dispatcher::core::request::intake::intake;

pub(crate) const ROWS: [&str; 1] = ["schema"];

/// A body of each kind.
const BODIES: &str = include_str!("../cases/messages.jsonl");

const TURNS: usize = 40;
const REPEATS: u32 = 250;

pub(crate) fn run() -> Result<()> {
    let all: Vec<Bytes> = BODIES
        .lines()
        .map(|body| Bytes::from_static(body.as_bytes()))
        .collect();
    let text = all.iter().take(1).cloned().collect();
    println!("\nschema: intake alone, by intake.schema; medians of {TURNS} turns each");
    for (what, bodies) in [("a text", text), ("a body of each kind", all)] {
        let (off, warn) = compare(&bodies)?;
        println!(
            "  {what}: off {:.2} us, warn {:.2} us a message; warn / off {:.3}",
            off * 1e6,
            warn * 1e6,
            warn / off
        );
    }
    Ok(())
}

/// Seconds for each message, without and with it.
fn compare(bodies: &[Bytes]) -> Result<(f64, f64)> {
    let (mut off, mut warn) = (vec![], vec![]);
    for _ in 0..TURNS {
        off.push(take_all(bodies, SchemaCheck::Off)?);
        warn.push(take_all(bodies, SchemaCheck::Warn)?);
    }
    let median = |mut took: Vec<Duration>| {
        took.sort_unstable();
        took.get(TURNS / 2).map(Duration::as_secs_f64)
    };
    let each = f64::from(REPEATS) * f64::from(u32::try_from(bodies.len())?);
    let (off, warn) = median(off).zip(median(warn)).context("no turns")?;
    Ok((off / each, warn / each))
}

fn take_all(bodies: &[Bytes], schema: SchemaCheck) -> Result<Duration> {
    let config = IntakeConfig {
        sources: Sources::NONE,
        max_body_bytes: 262_144,
        check_sizes: true,
        user_ids_in_to: false,
        schema,
    };
    let now = Now {
        mono: Duration::from_secs(1),
        wall_ms: 1_800_000_000_000,
        steady_ms: 1_800_000_000_000,
    };
    let inbound = Inbound {
        message_id: Some("r-1"),
        ..Inbound::default()
    };
    let began = Instant::now();
    for _ in 0..REPEATS {
        for body in bodies {
            let taken = intake(black_box(body.clone()), inbound.clone(), &config, now);
            black_box(taken.ok().context("a sound message")?);
        }
    }
    Ok(began.elapsed())
}
