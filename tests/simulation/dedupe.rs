//! Requests that say `dedupe`: ids that are published again, how the log of results is read back for them, and that each is sent once.

use super::Us;
use super::checks::{Checked, Violation, ensure};
use super::conduct::{Conduct, Item};
use super::flaws::Flaw;
use super::plan::{Plan, Request, RequestNo, WALL_START_MS};
use super::publishing::Letter;
use super::worker::Who;
use super::world::{Event, Simulation};
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use whatsapp_dispatcher::contract::request::History;
use whatsapp_dispatcher::contract::result::ResultDocument;
use whatsapp_dispatcher::contract::words::Status;
use whatsapp_dispatcher::core::lane::Ticket;
use whatsapp_dispatcher::core::lane::dedupe::{Note, Read, Recalled, Word, key};

/// The longest there is: no story takes as long.
const DEDUPE_S: u32 = 86_400;

/// By so much clocks may differ.
const SLACK_S: u64 = 30;

/// In one seed of four, most requests say so, and every third id is published once more. Drawn from no chance, which would change what every
/// seed plans.
pub(super) fn draw(plan: &mut Plan, span: Us, seed: u64) {
    if seed % 4 != 1 {
        return;
    }
    let is_told_apart = |request: &Request| {
        let is_message = request.is_valid && !request.is_receipt;
        request.id.is_some() && request.after.is_none() && is_message
    };
    let requests = plan.requests.iter().enumerate();
    let again = requests.filter(|(no, request)| no % 3 == 0 && is_told_apart(request));
    let again = again.map(|(no, request)| Request {
        at: (request.at + no as Us * 300_000).min(span),
        incarnation: Some(WALL_START_MS + 500_000 + no as u64),
        ..request.clone()
    });
    let again: Vec<Request> = again.collect();
    plan.requests.extend(again);
    for (no, request) in plan.requests.iter_mut().enumerate() {
        request.dedupe_s = (no % 7 != 6 && !request.is_receipt).then_some(DEDUPE_S);
    }
    // In some of them hardly any fit.
    if seed % 8 == 1 {
        for lane in &mut plan.lanes {
            lane.config.dedupe_ids_max = 3;
        }
    }
}

/// A lane's second account of them.
#[derive(Default)]
pub(crate) struct Duplicates {
    /// The number of what is being read of the log: whoever says `dedupe` may wait for it.
    pub(super) reading: Option<u64>,
    /// Those that are being answered by an earlier result, which takes no send's place.
    pub(super) answering: BTreeSet<Ticket>,
}

impl Letter {
    /// That a copy with this history is on the ladder.
    pub(super) fn copied(history: &History) -> Self {
        Self::CopyNoted(history.hops - 1, (!history.follows).then_some(Word::Away))
    }
}

impl Conduct {
    pub(crate) fn in_flight(&self) -> Vec<RequestNo> {
        self.flights.values().map(|item| item.request).collect()
    }

    /// By requests that are sent, or end.
    pub(super) fn places_taken(&self) -> usize {
        self.flights.len() + self.settling.len() - self.duplicates.answering.len()
    }

    /// It may wait until the log was read, or its file uploaded.
    fn waits_for_word(&self, ticket: Ticket, item: &Item, now: Us) -> bool {
        let is_held = self.duplicates.reading.is_some() && item.is_deduped;
        is_held || self.asked.contains(&ticket) || self.files.may_be_awaited(item, now)
    }

    /// By when the next waiting request must be looked at.
    pub(super) fn due(&self, now: Us) -> Option<Us> {
        let busy = |person| {
            let mut flights = self.flights.values();
            flights.any(|flight| flight.person == Some(person))
        };
        // Those behind one that waits for the log wait with it.
        let held = |(ticket, item): &(&Ticket, &Item)| self.waits_for_word(**ticket, item, now);
        let asked = self.waiting.iter().filter(held);
        let asked: Vec<usize> = asked.filter_map(|(_, item)| item.person).collect();
        let due = |(ticket, item): (&Ticket, &Item)| match item.person {
            None if self.waits_for_word(*ticket, item, now) => None,
            None => Some(0),
            Some(person) if busy(person) || asked.contains(&person) => None,
            Some(person) => self.pairs.due(person, now),
        };
        let first = self.waiting.iter().filter_map(due).min()?;
        let paced = self.rate.due();
        Some(first.max(paced).max(self.stops.quiet_until()).max(now))
    }
}

impl Simulation {
    /// The log is to be read back: that takes a while to begin.
    pub(super) fn recall(&mut self, who: Who, read: Read) -> Checked {
        self.shell_mut(who).conduct.duplicates.reading = Some(read.number);
        let took = self.chance.within(1_000..=300_000);
        self.note(|| format!("{who} reads back from {}", read.from_s));
        self.after(took, Event::Recall(who, read));
        Ok(())
    }

    /// All that the log has now is told, part by part; unless it fails, or takes long.
    pub(super) fn begin_recall(&mut self, who: Who, read: &Read) {
        let mut parts: VecDeque<Recalled> = VecDeque::new();
        let notes = self.notes(who.lane, read);
        let size = (notes.len() / 6).max(3);
        parts.extend(
            notes
                .chunks(size)
                .map(|part| Recalled::Notes(part.to_vec())),
        );
        if self.flaw == Some(Flaw::TakesPartForWhole) {
            parts.truncate(1);
        }
        parts.push_back(Recalled::Whole);
        let is_calm = self.now_us >= self.plan.calm_at;
        if self.chance.percent(20) {
            let at = self.chance.within(0..=parts.len() as u64 - 1) as usize;
            parts.insert(at, Recalled::Late);
        }
        if self.chance.percent(15) && !is_calm {
            let at = self.chance.within(0..=parts.len() as u64 - 1) as usize;
            parts.truncate(at);
            parts.push_back(Recalled::Failed);
        }
        self.tell_next_part(who, read.number, parts);
    }

    fn tell_next_part(&mut self, who: Who, number: u64, parts: VecDeque<Recalled>) {
        let took = self.chance.pick(&[1_000, 100_000, 2_000_000]);
        self.after(took, Event::Recalled(who, number, parts));
    }

    fn notes(&self, lane: usize, read: &Read) -> Vec<Note> {
        let notes = self.results_log.iter().filter_map(|written| {
            let facts = &self.plan.requests[written.request];
            let written_s = (WALL_START_MS + written.at / 1_000) / 1_000;
            let is_read = written_s + SLACK_S >= read.from_s.into() && facts.lane == lane;
            let (word, at_s) = written.ended.filter(|_| is_read)?;
            Some(Note {
                key: key(facts.id.as_deref()?),
                at_s: at_s as u32,
                word,
            })
        });
        let only = read.only.as_ref();
        notes
            .filter(|note| only.is_none_or(|only| only.contains(&note.key)))
            .collect()
    }

    pub(super) fn recalled(
        &mut self,
        who: Who,
        number: u64,
        mut parts: VecDeque<Recalled>,
    ) -> Checked {
        if !self.is_alive(who) {
            return Ok(());
        }
        if self.shell_mut(who).driver.is_leaving() {
            // Nobody looks at it meanwhile.
            self.tally
                .count("log of results is read back in the middle of leaving");
            self.after(1_000, Event::Recalled(who, number, parts));
            return Ok(());
        }
        self.obey(who)?;
        let Some(part) = parts.pop_front() else {
            return Ok(());
        };
        match part {
            Recalled::Whole => self.tally.count("log of results read back"),
            Recalled::Failed => self.tally.count("log of results cannot be read back"),
            Recalled::Notes(_) | Recalled::Late => {}
        }
        let now = self.now();
        let shell = self.shell_mut(who);
        let is_over = !matches!(part, Recalled::Notes(_));
        let reading = &mut shell.conduct.duplicates.reading;
        *reading = reading.filter(|reading| !is_over || *reading != number);
        let goes_on = shell.driver.recalled(number, part, now);
        match goes_on {
            true => self.tell_next_part(who, number, parts),
            false if !parts.is_empty() => {
                self.tally.count("log of results read back for nobody");
            }
            false => {}
        }
        self.perform_all(who)?;
        self.turn(who)
    }

    /// By the result of the earlier one, if the log can be read.
    pub(super) fn answer_duplicate(
        &mut self,
        request: RequestNo,
        report: &Arc<ResultDocument>,
        delay_s: u32,
        history: History,
    ) -> Vec<Letter> {
        let is_calm = self.now_us >= self.plan.calm_at;
        if self.chance.percent(20) && !is_calm {
            self.tally.count("duplicate, and the log cannot be read");
            self.fates.leaves(request);
            let copied = Letter::copied(&history);
            return vec![Letter::Ladder { delay_s, history }, copied];
        }
        let is_it = |earlier: &&Arc<ResultDocument>| {
            let is_then = earlier.completed_at / 1_000 == report.completed_at / 1_000;
            earlier.status == report.status && is_then
        };
        let of_id = self.of_id(request);
        let mut earlier = of_id.flat_map(|other| self.fates.results(other));
        let answer = earlier.find(is_it).map(|earlier| ResultDocument {
            duplicate_of_earlier: true,
            ..ResultDocument::clone(earlier)
        });
        // Without it, what is told fails its check.
        let answer = answer.map_or_else(|| report.clone(), Arc::new);
        vec![Letter::Repeat(answer)]
    }

    /// All publications of its id, and itself.
    fn of_id(&self, request: RequestNo) -> impl Iterator<Item = RequestNo> + '_ {
        let facts = &self.plan.requests[request];
        let all = self.plan.requests.iter().enumerate();
        let same = move |(_, other): &(usize, &Request)| {
            other.id.is_some() && other.id == facts.id && other.lane == facts.lane
        };
        all.filter(same).map(|(other, _)| other)
    }

    /// It was answered as another of its id was, which was sent or may have been.
    pub(super) fn check_duplicate(
        &self,
        request: RequestNo,
        report: &Arc<ResultDocument>,
    ) -> Checked {
        let facts = &self.plan.requests[request];
        let mut earlier = self
            .of_id(request)
            .flat_map(|other| self.fates.results(other));
        let is_known = earlier.any(|earlier| {
            let is_same = (earlier.status, &earlier.wamid) == (report.status, &report.wamid);
            is_same && matches!(earlier.status, Status::Accepted | Status::Unknown)
        });
        ensure(facts.dedupe_s.is_some() && is_known, "dedupe", || {
            format!("request {request} was answered by no earlier one's result: {report:?}")
        })
    }

    /// Whoever says `dedupe` is sent only if no other of its id is known to have been, nor is being sent by this lane.
    pub(super) fn check_first_of_id(&mut self, who: Who, request: RequestNo) -> Checked {
        if self.plan.requests[request].dedupe_s.is_none() {
            return Ok(());
        }
        let others: Vec<RequestNo> = self.of_id(request).filter(|o| *o != request).collect();
        let in_flight = self.shell_mut(who).conduct.in_flight();
        for other in others {
            let results = self.fates.results(other);
            let counts = |report: &Arc<ResultDocument>| {
                matches!(report.status, Status::Accepted | Status::Unknown)
            };
            // Whose ends differ has had a second life of which a worker may learn too late.
            if !results.is_empty() && results.iter().all(counts) {
                let what = format!("request {request} is sent although request {other} was");
                return Violation::of("dedupe", what);
            }
            let is_deduped = self.plan.requests[other].dedupe_s.is_some();
            ensure(!is_deduped || !in_flight.contains(&other), "dedupe", || {
                format!("request {request} is sent while request {other} is")
            })?;
        }
        Ok(())
    }
}
