//! Which file of the program imports from which, read from their `use` items and from the paths in their code.
//!
//! A name that a file passes on (`pub use`) counts as an import from where it is defined: not from whoever passes it on, nor by them.

use super::source::Source;
use std::collections::{BTreeMap, BTreeSet};

/// A module's path from the crate's root.
type Module = Vec<String>;

pub(super) struct Imports {
    files: BTreeMap<Module, String>,
    /// What a module passes on, by its name there.
    passed_on: BTreeMap<(Module, String), Vec<String>>,
}

impl Imports {
    /// Every file of `program` with those that it imports from.
    pub(super) fn read(program: &[(String, Source)]) -> BTreeMap<String, BTreeSet<String>> {
        let modules = || program.iter().map(|(name, _)| (module(name), name.clone()));
        let mut imports = Self {
            files: modules().collect(),
            passed_on: BTreeMap::new(),
        };
        let code = |source: &Source| without_visibilities(source.code());
        for (name, source) in program {
            for path in uses(&code(source), true) {
                let own_name = path.last().cloned().unwrap_or_default();
                let key = (module(name), own_name);
                imports.passed_on.insert(key, path);
            }
        }
        let read = |(name, source): &(String, Source)| {
            let (me, code) = (module(name), code(source));
            let mut paths = uses(&code, false);
            paths.extend(inline_paths(&without_uses(&code)));
            let targets = paths.iter().filter_map(|path| imports.target(&me, path, 0));
            let targets = targets.filter(|target| target != name).collect();
            (name.clone(), targets)
        };
        program.iter().map(read).collect()
    }

    /// The file that defines what this path names in that module; `None` for what is not the program's.
    fn target(&self, from: &Module, path: &[String], depth: usize) -> Option<String> {
        let (first, rest) = path.split_first()?;
        let (mut at, mut rest) = match first.as_str() {
            "crate" | "whatsapp_dispatcher" => (vec![], rest),
            "self" => (from.clone(), rest),
            "super" => (from[..from.len().checked_sub(1)?].to_vec(), rest),
            _ if self.files.contains_key(&child(from, first)) => (from.clone(), path),
            _ => return None,
        };
        while let Some((first, behind)) = rest.split_first() {
            if first == "super" {
                at.pop();
            } else if self.files.contains_key(&child(&at, first)) {
                at = child(&at, first);
            } else {
                break;
            }
            rest = behind;
        }
        if let Some((name, behind)) = rest.split_first()
            && let Some(original) = self.passed_on.get(&(at.clone(), name.clone()))
            && depth < 8
        {
            let path: Vec<String> = original.iter().chain(behind).cloned().collect();
            if let Some(target) = self.target(&at, &path, depth + 1) {
                return Some(target);
            }
        }
        self.files.get(&at).cloned()
    }
}

fn child(of: &Module, name: &str) -> Module {
    let mut path = of.clone();
    path.push(name.to_owned());
    path
}

/// `src/core/lane.rs` and `src/core/lane/mod.rs` are both core::lane.
fn module(file: &str) -> Module {
    let path = file.trim_start_matches("src/").trim_end_matches(".rs");
    let mut path: Module = path.split('/').map(str::to_owned).collect();
    if path.last().is_some_and(|last| last == "mod") || path == ["lib"] {
        path.pop();
    }
    path
}

/// `pub(in crate::core)` is no import.
fn without_visibilities(code: &str) -> String {
    let mut parts = code.split("pub(in ");
    let mut kept = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        kept.push_str("pub");
        kept.push_str(part.split_once(')').map_or("", |(_, rest)| rest));
    }
    kept
}

/// The `use` items, from behind the word to the semicolon, with whether each passes on what it names.
fn use_items(code: &str) -> Vec<(usize, usize, bool)> {
    let starts = code.match_indices("use ");
    let items = starts.filter_map(|(at, word)| {
        let before = code[..at].trim_end_matches(' ');
        let is_item = before.is_empty() || before.ends_with(['\n', '}', ';', ')', 'b']);
        let line = before.rsplit('\n').next().unwrap_or_default();
        let end = at + code[at..].find(';')?;
        let is_public = line.trim_start().starts_with("pub");
        (is_item && !line.contains("//")).then_some((at + word.len(), end, is_public))
    });
    items.collect()
}

fn uses(code: &str, public: bool) -> Vec<Vec<String>> {
    let items = use_items(code).into_iter();
    let items = items.filter(|(_, _, is_public)| *is_public == public);
    items
        .flat_map(|(start, end, _)| expand(&code[start..end]))
        .collect()
}

fn without_uses(code: &str) -> String {
    let mut kept = String::new();
    let mut from = 0;
    for (start, end, _) in use_items(code) {
        kept.push_str(code.get(from..start).unwrap_or_default());
        from = end.max(from);
    }
    kept.push_str(&code[from..]);
    kept
}

/// `a::{b, c::{self, d}}` is a::b, a::c and a::c::d.
fn expand(tree: &str) -> Vec<Vec<String>> {
    let (mut depth, mut part, mut parts) = (0_usize, String::new(), vec![]);
    for c in tree.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if c == ',' && depth == 0 {
            parts.push(std::mem::take(&mut part));
        } else {
            part.push(c);
        }
    }
    parts.push(part);
    let mut paths = vec![];
    for part in parts.iter().map(|part| part.trim()) {
        let (prefix, group) = match part.split_once('{') {
            Some((prefix, group)) => (prefix, Some(group.trim_end().trim_end_matches('}'))),
            None => (part, None),
        };
        let name = prefix.split(" as ").next().unwrap_or_default();
        let segments = name.split("::").map(str::trim);
        let segments = segments.filter(|segment| !segment.is_empty() && *segment != "*");
        let prefix: Vec<String> = segments.map(str::to_owned).collect();
        match group {
            Some(group) => paths.extend(expand(group).into_iter().map(|end| {
                let mut path = prefix.clone();
                path.extend(end.into_iter().filter(|segment| segment != "self"));
                path
            })),
            None if prefix.is_empty() => {}
            None => paths.push(prefix),
        }
    }
    paths
}

/// Paths of two names and more, as they stand in code.
fn inline_paths(code: &str) -> Vec<Vec<String>> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let words = code.split(|c: char| !is_part(c));
    let words = words.filter(|word| word.contains("::"));
    let segments = |word: &str| {
        let segments = word.split("::").filter(|segment| !segment.is_empty());
        segments.map(str::to_owned).collect::<Vec<_>>()
    };
    words.map(segments).collect()
}
