//! `deploy/dev`'s own parts, where they can be asked without installing anything.

use std::path::Path;
use std::process::Command;

/// What a line of the scripts prints, once their parts are there and `apt_install` tells what it would install.
fn shell(line: &str) -> String {
    let script = format!(
        "set -euo pipefail; ROOT=$PWD
        source deploy/dev.d/common.sh; source deploy/dev.d/prerequisites.sh
        apt_install() {{ printf '%s|' \"$@\"; }}
        {line}"
    );
    let output = Command::new("bash")
        .args(["-c", &script])
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")))
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{line}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

/// One call of apt with every package as a word of its own, however many are missing.
#[test]
fn packages_of_missing_commands_are_asked_for_one_by_one() {
    let cases = [
        ("", ""),
        ("sh=dash", ""),
        ("sh=dash env=coreutils cat=coreutils", ""),
        ("none-1=one", "one|"),
        ("none-1=one sh=dash", "one|"),
        ("sh=dash none-1=one none-2=two", "one|two|"),
        ("none-1=one none-2=two none-3=three", "one|two|three|"),
        (
            "none-1=one,one-dev sh=dash none-2=two none-3=three,three-dev",
            "one|one-dev|two|three|three-dev|",
        ),
    ];
    for (wanted, installed) in cases {
        assert_eq!(
            shell(&format!("need_commands {wanted}")),
            installed,
            "need_commands {wanted}"
        );
    }
}
