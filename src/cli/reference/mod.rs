//! `reference`: the pages of `deploy/docs/reference` and the contract for machines in `deploy/contract`, made from the tables that the
//! program itself goes by. So they are never wrong for long: continuous integration compares them.

use super::common::{Done, Failure};
use page::Page;
use std::fs;
use std::path::{Path, PathBuf};

mod commands;
mod configuration;
mod contract;
mod errors;
mod metrics;
mod operations;
mod page;

#[derive(clap::Args)]
pub struct Options {
    /// Write nothing; name the files that differ, and end with 1 if any does.
    #[arg(long)]
    check: bool,
    /// Where docs/reference and contract are, deploy in the repository; they are made if they are missing.
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

/// `program`: the command line, with all commands.
fn make_files(program: clap::Command) -> Vec<Page> {
    let mut files = vec![
        (
            "docs/reference/configuration.md",
            configuration::make_page(),
        ),
        ("docs/reference/metrics.md", metrics::make_page()),
        ("docs/reference/commands.md", commands::make_page(program)),
        ("docs/reference/errors.md", errors::make_page()),
        ("docs/reference/operations.md", operations::make_page()),
    ];
    files.extend(contract::make_files());
    files
}

impl Options {
    pub(super) fn run(self, program: clap::Command) -> Done {
        let files = make_files(program);
        if self.check {
            return compare(&self.directory, &files);
        }
        for (name, text) in &files {
            let file = self.directory.join(name);
            let folder = file.parent().unwrap_or(&self.directory);
            let written = fs::create_dir_all(folder).and_then(|()| fs::write(&file, text));
            written.map_err(|error| Failure::other(format!("{}: {error}", file.display())))?;
        }
        let (count, directory) = (files.len(), self.directory.display());
        Ok(format!("{count} files are in {directory}"))
    }
}

/// Names every file that is not what the tables say, and what mends it.
fn compare(directory: &Path, files: &[Page]) -> Done {
    let mut differ = String::new();
    for (name, text) in files {
        let file = directory.join(name);
        let there = fs::read_to_string(&file);
        if there.as_ref().ok() != Some(text) {
            differ += &format!("{} is not what the tables say\n", file.display());
        }
    }
    if differ.is_empty() {
        return Ok("the reference pages and the contract files are what the tables say".to_owned());
    }
    let directory = directory.display();
    Err(Failure::other(format!(
        "{differ}write them anew with `whatsapp-dispatcher reference {directory}` (in the repository: `cargo run -- reference {directory}`)"
    )))
}
