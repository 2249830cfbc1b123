//! For tests alone: a lane that panics. Not part of a release.

use std::path::Path;

/// Panics if the file that `WA_TEST_PANIC` names holds this request's id; or if it is empty, and then only this once.
pub(super) fn panic_at(id: &str) {
    let Some(file) = std::env::var_os("WA_TEST_PANIC") else {
        return;
    };
    let file = Path::new(&file);
    let Ok(wish) = std::fs::read_to_string(file) else {
        return;
    };
    if wish.is_empty() {
        drop(std::fs::remove_file(file));
        panic!("a test asks for it");
    }
    // A text that quotes something must not be told.
    assert!(wish != id, "a test asks for it, at {id}");
}
