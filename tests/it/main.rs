//! The edges against a real RabbitMQ and real sockets, and the core in virtual time. One binary, a module per topic.

mod simulation;
