//! Files of media: what Meta takes, where they may come from, where messages name them, and what of them is uploaded already.

pub mod content;
pub mod known;
pub mod links;
pub mod source;
pub mod upload;
