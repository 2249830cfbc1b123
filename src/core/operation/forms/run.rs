//! Texts that are made of certain characters only: what a regular expression would say, as far as forms need it.

/// Characters of one kind that follow each other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Run {
    /// Single characters and ranges, as a regular expression has them between brackets. `None`: any but the end of a line.
    of: Option<&'static str>,
    min: usize,
    max: Option<usize>,
}

impl Run {
    pub(super) const fn of(characters: &'static str, min: usize, max: Option<usize>) -> Self {
        Self {
            of: Some(characters),
            min,
            max,
        }
    }

    pub(super) const fn any(min: usize, max: usize) -> Self {
        Self {
            of: None,
            min,
            max: Some(max),
        }
    }

    fn has(self, c: char) -> bool {
        let Some(of) = self.of else {
            return !['\n', '\r', '\u{2028}', '\u{2029}'].contains(&c);
        };
        let mut rest = of.chars();
        while let Some(first) = rest.next() {
            let mut ahead = rest.clone();
            let last = match (ahead.next(), ahead.next()) {
                (Some('-'), Some(last)) => {
                    rest = ahead;
                    last
                }
                _ => first,
            };
            if (first..=last).contains(&c) {
                return true;
            }
        }
        false
    }

    fn write(self, pattern: &mut String) {
        match self.of {
            None => pattern.push('.'),
            Some(one) if one.len() == 1 => pattern.push_str(one),
            Some(of) => pattern.push_str(&format!("[{of}]")),
        }
        match (self.min, self.max) {
            (1, Some(1)) => {}
            (1, None) => pattern.push('+'),
            (min, None) => pattern.push_str(&format!("{{{min},}}")),
            (min, Some(max)) if min == max => pattern.push_str(&format!("{{{min}}}")),
            (min, Some(max)) => pattern.push_str(&format!("{{{min},{max}}}")),
        }
    }
}

/// Writes the runs as a regular expression.
pub fn write_pattern(runs: &[Run]) -> String {
    let mut pattern = "^".to_owned();
    runs.iter().for_each(|run| run.write(&mut pattern));
    pattern.push('$');
    pattern
}

/// Whether a text is made of these runs and nothing else. Each takes as much as it can: two that follow each other have no character in
/// common.
pub(super) fn is_made_of(text: &str, runs: &[Run]) -> bool {
    let mut rest = text;
    for run in runs {
        let end = rest
            .char_indices()
            .enumerate()
            .find(|(count, (_, c))| run.max == Some(*count) || !run.has(*c));
        let (count, end) = match end {
            Some((count, (at, _))) => (count, at),
            None => (rest.chars().count(), rest.len()),
        };
        if count < run.min {
            return false;
        }
        rest = rest.get(end..).unwrap_or_default();
    }
    rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &[Run] = &[Run::of("A-Za-z0-9_.-", 1, Some(3))];
    const DATE: &[Run] = &[
        Run::of("0-9", 4, Some(4)),
        Run::of("-", 1, Some(1)),
        Run::of("0-9", 2, Some(2)),
    ];
    const LOWER: &[Run] = &[Run::of("a-z_", 1, None)];
    const ANY: &[Run] = &[Run::any(1, 2)];

    #[test]
    fn a_text_is_made_of_runs() {
        for (runs, text, expected) in [
            (NAME, "a.-", true),
            (NAME, "", false),
            (NAME, "a.-_", false),
            (NAME, "a b", false),
            (NAME, ",", false),
            (DATE, "1990-02", true),
            (DATE, "1990-2", false),
            (DATE, "1990-022", false),
            (DATE, "199-02", false),
            (DATE, "1990.02", false),
            (LOWER, "a_b", true),
            (LOWER, "A", false),
            (LOWER, "a\n", false),
            (ANY, "ñ ", true),
            (ANY, "\n", false),
            (ANY, "abc", false),
        ] {
            assert_eq!(is_made_of(text, runs), expected, "{text:?}");
        }
    }

    #[test]
    fn runs_are_written_as_a_regular_expression() {
        for (runs, expected) in [
            (NAME, "^[A-Za-z0-9_.-]{1,3}$"),
            (DATE, "^[0-9]{4}-[0-9]{2}$"),
            (LOWER, "^[a-z_]+$"),
            (ANY, "^.{1,2}$"),
            (&[Run::of("a-c", 2, None)], "^[a-c]{2,}$"),
        ] {
            assert_eq!(write_pattern(runs), expected);
        }
    }
}
