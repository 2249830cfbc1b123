//! Who may import from whom.

use super::imports::Imports;
use super::source::Source;
use super::{none, program};
use std::collections::{BTreeMap, BTreeSet};

/// The floors of the program, from the ground up. A file may import from its own room and from all floors below it, not from other rooms
/// of its own floor nor from above.
const FLOORS: [&[&str]; 21] = [
    &["src/contract/", "src/core/hash.rs", "src/core/mod.rs"],
    &["src/core/media"],
    &["src/core/operation"],
    &["src/core/outcome"],
    &["src/core/request"],
    &["src/core/connection", "src/core/evidence", "src/core/fleet"],
    &["src/core/lane"],
    &["src/clock.rs", "src/config"],
    &["src/credentials.rs", "src/tasks.rs"],
    &["src/metrics"],
    &["src/log", "src/spans"],
    // Neither knows the other: what is asked of the API and what of RabbitMQ meets above them.
    &["src/broker", "src/graph"],
    &[
        "src/roles/dispatcher/board",
        "src/roles/dispatcher/evidence.rs",
        "src/roles/dispatcher/recall.rs",
        "src/roles/dispatcher/media",
    ],
    &[
        "src/roles/dispatcher/conclude",
        "src/roles/dispatcher/intake.rs",
    ],
    &["src/roles/dispatcher/lane_task"],
    &[
        "src/roles/dispatcher/delay.rs",
        "src/roles/dispatcher/unrouted.rs",
        "src/roles/dispatcher/upkeep.rs",
        "src/roles/dispatcher/signals.rs",
        "src/roles/dispatcher/workload.rs",
    ],
    &["src/roles/dispatcher/admin"],
    &["src/roles/dispatcher/mod.rs"],
    &["src/roles/mod.rs"],
    &["src/cli"],
    &["src/lib.rs", "src/main.rs"],
];

/// Documents of others, which are read where they come in. All that the program writes itself is in `src/contract/`.
const OTHERS_DOCUMENTS: [(&str, &str); 3] = [
    (
        "src/core/media/links.rs",
        "what callers publish, byte for byte",
    ),
    ("src/core/outcome/answer.rs", "what Meta answers to a send"),
    ("src/graph/reads.rs", "what Meta answers to a read"),
];

type Edges = BTreeMap<String, BTreeSet<String>>;

fn imports() -> Edges {
    Imports::read(&program())
}

/// The floor and the room that a file belongs to.
fn place(file: &str) -> Option<(usize, &'static str)> {
    let rooms = FLOORS.iter().enumerate();
    let rooms = rooms.flat_map(|(floor, rooms)| rooms.iter().map(move |room| (floor, *room)));
    rooms
        .filter(|(_, room)| file.starts_with(room))
        .max_by_key(|(_, room)| room.len())
}

#[test]
fn imports_point_downwards() {
    let mut broken = vec![];
    for (file, targets) in imports() {
        let Some((floor, room)) = place(&file) else {
            broken.push(format!("{file} is on no floor (FLOORS)"));
            continue;
        };
        for target in targets {
            let Some((below, other)) = place(&target) else {
                continue;
            };
            if other != room && below >= floor {
                broken.push(format!("{file} imports from {target}"));
            }
        }
    }
    none(&broken);
}

#[test]
fn documents_stand_in_the_contract() {
    let mut broken = vec![];
    let mut read = BTreeSet::new();
    for (name, source) in program() {
        for word in ["Serialize", "Deserialize"] {
            for line in source.lines_with(word) {
                if OTHERS_DOCUMENTS.iter().any(|(known, _)| *known == name) {
                    read.insert(name.clone());
                } else if !name.starts_with("src/contract/") {
                    broken.push(format!("{name}:{line}: {word}"));
                }
            }
        }
    }
    none(&broken);
    assert_eq!(
        read.len(),
        OTHERS_DOCUMENTS.len(),
        "no document is read there"
    );
}

/// A word of the contract has one home, by which everybody names it.
#[test]
fn nobody_passes_the_contract_on() {
    let mut broken = vec![];
    for (name, source) in program() {
        let lines = source.lines_with("pub use crate::contract").into_iter();
        broken.extend(lines.map(|line| format!("{name}:{line}: import it from where it stands")));
    }
    none(&broken);
}

#[test]
fn every_room_is_there() {
    let files: Vec<String> = imports().into_keys().collect();
    let is_there = |room: &&&str| files.iter().any(|file| file.starts_with(**room));
    let rooms = FLOORS.iter().flat_map(|rooms| rooms.iter());
    let gone = rooms.filter(|room| !is_there(room));
    none(
        &gone
            .map(|room| format!("{room}: no such room"))
            .collect::<Vec<_>>(),
    );
}

#[test]
fn no_files_import_in_a_circle() {
    none(&circles(&imports()));
}

/// Every file that can be reached from itself, with those on the way.
fn circles(edges: &Edges) -> Vec<String> {
    let reached = |from: &String| {
        let (mut seen, mut open) = (BTreeSet::new(), vec![from]);
        while let Some(file) = open.pop() {
            for target in edges.get(file).into_iter().flatten() {
                if seen.insert(target) {
                    open.push(target);
                }
            }
        }
        seen
    };
    let all: BTreeMap<_, _> = edges.keys().map(|file| (file, reached(file))).collect();
    let is_back = |from: &String, to: &String| all.get(to).is_some_and(|seen| seen.contains(from));
    let circular = all.iter().filter(|(file, seen)| seen.contains(*file));
    circular
        .map(|(file, seen)| {
            let with = seen.iter().filter(|other| is_back(file, other));
            let with: Vec<_> = with.map(|other| other.as_str()).collect();
            format!("{file} is in a circle: {}", with.join(", "))
        })
        .collect()
}

#[test]
fn an_import_is_seen_wherever_it_stands() {
    let file = |name: &str, text: &str| (name.to_owned(), Source::read(text));
    let program = [
        file("src/lib.rs", "pub mod a; pub mod b;"),
        file(
            "src/a/mod.rs",
            "mod c;\npub use c::{C, D as E};\npub mod d;\n",
        ),
        file(
            "src/a/c.rs",
            "use super::d::{self, Deep};\npub(in crate::a) struct C;\n",
        ),
        file(
            "src/a/d.rs",
            "// use crate::b::B;\nfn f() { crate::b::g(\"crate::a::c\") }\n",
        ),
        file(
            "src/b.rs",
            "use crate::{\n    a::{C},\n};\n#[cfg(test)]\nmod tests { use crate::a::d; }\n",
        ),
    ];
    let edges = Imports::read(&program);
    let targets = |file: &str| edges[file].iter().map(String::as_str).collect::<Vec<_>>();
    assert_eq!(targets("src/a/mod.rs"), [""; 0]);
    assert_eq!(targets("src/a/c.rs"), ["src/a/d.rs"]);
    assert_eq!(targets("src/a/d.rs"), ["src/b.rs"]);
    assert_eq!(targets("src/b.rs"), ["src/a/c.rs"]);
    assert_eq!(circles(&edges).len(), 3);
}
