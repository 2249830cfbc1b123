//! The contract, all that others see: names of queues, words, and documents. Nothing is decided here, and all that is written as JSON for
//! others does.

pub mod fault;
pub mod names;
pub mod record;
pub mod request;
pub mod result;
pub mod words;
