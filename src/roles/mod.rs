//! Roles that the program can be run in, a folder each.

pub mod dispatcher;
