//! The binary's face to an operator: arguments, exit codes, and every mistake at once. The rules themselves are tested
//! beside the code.

use harness::worker::{Folder, Worker, binary, free_port};
use std::process::{Command, Output};

const SOUND: &str = r#"
[[accounts]]
waba_id = "900"
token = "EAAGcanary"
[[accounts.numbers]]
phone_number_id = "111"
"#;

fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(binary());
    command.args(arguments).env_clear();
    command.envs(environment.iter().copied()).output().unwrap()
}

/// The exit code and everything that was printed.
fn check(config: &str, environment: &[(&str, &str)]) -> (i32, String) {
    let folder = Folder::create();
    let file = folder.write("config.toml", config);
    let output = run(&["check", "--config", file.to_str().unwrap()], environment);
    said(&output)
}

fn said(output: &Output) -> (i32, String) {
    let text = [&output.stdout[..], &output.stderr].concat();
    (
        output.status.code().unwrap(),
        String::from_utf8(text).unwrap(),
    )
}

fn sound() -> String {
    "the config is sound: 1 account(s), 1 number(s), intake.schema = \"warn\"\n".to_owned()
}

#[test]
fn a_sound_config_ends_with_0_and_says_so() {
    assert_eq!(check(SOUND, &[]), (0, sound()));
}

#[test]
fn the_commented_defaults_are_sound() {
    let folder = Folder::create();
    let accounts = folder.write("accounts.toml", SOUND);
    let defaults = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/config.toml");
    let arguments = [
        "check",
        "--config",
        defaults,
        "--config",
        accounts.to_str().unwrap(),
    ];
    assert_eq!(said(&run(&arguments, &[])), (0, sound()));
}

#[test]
fn all_mistakes_are_told_at_once_with_2() {
    let (code, text) = check(
        r#"
        [broker]
        heartbeat_s = 1000
        declre = true
        [graph]
        base_url = "http://graph.example.com"
        [drain]
        timeout_s = 5
        [pacing]
        utilization = "all of it"
        [[accounts]]
        waba_id = "nine hundred"
        token_file = "/nowhere/token"
        "#,
        &[
            ("DISPATCHER_RETRY__MAX_ATTEMPTS", "many"),
            ("DISPATCHER_BROKR__URL", "amqp://x"),
        ],
    );
    assert_eq!(code, 2, "{text}");
    for mistake in [
        "broker.heartbeat_s",
        "declre",
        "graph.base_url",
        "drain.timeout_s",
        "pacing.utilization",
        "waba_id",
        "DISPATCHER_RETRY__MAX_ATTEMPTS",
        "DISPATCHER_BROKR__URL",
    ] {
        assert!(text.contains(mistake), "{mistake} is not in:\n{text}");
    }
}

#[test]
fn a_config_that_serves_nobody_is_refused() {
    let (code, text) = check("", &[]);
    assert_eq!(code, 2);
    assert!(text.contains("[[accounts.numbers]]"), "{text}");
}

#[test]
fn files_that_cannot_be_used_are_told_by_check() {
    let config = SOUND.replace("token = \"EAAGcanary\"", "token_file = \"/nowhere/token\"");
    let (code, text) = check(&config, &[]);
    assert_eq!(code, 2);
    assert!(
        text.contains("accounts[0].token_file: /nowhere/token: "),
        "{text}"
    );
    let missing = run(&["check", "--config", "/nowhere/config.toml"], &[]);
    let (code, text) = said(&missing);
    assert_eq!(code, 2);
    assert!(text.contains("/nowhere/config.toml"), "{text}");
}

#[test]
fn wrong_usage_ends_with_2() {
    for arguments in [
        &[][..],
        &["dance"],
        &["run"],
        &["check"],
        &["check", "--confg", "x"],
    ] {
        let (code, text) = said(&run(arguments, &[]));
        assert_eq!(code, 2, "{arguments:?}: {text}");
        assert!(text.contains("Usage"), "{arguments:?}: {text}");
    }
    assert_eq!(said(&run(&["--version"], &[])).0, 0);
    assert_eq!(said(&run(&["--help"], &[])).0, 0);
}

#[test]
fn the_environment_goes_before_the_files() {
    let wrong = format!("[log]\nlevel = \"???=\"\n{SOUND}");
    assert_eq!(check(&wrong, &[]).0, 2);
    assert_eq!(check(&wrong, &[("DISPATCHER_LOG__LEVEL", "warn")]).0, 0);
    // The tests' own variables are not keys.
    assert_eq!(check(SOUND, &[("DISPATCHER_TEST_AMQP", "x")]).0, 0);
}

#[test]
fn plain_http_is_for_this_machine_only() {
    let with =
        |url: &str, more: &str| check(&format!("graph.base_url = \"{url}\"\n{more}\n{SOUND}"), &[]);
    let (code, text) = with("http://graph.example.com", "");
    assert_eq!(code, 2);
    assert!(text.contains("graph.allow_plain_http"), "{text}");
    for url in [
        "http://localhost:8090",
        "http://127.0.0.1:8090",
        "http://[::1]:8090",
        "https://graph.example.com",
    ] {
        assert_eq!(with(url, "").0, 0, "{url}");
    }
    for url in [
        "http://localhost.example.com",
        "http://127.0.0.1.example.com",
        "http://user@localhost@example.com",
    ] {
        assert_eq!(with(url, "").0, 2, "{url}");
    }
    assert_eq!(
        with("http://graph.example.com", "graph.allow_plain_http = true").0,
        0
    );
}

#[test]
fn no_secret_is_ever_printed() {
    let secret = "canary-secret";
    let configs = [
        // Each wrong in a way that makes the value itself suspicious.
        format!("broker.url = \"amqp://user:{secret}@[host\"\n{SOUND}"),
        format!("broker.url = \"http://user:{secret}@host\"\n{SOUND}"),
        format!("broker.url = \"amqp://user:{secret}@host/v?heartbeat=5\"\n{SOUND}"),
        format!("broker.url = [\"{secret}\"]\n{SOUND}"),
        SOUND.replace("EAAGcanary", &format!("two words {secret}")),
        SOUND.replace("EAAGcanary", &format!("{secret}\\n\\u0000")),
        SOUND.replace("waba_id", &format!("app_secret = \"{secret} x\"\nwaba_id")),
        // Not TOML from here on.
        SOUND.replace("\"EAAGcanary\"", &format!("\"{secret}")),
        SOUND.replace("\"EAAGcanary\"", secret),
    ];
    for config in configs {
        let (code, text) = check(&config, &[]);
        assert_eq!(code, 2, "{config}");
        assert!(!text.contains(secret), "{text}");
    }
    let urls = [format!("amqp://user:{secret}@[host"), secret.to_owned()];
    for url in &urls {
        let (code, text) = check(SOUND, &[("DISPATCHER_BROKER__URL", url)]);
        assert_eq!(code, 2);
        assert!(!text.contains(secret), "{text}");
    }
}

#[test]
fn a_taken_admin_port_ends_run_with_1_and_one_line() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = Folder::create();
    let config = format!("admin.listen = \"{address}\"\n{SOUND}");
    let file = folder.write("config.toml", &config);
    let (code, text) = said(&run(&["run", "--config", file.to_str().unwrap()], &[]));
    assert_eq!(code, 1, "{text}");
    let line = text.lines().last().unwrap();
    assert!(
        line.starts_with("whatsapp-dispatcher: admin.listen: "),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_not_there_is_told_without_the_password() {
    let folder = Folder::create();
    let broker = format!(
        "broker.url = \"amqp://user:canary-secret@127.0.0.1:{}\"",
        free_port()
    );
    let mut worker = Worker::start(&folder, &format!("{broker}\n{SOUND}"));
    worker.log.line("no broker session").await;
    // Alive, not ready, and with nothing in flight it ends as it should.
    assert_eq!(worker.get("/livez").await.unwrap().status, 200);
    assert_eq!(worker.get("/readyz").await.unwrap().status, 503);
    worker.drain().await;
    assert!(
        !worker.log.text().contains("canary"),
        "{}",
        worker.log.text()
    );
}

/// As `run` would find out.
#[test]
fn files_without_what_they_should_hold_are_told_by_check() {
    let folder = Folder::create();
    let pair = || {
        let key = rcgen::KeyPair::generate().unwrap();
        let parameters = rcgen::CertificateParams::new(vec!["worker".to_owned()]).unwrap();
        let certificate = parameters.self_signed(&key).unwrap();
        (certificate.pem(), key.serialize_pem())
    };
    let ((certificate, key), (_, other_key)) = (pair(), pair());
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let check_with = |ca: &str, certificate: &str, key: &str| {
        let (ca, certificate) = (folder.write("ca", ca), folder.write("cert", certificate));
        let key = folder.write("key", key);
        let config = format!(
            "[broker]\nurl = \"amqps://localhost/%2f\"\nca_file = {ca:?}\nclient_cert_file = {certificate:?}\n\
             client_key_file = {key:?}\n[graph]\nca_file = {ca:?}\n{SOUND}"
        );
        check(&config, &[])
    };
    assert_eq!(check_with(&certificate, &certificate, &key), (0, sound()));
    for not_one in ["", "not a certificate", broken, &key] {
        let (code, text) = check_with(not_one, not_one, not_one);
        assert_eq!(code, 2, "{text}");
        for key in [
            "broker.ca_file: ",
            "graph.ca_file: ",
            "broker.client_cert_file: ",
        ] {
            assert!(text.contains(key), "{key} is not in {text}");
        }
    }
    for not_one in [
        "",
        &certificate,
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
    ] {
        let (code, text) = check_with(&certificate, &certificate, not_one);
        assert_eq!(code, 2, "{text}");
        assert!(text.contains("broker.client_key_file: "), "{text}");
    }
    let (code, text) = check_with(&certificate, &certificate, &other_key);
    assert_eq!(code, 2);
    assert!(
        text.contains("holds the key of another certificate"),
        "{text}"
    );
}
