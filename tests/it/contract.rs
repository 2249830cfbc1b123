//! The contract files as others read them, AsyncAPI's own parser and a validator of JSON Schemas that is not ours; and requests as others
//! make them, real SDKs that send to the API double: messages, and operations, with reads that must show them.
//!
//! Where Node.js or an SDK is missing these tests pass, unchecked; `deploy/dev test` tells at its start.

use crate::support::{NUMBER, Setup, TOKEN, WABA, within};
use graph_sim::{NumberRules, Options, Sim};
use harness::worker::Folder;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use whatsapp_dispatcher::contract::fault::Fault;
use whatsapp_dispatcher::core::media::source::Sources;
use whatsapp_dispatcher::core::operation::{
    ACCOUNT_OPERATIONS, Base, Facts, IntakeConfig, Operation, SchemaCheck,
};

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// What a reader has against a file, a fault a line. `None`: it is not installed.
async fn faults(what: &str, of: &Path, bodies: &str) -> Option<Vec<String>> {
    let Ok(modules) = std::env::var("DISPATCHER_TEST_CONTRACT_NODE") else {
        eprintln!("{what}: NOT CHECKED");
        return None;
    };
    let mut command = Command::new("node");
    command.env("NODE_PATH", modules);
    command
        .arg(file("tests/it/contract/read.js"))
        .arg(what)
        .arg(of);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.kill_on_drop(true).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(bodies.as_bytes()).await.unwrap();
    drop(stdin);
    let output = within(what, child.wait_with_output()).await.unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    let told: Vec<String> = told.lines().map(str::to_owned).collect();
    assert_eq!(output.status.code(), Some(i32::from(!told.is_empty())));
    Some(told)
}

#[tokio::test]
async fn asyncapis_own_parser_takes_the_document() {
    let Some(told) = faults("asyncapi", &file("deploy/contract/asyncapi.yaml"), "").await else {
        return;
    };
    assert_eq!(told, [""; 0]);
}

/// A document with a slip in it is refused: what it leads to is read, and by AsyncAPI's rules.
#[tokio::test]
async fn asyncapis_own_parser_sees_slips() {
    let folder = Folder::create();
    let copy = |name: &str| {
        let text = fs::read_to_string(file("deploy/contract").join(name)).unwrap();
        folder.write(name, &text)
    };
    copy("request.schema.json");
    copy("result.schema.json");
    let document = copy("asyncapi.yaml");
    let whole = fs::read_to_string(&document).unwrap();
    for (right, wrong) in [
        ("#/$defs/result", "#/$defs/no_result"),
        ("./request.schema.json", "./no.schema.json"),
        ("action: \"receive\"", "action: \"read\""),
        ("is: \"routingKey\"", "is: \"topic\""),
        ("#/channels/requests\"", "#/channels/none\""),
    ] {
        assert!(whole.contains(right), "{right}");
        fs::write(&document, whole.replace(right, wrong)).unwrap();
        let Some(told) = faults("asyncapi", &document, "").await else {
            return;
        };
        assert!(!told.is_empty(), "{wrong}");
    }
}

#[tokio::test]
async fn another_validator_agrees() {
    let documented = fs::read_to_string(file("tests/cases/messages.jsonl")).unwrap();
    let schema = file("deploy/contract/request.schema.json");
    let Some(told) = faults("schema", &schema, &documented).await else {
        return;
    };
    assert_eq!(told, [""; 0]);
    // One character, one recipient, one file too many or too few.
    let wrong = [
        json!({ "to": "49", "text": { "body": "x".repeat(4097) } }),
        json!({ "text": { "body": "x" } }),
        json!({ "to": "49", "type": "image", "image": {} }),
    ];
    let lines = wrong.each_ref().map(Value::to_string).join("\n");
    let told = faults("schema", &schema, &lines).await.unwrap();
    assert_eq!(told.len(), wrong.len(), "{told:?}");
}

/// How a script says that its SDK is not there.
const NOT_INSTALLED: i32 = 77;

/// Every body that an SDK sends is taken by the double and valid by the schema, as what its path says.
async fn bodies_are_valid(sdk: &str, command: Option<Command>) {
    let Some(mut command) = command else {
        return eprintln!("{sdk}: NOT CHECKED");
    };
    let sim = Sim::start(Setup::default().sim).await.unwrap();
    command.args([&sim.url(), NUMBER, TOKEN]);
    let output = within(sdk, command.kill_on_drop(true).output())
        .await
        .unwrap();
    if output.status.code() == Some(NOT_INSTALLED) {
        return eprintln!("{sdk}: NOT CHECKED");
    }
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{sdk}: {told}");
    let schema = fs::read_to_string(file("deploy/contract/request.schema.json")).unwrap();
    let mut schema: Value = serde_json::from_str(&schema).unwrap();
    let messages = jsonschema::draft202012::new(&schema).unwrap();
    schema["$ref"] = "#/$defs/marketing_message".into();
    let marketing = jsonschema::draft202012::new(&schema).unwrap();
    let mut count = 0;
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let request: Value = serde_json::from_str(line).unwrap();
        let is_marketing = request["path"]
            .as_str()
            .unwrap()
            .ends_with("/marketing_messages");
        let validator = if is_marketing { &marketing } else { &messages };
        let faults = validator.iter_errors(&request["body"]);
        let faults: Vec<String> = faults.map(|fault| fault.to_string()).collect();
        assert_eq!(faults, [""; 0], "{sdk}: {line}");
        count += 1;
    }
    assert!(count > 25, "{sdk}: only {count} bodies");
    // All but a read receipt and a typing indicator.
    assert_eq!(sim.ledger().len(), count - 2, "{sdk}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_pywa_sends_is_valid() {
    let python = std::env::var("DISPATCHER_TEST_CONTRACT_PYTHON").ok();
    let command = python.map(|python| {
        let mut command = Command::new(python);
        command.arg(file("tests/it/contract/send.py"));
        command
    });
    bodies_are_valid("pywa", command).await;
}

/// The script in JavaScript, which finds its SDK by the environment.
fn in_node(script: &str) -> Option<Command> {
    std::env::var("DISPATCHER_TEST_CONTRACT_NODE").ok()?;
    let mut command = Command::new("node");
    command.arg(file("tests/it/contract").join(script));
    Some(command)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_whatsapp_api_js_sends_is_valid() {
    bodies_are_valid("whatsapp-api-js", in_node("send.mjs")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_kapso_sends_is_valid() {
    bodies_are_valid("@kapso/whatsapp-cloud-api", in_node("send-kapso.mjs")).await;
}

/// What pywa gives otherwise than our operations take it, and why that stays so.
const OTHERWISE: [(&str, &str, &str); 1] = [(
    "phone_number_add",
    "/cc",
    "pywa says country_code, where Meta's page has cc",
)];

/// Whether an operation can make such a request: of those with its path, one that takes its body.
fn is_one_of_ours(request: &Value) -> Result<(), String> {
    let path = request["path"].as_str().unwrap();
    let path = path.trim_matches('/');
    // The version, which the other host's paths do not have.
    let is_business = request["host"] == "api.facebook.com";
    let path = if is_business {
        path
    } else {
        path.split_once('/').unwrap().1
    };
    let matches = |facts: &&Facts| {
        let parts = |path: &str| path.split('/').map(str::to_owned).collect::<Vec<_>>();
        let (ours, theirs) = (parts(facts.path), parts(path));
        let fits = |(ours, theirs): (&String, &String)| match ours.as_str() {
            "{phone_number_id}" => theirs == NUMBER,
            "{waba_id}" => theirs == WABA,
            "{node}" => theirs != WABA,
            literal => literal == theirs,
        };
        facts.method.as_str() == request["method"]
            && (facts.base == Base::Business) == is_business
            && ours.len() == theirs.len()
            && ours.iter().zip(&theirs).all(fits)
    };
    let has_body = !request["body"].is_null();
    let body = &request[if has_body { "body" } else { "query" }];
    let mut refused = vec![];
    for facts in ACCOUNT_OPERATIONS.iter().filter(matches) {
        let operation = Operation::of_type(facts.name).unwrap();
        let mut faults = vec![];
        operation.check(body, &INTAKE, &mut faults);
        let is_known = |fault: &Fault| {
            let mut known = OTHERWISE.iter();
            known.any(|(name, at, _)| *name == facts.name && *at == fault.at)
        };
        faults.retain(|fault| !is_known(fault));
        match faults.first() {
            None => return Ok(()),
            Some(fault) => refused.push(format!("{}{}", facts.name, fault.at)),
        }
    }
    Err(format!("{refused:?}: {request}"))
}

const INTAKE: IntakeConfig = IntakeConfig {
    sources: Sources::NONE,
    max_body_bytes: 4_000_000,
    check_sizes: true,
    user_ids_in_to: false,
    schema: SchemaCheck::Off,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pywas_own_operations_are_done_and_ours_could_ask_for_them() {
    let Ok(python) = std::env::var("DISPATCHER_TEST_CONTRACT_PYTHON") else {
        return eprintln!("pywa: NOT CHECKED");
    };
    let rules = NumberRules {
        waba_id: WABA.to_owned(),
        ..NumberRules::default()
    };
    let numbers = [(NUMBER.to_owned(), rules)].into();
    let sim = Sim::start(Options {
        numbers,
        ..Options::default()
    })
    .await
    .unwrap();
    let mut command = Command::new(python);
    command.arg(file("tests/it/contract/operate.py"));
    command.args([&sim.url(), NUMBER, TOKEN, WABA, "100000000000002"]);
    let output = within("pywa", command.kill_on_drop(true).output())
        .await
        .unwrap();
    if output.status.code() == Some(NOT_INSTALLED) {
        return eprintln!("pywa: NOT CHECKED");
    }
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    let told = String::from_utf8(output.stdout).unwrap();
    let requests = told.lines().map(|line| serde_json::from_str(line).unwrap());
    // An operation carries no file: neither media nor a flow's or a group's.
    let requests = requests.filter(|request: &Value| request["body"]["is_in_parts"].is_null());
    let requests: Vec<Value> = requests.collect();
    let otherwise = requests
        .iter()
        .filter_map(|request| is_one_of_ours(request).err());
    assert_eq!(otherwise.collect::<Vec<_>>(), [""; 0]);
    assert!(requests.len() > 60, "{}", requests.len());
}
