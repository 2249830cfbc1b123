//! Documents lead where they say: every link, every section that is named anywhere, every path.

use super::{files, none, root, texts};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// Where documents are.
const PLACES: [&str; 6] = [
    "README.md",
    "dashboards",
    "deploy",
    "findings",
    "src",
    "tests",
];

/// What happened is not rewritten when a file moves.
const HISTORY: &str = "deploy/CHANGELOG.md";

/// Characters of a line of prose.
const LINE_MAX: usize = 140;
/// Bytes of the first page that anybody reads.
const README_MAX: usize = 12_000;

/// Every document, by its path from the root.
fn documents() -> BTreeMap<String, String> {
    let mut found = vec![];
    for place in PLACES {
        files(&root().join(place), &mut found);
    }
    let markdown = found
        .into_iter()
        .filter(|path| path.extension().is_some_and(|end| end == "md"));
    let read = markdown.map(|path| {
        let name = path.strip_prefix(root()).unwrap().to_str().unwrap();
        (name.to_owned(), fs::read_to_string(&path).unwrap())
    });
    read.collect()
}

/// The lines that are no code, with their numbers.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut is_code = false;
    let lines = text.lines().enumerate().filter(move |(_, line)| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    });
    lines.map(|(index, line)| (index + 1, line))
}

/// The headings, without their marks.
fn headings(text: &str) -> impl Iterator<Item = String> {
    let headings = prose(text).filter(|(_, line)| line.starts_with('#'));
    headings.map(|(_, line)| line.trim_start_matches('#').trim().replace('`', ""))
}

/// A heading's name in addresses, as GitHub makes it.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter_map(|c| match c {
        ' ' => Some('-'),
        '-' | '_' => Some(c),
        c if c.is_alphanumeric() => Some(c),
        _ => None,
    });
    kept.collect::<String>().to_lowercase()
}

/// A path that a file names, from the root.
fn resolved(from: &str, path: &str) -> String {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Where the links of a line lead to.
fn links(line: &str) -> Vec<&str> {
    let after = line.split("](").skip(1);
    let targets = after.filter_map(|rest| rest.split(')').next());
    targets.filter(|target| !target.contains("://")).collect()
}

#[test]
fn every_link_leads_somewhere() {
    let documents = documents();
    assert!(documents.len() > 12, "found only {:?}", documents.keys());
    let anchors: BTreeMap<&str, BTreeSet<String>> = documents
        .iter()
        .map(|(name, text)| (&**name, headings(text).map(|h| anchor(&h)).collect()))
        .collect();
    let mut broken = vec![];
    for (name, text) in &documents {
        for (number, line) in prose(text) {
            for target in links(line) {
                let (path, fragment) = target.split_once('#').unwrap_or((target, ""));
                let path = if path.is_empty() {
                    name.clone()
                } else {
                    resolved(name, path)
                };
                let is_there = root().join(&path).exists();
                let known = anchors.get(&*path);
                let has_it = known.is_some_and(|known| known.contains(fragment));
                if !is_there || !(fragment.is_empty() || has_it) {
                    broken.push(format!("{name}:{number}: {target}"));
                }
            }
        }
    }
    none(&broken);
}

/// Files move; the documents that name them must follow.
#[test]
fn every_path_that_is_named_exists() {
    let homes = [
        "src/",
        "tests/",
        "deploy/",
        "dashboards/",
        "findings/",
        ".ci/",
    ];
    let is_pattern = |path: &str| path.contains(['*', '<', '{', ' ', '…', '(']);
    let mut broken = vec![];
    for (name, text) in documents().iter().filter(|(name, _)| *name != HISTORY) {
        for (number, line) in prose(text) {
            let code = line.split('`').skip(1).step_by(2);
            let paths = code.filter(|code| homes.iter().any(|home| code.starts_with(home)));
            let missing = paths.filter(|path| !is_pattern(path) && !root().join(path).exists());
            broken.extend(missing.map(|path| format!("{name}:{number}: {path}")));
        }
    }
    none(&broken);
}

/// `deploy/README.md, "Sizing"`, in a comment, an error's text or a document.
#[test]
fn every_section_that_is_named_exists() {
    let documents = documents();
    let mut broken = vec![];
    let mut count = 0;
    for (name, text) in texts() {
        for (document, section) in named_sections(&text) {
            count += 1;
            let document = document.trim_start_matches("../");
            let near = resolved(&name, document);
            let text = documents.get(document).or_else(|| documents.get(&near));
            let is_there = text.is_some_and(|text| headings(text).any(|h| h == section));
            if !is_there {
                broken.push(format!("{name}: {document}, \"{section}\""));
            }
        }
    }
    none(&broken);
    assert!(count > 5, "found only {count}");
}

/// The documents and sections that a text names, over the ends of lines.
fn named_sections(text: &str) -> Vec<(String, String)> {
    let marks = ['/', '!', '#', ' ', '\t'];
    let lines = text.lines().map(|line| line.trim_start_matches(marks));
    let text = lines.collect::<Vec<_>>().join(" ").replace('\\', "");
    let mut named = vec![];
    let mut rest = &*text;
    while let Some((before, after)) = rest.split_once(".md") {
        rest = after;
        let of = before
            .rsplit([' ', '`', '(', '"'])
            .next()
            .unwrap_or_default();
        let links = [", \"", " says under \"", " lists under \""];
        let quoted = links.iter().find_map(|link| after.strip_prefix(link));
        let section = quoted.and_then(|quoted| quoted.split('"').next());
        named.extend(section.map(|section| (format!("{of}.md"), section.to_owned())));
    }
    named
}

#[test]
fn the_readme_is_short_and_lines_have_a_length() {
    let documents = documents();
    let readme = documents["README.md"].len();
    let mut broken = vec![];
    if readme > README_MAX {
        broken.push(format!(
            "README.md has {readme} bytes, at most {README_MAX}"
        ));
    }
    // A table's row is one line, and so is an address.
    let is_free = |line: &str| line.starts_with(['|', '!', '#']) || line.contains("](http");
    for (name, text) in &documents {
        for (number, line) in prose(text).filter(|(_, line)| !is_free(line)) {
            let length = line.chars().count();
            if length > LINE_MAX {
                broken.push(format!(
                    "{name}:{number}: {length} characters, at most {LINE_MAX}"
                ));
            }
        }
    }
    none(&broken);
}

/// The checks can fail.
#[test]
fn what_is_named_is_found() {
    assert_eq!(
        anchor("Replaying wa.dead, and `more`: a_b"),
        "replaying-wadead-and-more-a_b"
    );
    assert_eq!(resolved("deploy/docs/a.md", "../../src/b.md"), "src/b.md");
    assert_eq!(
        links("[a](b.md#c) and ![d](e.png), [f](https://g)"),
        ["b.md#c", "e.png"]
    );
    // Put together here, so that this file names no document that is not there.
    let text = "see a/b.m#,\n/// \"A section\" and (c.m#, \"D\"), e.m#.".replace('#', "d");
    let expected = [("a/b.md", "A section"), ("c.md", "D")];
    let expected = expected.map(|(of, section)| (of.to_owned(), section.to_owned()));
    assert_eq!(named_sections(&text), expected);
    let code = "a\n```sh\n# no heading\n```\n# One `x`\n";
    assert_eq!(headings(code).collect::<Vec<_>>(), ["One x"]);
    assert!(Path::new(root()).is_absolute());
}
