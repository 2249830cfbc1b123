//! `definitions`: RabbitMQ's objects as a file that `rabbitmqctl import_definitions` takes.

use super::common::Done;
use crate::broker::{self, topology::Topology};
use crate::config::Config;

pub(super) fn run(config: &Config) -> Done {
    let definitions =
        Topology::of(&config.accounts).definitions(&broker::vhost(&config.broker.url));
    Ok(format!("{definitions:#}"))
}
