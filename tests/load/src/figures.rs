//! How figures and texts are printed.

use std::time::Duration;

/// 1234567 → `1,234,567`
pub(crate) fn thousands(count: usize) -> String {
    let digits = count.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Two significant digits are enough for a reader: `0.12 s`, `4.1 s`.
pub(crate) fn seconds(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 1.0 {
        format!("{seconds:.2} s")
    } else {
        format!("{seconds:.1} s")
    }
}

/// Broken into lines of 79 columns, those after the first indented.
pub(crate) fn wrapped(text: &str, indent: usize) -> String {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.chars().count() + word.chars().count() < 79 - indent => {
                line.push(' ');
                line.push_str(word);
            }
            Some(_) | None => lines.push(word.to_owned()),
        }
    }
    lines.join(&format!("\n{:indent$}", ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_easy_to_read() {
        let grouped = [0, 12, 123, 1_234, 1_234_567].map(thousands);
        assert_eq!(grouped, ["0", "12", "123", "1,234", "1,234,567"]);
        assert_eq!(seconds(Duration::from_millis(124)), "0.12 s");
        assert_eq!(seconds(Duration::from_millis(4_120)), "4.1 s");
    }

    #[test]
    fn long_texts_are_wrapped_between_words() {
        let long = "0123456789 ".repeat(14);
        let lines: Vec<String> = wrapped(&long, 4).lines().map(str::to_owned).collect();
        assert_eq!(lines.len(), 3);
        assert_eq!((lines[0].len(), lines[1].len()), (65, 69));
        assert!(lines[1].starts_with("    0123"));
        assert_eq!(
            (wrapped("", 4), wrapped("a  b", 4)),
            (String::new(), "a b".to_owned())
        );
    }
}
