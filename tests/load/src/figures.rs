//! How figures are printed.

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
}
