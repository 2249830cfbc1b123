//! The parts of a page.

use std::fmt::Write;

/// One file: its path, and its text.
pub(super) type Page = (&'static str, String);

/// The head of a page: its title, and where it comes from.
pub(super) fn begin_page(title: &str, source: &str) -> String {
    format!(
        "# {title}\n\nWritten by `whatsapp-dispatcher reference` from `{source}`: change that, not this page.\n\n"
    )
}

/// One row of a table. A bar would end its cell.
pub(super) fn push_row<const COLUMNS: usize>(page: &mut String, cells: [&str; COLUMNS]) {
    page.push('|');
    for cell in cells {
        // Writing to a string cannot fail.
        let _infallible = write!(page, " {} |", cell.replace('|', "\\|"));
    }
    page.push('\n');
}

/// The head of a table.
pub(super) fn push_columns<const COLUMNS: usize>(page: &mut String, names: [&str; COLUMNS]) {
    push_row(page, names);
    *page += &format!("|{}\n", "---|".repeat(COLUMNS));
}

/// A word as code.
pub(super) fn as_code(word: &str) -> String {
    format!("`{word}`")
}
