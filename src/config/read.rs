//! Takes keys out of the merged tree one by one, records everything that is wrong, and at last what nobody asked for.

use super::keys::{KEYS, Key, Kind, LISTS, Unit};
use ::config::{Map, Value, ValueKind};
use std::collections::HashSet;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Longest value that an error repeats, in characters.
const SHOWN_CHARS: usize = 60;

/// Every mistake of a configuration, one per line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigErrors(pub Vec<String>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

/// Mistakes found so far.
#[derive(Default)]
pub(super) struct Problems {
    lines: Vec<String>,
    /// Names of keys whose value was refused: relations with them mean nothing.
    refused: HashSet<&'static str>,
}

impl Problems {
    pub(super) fn add(&mut self, line: String) {
        self.lines.push(line);
    }

    pub(super) fn unknown(&mut self, what: &str, hint: Option<&str>) {
        let hint = hint.map_or(String::new(), |name| format!("; did you mean {name}?"));
        self.add(format!("{what}: not a known key{hint}"));
    }

    /// Records `line` unless the relation holds, or one of its keys was refused already. The first key leads.
    pub(super) fn relation(&mut self, keys: &[&str], holds: bool, line: &str) {
        let sound = !keys.iter().any(|name| self.refused.contains(name));
        if sound && !holds {
            self.add(format!("{}: {line}", keys.first().unwrap_or(&"")));
        }
    }

    fn refuse(&mut self, at: &str, key: &'static Key, value: &Value) {
        self.refused.insert(key.name);
        let from_env = value.origin().is_some();
        let variable = key.env_name().filter(|_| from_env);
        let source = variable.map_or(String::new(), |name| format!(" (from {name})"));
        let shown = shown(key, &value.kind);
        self.add(format!(
            "{at}{source}: {shown} is not allowed; must be {}",
            key.allowed()
        ));
    }

    pub(super) fn into_result<T>(self, value: T) -> Result<T, ConfigErrors> {
        if self.lines.is_empty() {
            Ok(value)
        } else {
            Err(ConfigErrors(self.lines))
        }
    }
}

/// The value as an error may repeat it. An "@" may stand after a password, whatever the key.
fn shown(key: &Key, value: &ValueKind) -> String {
    let text = match value {
        ValueKind::Table(_) => return "a table".to_owned(),
        ValueKind::Array(_) => return "a list".to_owned(),
        ValueKind::String(text) => format!("{text:?}"),
        ValueKind::Nil
        | ValueKind::Boolean(_)
        | ValueKind::I64(_)
        | ValueKind::I128(_)
        | ValueKind::U64(_)
        | ValueKind::U128(_)
        | ValueKind::Float(_) => value.to_string(),
    };
    if key.is_secret() || text.contains('@') || text.chars().count() > SHOWN_CHARS {
        return "the value".to_owned();
    }
    text
}

/// A value that its key allows.
enum Sound {
    Flag(bool),
    Whole(u64),
    Share(f64),
    Text(String),
}

impl Kind {
    fn sound(self, value: &Value) -> Option<Sound> {
        // The environment knows only text, and only what comes from there has an origin (see `source`).
        if let (Some(_), ValueKind::String(text)) = (value.origin(), &value.kind) {
            return self.sound_text(text);
        }
        match (self, &value.kind) {
            (Self::Flag, ValueKind::Boolean(flag)) => Some(Sound::Flag(*flag)),
            (Self::Whole { .. }, ValueKind::I64(n)) => self.whole(u64::try_from(*n).ok()?),
            (Self::Share { .. }, ValueKind::Float(share)) => self.share(*share),
            (Self::Share { .. }, ValueKind::I64(n)) => self.share(i32::try_from(*n).ok()?.into()),
            (_, ValueKind::String(text)) => self.text(text),
            _ => None,
        }
    }

    fn sound_text(self, text: &str) -> Option<Sound> {
        match self {
            Self::Flag => text.parse().ok().map(Sound::Flag),
            Self::Whole { .. } => self.whole(text.parse().ok()?),
            Self::Share { .. } => self.share(text.parse().ok()?),
            Self::OneOf(_) | Self::Text { .. } | Self::Secret { .. } => self.text(text),
        }
    }

    fn whole(self, n: u64) -> Option<Sound> {
        matches!(self, Self::Whole { min, max, .. } if (min..=max).contains(&n))
            .then_some(Sound::Whole(n))
    }

    fn share(self, share: f64) -> Option<Sound> {
        matches!(self, Self::Share { min, max } if (min..=max).contains(&share))
            .then_some(Sound::Share(share))
    }

    fn text(self, text: &str) -> Option<Sound> {
        let allowed = match self {
            Self::OneOf(words) => words.contains(&text),
            Self::Text { accepts, .. } | Self::Secret { accepts, .. } => accepts(text),
            Self::Flag | Self::Whole { .. } | Self::Share { .. } => false,
        };
        allowed.then(|| Sound::Text(text.to_owned()))
    }
}

/// A table being read.
pub(super) struct Section<'a> {
    /// The section's name in [`KEYS`]: `accounts.numbers`.
    table: String,
    /// Where it stands: `accounts[0].numbers[1]`.
    at: String,
    values: Map<String, Value>,
    pub(super) problems: &'a mut Problems,
}

impl<'a> Section<'a> {
    pub(super) fn root(values: Map<String, Value>, problems: &'a mut Problems) -> Self {
        let (table, at) = (String::new(), String::new());
        Self {
            table,
            at,
            values,
            problems,
        }
    }

    /// Where `leaf` stands, for messages; the section itself if empty.
    pub(super) fn at(&self, leaf: &str) -> String {
        join(&self.at, leaf)
    }

    pub(super) fn flag(&mut self, leaf: &str) -> bool {
        self.maybe_flag(leaf).unwrap_or_default()
    }

    pub(super) fn maybe_flag(&mut self, leaf: &str) -> Option<bool> {
        match self.take(leaf)? {
            Sound::Flag(flag) => Some(flag),
            Sound::Whole(_) | Sound::Share(_) | Sound::Text(_) => None,
        }
    }

    pub(super) fn share(&mut self, leaf: &str) -> f64 {
        match self.take(leaf) {
            Some(Sound::Share(share)) => share,
            Some(Sound::Flag(_) | Sound::Whole(_) | Sound::Text(_)) | None => 0.0,
        }
    }

    pub(super) fn maybe_whole<T: TryFrom<u64>>(&mut self, leaf: &str) -> Option<T> {
        match self.take(leaf)? {
            Sound::Whole(n) => T::try_from(n).ok(),
            Sound::Flag(_) | Sound::Share(_) | Sound::Text(_) => None,
        }
    }

    /// The key's bounds fit `T`; the fallback stands only where a mistake was recorded.
    pub(super) fn whole<T: TryFrom<u64> + Default>(&mut self, leaf: &str) -> T {
        self.maybe_whole(leaf).unwrap_or_default()
    }

    pub(super) fn duration(&mut self, leaf: &str) -> Duration {
        let n = self.whole(leaf);
        match self.key(leaf).map(|key| key.kind) {
            Some(Kind::Whole {
                unit: Unit::Milliseconds,
                ..
            }) => Duration::from_millis(n),
            _ => Duration::from_secs(n),
        }
    }

    pub(super) fn maybe_text(&mut self, leaf: &str) -> Option<String> {
        match self.take(leaf)? {
            Sound::Text(text) => Some(text),
            Sound::Flag(_) | Sound::Whole(_) | Sound::Share(_) => None,
        }
    }

    pub(super) fn text(&mut self, leaf: &str) -> String {
        self.maybe_text(leaf).unwrap_or_default()
    }

    pub(super) fn file(&mut self, leaf: &str) -> Option<PathBuf> {
        self.maybe_text(leaf).map(PathBuf::from)
    }

    /// Records that `leaf` is missing, if it is. To be asked before it is taken.
    pub(super) fn require(&mut self, leaf: &str) {
        if !self.has(leaf) {
            let at = self.at(leaf);
            self.problems.add(format!("{at}: is required"));
        }
    }

    pub(super) fn has(&self, leaf: &str) -> bool {
        self.values.contains_key(leaf)
    }

    /// The `[name]` below; an absent one is empty.
    pub(super) fn section<T>(&mut self, name: &str, read: impl FnOnce(&mut Section<'_>) -> T) -> T {
        let mut values = Map::new();
        if let Some(value) = self.values.remove(name) {
            if let ValueKind::Table(given) = value.kind {
                values = given;
            } else {
                let at = self.at(name);
                self.problems.add(format!("{at}: must be a table, [{at}]"));
            }
        }
        let at = self.at(name);
        self.read_below(name, at, values, read)
    }

    /// Each `[[name]]` below.
    pub(super) fn items<T>(
        &mut self,
        name: &str,
        mut read: impl FnMut(&mut Section<'_>) -> T,
    ) -> Vec<T> {
        let Some(value) = self.values.remove(name) else {
            return Vec::new();
        };
        let ValueKind::Array(items) = value.kind else {
            self.not_a_list(name);
            return Vec::new();
        };
        let mut out = Vec::with_capacity(items.len());
        for (index, item) in items.into_iter().enumerate() {
            if let ValueKind::Table(values) = item.kind {
                let at = format!("{}[{index}]", self.at(name));
                out.push(self.read_below(name, at, values, &mut read));
            } else {
                self.not_a_list(name);
            }
        }
        out
    }

    fn not_a_list(&mut self, name: &str) {
        let line = format!(
            "{}: must be tables, [[{}]]",
            self.at(name),
            join(&self.table, name)
        );
        self.problems.add(line);
    }

    fn read_below<T>(
        &mut self,
        name: &str,
        at: String,
        values: Map<String, Value>,
        read: impl FnOnce(&mut Section<'_>) -> T,
    ) -> T {
        let mut below = Section {
            table: join(&self.table, name),
            at,
            values,
            problems: self.problems,
        };
        let out = read(&mut below);
        below.refuse_rest();
        out
    }

    /// Records what nobody has asked for: it is not a key.
    pub(super) fn refuse_rest(self) {
        let mut rest: Vec<&String> = self.values.keys().collect();
        rest.sort();
        for leaf in rest {
            let name = join(&self.table, leaf);
            let hint = suggestion(&name);
            self.problems.unknown(&join(&self.at, leaf), hint);
        }
    }

    /// The sound value given, else the default.
    fn take(&mut self, leaf: &str) -> Option<Sound> {
        let key = self.key(leaf)?;
        let Some(value) = self.values.remove(leaf) else {
            return key.default.and_then(|text| key.kind.sound_text(text));
        };
        let sound = key.kind.sound(&value);
        if sound.is_none() {
            self.problems.refuse(&join(&self.at, leaf), key, &value);
        }
        sound
    }

    fn key(&mut self, leaf: &str) -> Option<&'static Key> {
        let name = join(&self.table, leaf);
        let key = KEYS.iter().find(|key| key.name == name);
        if key.is_none() {
            // Unreachable while the tests pass: every key is read in each of them.
            self.problems
                .add(format!("{name}: missing in the table of keys"));
        }
        key
    }
}

fn join(at: &str, leaf: &str) -> String {
    match (at, leaf) {
        ("", leaf) => leaf.to_owned(),
        (at, "") => at.to_owned(),
        (at, leaf) => format!("{at}.{leaf}"),
    }
}

/// The key or table that was probably meant: one spelt alike, or the same key in another table.
fn suggestion(name: &str) -> Option<&'static str> {
    let leaf = name.rsplit('.').next().unwrap_or(name);
    let elsewhere = KEYS
        .iter()
        .find(|key| key.split().1 == leaf)
        .map(|key| key.name);
    let tables = KEYS.iter().map(|key| key.split().0);
    let names = KEYS.iter().map(|key| key.name).chain(tables).chain(LISTS);
    nearest(name, names).or(elsewhere)
}

/// The candidate that differs from `word` in the fewest letters, if those are few.
pub(super) fn nearest<'a>(
    word: &str,
    candidates: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    let (distance, candidate) = candidates
        .map(|candidate| (distance(word, candidate), candidate))
        .min()?;
    (distance <= (word.len() / 4).clamp(1, 4)).then_some(candidate)
}

/// Letters to insert, delete or replace to make one word of the other, in whatever case (Levenshtein).
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, b) in row.iter_mut().skip(1).zip(&to) {
            let replace = diagonal + usize::from(!a.eq_ignore_ascii_case(b));
            diagonal = *cell;
            left = replace.min(left + 1).min(diagonal + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}
