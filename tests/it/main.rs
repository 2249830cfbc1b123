//! The edges against a real RabbitMQ and real sockets. One binary, a module per topic.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test's helpers fail as its own lines do: by panicking, with a line that says where"
)]

mod admin;
mod broker_loss;
mod clients;
mod config;
mod contract;
mod dedupe;
mod deploy;
mod drain;
mod examples;
mod fatal;
mod flow;
mod handover;
mod health;
mod holds;
mod image;
mod log;
mod media;
mod poison;
mod privacy;
mod quarantine;
mod reads;
mod reference;
mod rights;
mod scripts;
mod sre;
mod stuck;
mod support;
mod tidy;
mod tls;
mod tracing;
mod workers;
