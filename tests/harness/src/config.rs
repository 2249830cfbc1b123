//! A dispatcher's config, as TOML: keys with their sections before them, then accounts.

/// Credentials that the API double takes.
pub const TOKEN: &str = "token = \"token\"";

/// Where RabbitMQ and the API are.
pub fn servers(broker: &str, graph: &str) -> String {
    format!("broker.url = \"{broker}\"\ngraph.base_url = \"{graph}\"\n")
}

/// An account, its credentials as TOML, and its numbers, all of one limit.
pub fn account(
    waba_id: &str,
    credentials: &str,
    numbers: impl IntoIterator<Item = impl AsRef<str>>,
    mps: impl std::fmt::Display,
) -> String {
    let mut text = format!("[[accounts]]\nwaba_id = \"{waba_id}\"\n{credentials}\n");
    for each in numbers {
        text += &number(each.as_ref(), &mps);
    }
    text
}

/// One more number of the account before it.
pub fn number(id: &str, mps: impl std::fmt::Display) -> String {
    format!("[[accounts.numbers]]\nphone_number_id = \"{id}\"\nmps = {mps}\n")
}
