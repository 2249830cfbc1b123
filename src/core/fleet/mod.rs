//! Decisions that concern more than one lane or worker: holds, who has which lane, and who reads what of the API.

pub mod holds;
pub mod missed;
pub mod namesakes;
pub mod number;
pub mod outbox;
pub mod placement;
pub mod readers;
pub mod tenure;
