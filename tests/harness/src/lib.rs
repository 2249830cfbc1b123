//! What the tests, the bench and the load generator are made of: a RabbitMQ virtual host, a worker, a caller of it, proxies that break
//! or delay, HTTP. It knows the dispatcher only from outside, as anybody who runs it does.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test's helpers fail as its own lines do: by panicking, with a line that says where"
)]

pub mod amqp;
pub mod answer;
pub mod broker;
pub mod client;
pub mod config;
pub mod figures;
pub mod http;
pub mod log;
pub mod metrics;
pub mod proxy;
pub mod stalling;
pub mod tls;
pub mod worker;

use std::future::Future;
use std::time::Duration;

/// How long an event may take. Generous: it is only ever waited for in full by a test that fails.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

pub async fn within<T>(what: &str, event: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, event)
        .await
        .unwrap_or_else(|_| panic!("waited in vain for {what}"))
}

/// Looks again and again; for what cannot tell by itself, such as a metric.
pub async fn poll<F: Future<Output = bool>>(look: impl Fn() -> F) {
    while !look().await {
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}
