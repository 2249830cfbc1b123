//! Whether RabbitMQ still hears a connection, and which delivery or publish ends connections.

pub mod acknowledgements;
pub mod awake;
pub mod quarantine;
pub mod suspects;
