//! Evidence in the log of results about requests that RabbitMQ delivers again, and how far back it has to be read for that.

pub mod search;
pub mod settling;
