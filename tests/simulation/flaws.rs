//! What a shell could do wrong.

/// A deliberate fault in the shell: proof that the checks can fail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Flaw {
    AcknowledgesFirst,
    HurriesTheClock,
    ForgetsRedelivered,
    ForgetsAttempts,
    ForgetsConfirms,
    ForgetsChannelLoss,
    OverhearsPause,
    OversleepsTimers,
    NeverRejoins,
    DelaysTwice,
    /// The board tells only the lane that found a fault.
    ForgetsSiblings,
    /// A worker does not read what others write.
    IgnoresLog,
    /// An operator's pause is not written.
    KeepsPausesToItself,
    /// A failure that is the API's costs an attempt.
    ChargesOutages,
    /// What a request alone has met is not carried along.
    ForgetsBlame,
    /// What the API is being asked is dropped with the session.
    DropsQuestions,
    /// What the log of results has is not heeded.
    IgnoresEvidence,
    /// The log of results is read one step back and no more.
    SearchesTooLittle,
    /// A request's own `on-unknown: report` is not read.
    ForgetsToReport,
    /// A worker that starts does not wait for the log.
    BeginsUnread,
    /// A worker that starts does not wait for a log that is away.
    BeginsWithoutLog,
    /// Holds go by a clock that can be set.
    TrustsTheWall,
    /// A second copy of a request does not say that it may be one.
    ForgetsCopies,
    /// What was known of an id answers for its next publication.
    MistakesPublications,
    /// The log's result of an earlier publication of the id is taken for this one's.
    TakesAnothersResult,
    /// A delivery that ends connections is let end all lanes', again and again.
    SharesForEver,
    /// What leaves for its person's sake comes back whenever it likes.
    MixesDelays,
    /// A lane is read before the log has said whose it is.
    SendsUnclaimed,
    /// That another worker took the lane is not heeded.
    IgnoresOwner,
    /// Whoever has this worker's name is taken for this worker.
    TrustsNames,
    /// A worker that was stopped goes on as if nothing had been.
    IgnoresFence,
    /// What a lane that leaves has not sent is not told.
    TellsNothingUnsent,
    /// The channel is closed before the others can know.
    ClosesUntold,
    /// What came again as it was given back is not told again.
    TellsOnce,
    /// A lane waits for ever for the log to say whose it is.
    WaitsForTheLog,
    /// A lane is consumed at once where its owner is to be first.
    OvertakesOwner,
    /// A part of what the log of results has of ids is taken for the whole.
    TakesPartForWhole,
}

impl Flaw {
    /// Each, with the checks that are there for it. Others may notice what comes of it earlier.
    pub(crate) const ALL: [(Self, &'static [&'static str]); 37] = [
        (Self::AcknowledgesFirst, &["P1"]),
        (Self::HurriesTheClock, &["P2", "P4"]),
        (Self::ForgetsRedelivered, &["P3"]),
        (Self::ForgetsAttempts, &["P4"]),
        (Self::ForgetsConfirms, &["P3"]),
        (
            Self::ForgetsChannelLoss,
            &["P1", "P7", "claim", "owner", "shell"],
        ),
        (Self::OverhearsPause, &["P4", "wake"]),
        (Self::OversleepsTimers, &["wake"]),
        (Self::NeverRejoins, &["wake"]),
        (Self::DelaysTwice, &["P1", "P3", "P4"]),
        (Self::ForgetsSiblings, &["scope"]),
        (Self::IgnoresLog, &["log"]),
        (Self::KeepsPausesToItself, &["log"]),
        (Self::ChargesOutages, &["P4", "P7"]),
        (Self::ForgetsBlame, &["P8"]),
        (Self::DropsQuestions, &["wake"]),
        (Self::IgnoresEvidence, &["P3"]),
        (Self::SearchesTooLittle, &["P3"]),
        (Self::ForgetsToReport, &["P3"]),
        (Self::BeginsUnread, &["claim", "start", "told"]),
        (Self::BeginsWithoutLog, &["P3", "start"]),
        (Self::TrustsTheWall, &["P4", "log", "scope", "wake"]),
        (Self::ForgetsCopies, &["P3"]),
        (Self::MistakesPublications, &["P1", "P3"]),
        (Self::TakesAnothersResult, &["P1", "P4"]),
        (Self::SharesForEver, &["isolation"]),
        (Self::MixesDelays, &["order"]),
        (Self::SendsUnclaimed, &["claim"]),
        (Self::IgnoresOwner, &["claim", "owner"]),
        (Self::TrustsNames, &["claim"]),
        (Self::IgnoresFence, &["P3", "P4", "claim"]),
        (Self::TellsNothingUnsent, &["told"]),
        (Self::ClosesUntold, &["told"]),
        (Self::TellsOnce, &["told"]),
        (Self::WaitsForTheLog, &["P8"]),
        (Self::OvertakesOwner, &["owner"]),
        (Self::TakesPartForWhole, &["dedupe"]),
    ];
}
