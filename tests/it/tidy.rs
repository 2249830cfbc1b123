//! The house rules, as a test: a rule that nobody checks decays. Each exception stands here with its reason.
//!
//! Rust files are read without comments, and code is matched outside of literals and test modules.

use source::{Function, Source};
use std::fs;
use std::path::{Path, PathBuf};

mod comments;
mod documents;
mod imports;
mod layers;
mod source;

/// What is read: nothing that is built, downloaded or left behind.
const PLACES: [&str; 10] = [
    ".ci",
    ".dockerignore",
    ".gitignore",
    "Cargo.lock",
    "Cargo.toml",
    "README.md",
    "deploy",
    "findings",
    "src",
    "tests",
];

const LINES_MAX: usize = 450;
const FUNCTION_LINES_MAX: usize = 70;

/// Longer than [`LINES_MAX`], and why it is better so.
const LONG_FILES: [(&str, &str); 1] = [(
    "tests/graph-sim/src/rules/tests.rs",
    "one test per rule of the API",
)];

/// Names of policies, which are no headers.
const POLICIES: [&str; 2] = ["\"wa-retention\"", "\"wa-strays\""];

/// Longer than [`FUNCTION_LINES_MAX`], and why.
const LONG_FUNCTIONS: [(&str, &str, &str); 2] = [
    (
        "src/roles/dispatcher/mod.rs",
        "run",
        "starts everything once, in order, and drains it",
    ),
    (
        "tests/it/flow/refused.rs",
        "a_rejection_names_every_fault_and_no_value",
        "one document with every fault, and what is said of each",
    ),
];

/// Who else may name the crate of an edge, for what.
const CRATE_EXCEPTIONS: [(&str, &str, &str); 4] = [
    (
        "lapin",
        "src/config/rules.rs",
        "broker.url is checked by the parser that will read it",
    ),
    ("reqwest", "src/config/rules.rs", "as is graph.base_url"),
    (
        "reqwest",
        "src/credentials.rs",
        "a token is kept as the header value it becomes",
    ),
    (
        "reqwest",
        "src/spans/export.rs",
        "the collector gets a client of its own, with none of the API's headers",
    ),
];

/// What decides and must not: wait, read a clock, draw a number, log, share, or know an edge.
const IMPURE: [&str; 32] = [
    "async",
    "await",
    "Instant::now",
    "SystemTime",
    "UNIX_EPOCH",
    "Timestamp::now",
    "Zoned::now",
    "rand",
    "fastrand",
    "thread_rng",
    "RandomState",
    "tracing",
    "log",
    "println",
    "eprintln",
    "static mut",
    "thread_local",
    "lazy_static",
    "LazyLock",
    "OnceLock",
    "OnceCell",
    "Mutex",
    "RwLock",
    "mpsc",
    "std::thread",
    "std::net",
    "std::fs",
    "std::env",
    "lapin",
    "reqwest",
    "tokio",
    "prometheus",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files(place: &Path, found: &mut Vec<PathBuf>) {
    // Others' code, kept as they wrote it.
    if place.ends_with("deploy/vendor") {
        return;
    }
    if place.is_dir() {
        let mut entries: Vec<_> = fs::read_dir(place)
            .unwrap()
            .map(|e| e.unwrap().path())
            .collect();
        entries.sort();
        entries.iter().for_each(|entry| files(entry, found));
    } else if place.is_file() {
        found.push(place.to_owned());
    }
}

/// Every text file, by its path from the root.
fn texts() -> Vec<(String, String)> {
    let mut found = vec![];
    PLACES
        .iter()
        .for_each(|place| files(&root().join(place), &mut found));
    let read = |path: PathBuf| {
        let name = path
            .strip_prefix(root())
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        Some((name, fs::read_to_string(&path).ok()?))
    };
    found.into_iter().filter_map(read).collect()
}

/// Every Rust file of ours.
fn sources() -> Vec<(String, Source)> {
    let is_ours = |name: &str| name.ends_with(".rs") && !name.starts_with("deploy/vendor/");
    let rust = texts().into_iter().filter(|(name, _)| is_ours(name));
    rust.map(|(name, text)| (name, Source::read(&text)))
        .collect()
}

/// The program's code, without tests.
fn program() -> Vec<(String, Source)> {
    let is_program = |name: &str| {
        name.starts_with("src/") && !name.ends_with("/tests.rs") && !name.contains("/tests/")
    };
    let sources = sources().into_iter();
    sources.filter(|(name, _)| is_program(name)).collect()
}

fn none(broken: &[String]) {
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

/// Where that word is code of a file.
fn places_of(word: &str, name: &str, source: &Source) -> Vec<String> {
    let lines = source.lines_with(word).into_iter();
    lines.map(|line| format!("{name}:{line}: {word}")).collect()
}

#[test]
fn the_core_only_decides() {
    let mut broken = vec![];
    for (name, source) in program() {
        for word in IMPURE.iter().filter(|_| name.starts_with("src/core/")) {
            broken.extend(places_of(word, &name, &source));
        }
    }
    none(&broken);
}

#[test]
fn edges_do_not_know_each_other() {
    let homes = [
        ("lapin", "src/broker/"),
        ("reqwest", "src/graph"),
        ("opentelemetry", "src/spans"),
    ];
    let mut broken = vec![];
    let mut used = 0;
    for (name, source) in program() {
        for (word, _) in homes.iter().filter(|(_, home)| !name.starts_with(home)) {
            let places = places_of(word, &name, &source);
            let is_known = |(of, at, _): &(&str, &str, &str)| of == word && *at == name;
            if CRATE_EXCEPTIONS.iter().any(is_known) {
                used += places.len().min(1);
                continue;
            }
            broken.extend(places);
        }
    }
    none(&broken);
    assert_eq!(
        used,
        CRATE_EXCEPTIONS.len(),
        "an exception is needed no more"
    );
}

#[test]
fn only_a_confirmed_publish_lets_a_delivery_go() {
    let owners = [
        ("Acker", "src/broker/delivery.rs"),
        ("Confirmed(", "src/broker/publish.rs"),
    ];
    let mut broken = vec![];
    for (name, source) in program() {
        for (word, _) in owners.iter().filter(|(_, owner)| name != *owner) {
            broken.extend(places_of(word, &name, &source));
        }
    }
    none(&broken);
}

/// A header that is named anywhere else could be missing from the table of what becomes of each.
#[test]
fn headers_of_ours_are_named_in_one_file() {
    let is_elsewhere =
        |name: &str| name.starts_with("src/") && !name.starts_with("src/broker/headers");
    let mut broken = vec![];
    for (name, text) in texts().into_iter().filter(|(name, _)| is_elsewhere(name)) {
        let lines = text.lines().enumerate();
        // A policy's name.
        let naming = lines.filter(|(_, line)| {
            line.contains("\"wa-") && !POLICIES.iter().any(|name| line.contains(name))
        });
        let naming = naming.filter(|_| !name.contains("/tests"));
        broken.extend(naming.map(|(number, line)| format!("{name}:{}: {line}", number + 1)));
    }
    none(&broken);
}

#[test]
fn files_and_functions_stay_short() {
    let mut broken = vec![];
    // What is listed and is not long, or not there, is listed no more.
    let mut stale: Vec<String> = LONG_FILES
        .iter()
        .map(|(file, _)| (*file).to_owned())
        .collect();
    let listed = LONG_FUNCTIONS.iter();
    stale.extend(listed.map(|(file, function, _)| format!("{file}: {function}")));
    for (name, source) in sources() {
        let lines = source.line_count();
        if lines > LINES_MAX && !taken_out(&mut stale, &name) {
            broken.push(format!(
                "{name}: {lines} lines, at most {LINES_MAX} (or in LONG_FILES, with a reason)"
            ));
        }
        for Function {
            name: function,
            line,
            lines,
        } in source.functions()
        {
            if lines > FUNCTION_LINES_MAX && !taken_out(&mut stale, &format!("{name}: {function}"))
            {
                broken.push(format!("{name}:{line}: {function} has {lines} lines, at most {FUNCTION_LINES_MAX} (or in LONG_FUNCTIONS, with a reason)"));
            }
        }
    }
    broken.extend(
        stale
            .iter()
            .map(|listed| format!("{listed}: is not long (any more)")),
    );
    none(&broken);
}

/// Whether it was in the list, in which it is no more.
fn taken_out(list: &mut Vec<String>, entry: &str) -> bool {
    let before = list.len();
    list.retain(|listed| listed != entry);
    list.len() < before
}

#[test]
fn nothing_is_left_from_debugging() {
    // Where printing is the program's business.
    let prints = |name: &str| name == "src/main.rs" || !name.starts_with("src/");
    let mut broken = vec![];
    for (name, source) in program() {
        let printing = ["println!", "eprintln!", "print!", "eprint!"];
        let always = ["dbg!", "todo!", "unimplemented!"];
        let words = printing.iter().filter(|_| !prints(&name)).chain(&always);
        for word in words {
            broken.extend(places_of(word, &name, &source));
        }
    }
    none(&broken);
}

#[test]
fn no_machine_is_named() {
    // Put together here, so that this file does not break its own rule.
    let paths =
        ["/ho#me/", "/ro#ot/", "/Us#ers/", "/wo#rk/", "/tmp/w#t"].map(|path| path.replace('#', ""));
    let mut broken = vec![];
    for (name, text) in texts() {
        for (number, line) in text.lines().enumerate() {
            let path = paths.iter().find(|path| line.contains(path.as_str()));
            broken.extend(path.map(|path| format!("{name}:{}: {path}", number + 1)));
            // A mirror of one machine's would keep everybody else from building.
            if name.ends_with("Cargo.lock")
                && line.starts_with("source = ")
                && !line.contains("github.com/rust-lang/crates.io-index")
            {
                broken.push(format!("{name}:{}: {line}", number + 1));
            }
        }
    }
    none(&broken);
}

/// What belongs to nobody's work ends up at the top: a downloaded package, a log, a note.
#[test]
fn nothing_lies_about_at_the_top() {
    let known = |name: &str| {
        // Not ours to keep, and in .gitignore.
        let passing = [".git", ".cache", "target", "LICENSE", "dashboards"];
        PLACES.contains(&name) || passing.contains(&name)
    };
    let entries = fs::read_dir(root()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    none(&names.filter(|name| !known(name)).collect::<Vec<_>>());
}

/// The string literals right after these calls.
fn arguments(file: &str, calls: &[&str]) -> Vec<String> {
    let text = fs::read_to_string(root().join(file)).unwrap();
    let after = |call: &&str| {
        text.split(*call)
            .skip(1)
            .map(str::trim_start)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let literal = |text: String| Some(text.strip_prefix('"')?.split('"').next()?.to_owned());
    calls.iter().flat_map(after).filter_map(literal).collect()
}

#[test]
fn the_operators_page_names_every_path() {
    let page = fs::read_to_string(root().join("deploy/docs/operating.md")).unwrap();
    let mut missing = vec![];
    let paths = arguments("src/roles/dispatcher/admin.rs", &[".route("]);
    assert!(paths.len() > 5, "found only {paths:?}");
    for path in &paths {
        // `…/resume` after its sibling will do.
        let end = path.rsplit('/').next().unwrap_or_default();
        if !page.contains(path.as_str()) && !page.contains(&format!("`…/{end}`")) {
            missing.push(format!("the path {path}"));
        }
    }
    none(&missing);
}

/// The rules can fail: what they match is seen where it is code, and only there.
#[test]
fn what_is_matched_is_code() {
    let source = Source::read(
        r##"//! async
use x::Async; // await
/* tokio /* nested */ tokio */
const A: &str = "tokio \" tokio"; const B: &str = r#"tokio " tokio"#; const C: char = '"'; // lifetimes: 'tokio
fn f<'a>(x: &'a str) -> char {
    tokio::spawn(x); '\''
}
#[cfg(test)]
mod tests {
    async fn g() {}
}
fn NotConfirmed() { Confirmed(()) }
"##,
    );
    assert_eq!(source.lines_with("async"), [0; 0]);
    assert_eq!(source.lines_with("await"), [0; 0]);
    assert_eq!(source.lines_with("tokio"), [6]);
    assert_eq!(source.lines_with("Confirmed("), [12]);
    let functions: Vec<_> = source.functions().map(|f| (f.name, f.lines)).collect();
    let expected = [("f", 3), ("NotConfirmed", 1)].map(|(name, lines)| (name.to_owned(), lines));
    assert_eq!(functions, expected);
}
