//! Settings: read once at start, from files and the environment, into types that hold no bad value.
//!
//! [`KEYS`] declares every key; [`read`] takes them out of what the `config` crate merged and records every
//! mistake, so that an operator sees all of them at once. Nothing here reads the process environment but
//! [`environment`], which the caller passes on.

mod files;
mod keys;
mod read;
mod relations;
mod rules;
mod sections;
mod settings;
mod source;
#[cfg(test)]
mod tests;

pub use keys::{KEYS, Key, Kind, Unit};
pub use read::ConfigErrors;
pub use rules::is_of_this_machine;
pub use settings::{
    AccountConfig, AdminConfig, BrokerConfig, BrokerUrl, ClientCert, Config, GraphConfig,
    LanesConfig, LogConfig, LogFormat, MAX_NUMBERS, MediaConfig, MetricsConfig, NumberConfig,
    OperationsConfig, PacingConfig, RetryConfig, Secret, TracingConfig,
};
pub use source::environment;

use std::collections::HashMap;
use std::path::PathBuf;

impl Config {
    /// Reads `files`, a later one over an earlier one, then `env`'s `DISPATCHER_…` over both. A list (`accounts`,
    /// `outcomes`) is replaced as a whole. `default_worker_id` stands where `worker.id` is not set.
    pub fn load(
        files: &[PathBuf],
        env: HashMap<String, String>,
        default_worker_id: &str,
    ) -> Result<Self, ConfigErrors> {
        Self::from_texts(source::read_files(files), env, default_worker_id)
    }

    fn from_texts(
        texts: Vec<source::Text>,
        env: HashMap<String, String>,
        default_worker_id: &str,
    ) -> Result<Self, ConfigErrors> {
        let mut problems = read::Problems::default();
        let tree = source::merge(texts, env, &mut problems);
        let config = sections::config(tree, default_worker_id, &mut problems);
        relations::check(&config, &mut problems);
        problems.into_result(config)
    }
}
