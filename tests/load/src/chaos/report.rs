//! What is printed: each scenario's verdict when it ends, and one table of all at the end.

use super::bounds::Bounds;
use super::scenario::LIMIT;
use super::scenario::Scenario;
use super::verdict::Figures;
use std::time::Duration;

pub(crate) struct Row {
    name: String,
    figures: Option<Figures>,
    pub(crate) broken: Vec<String>,
    pub(crate) notes: Vec<String>,
    pub(crate) took: Duration,
    /// This machine lacks what it needs.
    pub(crate) not_tried: bool,
}

impl Row {
    pub(crate) fn new(name: String) -> Self {
        Self {
            name,
            figures: None,
            broken: vec![],
            notes: vec![],
            took: Duration::ZERO,
            not_tried: false,
        }
    }

    pub(crate) fn judged(&mut self, figures: Figures, bounds: &Bounds) {
        self.broken.extend(bounds.broken(&figures));
        self.figures = Some(figures);
    }

    pub(crate) fn passed(&self) -> bool {
        self.broken.is_empty()
    }

    fn word(&self) -> &'static str {
        match (self.not_tried, self.passed()) {
            (true, _) => "not tried",
            (false, true) => "PASS",
            (false, false) => "FAIL",
        }
    }

    /// PASS, or FAIL and why; and what else is worth knowing.
    pub(crate) fn verdict(&self) -> String {
        let mut text = format!("    {} after {:.0} s", self.word(), self.took.as_secs_f64());
        for line in &self.broken {
            text += &format!("\n      broken: {line}");
        }
        for line in &self.notes {
            text += &format!("\n      note: {line}");
        }
        if let Some(figures) = &self.figures {
            text += &format!("\n      {}", more(figures));
        }
        text
    }
}

/// What the table has no room for.
fn more(figures: &Figures) -> String {
    format!(
        "{} publishes without a confirm, {} results repeated, {} requests with different results, {} neither accepted nor unknown; \
         lanes that the fault was not meant for were silent for {} at most",
        figures.doubtful,
        figures.repeats,
        figures.contradicted,
        figures.other,
        seconds(figures.bystander_gap)
    )
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

const HEAD: &str = "scenario              requests lost twice flagged/not needless unknown peak 130429   silent recovered  took\n";

pub(crate) fn table(rows: &[Row]) -> String {
    let mut text = format!("\n{HEAD}");
    for row in rows {
        text += &format!("{:<21} ", row.name);
        text += &row.figures.as_ref().map_or(format!("{:87}", ""), line);
        text += &format!(" {:>4.0} s  {}\n", row.took.as_secs_f64(), row.word());
    }
    text += &format!(
        "twice: by the API's ledger, flagged as possible_duplicate or not; needless: flagged, sent once at most;\n\
         peak: the most in any sliding second, {LIMIT} are allowed; silent: the longest time of a lane with a backlog\n"
    );
    for row in rows.iter().filter(|row| !row.passed()) {
        for line in &row.broken {
            text += &format!("{}: {line}\n", row.name);
        }
    }
    text
}

fn line(figures: &Figures) -> String {
    let twice = format!("{}/{}", figures.flagged_twice, figures.unflagged_twice);
    let recovered = figures.recovery.map_or("never".to_owned(), seconds);
    format!(
        "{:>8} {:>4} {twice:>17} {:>8} {:>7} {:>4} {:>6} {:>8} {recovered:>9}",
        figures.published,
        figures.lost,
        figures.needless,
        figures.unknown,
        figures.peak,
        figures.refused,
        seconds(figures.gap),
    )
}

pub(crate) fn list() -> String {
    let line = |one: Scenario| {
        let extra = if one.is_usual() {
            ""
        } else {
            " (only if named)"
        };
        format!("{:<21} {}{extra}\n", one.name(), one.about())
    };
    Scenario::all().into_iter().map(line).collect()
}
