//! How the end of a request is told in its trace.

use crate::contract::result::ResultDocument;
use crate::contract::words::{Class, Status};
use crate::core::request::decide::Decision;
use crate::spans::End;

pub(super) fn end(decision: &Decision) -> End {
    let status = match decision {
        Decision::Finish(report) | Decision::Bury(report) => return end_of(report),
        Decision::Delay { .. } => "delayed",
        Decision::Repeat { .. } | Decision::Duplicate { .. } => "repeated",
        Decision::Forget => "ended_before",
        Decision::Abandon => "given_back",
    };
    End {
        status,
        error: None,
    }
}

pub(super) fn end_of(report: &ResultDocument) -> End {
    End {
        status: report.status.as_str(),
        error: report.error.as_ref().map(|error| error.class),
    }
}

/// Describes the end of a request that intake refuses.
pub(super) fn end_of_a_refusal() -> End {
    End {
        status: Status::Rejected.as_str(),
        error: Some(Class::Invalid.as_str()),
    }
}
