//! Sends WhatsApp Cloud API requests from RabbitMQ, at each number's limit, and answers every one exactly once.
//! README.md shows one message's way through these files.

pub mod admin;
pub mod app;
pub mod board;
pub mod broker;
pub mod cli;
pub mod clock;
pub mod config;
pub mod contract;
pub mod core;
pub mod credentials;
pub mod dispatch;
pub mod evidence;
pub mod graph;
pub mod log;
pub mod metrics;
pub mod spans;
pub mod unrouted;
pub mod upkeep;
pub mod workload;
