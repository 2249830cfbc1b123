#![doc = include_str!("ARCHITECTURE.md")]

pub mod broker;
pub mod cli;
pub mod clock;
pub mod config;
pub mod contract;
pub mod core;
pub mod credentials;
pub mod graph;
pub mod log;
pub mod metrics;
pub mod roles;
pub mod spans;
pub mod tasks;
