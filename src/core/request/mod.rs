//! One request: what it may say, what it has been through, and what becomes of it.

pub mod decide;
pub mod intake;
pub mod ladder;
pub mod message;
pub mod recent;
pub mod reply_to;
pub mod report;
pub mod retry;
