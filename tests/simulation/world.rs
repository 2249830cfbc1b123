//! The event loop: one queue of timed events, in order of time and then of appearance. Whatever happens, happens here.

use super::Us;
use super::api::{Api, Call};
use super::broker::{Broker, ChannelId, Tag};
use super::chance::Chance;
use super::checks::{Checked, Tally, Violation, ensure};
pub(crate) use super::events::Event;
use super::fates::Fates;
use super::faults::TEMPLATE_PAUSED;
use super::flaws::Flaw;
use super::gathering::Done;
use super::handover::ToldUnsent;
use super::lanes_log::LogEvent;
use super::plan::{Plan, Request, RequestNo, WALL_START_MS};
use super::process::Process;
use super::publishing::{OperationNo, Publishing};
use super::results_log::Written;
use super::worker::Who;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use whatsapp_dispatcher::contract::result::ResultDocument;
use whatsapp_dispatcher::contract::words::{Class, Scope};
use whatsapp_dispatcher::core::Now;
use whatsapp_dispatcher::core::fleet::holds::Record;
use whatsapp_dispatcher::core::outcome::answer::{AnswerBody, Reply};
use whatsapp_dispatcher::core::outcome::{Override, Rules};

/// After the calm, everything must have ended by then.
pub(super) const PATIENCE: Us = 12 * 3_600 * 1_000_000;
const STEPS_MAX: u64 = 3_000_000;

pub(crate) struct Simulation {
    pub(super) plan: Plan,
    pub(super) flaw: Option<Flaw>,
    pub(super) chance: Chance,
    pub(super) now_us: Us,
    pub(super) broker: Broker,
    pub(super) api: Api,
    pub(super) rules: Rules,
    pub(super) processes: Vec<Process>,
    pub(super) operations: BTreeMap<OperationNo, Publishing>,
    /// Done, and not acknowledged yet.
    pub(super) gathered: BTreeMap<ChannelId, Vec<Done>>,
    pub(super) next_operation: OperationNo,
    pub(super) fates: Fates,
    pub(super) results_log: Vec<Written>,
    /// Requests that came once an earlier one of their id had ended: each comes once, however often that one ends.
    pub(super) published_again: BTreeSet<RequestNo>,
    /// What was told to be unsent, by request, hops, and the run that told it.
    pub(super) told_unsent: BTreeMap<(RequestNo, u32, u64, u64), ToldUnsent>,
    /// Copies of requests of which something has left a worker: a send, or what was published for them.
    pub(super) touched_copies: BTreeSet<(RequestNo, u32)>,
    pub(super) tally: Tally,
    /// Uploads of files that were ever begun.
    pub(super) uploads: u64,
    /// Deliveries of which something left the worker: a send, or what was published for them.
    pub(super) touched: BTreeSet<Tag>,
    /// Of those, the ones of which nothing left but a copy for the ladder, before they were due.
    pub(super) scheduled: BTreeSet<Tag>,
    events: BTreeMap<(Us, u64), Event>,
    sequence: u64,
    /// Per channel and direction, when the last frame arrives: frames do not overtake each other.
    pub(super) to_worker: BTreeMap<ChannelId, Us>,
    pub(super) to_broker: BTreeMap<ChannelId, Us>,
    pub(super) limit_changes: Vec<u64>,
    /// Per worker and per delay, when the last publish arrives, or comes off the ladder; and in which order requests were published.
    pub(super) publishes: BTreeMap<usize, Us>,
    pub(super) ladder: BTreeMap<u32, Us>,
    pub(super) publications: BTreeMap<RequestNo, u64>,
    /// Deliveries that are about to leave for their persons' sake, and the requests of which one has.
    pub(super) departures: BTreeSet<Tag>,
    pub(super) departed: BTreeSet<RequestNo>,
    pub(super) order: BTreeMap<(usize, usize, bool), u64>,
    /// A worker process has started for the second time: what the first knew of pairs is gone.
    pub(super) memory_was_lost: bool,
    /// `wa.lanes.log`, and the lanes that it says are paused.
    pub(super) log: Vec<Record>,
    pub(super) paused: BTreeSet<Arc<str>>,
    /// Until when nothing is read from it or written to it.
    pub(super) log_away_until: Us,
    /// By worker, how far its wall clock is off.
    pub(super) clocks_off_ms: BTreeMap<usize, i64>,
    /// Lives of workers so far.
    pub(super) runs: u64,
    /// Workers that are stopped, until when.
    pub(super) stopped: BTreeMap<usize, Us>,
    /// Lanes with customers who wrote more than planned.
    pub(super) busy_inbound: BTreeSet<usize>,
    trace: Option<Vec<String>>,
}

impl Simulation {
    pub(crate) fn new(plan: Plan, flaw: Option<Flaw>, traced: bool) -> Self {
        let mut simulation = Self {
            flaw,
            chance: Chance::new(plan.seed ^ 0x5eed),
            now_us: 0,
            broker: Broker::new(plan.lanes.len(), plan.requests.len()),
            api: Api::new(&plan),
            rules: rules(&plan),
            processes: (0..plan.workers).map(|_| Process::default()).collect(),
            operations: BTreeMap::new(),
            gathered: BTreeMap::new(),
            next_operation: 0,
            fates: Fates::new(plan.requests.len()),
            results_log: vec![],
            published_again: BTreeSet::new(),
            told_unsent: BTreeMap::new(),
            touched_copies: BTreeSet::new(),
            tally: Tally::default(),
            uploads: 0,
            touched: BTreeSet::new(),
            scheduled: BTreeSet::new(),
            events: BTreeMap::new(),
            sequence: 0,
            to_worker: BTreeMap::new(),
            to_broker: BTreeMap::new(),
            limit_changes: vec![0; plan.lanes.len()],
            publishes: BTreeMap::new(),
            ladder: BTreeMap::new(),
            publications: BTreeMap::new(),
            departures: BTreeSet::new(),
            departed: BTreeSet::new(),
            order: BTreeMap::new(),
            memory_was_lost: false,
            log: vec![],
            paused: BTreeSet::new(),
            log_away_until: 0,
            clocks_off_ms: BTreeMap::new(),
            runs: 0,
            stopped: BTreeMap::new(),
            busy_inbound: BTreeSet::new(),
            trace: traced.then(Vec::new),
            plan,
        };
        for request in 0..simulation.plan.requests.len() {
            let Request { after, at, .. } = simulation.plan.requests[request];
            if after.is_none() {
                simulation.at(at, Event::Publish(request));
            }
        }
        for (at, mishap) in simulation.plan.mishaps.clone() {
            simulation.at(at, Event::Mishap(mishap));
        }
        for worker in 0..simulation.plan.workers {
            simulation.at(0, Event::Start(worker));
        }
        simulation.at(simulation.plan.calm_at, Event::Calm);
        simulation
    }

    /// Until nothing is left to happen.
    pub(crate) fn run(&mut self) -> Checked {
        let mut steps = 0;
        while let Some(((at, _), event)) = self.events.pop_first() {
            steps += 1;
            self.now_us = at;
            let Some(event) = self.unless_stopped(event) else {
                continue;
            };
            let late = at > self.plan.calm_at + PATIENCE || steps > STEPS_MAX;
            ensure(!late, "wake", || {
                format!(
                    "still busy {} s after the calm",
                    (at - self.plan.calm_at.min(at)) / 1_000_000
                )
            })?;
            self.happen(event)?;
            let lost = self.broker.lost(|request| self.fates.is_published(request));
            if let Some(request) = lost {
                return Violation::of("P1", format!("request {request} is nowhere"));
            }
        }
        if let Some(left) = self.broker.left() {
            return Violation::of(
                "wake",
                format!("nothing happens any more, and there are {left}"),
            );
        }
        if self.fates.repeated() > 0 {
            self.tally.count("seed with a repeated send");
        }
        self.fates.close()
    }

    pub(crate) fn finish(self) -> (Tally, Vec<String>) {
        (self.tally, self.trace.unwrap_or_default())
    }

    fn happen(&mut self, event: Event) -> Checked {
        match event {
            Event::Publish(request) => self.publish(request),
            Event::OffLadder(copy) => {
                let lane = copy.lane;
                self.broker.descend(copy);
                self.deliver_all(lane);
            }
            Event::Deliver(who, channel, tag, copy) => {
                return self.delivered(who, channel, tag, copy);
            }
            Event::Ack(channel, tag) => {
                if let Some(ended) = self.broker.ack(channel, tag)? {
                    self.publish_again_after(ended);
                }
                self.deliver_everywhere();
            }
            Event::ChannelGone(channel) => self.channel_gone(channel),
            Event::ChannelClosed(channel) => self.channel_closed(channel),
            Event::Flush(_, channel) => self.flush(channel),
            Event::Evidence(who, ticket, question, asked_at) => {
                return self.evidence(who, ticket, question, asked_at);
            }
            Event::GivenBack(channel) => self.given_back(channel),
            Event::Leave(who, step) => return self.leave_goes_on(who, step),
            Event::Arrive(call) => return self.arrive(call),
            Event::Answer(who, ticket, reply) => return self.answered(who, ticket, reply),
            Event::Reach {
                operation,
                trial,
                request,
                who,
                session,
                letter,
            } => return self.reach(operation, trial, request, who, session, letter),
            Event::Confirm(operation, trial) => return self.confirmed(operation, trial),
            Event::Refused(operation, trial) => self.refused(operation, trial),
            Event::Again(operation, trial) => self.again(operation, trial),
            Event::Done(operation) => return self.done(operation),
            Event::Opened(who, opening) => return self.opened(who, opening),
            Event::LimitRead(who) => return self.limit_read(who),
            Event::Wake(who, timer) => return self.wake(who, timer),
            Event::Mishap(mishap) => return self.befall(mishap),
            Event::SessionUp(worker, life) => return self.session_up(worker, life),
            Event::Start(worker) => self.start_process(worker),
            Event::Obey(who) => return self.obeyed(who),
            Event::Recall(who, read) => self.begin_recall(who, &read),
            Event::Recalled(who, number, parts) => return self.recalled(who, number, parts),
            Event::Uploaded(who, news) => return self.uploaded(who, news),
            Event::Log(event) => return self.log_happens(event),
            Event::Tend(event) => self.tends(event),
            Event::Worker(event) => return self.happen_to_worker(event),
            Event::Ends(end) => self.ends(end),
            Event::WorkersLimit(lane, limit_mps, change) => {
                return self.workers_limit(lane, limit_mps, change);
            }
            Event::ApisLimit(lane, limit_mps, change) => {
                self.apis_limit(lane, limit_mps, change);
            }
            Event::Calm => {
                self.note(|| "calm".to_owned());
                let now = self.now_us;
                let lone = self.plan.lone.clone();
                self.api.calm(lone, now);
                self.after(10_000_000, Event::Log(LogEvent::Compare));
                self.end_pauses();
            }
        }
        Ok(())
    }

    pub(super) fn deliver_all(&mut self, lane: usize) {
        while let Some(delivery) = self.broker.deliver(lane) {
            let life = self.processes[delivery.worker].life;
            let who = Who {
                worker: delivery.worker,
                life,
                lane,
            };
            let at = self.frame(delivery.channel, true);
            let event = Event::Deliver(who, delivery.channel, delivery.tag, delivery.copy);
            self.at(at, event);
        }
    }

    pub(super) fn deliver_everywhere(&mut self) {
        for lane in 0..self.plan.lanes.len() {
            self.deliver_all(lane);
        }
    }

    fn channel_closed(&mut self, channel: ChannelId) {
        self.broker.close(channel);
        self.deliver_everywhere();
    }

    fn given_back(&mut self, channel: ChannelId) {
        self.broker.give_back(channel);
        self.deliver_everywhere();
    }

    pub(super) fn channel_gone(&mut self, channel: ChannelId) {
        for (tag, request) in self.broker.close(channel) {
            if self.touched.contains(&tag) {
                let is_scheduled = self.scheduled.contains(&tag);
                self.fates.lost_sight(request, is_scheduled);
            }
            if self.broker.has_several(request) {
                self.fates.has_twin(request);
            }
        }
        self.deliver_everywhere();
    }

    fn arrive(&mut self, call: Call) -> Checked {
        let is_orphan = self.processes[call.who.worker].life != call.who.life;
        if is_orphan && self.chance.percent(50) {
            return Ok(());
        }
        let now = self.now_us;
        let handled = self.api.handle(&call, now);
        let request = call.request;
        self.note(|| {
            let answer = describe(&handled.reply);
            let taken = handled.entry.as_ref().map_or("", |_| ", taken");
            format!("request {request} at the API: {answer}{taken}")
        });
        if let Some(entry) = handled.entry {
            let right = entry.opaque.as_deref() == Some(&*self.plan.requests[request].opaque);
            ensure(right, "P1", || {
                format!("request {request} carries another's opaque id")
            })?;
            self.fates.taken(request, entry.wamid)?;
        }
        match handled.refused_by_rules {
            Some(130_429) => {
                self.tally.count("130429 by the rules");
                ensure(!self.keeps_the_rate(call.who.lane), "P2", || {
                    format!("request {request} was refused for the number's rate")
                })?;
            }
            Some(131_056) => {
                self.tally.count("131056 by the rules");
                let alone = self.plan.workers == 1 && !self.memory_was_lost;
                ensure(!alone, "P2", || {
                    format!("request {request} was refused for its pair")
                })?;
            }
            Some(_) | None => {}
        }
        self.at(
            handled.answer_at,
            Event::Answer(call.who, call.ticket, handled.reply),
        );
        Ok(())
    }

    /// True if no sliding second at the API can hold more than the limit: one worker at a time, nothing inbound, and arrivals moved
    /// by less than the rate leaves room for.
    fn keeps_the_rate(&self, lane: usize) -> bool {
        let LaneNumbers { room, inbound } = self.numbers(lane);
        let as_planned = !self.busy_inbound.contains(&lane);
        self.plan.workers == 1 && inbound == 0.0 && as_planned && room < 1.0
    }

    fn numbers(&self, lane: usize) -> LaneNumbers {
        let plan = &self.plan.lanes[lane];
        let pace = &plan.config.pace;
        let moved_s = 2.0 * plan.rules.arrival_jitter_ms as f64 / 1_000.0;
        LaneNumbers {
            room: pace.utilization * (1.0 + pace.burst.as_secs_f64() + moved_s),
            inbound: plan.rules.inbound_mps,
        }
    }

    pub(super) fn now(&self) -> Now {
        Now {
            mono: Duration::from_micros(self.now_us),
            wall_ms: WALL_START_MS + self.now_us / 1_000,
            steady_ms: WALL_START_MS + self.now_us / 1_000,
        }
    }

    pub(super) fn at(&mut self, at: Us, event: Event) {
        self.sequence += 1;
        self.events
            .insert((at.max(self.now_us), self.sequence), event);
    }

    pub(super) fn after(&mut self, us: Us, event: Event) {
        self.at(self.now_us + us, event);
    }

    /// A way between worker and broker.
    pub(super) fn hop(&mut self) -> Us {
        let most = self.plan.network.broker_us;
        self.chance.within(100..=most)
    }

    /// When the next frame on this channel arrives.
    pub(super) fn frame(&mut self, channel: ChannelId, to_worker: bool) -> Us {
        let at = self.now_us + self.hop();
        let last = match to_worker {
            true => self.to_worker.entry(channel).or_default(),
            false => self.to_broker.entry(channel).or_default(),
        };
        *last = at.max(*last);
        *last
    }

    pub(super) fn end(&mut self, request: RequestNo, report: Arc<ResultDocument>) -> Checked {
        self.broker.end(request);
        if report.duplicate_of_earlier {
            self.check_duplicate(request, &report)?;
            return self.fates.duplicate(request, report);
        }
        self.fates
            .result(request, &self.plan.requests[request], report)
    }

    pub(super) fn note(&mut self, what: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{:>12.6}  {}", self.now_us as f64 / 1e6, what()));
        }
    }
}

/// The table, with messages of paused templates waiting if the plan has it so.
fn rules(plan: &Plan) -> Rules {
    let paused = plan.template_pause_s.map(|pause_s| Override {
        scope: Some(Scope::Template),
        pause_s: Some(pause_s),
        ..Override::new(TEMPLATE_PAUSED, Class::Throttled)
    });
    Rules::new(paused.into_iter().collect())
}

struct LaneNumbers {
    room: f64,
    inbound: f64,
}

fn describe(reply: &Reply) -> String {
    match reply {
        Reply::Answered(answer) => match &answer.body {
            AnswerBody::Error(error) => format!("{} error {}", answer.status, error.code),
            AnswerBody::Accepted(_) => format!("{} accepted", answer.status),
            AnswerBody::Success => format!("{} success", answer.status),
            AnswerBody::Unreadable => format!("{} unreadable", answer.status),
        },
        Reply::NotSent(why) | Reply::NoAnswer(why) => format!("no answer, {why}"),
        Reply::NoFile(_) => "no file".to_owned(),
    }
}
