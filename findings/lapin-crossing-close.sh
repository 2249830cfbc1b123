#!/usr/bin/env bash
# lapin: a channel that the client and RabbitMQ close at the same time.
#
# Expected by most, and by AMQP 0-9-1, in which both sides may send channel.close and then have to answer the other's: the channel is
# closed, whoever was first, and its connection with all other channels goes on.
# What happens: the connection is lost with every channel on it. lapin answers RabbitMQ's close and forgets the channel; the close-ok that
# answers its own close is then for a channel that it does not know, and that ends the connection. The event which tells of it carries an
# error of a channel (an invalid channel, or an invalid state of one), as the harmless end of a single channel would.
#
# Needs root on Debian with mmdebstrap, and cargo. RabbitMQ 4.0.5 (trixie), lapin 4.12.3.
here=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=findings/lib/rabbitmq.sh
source "$here/lib/rabbitmq.sh"
command -v cargo >/dev/null || { echo "this finding needs cargo" >&2; exit 1; }

mkdir -p "$WORK/probe/src"
cat >"$WORK/probe/Cargo.toml" <<'EOP'
[package]
name = "probe"
version = "0.1.0"
edition = "2024"

[dependencies]
lapin = "=4.12.3"
tokio = { version = "1", features = ["rt-multi-thread", "macros", "time"] }
EOP
cat >"$WORK/probe/src/main.rs" <<'EOP'
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties};
use std::time::Duration;

const TIMES: usize = 10;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::var("AMQP_URL")?;
    for is_crossing in [false, true] {
        let mut lost = 0;
        for _ in 0..TIMES {
            let connection = Connection::connect(&url, ConnectionProperties::default()).await?;
            let other = connection.create_channel().await?;
            let channel = connection.create_channel().await?;
            let passive = QueueDeclareOptions {
                passive: true,
                ..QueueDeclareOptions::default()
            };
            // There is no such queue: RabbitMQ closes the channel.
            let asking = channel.queue_declare("missing".into(), passive, FieldTable::default());
            let asked = if is_crossing {
                tokio::join!(asking, channel.close(200, "OK".into())).0
            } else {
                asking.await
            };
            assert!(asked.is_err());
            tokio::time::sleep(Duration::from_millis(300)).await;
            let goes_on = connection.status().connected() && other.status().connected();
            lost += usize::from(!goes_on);
        }
        let who = if is_crossing { "both close it" } else { "RabbitMQ closes it" };
        println!("{who}: {lost} of {TIMES} connections lost");
    }
    Ok(())
}
EOP
(cd "$WORK/probe" && cargo build --quiet)
echo "lapin $(sed -n '/^name = "lapin"$/{n;s/version = "\(.*\)"/\1/p}' "$WORK/probe/Cargo.lock")"

rabbitmq trixie 4.0.5 20572
seen=$("$WORK/probe/target/debug/probe")
expected='RabbitMQ closes it: 0 of 10 connections lost
both close it: 10 of 10 connections lost'
printf '%s\n' "$seen"
[ "$seen" = "$expected" ] || { printf 'changed; this finding saw:\n%s\n' "$expected" >&2; exit 1; }
