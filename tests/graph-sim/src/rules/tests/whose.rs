//! Changes to all numbers of a WABA or an app.

use super::*;
use crate::change::{Change, Whose};

fn world_of_family() -> World {
    World::new(&Options {
        numbers: family("A", "B"),
        ..Options::default()
    })
}

#[test]
fn a_waba_and_an_app_change_as_a_whole() {
    for (change, blocked) in [
        (
            json!({ "waba_id": "A", "blocked_code": 368 }),
            ["111", "112"],
        ),
        (json!({ "app": "shop", "blocked_code": 3 }), ["111", "113"]),
    ] {
        let mut world = world_of_family();
        alter(&mut world, change, 0);
        for id in ["111", "112", "113"] {
            let is_blocked = world.rules_of(id).blocked_code.is_some();
            assert_eq!(is_blocked, blocked.contains(&id), "{id}");
        }
        // Numbers yet to be seen are of another WABA, and of no app.
        assert_eq!(world.rules_of("999").blocked_code, None);
    }
    let mut world = world_of_family();
    let whose = Whose::Waba("A".to_owned());
    let block = |rules: &mut NumberRules| {
        rules.blocked_code = Some(131031);
        rules.blocked_ms = Some(10);
    };
    world.change_rules(&whose, 5_000, block).unwrap();
    assert_eq!(code(&send(&mut world, "1", 14_999)), 131031);
    // Healed, and blocked again by the same change.
    world.change_rules(&whose, 15_000, block).unwrap();
    assert_eq!(code(&send(&mut world, "1", 24_999)), 131031);
    assert_eq!(code(&send(&mut world, "1", 25_000)), 0);
    assert!(
        world
            .change_rules(&Whose::App("x".to_owned()), 0, block)
            .is_err()
    );
}

#[test]
fn changes_follow_each_other_and_are_all_made_or_none() {
    let mut world = world_of_family();
    let parsed = |changes: Value| serde_json::from_value::<Vec<Change>>(changes).unwrap();
    let wrong = json!([{ "waba_id": "A", "mps": 5 }, { "waba_id": "nobody's", "mps": 5 }]);
    let error = world.change_numbers(&parsed(wrong), 0).unwrap_err();
    assert_eq!(error, "WABA nobody's has no number");
    assert_eq!(world.rules_of("111").mps, None);
    let moved = json!([
        { "phone_number_id": "114", "waba_id": "C" },
        { "phone_number_id": "111", "waba_id": "C" },
        { "waba_id": "C", "mps": 5 }
    ]);
    world.change_numbers(&parsed(moved), 0).unwrap();
    let mps = ["111", "112", "114"].map(|id| world.rules_of(id).mps);
    assert_eq!(mps, [Some(5), None, Some(5)]);
}

#[test]
fn numbers_yet_to_be_seen_change_with_their_waba() {
    let mut world = World::new(&Options::default());
    let waba_id = NumberRules::default().waba_id;
    let change = json!({ "waba_id": waba_id, "blocked_code": 368 });
    alter(&mut world, change, 0);
    assert_eq!(code(&send(&mut world, "1", 0)), 368);
}
