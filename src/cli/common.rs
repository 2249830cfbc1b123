//! Parts that the commands have in common.

use crate::config::{Config, environment};
use std::path::PathBuf;

/// The text that a command prints when it succeeds; empty if it has nothing to say.
pub type Done = Result<String, Failure>;

/// Why a command did not succeed.
pub struct Failure {
    /// The process's exit code: [`Failure::USAGE`] or [`Failure::OTHER`].
    pub code: u8,
    /// For the operator; may have several lines.
    pub why: String,
}

impl Failure {
    /// The config or the arguments are wrong: trying again helps nothing.
    pub const USAGE: u8 = 2;
    pub const OTHER: u8 = 1;

    pub(super) fn usage(why: impl ToString) -> Self {
        let (code, why) = (Self::USAGE, why.to_string());
        Self { code, why }
    }

    pub(super) fn other(why: impl ToString) -> Self {
        let (code, why) = (Self::OTHER, why.to_string());
        Self { code, why }
    }
}

/// The option of every command that needs a config.
#[derive(clap::Args)]
pub struct ConfigFiles {
    /// A TOML file; may be given more than once, later ones win. Every key can also be set as DISPATCHER_<SECTION>__<KEY>.
    #[arg(long, required = true)]
    config: Vec<PathBuf>,
}

impl ConfigFiles {
    /// The config of these files and the environment, with at least one number.
    pub(super) fn load(&self) -> Result<Config, Failure> {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let host = match host.trim() {
            "" => "worker",
            name => name,
        };
        let config = Config::load(&self.config, environment(), host).map_err(Failure::usage)?;
        config.require_numbers().map_err(Failure::usage)?;
        Ok(config)
    }
}
