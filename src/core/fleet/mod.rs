//! Decisions that concern more than one lane or worker: holds, who has which lane, and who reads what of the API.

pub mod holds;
pub mod namesakes;
pub mod number;
pub mod placement;
pub mod readers;
pub mod tenure;
