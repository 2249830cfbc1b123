//! Where snapshots are shown: redrawn in place on a terminal, a line now and then elsewhere.

use crate::table::{Snapshot, line, table};
use std::io::{IsTerminal, Write, stdout};
use std::time::Duration;

const LINE_EVERY: Duration = Duration::from_secs(1);

pub(crate) struct Screen {
    is_terminal: bool,
    /// Lines of the table that stands there.
    drawn: usize,
    /// When the next line is due in a log.
    line_due: Duration,
}

impl Screen {
    pub(crate) fn new() -> Self {
        Self {
            is_terminal: stdout().is_terminal(),
            drawn: 0,
            line_due: LINE_EVERY,
        }
    }

    pub(crate) fn show(&mut self, snapshot: &Snapshot) {
        if self.is_terminal {
            let table = table(snapshot);
            self.print(&redraw(self.drawn, &table));
            self.drawn = table.lines().count();
        } else if snapshot.elapsed >= self.line_due {
            self.line_due += LINE_EVERY;
            self.print(&format!("{}\n", line(snapshot)));
        }
    }

    /// A screen that cannot be written to must not fail the load.
    fn print(&self, text: &str) {
        let mut out = stdout().lock();
        drop(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
    }
}

/// Up to the first line, and each line anew with its old rest erased: less flicker than clearing first.
fn redraw(drawn: usize, table: &str) -> String {
    let up = if drawn > 0 {
        format!("\x1b[{drawn}A")
    } else {
        String::new()
    };
    up + &table.replace('\n', "\x1b[K\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_drawn_over_the_last_one() {
        assert_eq!(redraw(0, "a\nb\n"), "a\x1b[K\nb\x1b[K\n");
        assert_eq!(redraw(2, "a\nb\n"), "\x1b[2Aa\x1b[K\nb\x1b[K\n");
    }
}
