//! The reference pages and the contract files are what the program's own tables say.

use harness::worker::{Folder, binary};
use std::fs;
use std::path::Path;
use std::process::Command;

const FILES: &str = "deploy";

/// The exit code, and all that was printed.
fn reference(arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(binary());
    command.current_dir(env!("CARGO_MANIFEST_DIR")).env_clear();
    let output = command.arg("reference").args(arguments).output().unwrap();
    let text = [&output.stdout[..], &output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

#[test]
fn the_files_are_up_to_date() {
    let (code, said) = reference(&["--check", FILES]);
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn a_page_that_differs_is_named_with_what_mends_it() {
    let folder = Folder::create();
    let files = folder.0.join("deploy");
    let directory = files.to_str().unwrap();
    let (code, said) = reference(&["--check", directory]);
    assert_eq!((code, said.lines().count()), (Some(1), 9), "{said}");
    assert_eq!(reference(&[directory]).0, Some(0));
    assert_eq!(reference(&["--check", directory]).0, Some(0));

    let page = files.join("docs/reference/metrics.md");
    let text = fs::read_to_string(&page).unwrap();
    fs::write(&page, text.replace("Resident memory.", "Memory.")).unwrap();
    let (code, said) = reference(&["--check", directory]);
    assert_eq!(code, Some(1));
    let [differs, mend] = &said.lines().collect::<Vec<_>>()[..] else {
        panic!("one page differs: {said}");
    };
    let named = format!("{} is not what the tables say", page.display());
    assert!(differs.ends_with(&named), "{said}");
    assert!(
        mend.contains(&format!("`whatsapp-dispatcher reference {directory}`")),
        "{said}"
    );
    assert_eq!(reference(&[directory]).0, Some(0));
    assert_eq!(fs::read_to_string(&page).unwrap(), text);
}

/// A page that cannot be written is named.
#[test]
fn where_nothing_can_be_written_that_is_said() {
    let folder = Folder::create();
    let file = folder.write("file", "");
    let (code, said) = reference(&[Path::new(&file).to_str().unwrap()]);
    assert_eq!(code, Some(1));
    assert!(
        said.contains("file/docs/reference/configuration.md"),
        "{said}"
    );
}
