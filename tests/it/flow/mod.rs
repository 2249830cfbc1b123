//! One request's way through the whole process: what is published, what Meta sees, what comes back.

mod accepted;
mod clients;
mod delayed;
mod direct;
mod every;
mod garbage;
mod marketing;
mod operations;
mod order;
mod person;
mod properties;
mod refused;
mod room;
mod schema;
mod token;
mod unknown;
