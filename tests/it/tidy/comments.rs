//! How comments open. A newcomer must find the subject of the first sentence: a verb, or a noun that stands somewhere in the code.

use super::{none, texts};

/// Words that leave open what a sentence is about: free relatives, pronouns, and halves of sentences.
const OPENINGS: [&str; 14] = [
    "What", "Whatever", "Who", "Whoever", "Whose", "Whom", "It", "Its", "They", "Those", "That",
    "Of", "Else", "Never",
];

/// The text of a line that is a comment.
fn comment(line: &str) -> Option<&str> {
    let text = line.trim_start().strip_prefix("//")?;
    Some(text.trim_start_matches(['/', '!']).trim())
}

/// The line numbers of comments that open with one of [`OPENINGS`]. Tests are left out: their names say what they are about.
fn openings(text: &str) -> Vec<usize> {
    let mut found = vec![];
    let mut is_in_comment = false;
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("#[cfg(test)]") {
            break;
        }
        let Some(comment) = comment(line) else {
            is_in_comment = false;
            continue;
        };
        let first = comment.split(|c: char| !c.is_alphanumeric()).next();
        if !is_in_comment && OPENINGS.iter().any(|word| first == Some(word)) {
            found.push(number + 1);
        }
        is_in_comment = !comment.is_empty();
    }
    found
}

#[test]
fn comments_open_with_a_subject() {
    let is_read = |name: &str| {
        let is_program = name.starts_with("src/") && name.ends_with(".rs");
        is_program && !name.contains("/tests") && !name.ends_with("tests.rs")
    };
    let mut broken = vec![];
    for (name, text) in texts().into_iter().filter(|(name, _)| is_read(name)) {
        let lines = openings(&text);
        broken.extend(lines.iter().map(|line| format!("{name}:{line}")));
    }
    none(&broken);
}

#[test]
fn only_the_first_word_of_a_comment_counts() {
    let text = "/// What it is.\n/// Of that.\nfn f() {}\n/// The lane.\n///\n/// Its end.\n// Itself.\nlet a = 1; // It\n#[cfg(test)]\n/// It\n";
    assert_eq!(openings(text), [1, 6]);
}
