//! Blocks that heal and upgrades that end, counted from when they were set.

use super::*;

fn code_at(world: &mut World, now_ms: u64) -> i64 {
    code(&send(world, "1", now_ms * 1_000))
}

fn field_at(world: &mut World, field: &str, now_ms: u64) -> Value {
    let target = format!("/v24.0/111?fields={field}");
    let reply = ask(world, Method::Get, &target, "token", b"", now_ms * 1_000);
    json_of(&reply)[field].clone()
}

fn can_send_at(world: &mut World, now_ms: u64) -> Value {
    field_at(world, "health_status", now_ms)["can_send_message"].clone()
}

#[test]
fn a_block_of_the_options_heals_counted_from_the_start_and_the_reset() {
    let mut world = world(NumberRules {
        blocked_code: Some(131048),
        blocked_ms: Some(1_000),
        ..NumberRules::default()
    });
    for start_ms in [0, 5_000] {
        assert_eq!(code_at(&mut world, start_ms), 131048);
        assert_eq!(code_at(&mut world, start_ms + 999), 131048);
        assert_eq!(can_send_at(&mut world, start_ms + 999), "BLOCKED");
        assert_eq!(can_send_at(&mut world, start_ms + 1_000), "AVAILABLE");
        assert_eq!(code_at(&mut world, start_ms + 1_000), 0);
        world.reset(5_000_000);
    }
}

#[test]
fn a_block_of_a_change_heals_counted_from_the_change() {
    let block = || json!({ "phone_number_id": "111", "blocked_code": 368, "blocked_ms": 1_000 });
    let mut world = world(NumberRules::default());
    alter(&mut world, block(), 10_000);
    assert_eq!(code_at(&mut world, 10_999), 368);
    // Other changes do not prolong it, naming it again does.
    alter(
        &mut world,
        json!({ "phone_number_id": "*", "mps": 40 }),
        10_999,
    );
    assert_eq!(code_at(&mut world, 11_000), 0);
    alter(&mut world, block(), 20_000);
    alter(&mut world, block(), 20_500);
    assert_eq!(code_at(&mut world, 21_499), 368);
    assert_eq!(code_at(&mut world, 21_500), 0);
    // The time stays for later blocks until it is taken away.
    let again = json!({ "phone_number_id": "111", "blocked_code": 368 });
    alter(&mut world, again, 30_000);
    assert_eq!(code_at(&mut world, 31_000), 0);
    let lasting = json!({ "phone_number_id": "111", "blocked_code": 368, "blocked_ms": null });
    alter(&mut world, lasting, 40_000);
    assert_eq!(code_at(&mut world, 1_000_000), 368);
}

#[test]
fn rules_set_in_code_restart_only_what_they_alter() {
    let mut world = world(NumberRules::default());
    let mut rules = NumberRules {
        blocked_code: Some(368),
        blocked_ms: Some(1_000),
        upgrade_ms: Some(2_000),
        ..NumberRules::default()
    };
    world.set_rules("111", rules.clone(), 0);
    // As a test does that reads the rules, changes one and sets them.
    rules.mps = Some(40);
    world.set_rules("111", rules.clone(), 1_500_000);
    assert_eq!(code_at(&mut world, 1_500), 131057);
    assert_eq!(code_at(&mut world, 2_000), 0);
    world.set_rules("111", rules, 3_000_000);
    assert_eq!(code_at(&mut world, 3_999), 368);
    assert_eq!(code_at(&mut world, 4_000), 131057);
    assert_eq!(code_at(&mut world, 5_000), 0);
}

#[test]
fn numbers_yet_to_be_seen_are_blocked_as_all_are() {
    let mut world = World::new(&Options::default());
    let block = json!({ "phone_number_id": "*", "blocked_code": 368, "blocked_ms": 1_000 });
    alter(&mut world, block, 10_000);
    assert_eq!(code_at(&mut world, 10_999), 368);
    let path = "/v24.0/222/messages";
    let healed = ask(
        &mut world,
        Method::Post,
        path,
        "t",
        &text_to("1"),
        11_000_000,
    );
    assert_eq!(code(&healed), 0);
    world.settle(11_000_000);
    assert_eq!(world.rules_of("333").blocked_code, None);
}

#[test]
fn an_upgrade_is_a_maintenance_and_then_a_high_level() {
    for (mps, limit) in [(None, 1_000), (Some(90), 90)] {
        let mut world = world(NumberRules {
            mps,
            ..NumberRules::default()
        });
        let upgrade = json!({ "phone_number_id": "111", "upgrade_ms": 60_000 });
        alter(&mut world, upgrade, 5_000);
        let refused = send(&mut world, "1", 5_000_000);
        assert_eq!((refused.status, code(&refused)), (500, 131057));
        assert_eq!(code_at(&mut world, 64_999), 131057);
        let level = field_at(&mut world, "throughput", 64_999);
        assert_eq!(level["level"], "STANDARD");
        let level = field_at(&mut world, "throughput", 65_000);
        assert_eq!(level["level"], "HIGH");
        let sent = (0..2_000)
            .filter(|i| code(&send(&mut world, &i.to_string(), 65_000_000)) == 0)
            .count();
        assert_eq!(sent, limit);
        assert_eq!(world.rules_of("111").upgrade_ms, None);
    }
}

#[test]
fn a_block_comes_before_an_upgrade() {
    let mut world = world(NumberRules {
        blocked_code: Some(131045),
        blocked_ms: Some(2_000),
        upgrade_ms: Some(3_000),
        ..NumberRules::default()
    });
    assert_eq!(code_at(&mut world, 1_999), 131045);
    assert_eq!(code_at(&mut world, 2_000), 131057);
    assert_eq!(code_at(&mut world, 3_000), 0);
}
