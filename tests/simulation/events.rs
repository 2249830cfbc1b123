//! What can happen in a simulated world, and whose process it needs.

use super::Us;
use super::api::Call;
use super::board::Tending;
use super::broker::{ChannelId, Copy, Tag};
use super::lanes_log::LogEvent;
use super::media::News;
use super::mishaps::End;
use super::plan::{Mishap, RequestNo};
use super::publishing::{Letter, OperationNo};
use super::worker::Who;
use std::collections::VecDeque;
use whatsapp_dispatcher::core::evidence::search::{Question, Stamp};
use whatsapp_dispatcher::core::lane::Ticket;
use whatsapp_dispatcher::core::lane::dedupe::{Read, Recalled};
use whatsapp_dispatcher::core::outcome::answer::Reply;

pub(crate) enum Event {
    Publish(RequestNo),
    OffLadder(Copy),
    Deliver(Who, ChannelId, Tag, Copy),
    Ack(ChannelId, Tag),
    /// The broker finds it dead.
    ChannelGone(ChannelId),
    /// The worker closed it: nothing was under way on it.
    ChannelClosed(ChannelId),
    /// A worker writes the acknowledgements that it kept back.
    Flush(Who, ChannelId),
    /// What the log of results has of a delivery that is asked about.
    Evidence(Who, Ticket, Question, Us),
    /// The worker gives back all that an open channel holds.
    GivenBack(ChannelId),
    /// A lane that leaves has waited for long enough.
    Leave(Who, u64),
    Arrive(Call),
    Answer(Who, Ticket, Reply),
    /// A publish reaches the broker. Carries what it publishes: it may outlive its sender.
    Reach {
        operation: OperationNo,
        trial: u64,
        request: RequestNo,
        who: Who,
        session: u64,
        letter: (Letter, Stamp),
    },
    Confirm(OperationNo, u64),
    Refused(OperationNo, u64),
    Again(OperationNo, u64),
    Done(OperationNo),
    /// The broker answers an attempt to subscribe.
    Opened(Who, u64),
    Wake(Who, u64),
    Mishap(Mishap),
    SessionUp(usize, u64),
    Start(usize),
    /// Orders from its process reach a lane.
    Obey(Who),
    /// The log of results is read back for a lane, or the next part of it is here.
    Recall(Who, Read),
    Recalled(Who, u64, VecDeque<Recalled>),
    Uploaded(Who, News),
    Log(LogEvent),
    Tend(Tending),
    Ends(End),
    /// A worker has read a number's limit from the API.
    LimitRead(Who),
    WorkersLimit(usize, u32, u64),
    ApisLimit(usize, u32, u64),
    Calm,
    Worker(WorkerEvent),
}

/// Of one worker's process, or lane.
pub(crate) enum WorkerEvent {
    /// The number's limit was told to a lane that was leaving.
    SetLimit(Who, u32),
    /// The broker has not heard of a stopped worker for too long.
    SessionDead(usize, u64),
    /// A stopped worker goes on, after so long.
    GoesOn(usize, u64, Us),
    LearnsOfLoss(usize, u64),
    /// A lane that claimed then has waited for as long as it may.
    ClaimDue(Who, Us),
}

impl Event {
    /// Of which decision it is a step.
    pub(super) fn operation(&self) -> Option<OperationNo> {
        if let Self::Confirm(operation, _)
        | Self::Refused(operation, _)
        | Self::Again(operation, _)
        | Self::Done(operation) = self
        {
            return Some(*operation);
        }
        None
    }

    /// Whose process it needs, if it is stopped.
    pub(super) fn worker(&self) -> Option<usize> {
        match self {
            Self::Deliver(who, ..)
            | Self::Evidence(who, ..)
            | Self::Leave(who, _)
            | Self::Answer(who, ..)
            | Self::Opened(who, _)
            | Self::LimitRead(who)
            | Self::Wake(who, _)
            | Self::Obey(who)
            | Self::Recall(who, _)
            | Self::Recalled(who, ..)
            | Self::Uploaded(who, ..)
            | Self::Flush(who, _)
            | Self::Worker(WorkerEvent::SetLimit(who, _)) => Some(who.worker),
            Self::SessionUp(worker, _)
            | Self::Start(worker)
            | Self::Worker(WorkerEvent::LearnsOfLoss(worker, _)) => Some(*worker),
            Self::Log(event) => event.worker(),
            Self::Tend(event) => Some(event.worker()),
            Self::Mishap(
                Mishap::SessionLost { worker, .. }
                | Mishap::ChannelLost { worker, .. }
                | Mishap::Drain { worker, .. }
                | Mishap::Pause { worker, .. },
            ) => Some(*worker),
            Self::Mishap(_)
            | Self::Publish(_)
            | Self::OffLadder(_)
            | Self::Ack(..)
            | Self::ChannelGone(_)
            | Self::ChannelClosed(_)
            | Self::GivenBack(_)
            | Self::Arrive(_)
            | Self::Reach { .. }
            | Self::Confirm(..)
            | Self::Refused(..)
            | Self::Again(..)
            | Self::Done(_)
            | Self::Ends(_)
            | Self::WorkersLimit(..)
            | Self::ApisLimit(..)
            | Self::Worker(
                WorkerEvent::SessionDead(..) | WorkerEvent::GoesOn(..) | WorkerEvent::ClaimDue(..),
            )
            | Self::Calm => None,
        }
    }
}
