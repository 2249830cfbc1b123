//! `definitions`: RabbitMQ's objects as a file that `rabbitmqctl import_definitions` takes.

use super::common::{ConfigFiles, Done};
use crate::broker::{self, topology::Topology};

#[derive(clap::Args)]
pub struct Options {
    #[command(flatten)]
    files: ConfigFiles,
}

impl Options {
    pub(super) fn run(self) -> Done {
        let config = self.files.load()?;
        let topology = Topology {
            phone_number_ids: config.phone_number_ids(),
        };
        let definitions = topology.definitions(&broker::vhost(&config.broker.url));
        Ok(format!("{definitions:#}"))
    }
}
