//! RabbitMQ. A *session* is built and thrown away as a whole: a connection to publish on, because an alarm blocks a connection that
//! publishes, and all else on it; one to read logs and ask questions; and what hangs on them: the connections that lanes are consumed
//! on, mostly one, which may end without the session. Replies have one beside it, and publishes that may be what ends sessions another.
//! lapin's own recovery stays off: it would hide a loss, and every delivery of a lost channel is void.

pub mod acknowledge;
mod aside;
mod connect;
pub mod consume;
pub mod declare;
pub mod delivery;
pub mod depth;
pub mod headers;
pub mod held;
mod letters;
mod link;
pub mod links;
pub mod media_log;
pub mod publish;
mod refusals;
mod replies;
pub mod results_log;
pub mod session;
pub mod topology;
pub mod unsettled;
mod ways;
pub mod workers_log;

use crate::config::{BrokerConfig, BrokerUrl};
use backoff::ExponentialBackoff;
use backoff::backoff::Backoff;
use session::Session;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// The current session, or `None` while there is none.
pub type Sessions = watch::Receiver<Option<Arc<Session>>>;

/// The virtual host that a URL names; "/" if it names none.
pub fn vhost(url: &BrokerUrl) -> String {
    let uri = url.expose().parse::<lapin::uri::AMQPUri>();
    uri.map_or_else(|_| "/".to_owned(), |uri| uri.vhost)
}

/// Exponential delays from `first` to `longest`, randomised by half, without end.
pub fn delays(first: Duration, longest: Duration) -> ExponentialBackoff {
    let mut delays = ExponentialBackoff {
        initial_interval: first,
        max_interval: longest,
        multiplier: 2.0,
        max_elapsed_time: None,
        ..ExponentialBackoff::default()
    };
    delays.reset();
    delays
}

/// Keeps a session open until `stop` says so. Returns only then.
pub async fn supervise(
    config: BrokerConfig,
    topology: Arc<topology::Topology>,
    sessions: watch::Sender<Option<Arc<Session>>>,
    metrics: Arc<crate::metrics::Metrics>,
    mut stop: watch::Receiver<bool>,
) {
    let mut delays = delays(Duration::from_millis(200), config.reconnect_max);
    let mut epoch = 0;
    while !*stop.borrow() {
        epoch += 1;
        let opened = tokio::select! {
            opened = Session::open(&config, &topology, epoch) => opened,
            _ = stop.changed() => break,
        };
        match opened {
            Ok(session) => {
                let up_since = Instant::now();
                tracing::info!(epoch, "broker session open");
                metrics.broker_connected.set(1);
                metrics.broker_sessions.inc();
                sessions.send_replace(Some(session.clone()));
                let reason = tokio::select! {
                    reason = session.ended() => reason,
                    _ = stop.changed() => "this worker stops".to_owned(),
                };
                metrics.broker_connected.set(0);
                sessions.send_replace(None);
                session.close().await;
                tracing::info!(epoch, reason, "broker session closed");
                // A session that held shows that the broker is well: start over with short delays.
                if up_since.elapsed() > Duration::from_secs(10) {
                    delays.reset();
                }
            }
            Err(error) => tracing::warn!(epoch, %error, "no broker session"),
        }
        let delay = delays.next_backoff().unwrap_or(Duration::from_secs(1));
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            _ = stop.changed() => {}
        }
    }
}
