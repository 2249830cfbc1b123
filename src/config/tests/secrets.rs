//! Secrets: shown nowhere, read from files.

use super::*;

#[test]
fn secrets_are_in_no_debug_output() {
    let toml = format!(
        "[broker]\nurl = \"amqp://user:{PASSWORD}@a/%2f\"\n{}",
        account(&format!("token = \"{TOKEN}\"\napp_secret = \"{TOKEN}\""))
    );
    let config = load(&toml);
    assert!(config.broker.url.expose().contains(PASSWORD));
    let shown = format!("{config:?} {config:#?}");
    assert!(
        !shown.contains(PASSWORD) && !shown.contains(TOKEN),
        "{shown}"
    );
    assert!(shown.contains("***"));
}

#[test]
fn secrets_are_in_no_error() {
    let account = |rest: String| account(&rest);
    for toml in [
        format!("[broker]\nurl = \"http://user:{PASSWORD}@a/%2f\""),
        format!("[broker]\nurl = \"amqp://user:{PASSWORD}@a:port/%2f\""),
        format!("[broker]\nurl = [\"amqp://user:{PASSWORD}@a/%2f\"]"),
        format!("[graph]\nbase_url = \"https://user:{PASSWORD}@a\""),
        format!("[admin]\nlisten = \"amqp://user:{PASSWORD}@a\""),
        format!("[broker]\nurl = \"amqp://user:{PASSWORD}@a/%2f"),
        format!("[broker]\nurl = \"amqp://{PASSWORD}@a/%2f\" {PASSWORD}"),
        format!("[broker]\nurl = '''\n12 | {PASSWORD}"),
        account(format!("token = \"{TOKEN} {PASSWORD}\"")),
        account(format!("token = {TOKEN}")),
        account(format!("token = \"{TOKEN}\\q\"")),
        account(format!("token = \"{TOKEN}\"\ntoken = \"{TOKEN}\"")),
        account(format!("tokens = \"{TOKEN}\"")),
        account(format!("token = \"a\"\napp_secret = \"{TOKEN} \"")),
        account(format!("token = [\"{TOKEN}\"]")),
    ] {
        let found = mistakes(&toml).join("\n");
        assert!(
            !found.is_empty() && !found.contains(PASSWORD) && !found.contains(TOKEN),
            "{toml}\n{found}"
        );
    }
}

#[test]
fn token_files_are_read_and_checked() {
    let path = std::env::temp_dir().join(format!("wa-dispatcher-config-{}", std::process::id()));
    let toml = account(&format!("token_file = {path:?}"));
    let config = load(&toml);
    let start = format!("accounts[0].token_file: {}: ", path.display());
    assert!(config.check_files()[0].starts_with(&start));
    for (content, lines) in [("", 1), (" \n", 1), ("two words", 1), (" EAAGsecret\n", 0)] {
        std::fs::write(&path, content).unwrap();
        let found = config.check_files();
        assert_eq!(found.len(), lines, "{content:?}: {found:?}");
    }
    let token = config.accounts[0].token.read().unwrap();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(token.expose_secret(), TOKEN);
}
