use super::*;
use crate::core::request::message::LaneId;
use std::time::Duration;

mod agreement;
mod clocks;

const START_MS: u64 = 1_800_000_000_000;

fn at(seconds: u64) -> Now {
    Now {
        mono: Duration::from_secs(seconds),
        wall_ms: START_MS + seconds * 1_000,
        steady_ms: START_MS + seconds * 1_000,
    }
}

fn holds(worker: &str, run: u64) -> Holds {
    let periods = ProbePeriods {
        first: Duration::from_secs(60),
        longest: Duration::from_secs(900),
    };
    Holds::new(worker, run, periods)
}

/// Lane 1 and 2 in account 7, 3 in account 8; two tokens, one app.
fn place(lane: u32) -> Place {
    let waba = if lane < 3 { "7" } else { "8" };
    Place {
        lane: LaneId::new(&lane.to_string()),
        waba: waba.into(),
        token: format!("token of {waba}").into(),
        app: "shop".into(),
    }
}

fn finding(scope: Scope, why: Why, code: Option<i64>, pause_s: Option<u64>) -> Finding {
    Finding {
        scope,
        why,
        code,
        remedy: "load a new token",
        pause: pause_s.map(Duration::from_secs),
        before: None,
        template: None,
    }
}

fn block(scope: Scope) -> Finding {
    finding(scope, Why::Block, Some(190), None)
}

/// Which of lanes 1, 2 and 3 are held at that second.
fn struck(holds: &Holds, seconds: u64) -> Vec<u32> {
    let is_held = |lane: &u32| holds.on(&place(*lane), at(seconds)).hold.is_some();
    (1..=3).filter(is_held).collect()
}

fn places() -> Vec<Place> {
    (1..=3).map(place).collect()
}

#[test]
fn a_hold_reaches_every_lane_of_its_scope_and_no_other() {
    for (scope, expected) in [
        (Scope::Lane, vec![1]),
        (Scope::Waba, vec![1, 2]),
        (Scope::Token, vec![1, 2]),
        (Scope::App, vec![1, 2, 3]),
    ] {
        let mut here = holds("a", 1);
        let (_, record) = here
            .found(&place(1), &block(scope), &places(), at(0))
            .unwrap();
        assert_eq!(struck(&here, 0), expected, "{scope:?}");
        // And the same in a worker that hears of it.
        let mut there = holds("b", 2);
        let record = Record::from_json(&record.unwrap().to_json()).unwrap();
        there.apply_record(record, Read::Live, at(0)).unwrap();
        assert_eq!(struck(&there, 0), expected, "{scope:?}");
        let told = |holds: &Holds| holds.on(&place(1), at(0)).hold;
        assert_eq!(told(&here), told(&there));
    }
}

#[test]
fn stragglers_are_no_news_and_worse_is() {
    let mut holds = holds("a", 1);
    assert!(
        holds
            .found(&place(1), &block(Scope::Waba), &places(), at(0))
            .is_some()
    );
    assert!(
        holds
            .found(&place(2), &block(Scope::Waba), &places(), at(5))
            .is_none()
    );
    let throttle = |pause_s| finding(Scope::Lane, Why::Throttle, Some(4), Some(pause_s));
    assert!(
        holds
            .found(&place(1), &throttle(60), &places(), at(5))
            .is_some()
    );
    assert!(
        holds
            .found(&place(1), &throttle(50), &places(), at(6))
            .is_none()
    );
    assert!(
        holds
            .found(&place(1), &throttle(60), &places(), at(17))
            .is_some()
    );
    // The widest is told.
    assert_eq!(holds.on(&place(1), at(8)).hold.unwrap().scope, Scope::Waba);
    assert!(
        holds
            .found(&place(1), &block(Scope::Lane), &places(), at(9))
            .is_some()
    );
}

#[test]
fn a_pause_that_was_asked_for_is_not_shortened_by_what_else_is_met() {
    let throttle = finding(Scope::Lane, Why::Throttle, Some(131_057), Some(600));
    let unreachable = finding(Scope::Lane, Why::Outage, None, None);
    for (first, second, why) in [
        (&throttle, &block(Scope::Lane), Why::Block),
        (&block(Scope::Lane), &throttle, Why::Block),
        (&throttle, &unreachable, Why::Outage),
        // A hold that others can know goes before one that is this worker's own.
        (&unreachable, &throttle, Why::Throttle),
    ] {
        let mut holds = holds("a", 1);
        holds.found(&place(1), first, &places(), at(0)).unwrap();
        let (_, record) = holds.found(&place(1), second, &places(), at(0)).unwrap();
        assert_eq!(record.is_none(), why == Why::Outage);
        assert_eq!(holds.on(&place(1), at(0)).hold.unwrap().why, why);
        assert_eq!(holds.due(&places(), at(599)), [], "{second:?}");
        assert_eq!(holds.due(&places(), at(600)).len(), 1);
    }
    // Nor by one after the other.
    let mut holds = holds("a", 1);
    let outage = finding(Scope::Lane, Why::Outage, Some(1), None);
    for finding in [&throttle, &unreachable, &outage] {
        holds.found(&place(1), finding, &places(), at(0)).unwrap();
    }
    assert_eq!(holds.due(&places(), at(599)), []);
}

/// At which seconds the API is asked, if it says no each time.
fn asked(finding: &Finding, times: usize) -> Vec<u64> {
    let mut holds = holds("a", 1);
    let (reach, _) = holds.found(&place(1), finding, &places(), at(0)).unwrap();
    let mut asked = vec![];
    for _ in 0..times {
        let seconds = (holds.next_due_ms().unwrap() - START_MS) / 1_000;
        assert_eq!(holds.due(&places(), at(seconds - 1)), []);
        let due = holds.due(&places(), at(seconds));
        let [Due::Ask(asked_of, lane)] = &due[..] else {
            panic!("{due:?}")
        };
        assert_eq!(asked_of, &reach);
        // By another number each time, where there is one.
        let lanes = if reach.scope == Scope::Lane { 1 } else { 2 };
        let turn = u32::try_from(asked.len()).unwrap() % lanes;
        assert_eq!(lane, &place(1 + turn).lane);
        // Once, until there is an answer.
        assert_eq!(holds.due(&places(), at(seconds + 9_999)), []);
        holds.probed(&reach, Health::Unanswered, at(seconds));
        asked.push(seconds);
    }
    asked
}

#[test]
fn the_api_is_asked_ever_more_seldom() {
    let minutes = [1, 3, 7, 15, 30, 45];
    assert_eq!(asked(&block(Scope::Token), 6), minutes.map(|m| m * 60));
    let penalty = finding(Scope::Lane, Why::Penalty, Some(131_048), None);
    let hours = [0.25, 1.25, 7.25, 13.25];
    assert_eq!(asked(&penalty, 4), hours.map(|h| (h * 3_600.0) as u64));
    let outage = finding(Scope::Lane, Why::Outage, None, None);
    assert_eq!(asked(&outage, 6), [2, 6, 14, 30, 60, 90]);
}

#[test]
fn a_good_answer_lifts_and_a_failed_try_holds_for_longer() {
    let mut holds = holds("a", 1);
    let (reach, _) = holds
        .found(&place(1), &block(Scope::Token), &places(), at(0))
        .unwrap();
    let before = holds.on(&place(1), at(0)).hold;
    holds.due(&places(), at(60));
    let record = holds.probed(&reach, Health::Well, at(61)).unwrap();
    assert_eq!(record.news, News::Lifted);
    assert!(struck(&holds, 61).is_empty());
    let again = Finding {
        before,
        ..block(Scope::Token)
    };
    holds.found(&place(2), &again, &places(), at(62)).unwrap();
    let hold = holds.on(&place(2), at(62)).hold.unwrap();
    assert_eq!((hold.since_ms, hold.failed_probes), (START_MS, 1));
    assert_eq!(hold.until_ms, START_MS + (62 + 120) * 1_000);
}

#[test]
fn a_throttle_ends_by_itself_everywhere() {
    let mut here = holds("a", 1);
    let throttle = finding(Scope::Waba, Why::Throttle, Some(80_007), Some(60));
    let (reach, record) = here.found(&place(1), &throttle, &places(), at(0)).unwrap();
    let mut there = holds("b", 2);
    there.apply_record(record.unwrap(), Read::Live, at(0));
    for holds in [&mut here, &mut there] {
        assert_eq!(struck(holds, 59), [1, 2]);
        assert!(struck(holds, 60).is_empty());
        assert_eq!(holds.due(&places(), at(60)), [Due::Ended(reach.clone())]);
        assert_eq!(holds.next_due_ms(), None);
    }
}

#[test]
fn another_worker_asks_once_the_finder_is_gone() {
    let (_, record) = holds("a", 1)
        .found(&place(1), &block(Scope::Waba), &places(), at(0))
        .unwrap();
    let mut there = holds("b", 2);
    there.apply_record(record.unwrap(), Read::Live, at(0));
    assert_eq!(there.due(&places(), at(74)), []);
    assert_eq!(there.due(&places(), at(75)).len(), 1);
    // A worker without a lane in reach has nothing to ask for.
    let (_, record) = holds("a", 1)
        .found(&place(3), &block(Scope::Waba), &places(), at(0))
        .unwrap();
    let mut elsewhere = holds("c", 3);
    elsewhere.apply_record(record.unwrap(), Read::Live, at(0));
    assert_eq!(elsewhere.due(&[place(1)], at(999)), []);
}

#[test]
fn an_outage_is_one_lanes_until_a_second_meets_it() {
    let mut holds = holds("a", 1);
    let outage = finding(Scope::App, Why::Outage, Some(2), None);
    holds.found(&place(1), &outage, &places(), at(0)).unwrap();
    assert_eq!(struck(&holds, 0), [1]);
    // One of another app is no second one.
    let elsewhere = Place {
        app: "other".into(),
        ..place(4)
    };
    holds.found(&elsewhere, &outage, &places(), at(1)).unwrap();
    assert_eq!(struck(&holds, 1), [1]);
    holds.found(&place(3), &outage, &places(), at(1)).unwrap();
    assert_eq!(struck(&holds, 1), [1, 2, 3]);
    // What cannot be reached from here may be reached from elsewhere.
    let unreachable = finding(Scope::Lane, Why::Outage, None, None);
    let (_, record) = self::holds("a", 1)
        .found(&place(1), &unreachable, &places(), at(0))
        .unwrap();
    assert_eq!(record, None);
}

#[test]
fn a_new_token_leaves_the_old_ones_block_behind() {
    let mut holds = holds("a", 1);
    holds
        .found(&place(1), &block(Scope::Token), &places(), at(0))
        .unwrap();
    holds
        .found(&place(1), &block(Scope::Lane), &places(), at(0))
        .unwrap();
    let renewed = Place {
        token: "new".into(),
        ..place(1)
    };
    holds.look_again(&renewed, at(5));
    let hold = holds.on(&renewed, at(5)).hold.unwrap();
    assert_eq!(hold.scope, Scope::Lane);
    // What the token may have mended is looked at now.
    let due = holds.due(std::slice::from_ref(&renewed), at(5));
    assert_eq!(
        due,
        [Due::Ask(renewed.reach(Scope::Lane).unwrap(), renewed.lane)]
    );
}

#[test]
fn operators_pause_and_resume_in_every_worker() {
    let (mut here, mut there) = (holds("a", 1), holds("b", 2));
    let record = here.pause(&place(1), at(0)).unwrap();
    there.apply_record(record.clone(), Read::Live, at(0));
    here.apply_record(record, Read::Live, at(0));
    here.found(&place(1), &block(Scope::Token), &places(), at(1))
        .unwrap();
    for holds in [&here, &there] {
        let held = holds.on(&place(1), at(1));
        assert_eq!(held.paused_since_ms, Some(START_MS));
        assert_eq!(holds.on(&place(2), at(1)).paused_since_ms, None);
    }
    // The other one lifts it all, and knows of the pause only.
    for (_, record) in there.resume(&place(1), at(9)) {
        here.apply_record(record, Read::Live, at(0));
    }
    assert_eq!(here.on(&place(1), at(9)).paused_since_ms, None);
    let lifted = here.resume(&place(1), at(10));
    assert_eq!(lifted.len(), 2);
    assert!(struck(&here, 10).is_empty());
}

#[test]
fn what_was_written_twice_counts_twice_for_everybody() {
    let (mut here, mut there) = (holds("a", 1), holds("b", 2));
    let paused = there.pause(&place(1), at(0)).unwrap();
    let (_, resumed) = here.resume(&place(1), at(1)).remove(0);
    // The confirm of the first was lost.
    let log = [&resumed, &paused, &resumed];
    for holds in [&mut here, &mut there] {
        for record in log {
            holds.apply_record(record.clone(), Read::Live, at(0));
        }
        assert_eq!(holds.on(&place(1), at(2)).paused_since_ms, None);
    }
}

#[test]
fn a_pause_is_told_again_before_the_log_forgets_it() {
    let mut holds = holds("a", 1);
    holds.pause(&place(1), at(0));
    let day_s = 24 * 3_600;
    assert_eq!(holds.due(&places(), at(day_s - 1)), []);
    let due = holds.due(&places(), at(day_s));
    let [Due::Tell(record)] = &due[..] else {
        panic!("{due:?}")
    };
    assert_eq!(record.news, News::Paused { since_ms: START_MS });
    assert_eq!(holds.due(&places(), at(day_s)), []);
}

/// However much is written, and whoever lives: before 64 MB less a segment were written behind the last word.
#[test]
fn a_pause_is_told_again_before_it_falls_out_of_the_log() {
    let (mut here, mut there) = (holds("a", 1), holds("b", 2));
    let record = here.pause(&place(1), at(0)).unwrap();
    for holds in [&mut here, &mut there] {
        holds.apply_record(record.clone(), Read::Live, at(0));
        holds.has_read(7_999_999);
        assert_eq!(holds.due(&places(), at(10)), []);
        assert!(!holds.is_due(at(10)));
    }
    // Who told it tells it again, and all know that.
    here.has_read(8_000_000);
    assert!(here.is_due(at(10)));
    assert_eq!(here.next_due_ms(), Some(0));
    let due = here.due(&places(), at(10));
    let [Due::Tell(record)] = &due[..] else {
        panic!("{due:?}")
    };
    assert_eq!(here.due(&places(), at(10)), []);
    there.has_read(8_000_000);
    there.apply_record(record.clone(), Read::Live, at(10));
    here.apply_record(record.clone(), Read::Live, at(10));
    // Should that one be gone, another does it.
    there.has_read(19_999_999);
    assert_eq!(there.due(&places(), at(20)), []);
    there.has_read(20_000_000);
    assert_eq!(there.due(&places(), at(20)).len(), 1);
    // All that it said is gone: it is said again at once.
    assert!(!there.is_due(at(30)));
    there.log_lost(at(30));
    assert_eq!(there.due(&places(), at(30)).len(), 1);
    assert_eq!(there.on(&place(1), at(30)).paused_since_ms, Some(START_MS));
}

#[test]
fn a_paused_template_is_known_to_its_account() {
    let mut here = holds("a", 1);
    let parked = Finding {
        template: Some("sale".into()),
        ..finding(Scope::Template, Why::Throttle, Some(132_015), Some(3_600))
    };
    let (_, record) = here.found(&place(1), &parked, &places(), at(0)).unwrap();
    assert!(here.found(&place(2), &parked, &places(), at(1)).is_none());
    let mut there = holds("b", 2);
    let record = Record::from_json(&record.unwrap().to_json()).unwrap();
    there.apply_record(record, Read::Live, at(0));
    for holds in [&here, &there] {
        let held: Vec<_> = holds.templates("7").collect();
        assert_eq!(held, [("sale", START_MS + 3_600_000)]);
        assert_eq!(holds.templates("8").count(), 0);
        assert!(struck(holds, 1).is_empty());
    }
}

#[test]
fn what_this_version_does_not_know_is_passed_over() {
    for text in [
        "",
        "{}",
        r#"{"mark":"a"}"#,
        r#"{"at_ms":1,"worker":"a","run":1,"scope":"lane","key":"1","news":"exploded"}"#,
        r#"{"at_ms":1,"worker":"a","run":1,"scope":"galaxy","key":"1","news":"lifted"}"#,
    ] {
        assert_eq!(Record::from_json(text.as_bytes()), None, "{text}");
    }
    let known = r#"{"at_ms":1,"worker":"a","run":1,"scope":"lane","key":"1","news":"held","why":"block",
        "remedy":"words of a later version","since_ms":1,"until_ms":2,"failed_probes":0,"more":1}"#;
    let record = Record::from_json(known.as_bytes()).unwrap();
    let News::Held(hold) = record.news else {
        panic!("{record:?}")
    };
    assert!(hold.remedy.contains("Meta's list"));
}

#[test]
fn an_api_in_trouble_is_over_it_once_it_answers() {
    for (health, ends_outage, ends_block) in [
        (Health::Well, true, true),
        (Health::Forbidden, true, true),
        (Health::Blocked, true, false),
        (Health::Unanswered, false, false),
    ] {
        for (why, ends) in [(Why::Outage, ends_outage), (Why::Block, ends_block)] {
            let mut holds = holds("a", 1);
            let met = finding(Scope::Lane, why, Some(2), None);
            let (reach, _) = holds.found(&place(1), &met, &places(), at(0)).unwrap();
            holds.due(&places(), at(60));
            holds.probed(&reach, health, at(61));
            assert_eq!(!holds.is_held(&reach), ends, "{health:?} {why:?}");
        }
    }
}

#[test]
fn names_may_hold_anything() {
    let place = Place {
        app: "Shop \"EU\"\n".into(),
        ..place(1)
    };
    let mut holds = holds("a", 1);
    let (_, record) = holds
        .found(&place, &block(Scope::App), &places(), at(0))
        .unwrap();
    let record = record.unwrap();
    assert_eq!(Record::from_json(&record.to_json()), Some(record));
}
