use super::*;

const LOOKBACK: Duration = Duration::from_secs(60);

fn wanted(hops: u32) -> Wanted {
    Wanted {
        lane: "1".to_owned(),
        id: "x".to_owned(),
        incarnation: Some(7),
        hops,
    }
}

fn question(hops: u32, former: Option<u64>) -> Question {
    let wanted = wanted(hops);
    let former = former.map(|run| Former {
        run,
        gone: Duration::from_secs(2),
    });
    Question { wanted, former }
}

fn entry(offset: u64, id: &str, told: Told) -> Entry<'_> {
    Entry {
        offset,
        lane: "1",
        id,
        incarnation: Some(Some(7)),
        told,
        stamp: None,
    }
}

/// A log of workers 1, 2 and 3 in turn.
struct Log {
    per_second: u64,
    seconds: u64,
    /// When 1 wrote its last, before the end.
    silent_s: u64,
    /// Since when 1 had not settled all, before each of its entries.
    unsettled_s: u64,
}

const DENSE: Log = Log {
    per_second: 3_000,
    seconds: 600,
    silent_s: 2,
    unsettled_s: 5,
};

impl Log {
    /// How many seconds are read for a request that nobody has answered.
    fn check(&self, former: Option<u64>, expected_s: u64) {
        let mut scan = Scan::new(vec![question(0, former)], LOOKBACK, FIRST_STEP);
        let end = self.per_second * self.seconds;
        let killed = end - self.silent_s * self.per_second;
        let mut known_from = end;
        while let Some(from) = scan.next_step(known_from) {
            for offset in from..known_from {
                let run = 1 + offset % 3;
                // Each has a clock of its own.
                let at_ms = run * 1_000_000 + offset * 1_000 / self.per_second;
                let unsettled_s = if run == 1 { self.unsettled_s } else { 0 };
                let entry = Entry {
                    stamp: Some(Stamp {
                        run,
                        at_ms,
                        settled_ms: at_ms - unsettled_s * 1_000,
                    }),
                    ..entry(offset, "y", Told::Ended)
                };
                if run != 1 || offset < killed {
                    scan.note(&entry, || ());
                }
            }
            known_from = from;
        }
        let read = end - known_from;
        let most = expected_s * self.per_second + LONGEST_STEP;
        let is_enough = read >= (expected_s * self.per_second).min(end);
        assert!(is_enough && read <= most, "{read} entries");
    }
}

#[test]
fn a_search_goes_back_as_far_as_it_must() {
    // The last word of the one that was killed is 2 s old, of what it had not settled 5 s before; it is gone for 2 s.
    DENSE.check(Some(1), 10);
    let cut_off = Log {
        silent_s: 30,
        ..DENSE
    };
    cut_off.check(Some(1), 38);
    // One that lives.
    let lives = Log {
        silent_s: 0,
        ..DENSE
    };
    lives.check(Some(1), 8);
}

#[test]
fn what_is_not_known_takes_the_whole_time() {
    DENSE.check(None, 60);
    // It had something unsettled for long, or was not seen at all.
    let is_stuck = Log {
        unsettled_s: 300,
        ..DENSE
    };
    is_stuck.check(Some(1), 60);
    DENSE.check(Some(9), 60);
    // As much as there is.
    let short = Log {
        seconds: 30,
        ..DENSE
    };
    short.check(None, 30);
    // Hardly anything is written: the first step is an hour.
    let thin = Log {
        per_second: 1,
        seconds: 6_000,
        ..DENSE
    };
    thin.check(None, 60);
}

#[test]
fn a_search_ends_with_what_is_found() {
    let mut scan = Scan::new(vec![question(0, None)], LOOKBACK, FIRST_STEP);
    assert_eq!(scan.next_step(9_000), Some(3_000));
    scan.note(&entry(3_001, "x", Told::Ended), || ());
    assert_eq!(scan.next_step(3_000), None);
}

/// Which of these entries counts, if any.
fn check_found(hops: u32, entries: &[Entry<'_>], expected: Option<u64>) {
    let mut scan = Scan::new(vec![question(hops, None)], LOOKBACK, FIRST_STEP);
    for entry in entries {
        scan.note(entry, || entry.offset);
    }
    assert_eq!(scan.into_found().get(&wanted(hops)).copied(), expected);
}

#[test]
fn of_several_the_last_result_counts_and_a_copy_only_without_one() {
    let (copied, ended) = (Told::Copied(0), Told::Ended);
    let all = [
        entry(9, "x", copied),
        entry(3, "x", ended),
        entry(5, "x", ended),
        entry(4, "x", ended),
    ];
    check_found(0, &all, Some(5));
    check_found(0, &[entry(9, "x", copied)], Some(9));
}

#[test]
fn another_is_another_by_lane_publication_or_time() {
    let ended = entry(8, "x", Told::Ended);
    let of = |incarnation| Entry {
        incarnation,
        ..ended
    };
    check_found(0, &[of(Some(Some(6))), of(Some(None))], None);
    // It does not say: of an earlier version of this program.
    check_found(0, &[of(None)], Some(8));
    check_found(0, &[Entry { lane: "2", ..ended }], None);
    // A copy that was made before this one came off the ladder is itself.
    check_found(1, &[entry(9, "x", Told::Copied(0))], None);
    check_found(1, &[entry(9, "x", Told::Copied(1))], Some(9));
}

#[test]
fn a_stamp_is_read_as_it_was_written() {
    let stamp = Stamp {
        run: 1 << 53,
        at_ms: 7,
        settled_ms: 4,
    };
    assert_eq!(Stamp::read(&stamp.to_string()), Some(stamp));
    for no_stamp in ["", "1", "1 2", "a b c", "-1 2 3"] {
        assert_eq!(Stamp::read(no_stamp), None);
    }
}
