//! `check`: is the config sound, and can the files that it names be used?

use super::common::{Done, Failure};
use crate::config::Config;

pub(super) fn run(config: &Config) -> Done {
    let unusable = config.check_files();
    if !unusable.is_empty() {
        return Err(Failure::usage(unusable.join("\n")));
    }
    let (accounts, numbers) = (config.accounts.len(), config.numbers().count());
    let schema = config.intake.schema.as_str();
    Ok(format!(
        "the config is sound: {accounts} account(s), {numbers} number(s), intake.schema = \"{schema}\""
    ))
}
