//! The contract for machines: JSON Schemas of requests and results, and an AsyncAPI document of the exchanges.

use super::page::Page;
use serde_json::Value;

mod asyncapi;
mod forms;
mod request;
mod result;
mod yaml;

pub(super) fn make_files() -> [Page; 3] {
    [
        (request::FILE, print(&request::make_schema())),
        (result::FILE, print(&result::make_schema())),
        ("contract/asyncapi.yaml", asyncapi::make_document()),
    ]
}

fn print(schema: &Value) -> String {
    format!("{schema:#}\n")
}

#[cfg(test)]
mod tests;
