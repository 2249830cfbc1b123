//! What has no room in memory goes back, and its lane asks for fewer messages.

use super::*;
use crate::core::lane::window::{Load, fits};

/// A lane that asks for 1,430 messages holds so many of 256 KiB.
fn full() -> (Load, Load) {
    let lane = Load {
        deliveries: 128,
        bytes: 32 << 20,
    };
    (lane, lane)
}

fn wide() -> LaneConfig {
    LaneConfig {
        max_in_flight: 2_000,
        buffer: Duration::from_millis(500),
        ..config()
    }
}

impl Story {
    pub(super) fn has_no_room(&mut self, name: &'static str, inbound: Inbound<'_>) -> String {
        let message_id = Some(name);
        let delivery = Inbound {
            message_id,
            ..inbound
        };
        let (bytes, (lane, worker)) = (256 << 10, full());
        // If it stays, then because of what is in flight.
        assert!(!fits(bytes, lane, worker));
        let room = self
            .lane
            .take_room(bytes, (lane, worker), || delivery.clone(), self.now);
        if room == Room::Taken {
            return "stays".to_owned();
        }
        self.lane.turn_back(&delivery);
        "goes back".to_owned()
    }
}

fn first() -> Inbound<'static> {
    Inbound::default()
}

fn again(delivery_count: u64) -> Inbound<'static> {
    Inbound {
        redelivered: true,
        delivery_count,
        ..Inbound::default()
    }
}

#[test]
fn what_has_no_room_goes_back_unsent_and_its_lane_asks_for_fewer() {
    check_with(
        wide(),
        vec![
            (Rejoined, "flowing"),
            (Prefetch, "1500"),
            (Get("a1"), "waits"),
            (NoRoom("b1", first()), "goes back"),
            (NoRoom("c1", first()), "goes back"),
            (Prefetch, "96"),
            (Next, "give back"),
            // Others are told of all of them.
            (
                CameAgain(&[("a1", 1), ("b1", 1), ("c1", 1)]),
                "a1 1, b1 1, c1 1",
            ),
            (Lost, "rejoining"),
            (Rejoined, "flowing"),
            (Again("a1", 2), "waits"),
            (Again("b1", 2), "waits"),
            (Again("c1", 2), "waits"),
            (At(1.0), "flowing"),
            (Next, "send a1, send b1, send c1, idle"),
            // A minute without many.
            (At(61.0), "flowing"),
            (Answer("a1", accepted()), "accepted #1"),
            (Answer("b1", accepted()), "accepted #1"),
            (Answer("c1", accepted()), "accepted #1"),
            (Settled("a1", true), "flowing"),
            (Settled("b1", true), "flowing"),
            (Settled("c1", true), "flowing"),
            (Next, "give back"),
            (Prefetch, "1500"),
        ],
    );
}

#[test]
fn what_is_known_of_a_request_goes_on_while_it_has_no_room() {
    let story = |before: Vec<(Do, &'static str)>, after: Vec<(Do, &'static str)>| {
        let begin = vec![(Rejoined, "flowing"), (At(1.0), "flowing")];
        let all = begin.into_iter().chain(before);
        check_with(wide(), all.chain(after).collect());
    };
    let lost = || (Lost, "rejoining");
    // Nothing: somebody may have sent it.
    story(
        vec![
            (NoRoom("a1", again(1)), "goes back"),
            (Next, "give back"),
            lost(),
        ],
        vec![(Again("a1", 2), "asks")],
    );
    // It went back unsent before.
    story(
        vec![
            (Get("a1"), "waits"),
            (Lost, "flowing"),
            (NoRoom("a1", again(1)), "goes back"),
            (Next, "give back"),
            lost(),
        ],
        vec![(Again("a1", 2), "waits")],
    );
    // The worker before had not sent it.
    story(
        vec![
            (Takes(vec![("a1", 0)]), "flowing"),
            (NoRoom("a1", again(1)), "goes back"),
            (Next, "give back"),
            lost(),
        ],
        vec![(Again("a1", 2), "waits")],
    );
    let sent = || vec![(Get("a1"), "waits"), (Next, "send a1, idle")];
    let ended = || {
        let end = vec![
            (Answer("a1", accepted()), "accepted #1"),
            (Settled("a1", true), "flowing"),
        ];
        sent().into_iter().chain(end).collect::<Vec<_>>()
    };
    // It has ended; what comes for the first time is another publication of its id.
    let mut told = ended();
    told.extend([
        (NoRoom("a1", again(1)), "goes back"),
        (Next, "give back"),
        lost(),
    ]);
    story(told, vec![(Again("a1", 2), "forget")]);
    let mut told = ended();
    told.extend([
        (NoRoom("a1", first()), "goes back"),
        (Next, "give back"),
        lost(),
    ]);
    story(told, vec![(Again("a1", 1), "waits")]);
    // It is in flight: this delivery is settled by its answer.
    let mut told = sent();
    told.extend([
        (Lost, "flowing"),
        (NoRoom("a1", again(1)), "stays"),
        (Again("a1", 1), "is 0 in flight"),
    ]);
    story(told, vec![(Answer("a1", accepted()), "accepted #1")]);
}

/// Also while one request tries whether a hold is over: it tries again once the lane is back.
#[test]
fn a_lane_that_tries_one_request_makes_room_as_well() {
    let held = held(Scope::Lane, Why::Block, 60);
    check_with(
        wide(),
        vec![
            (Order(held), "away"),
            (Order(FREE), "rejoining"),
            (Rejoined, "probing"),
            (Get("a1"), "waits"),
            (NoRoom("b1", first()), "goes back"),
            (Next, "give back"),
            (Lost, "rejoining"),
            (Rejoined, "probing"),
        ],
    );
}
