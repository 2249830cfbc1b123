//! The operations of the API, and what is known of each.

pub(super) mod sizes;
