//! What the log of results can show of a request that RabbitMQ delivers again, and how far back it has to be read for that.

pub mod search;
pub mod settling;
