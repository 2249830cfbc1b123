//! `reference`: the pages of `deploy/docs/reference`, made from the tables that the program itself goes by. So they are never wrong for
//! long: continuous integration compares them.

use super::common::{Done, Failure};
use std::fs;
use std::path::{Path, PathBuf};

mod commands;
mod configuration;
mod errors;
mod metrics;
mod page;

#[derive(clap::Args)]
pub struct Options {
    /// Write nothing; name the pages that differ, and end with 1 if any does.
    #[arg(long)]
    check: bool,
    /// Where the pages are, deploy/docs/reference in the repository; it is made if it is missing.
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

/// One page: its file's name, and its text.
type Page = (&'static str, String);

/// `program`: the command line, with all commands.
fn make_pages(program: clap::Command) -> [Page; 4] {
    [
        ("configuration.md", configuration::make_page()),
        ("metrics.md", metrics::make_page()),
        ("commands.md", commands::make_page(program)),
        ("errors.md", errors::make_page()),
    ]
}

impl Options {
    pub(super) fn run(self, program: clap::Command) -> Done {
        let pages = make_pages(program);
        if self.check {
            return compare(&self.directory, &pages);
        }
        for (name, text) in &pages {
            let file = self.directory.join(name);
            let written = fs::create_dir_all(&self.directory).and_then(|()| fs::write(&file, text));
            written.map_err(|error| Failure::other(format!("{}: {error}", file.display())))?;
        }
        let (count, directory) = (pages.len(), self.directory.display());
        Ok(format!("{count} pages are in {directory}"))
    }
}

/// Names every page that is not what the tables say, and what mends it.
fn compare(directory: &Path, pages: &[Page]) -> Done {
    let mut differ = String::new();
    for (name, text) in pages {
        let file = directory.join(name);
        let there = fs::read_to_string(&file);
        if there.as_ref().ok() != Some(text) {
            differ += &format!("{} is not what the tables say\n", file.display());
        }
    }
    if differ.is_empty() {
        return Ok("the reference pages are what the tables say".to_owned());
    }
    let directory = directory.display();
    Err(Failure::other(format!(
        "{differ}write them anew with `whatsapp-dispatcher reference {directory}` (in the repository: `cargo run -- reference {directory}`)"
    )))
}
