use super::*;
use proptest::prelude::*;

const START_MS: u64 = 1_800_000_000_000;

fn at(seconds: u64) -> Now {
    Now {
        mono: Duration::from_secs(seconds),
        wall_ms: START_MS + seconds * 1_000,
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
        let (_, record) = here.found(&place(1), &block(scope), at(0)).unwrap();
        assert_eq!(struck(&here, 0), expected, "{scope:?}");
        // And the same in a worker that hears of it.
        let mut there = holds("b", 2);
        let record = Record::from_json(&record.unwrap().to_json()).unwrap();
        there.heard(record).unwrap();
        assert_eq!(struck(&there, 0), expected, "{scope:?}");
        let told = |holds: &Holds| holds.on(&place(1), at(0)).hold;
        assert_eq!(told(&here), told(&there));
    }
}

#[test]
fn stragglers_are_no_news_and_worse_is() {
    let mut holds = holds("a", 1);
    assert!(holds.found(&place(1), &block(Scope::Waba), at(0)).is_some());
    assert!(holds.found(&place(2), &block(Scope::Waba), at(5)).is_none());
    let throttle = |pause_s| finding(Scope::Lane, Why::Throttle, Some(4), Some(pause_s));
    assert!(holds.found(&place(1), &throttle(60), at(5)).is_some());
    assert!(holds.found(&place(1), &throttle(50), at(6)).is_none());
    assert!(holds.found(&place(1), &throttle(60), at(7)).is_some());
    // The widest is told.
    assert_eq!(holds.on(&place(1), at(8)).hold.unwrap().scope, Scope::Waba);
    assert!(holds.found(&place(1), &block(Scope::Lane), at(9)).is_some());
}

#[test]
fn a_pause_that_was_asked_for_is_not_shortened_by_what_else_is_met() {
    let throttle = finding(Scope::Lane, Why::Throttle, Some(131_057), Some(600));
    let unreachable = finding(Scope::Lane, Why::Outage, None, None);
    for (first, second, why) in [
        (&throttle, &block(Scope::Lane), Why::Block),
        (&block(Scope::Lane), &throttle, Why::Block),
        (&throttle, &unreachable, Why::Outage),
        // What others can know goes before what is this worker's own.
        (&unreachable, &throttle, Why::Throttle),
    ] {
        let mut holds = holds("a", 1);
        holds.found(&place(1), first, at(0)).unwrap();
        let (_, record) = holds.found(&place(1), second, at(0)).unwrap();
        assert_eq!(record.is_none(), why == Why::Outage);
        assert_eq!(holds.on(&place(1), at(0)).hold.unwrap().why, why);
        assert_eq!(holds.due(&places(), at(599)), [], "{second:?}");
        assert_eq!(holds.due(&places(), at(600)).len(), 1);
    }
    // Nor by one after the other.
    let mut holds = holds("a", 1);
    let outage = finding(Scope::Lane, Why::Outage, Some(1), None);
    for finding in [&throttle, &unreachable, &outage] {
        holds.found(&place(1), finding, at(0)).unwrap();
    }
    assert_eq!(holds.due(&places(), at(599)), []);
}

/// At which seconds the API is asked, if it says no each time.
fn asked(finding: &Finding, times: usize) -> Vec<u64> {
    let mut holds = holds("a", 1);
    let (reach, _) = holds.found(&place(1), finding, at(0)).unwrap();
    let mut asked = vec![];
    for _ in 0..times {
        let seconds = (holds.next_due_ms().unwrap() - START_MS) / 1_000;
        assert_eq!(holds.due(&places(), at(seconds - 1)), []);
        let due = holds.due(&places(), at(seconds));
        assert_eq!(due, [Due::Ask(reach.clone(), place(1).lane)]);
        // Once, until there is an answer.
        assert_eq!(holds.due(&places(), at(seconds + 9_999)), []);
        holds.asked(&reach, false, at(seconds));
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
    let (reach, _) = holds.found(&place(1), &block(Scope::Token), at(0)).unwrap();
    let before = holds.on(&place(1), at(0)).hold;
    holds.due(&places(), at(60));
    let record = holds.asked(&reach, true, at(61)).unwrap();
    assert_eq!(record.news, News::Lifted);
    assert!(struck(&holds, 61).is_empty());
    let again = Finding {
        before,
        ..block(Scope::Token)
    };
    holds.found(&place(2), &again, at(62)).unwrap();
    let hold = holds.on(&place(2), at(62)).hold.unwrap();
    assert_eq!((hold.since_ms, hold.failed_probes), (START_MS, 1));
    assert_eq!(hold.until_ms, START_MS + (62 + 120) * 1_000);
}

#[test]
fn a_throttle_ends_by_itself_everywhere() {
    let mut here = holds("a", 1);
    let throttle = finding(Scope::Waba, Why::Throttle, Some(80_007), Some(60));
    let (reach, record) = here.found(&place(1), &throttle, at(0)).unwrap();
    let mut there = holds("b", 2);
    there.heard(record.unwrap());
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
        .found(&place(1), &block(Scope::Waba), at(0))
        .unwrap();
    let mut there = holds("b", 2);
    there.heard(record.unwrap());
    assert_eq!(there.due(&places(), at(74)), []);
    assert_eq!(there.due(&places(), at(75)).len(), 1);
    // A worker without a lane in reach has nothing to ask for.
    let (_, record) = holds("a", 1)
        .found(&place(3), &block(Scope::Waba), at(0))
        .unwrap();
    let mut elsewhere = holds("c", 3);
    elsewhere.heard(record.unwrap());
    assert_eq!(elsewhere.due(&[place(1)], at(999)), []);
}

#[test]
fn an_outage_is_one_lanes_until_a_second_meets_it() {
    let mut holds = holds("a", 1);
    let outage = finding(Scope::App, Why::Outage, Some(2), None);
    holds.found(&place(1), &outage, at(0)).unwrap();
    assert_eq!(struck(&holds, 0), [1]);
    // One of another app is no second one.
    let elsewhere = Place {
        app: "other".into(),
        ..place(4)
    };
    holds.found(&elsewhere, &outage, at(1)).unwrap();
    assert_eq!(struck(&holds, 1), [1]);
    holds.found(&place(3), &outage, at(1)).unwrap();
    assert_eq!(struck(&holds, 1), [1, 2, 3]);
    // What cannot be reached from here may be reached from elsewhere.
    let unreachable = finding(Scope::Lane, Why::Outage, None, None);
    let (_, record) = self::holds("a", 1)
        .found(&place(1), &unreachable, at(0))
        .unwrap();
    assert_eq!(record, None);
}

#[test]
fn a_new_token_leaves_the_old_ones_block_behind() {
    let mut holds = holds("a", 1);
    holds.found(&place(1), &block(Scope::Token), at(0)).unwrap();
    holds.found(&place(1), &block(Scope::Lane), at(0)).unwrap();
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
    there.heard(record.clone());
    here.heard(record);
    here.found(&place(1), &block(Scope::Token), at(1)).unwrap();
    for holds in [&here, &there] {
        let held = holds.on(&place(1), at(1));
        assert_eq!(held.paused_since_ms, Some(START_MS));
        assert_eq!(holds.on(&place(2), at(1)).paused_since_ms, None);
    }
    // The other one lifts it all, and knows of the pause only.
    for (_, record) in there.resume(&place(1), at(9)) {
        here.heard(record);
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
            holds.heard(record.clone());
        }
        assert_eq!(holds.on(&place(1), at(2)).paused_since_ms, None);
    }
}

#[test]
fn a_pause_is_told_again_before_the_log_forgets_it() {
    let mut holds = holds("a", 1);
    holds.pause(&place(1), at(0));
    let week_s = 7 * 24 * 3_600;
    assert_eq!(holds.due(&places(), at(week_s - 1)), []);
    let due = holds.due(&places(), at(week_s));
    let [Due::Tell(record)] = &due[..] else {
        panic!("{due:?}")
    };
    assert_eq!(record.news, News::Paused { since_ms: START_MS });
    assert_eq!(holds.due(&places(), at(week_s)), []);
}

#[test]
fn a_paused_template_is_known_to_its_account() {
    let mut here = holds("a", 1);
    let parked = Finding {
        template: Some("sale".into()),
        ..finding(Scope::Template, Why::Throttle, Some(132_015), Some(3_600))
    };
    let (_, record) = here.found(&place(1), &parked, at(0)).unwrap();
    assert!(here.found(&place(2), &parked, at(1)).is_none());
    let mut there = holds("b", 2);
    let record = Record::from_json(&record.unwrap().to_json()).unwrap();
    there.heard(record);
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
    assert!(hold.remedy.contains("README.md"));
}

/// What a worker may do on its own.
#[derive(Clone, Copy, Debug)]
enum Act {
    Find(u32),
    Lift(u32),
    Pause(u32),
    Resume(u32),
}

fn act() -> impl Strategy<Value = Act> {
    let lane = 1_u32..=3;
    (0..4, lane).prop_map(|(kind, lane)| match kind {
        0 => Act::Find(lane),
        1 => Act::Lift(lane),
        2 => Act::Pause(lane),
        _ => Act::Resume(lane),
    })
}

fn perform(holds: &mut Holds, act: Act, now: Now) -> Vec<Record> {
    match act {
        Act::Find(lane) => {
            let found = holds.found(&place(lane), &block(Scope::Waba), now);
            found.and_then(|(_, record)| record).into_iter().collect()
        }
        Act::Lift(lane) => {
            let far = at(100_000);
            holds.due(&[place(lane)], far);
            let reach = place(lane).reach(Scope::Waba).unwrap();
            holds.asked(&reach, true, far).into_iter().collect()
        }
        Act::Pause(lane) => holds.pause(&place(lane), now).into_iter().collect(),
        Act::Resume(lane) => holds
            .resume(&place(lane), now)
            .into_iter()
            .map(|(_, record)| record)
            .collect(),
    }
}

proptest! {
    /// However their acts and the log's deliveries interleave, both workers hold the same lanes once the log is read.
    #[test]
    fn workers_agree_once_the_log_is_read(
        acts in proptest::collection::vec((0_usize..2, act(), 0_usize..4, 0_usize..4), 1..40),
    ) {
        let mut workers = [holds("a", 1), holds("b", 2)];
        let mut log: Vec<Record> = vec![];
        let mut read = [0, 0];
        for (second, (who, act, reads_a, reads_b)) in acts.into_iter().enumerate() {
            log.extend(perform(&mut workers[who], act, at(second as u64)));
            for (worker, reads) in [(0, reads_a), (1, reads_b)] {
                for _ in 0..reads.min(log.len() - read[worker]) {
                    workers[worker].heard(log[read[worker]].clone());
                    read[worker] += 1;
                }
            }
        }
        for worker in [0, 1] {
            for record in &log[read[worker]..] {
                workers[worker].heard(record.clone());
            }
        }
        let [one, other] = &workers;
        for lane in 1..=3 {
            let held = |holds: &Holds| {
                let held = holds.on(&place(lane), at(100));
                (held.paused_since_ms.is_some(), held.hold.is_some())
            };
            prop_assert_eq!(held(one), held(other), "lane {}", lane);
        }
    }
}
