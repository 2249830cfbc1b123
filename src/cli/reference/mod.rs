//! `reference`: the pages of `deploy/docs/reference`, made from the tables that the program itself goes by. So they are never wrong for
//! long: continuous integration compares them.

use super::{Done, Failure};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

mod commands;
mod configuration;
mod errors;
mod metrics;

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

fn pages() -> [Page; 4] {
    [
        ("configuration.md", configuration::page()),
        ("metrics.md", metrics::page()),
        ("commands.md", commands::page()),
        ("errors.md", errors::page()),
    ]
}

impl Options {
    pub(super) fn run(self) -> Done {
        let pages = pages();
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

/// The head of a page: its title, and where it comes from.
fn head(title: &str, source: &str) -> String {
    format!(
        "# {title}\n\nWritten by `whatsapp-dispatcher reference` from `{source}`: change that, not this page.\n\n"
    )
}

/// One row of a table. A bar would end its cell.
fn row<const COLUMNS: usize>(page: &mut String, cells: [&str; COLUMNS]) {
    page.push('|');
    for cell in cells {
        // Writing to a string cannot fail.
        let _infallible = write!(page, " {} |", cell.replace('|', "\\|"));
    }
    page.push('\n');
}

/// The head of a table.
fn columns<const COLUMNS: usize>(page: &mut String, names: [&str; COLUMNS]) {
    row(page, names);
    *page += &format!("|{}\n", "---|".repeat(COLUMNS));
}

/// A word as code.
fn code(word: &str) -> String {
    format!("`{word}`")
}
