//! A Rust file as the house rules read it: comments, what stands in literals, and test modules blanked out, lines kept.

pub(super) struct Source {
    code: String,
    lines: usize,
}

pub(super) struct Function {
    pub(super) name: String,
    pub(super) line: usize,
    pub(super) lines: usize,
}

impl Source {
    pub(super) fn read(text: &str) -> Self {
        let mut code = blank(text);
        while let Some(module) = test_module(&code) {
            let rest = code.split_off(module.end);
            let blanked: String = code[module.start..].chars().map(hide).collect();
            code.truncate(module.start);
            code += &blanked;
            code += &rest;
        }
        Self {
            code,
            lines: text.lines().count(),
        }
    }

    pub(super) fn line_count(&self) -> usize {
        self.lines
    }

    pub(super) fn code(&self) -> &str {
        &self.code
    }

    /// The lines in which `word` stands on its own.
    pub(super) fn lines_with(&self, word: &str) -> Vec<usize> {
        let has = |line: &str| {
            line.match_indices(word)
                .any(|(at, _)| stands_alone(line, at, word))
        };
        let lines = self.code.lines().enumerate();
        lines
            .filter(|(_, line)| has(line))
            .map(|(number, _)| number + 1)
            .collect()
    }

    /// All functions that have a body.
    pub(super) fn functions(&self) -> impl Iterator<Item = Function> {
        let starts = self.code.match_indices("fn ");
        starts.filter_map(|(at, word)| {
            let rest = &self.code[at + word.len()..];
            let name: String = rest.chars().take_while(|c| is_word(*c)).collect();
            if name.is_empty() || !stands_alone(&self.code, at, "fn") {
                return None;
            }
            let opening = at + self.code[at..].find(['{', ';'])?;
            let body = body(&self.code, opening)?;
            let line = 1 + self.code[..at].matches('\n').count();
            let lines = 1 + self.code[at..body].matches('\n').count();
            Some(Function { name, line, lines })
        })
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn stands_alone(line: &str, at: usize, word: &str) -> bool {
    let starts = !word.starts_with(is_word) || !line[..at].ends_with(is_word);
    let ends = !word.ends_with(is_word) || !line[at + word.len()..].starts_with(is_word);
    starts && ends
}

/// The end of the block that opens here.
fn body(code: &str, opening: usize) -> Option<usize> {
    let mut depth = 0;
    for (at, c) in code[opening..].char_indices() {
        match c {
            ';' if depth == 0 => return None,
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(opening + at);
        }
    }
    None
}

fn test_module(code: &str) -> Option<std::ops::Range<usize>> {
    let mut attributes = code.match_indices("#[cfg(test)]");
    attributes.find_map(|(start, attribute)| {
        let rest = code[start + attribute.len()..].trim_start();
        let opening = start + code[start..].find('{')?;
        let is_module = rest.starts_with("mod ");
        Some(start..body(code, opening).filter(|_| is_module)? + 1)
    })
}

fn hide(c: char) -> char {
    if c == '\n' { c } else { ' ' }
}

/// Blanks comments and the inside of literals.
fn blank(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let (length, is_code) = token(rest, c, code.chars().next_back());
        let (token, after) = rest.split_at(length);
        if is_code {
            code += token;
        } else {
            code.extend(token.chars().map(hide));
        }
        rest = after;
    }
    code
}

/// How long the next comment, literal or character is, and whether it is code.
fn token(rest: &str, c: char, before: Option<char>) -> (usize, bool) {
    if rest.starts_with("//") {
        return (rest.find('\n').unwrap_or(rest.len()), false);
    }
    if rest.starts_with("/*") {
        return (block_comment(rest), false);
    }
    if c == '"' {
        return (1 + quoted(&rest[1..], '"'), false);
    }
    let is_raw = c == 'r' && !before.is_some_and(|c| is_word(c) && c != 'b');
    let hashes = rest[c.len_utf8()..]
        .chars()
        .take_while(|c| *c == '#')
        .count();
    if is_raw && rest[c.len_utf8() + hashes..].starts_with('"') {
        let end = format!("\"{}", "#".repeat(hashes));
        let inside = 2 + hashes;
        let length = rest[inside..]
            .find(&end)
            .map_or(rest.len() - inside, |at| at + end.len());
        return (inside + length, false);
    }
    // Not a lifetime: a character, and a quote after it.
    let is_char =
        c == '\'' && (rest[1..].starts_with('\\') || rest[1..].chars().nth(1) == Some('\''));
    if is_char {
        return (1 + quoted(&rest[1..], '\''), false);
    }
    (c.len_utf8(), true)
}

/// Up to and with the closing quote.
fn quoted(inside: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in inside.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + 1,
            _ => {}
        }
    }
    inside.len()
}

fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if rest[at..].starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}
