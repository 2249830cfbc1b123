//! Every RabbitMQ that ships is told how long a message may be: what it lets in, a worker has to hold.

use super::render::ROOT;
use std::collections::HashMap;
use std::fs;
use std::path::Path;
use whatsapp_dispatcher::config::Config;
use whatsapp_dispatcher::contract::request::MAX_HEADERS_BYTES;

/// What ships, and the broker of `deploy/dev`, in which tests put what others refuse.
const SHIPPED: [&str; 3] = [
    "compose/rabbitmq.conf",
    "k8s/components/rabbitmq/rabbitmq-cluster.yaml",
    "k8s/overlays/dev/rabbitmq.yaml",
];
const OWN: &str = "dev.d/broker.sh";
const SHIPPED_BYTES: u64 = 1_048_576;
/// RabbitMQ 4's own.
const OWN_BYTES: u64 = 16_777_216;

/// The size that a file sets, as RabbitMQ's config or its command line has it; comments left out.
fn message_size(file: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("{ROOT}/deploy/{file}")).unwrap();
    let lines = text
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'));
    let mut values = lines.filter_map(|line| {
        let value = line.split_once("max_message_size")?.1;
        let value = value.trim_start_matches([' ', '=']);
        let digits = value.split(|c: char| !c.is_ascii_digit()).next();
        digits.and_then(|digits| digits.parse().ok())
    });
    let value = values.next();
    assert_eq!(values.next(), None, "{file} sets it twice");
    value
}

fn files(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push(path.to_str().unwrap().to_owned());
        }
    }
}

#[test]
fn every_rabbitmq_that_ships_bounds_its_messages() {
    for file in SHIPPED {
        assert_eq!(message_size(file), Some(SHIPPED_BYTES), "{file}");
    }
    assert_eq!(message_size(OWN), Some(OWN_BYTES), "{OWN}");
    // Nobody else configures one: settings that every RabbitMQ of ours has, memory and disk, stand in these files only.
    let mut all = vec![];
    for folder in ["compose", "k8s", "dev.d"] {
        files(&Path::new(ROOT).join("deploy").join(folder), &mut all);
    }
    for file in all {
        let text = fs::read_to_string(&file).unwrap();
        let is_one = text.contains("disk_free_limit.") || text.contains("-rabbit total_memory");
        let is_known = SHIPPED
            .iter()
            .chain([&OWN])
            .any(|known| file.ends_with(known));
        assert!(!is_one || is_known, "{file}: does it set max_message_size?");
    }
}

/// A request that a worker would take, and one somewhat too long, which it answers, must come through.
#[test]
fn what_intake_admits_fits_with_room() {
    let defaults = Config::load(&[], HashMap::new(), "host").unwrap();
    let admitted = defaults.intake.max_body_bytes + MAX_HEADERS_BYTES;
    assert!(
        SHIPPED_BYTES >= 3 * admitted as u64,
        "{admitted} bytes are admitted"
    );
}
