//! Where settings come from: files, a later one over an earlier one, then the environment. Both are arguments.

use super::keys::{KEYS, Key, LISTS, PREFIX};
use super::read::{Problems, nearest};
use ::config::{Config, Environment, File, FileFormat, Map, Value};
use std::collections::HashMap;
use std::io;
use std::path::PathBuf;

/// Variables of the test suite, which may run this binary.
const TEST_PREFIX: &str = "DISPATCHER_TEST_";

/// A file's name, and its text or why there is none.
pub(super) type Text = (String, io::Result<String>);

pub(super) fn read_files(files: &[PathBuf]) -> Vec<Text> {
    files
        .iter()
        .map(|file| (file.display().to_string(), std::fs::read_to_string(file)))
        .collect()
}

/// One tree of all sources. What cannot be read is recorded and left out, so that the rest is checked too.
pub(super) fn merge(
    texts: Vec<Text>,
    env: HashMap<String, String>,
    problems: &mut Problems,
) -> Map<String, Value> {
    let mut builder = Config::builder();
    for (name, text) in texts {
        match text.map_err(|error| error.to_string()).and_then(parse) {
            Ok(parsed) => builder = builder.add_source(parsed),
            Err(problem) => problems.add(format!("{name}: {problem}")),
        }
    }
    let environment = Environment::with_prefix(PREFIX.trim_end_matches('_'))
        // Without this the prefix would have to end in "__" too, and DISPATCHER_BROKER__URL be ignored.
        .prefix_separator("_")
        .separator("__")
        .source(Some(known_variables(env, problems)));
    let merged = builder.add_source(environment).build();
    match merged.and_then(|config| config.cache.into_table()) {
        Ok(tree) => tree,
        Err(error) => {
            problems.add(without_excerpt(&error.to_string()));
            Map::new()
        }
    }
}

/// From text, not from its path: so no value has an origin but those of the environment.
fn parse(text: String) -> Result<Config, String> {
    Config::builder()
        .add_source(File::from_str(&text, FileFormat::Toml))
        .build()
        .map_err(|error| without_excerpt(&error.to_string()))
}

/// The parser's message quotes the line it stumbled over, which may hold a token: keep the place and the reason.
fn without_excerpt(message: &str) -> String {
    let is_excerpt = |line: &&str| {
        line.trim_start()
            .trim_start_matches(|c: char| c.is_ascii_digit())
            .trim_start()
            .starts_with('|')
    };
    let kept: Vec<&str> = message.lines().filter(|line| !is_excerpt(line)).collect();
    kept.join(": ")
}

/// Our variables that name a key. Others of ours are recorded as problems; those of other owners are not ours to judge.
fn known_variables(
    env: HashMap<String, String>,
    problems: &mut Problems,
) -> HashMap<String, String> {
    let names: Vec<String> = KEYS.iter().filter_map(Key::env_name).collect();
    let (known, mut unknown): (Vec<_>, Vec<_>) = env
        .into_iter()
        .filter(|(name, _)| name.starts_with(PREFIX) && !is_foreign(name))
        .partition(|(name, _)| names.contains(name));
    unknown.sort();
    for (name, _) in unknown {
        let what = format!("environment variable {name}");
        if is_of_a_list(&name) {
            problems.add(format!("{what}: lists are set in files only"));
        } else {
            problems.unknown(&what, nearest(&name, names.iter().map(String::as_str)));
        }
    }
    known.into_iter().collect()
}

fn is_of_a_list(name: &str) -> bool {
    let section = name.trim_start_matches(PREFIX).split("__").next();
    section.is_some_and(|section| LISTS.contains(&section.to_lowercase().as_str()))
}

/// Kubernetes gives every pod variables named after each Service; one called "dispatcher" must not stop us.
/// They never contain the "__" of a key.
fn is_foreign(name: &str) -> bool {
    let of_a_service = !name.contains("__")
        && (["_SERVICE_HOST", "_SERVICE_PORT", "_PORT_"]
            .iter()
            .any(|part| name.contains(part))
            || name.ends_with("_PORT"));
    of_a_service || name.starts_with(TEST_PREFIX)
}

/// The process's environment, for [`super::Config::load`]. A value that is not UTF-8 comes out damaged rather than
/// missing: it fails where it is used, instead of a default taking its place unnoticed.
pub fn environment() -> HashMap<String, String> {
    std::env::vars_os()
        .map(|(name, value)| (lossy(&name), lossy(&value)))
        .collect()
}

fn lossy(text: &std::ffi::OsStr) -> String {
    text.to_string_lossy().into_owned()
}
