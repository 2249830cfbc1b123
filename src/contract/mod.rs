//! The contract with callers, readers of results and the other workers: names of exchanges and queues, words, and the form of requests,
//! results and records. What is written into them is decided in the core; headers have their table in `src/broker/headers.rs`, and what
//! `/lanes` shows is in `src/roles/dispatcher/admin/lanes.rs`.

pub mod fault;
pub mod names;
pub mod record;
pub mod request;
pub mod result;
pub mod words;
