//! `run`: a worker.

use super::common::{Done, Failure};
use crate::config::Config;
use crate::log::{self, Repeats};
use crate::roles::dispatcher::{self, Ended};

pub(super) fn run(config: Config) -> Done {
    let repeats =
        log::start(&config.log).map_err(|error| Failure::usage(format!("log.level: {error:#}")))?;
    match dispatch(config, repeats) {
        Ok(Ended::Drained) => Ok(String::new()),
        Ok(Ended::Failed(why)) => Err(Failure::other(why)),
        Err(error) => Err(Failure::other(format!("{error:#}"))),
    }
}

fn dispatch(config: Config, repeats: Repeats) -> anyhow::Result<Ended> {
    // One TLS provider for the whole process; left to feature unification, rustls panics at first use.
    if rustls::crypto::ring::default_provider()
        .install_default()
        .is_err()
    {
        anyhow::bail!("a TLS provider was installed before main");
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(dispatcher::run(config, repeats))
}
