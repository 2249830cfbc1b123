//! The W3C trace context, as it stands in AMQP headers: `traceparent` and `tracestate`.

use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};
use std::str::FromStr;

/// A longer `tracestate` is not carried on: it may be dropped from 512 on, and headers have a bound.
const MAX_STATE_BYTES: usize = 4096;

/// The caller's span.
pub struct Parent {
    trace_id: TraceId,
    span_id: SpanId,
    pub is_sampled: bool,
    state: TraceState,
}

impl Parent {
    /// `None` unless it is what W3C's Trace Context says, to the letter: then there is no parent.
    pub fn read(traceparent: &str) -> Option<Self> {
        let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        let mut parts = traceparent.split('-');
        let mut part = |length: usize| {
            let part = parts.next()?;
            (part.len() == length && part.bytes().all(is_hex)).then_some(part)
        };
        let (version, trace_id, span_id, flags) = (part(2)?, part(32)?, part(16)?, part(2)?);
        // Later versions may say more.
        if version == "ff" || version == "00" && parts.next().is_some() {
            return None;
        }
        let flags = u8::from_str_radix(flags, 16).ok()?;
        let (trace_id, span_id) = (TraceId::from_hex(trace_id), SpanId::from_hex(span_id));
        let parent = Self {
            trace_id: trace_id.ok()?,
            span_id: span_id.ok()?,
            is_sampled: flags & 1 == 1,
            state: TraceState::NONE,
        };
        let is_valid = parent.trace_id != TraceId::INVALID && parent.span_id != SpanId::INVALID;
        is_valid.then_some(parent)
    }

    /// A part that cannot be read is left out.
    pub fn with_state(self, tracestate: Option<&str>) -> Self {
        let state = tracestate.filter(|state| state.len() <= MAX_STATE_BYTES);
        let state = state.and_then(|state| TraceState::from_str(state).ok());
        Self {
            state: state.unwrap_or_default(),
            ..self
        }
    }

    pub(super) fn context(&self) -> SpanContext {
        SpanContext::new(
            self.trace_id,
            self.span_id,
            TraceFlags::new(u8::from(self.is_sampled)),
            true,
            self.state.clone(),
        )
    }
}

/// The trace context that a message carries on.
#[derive(Debug, PartialEq, Eq)]
pub struct Trace {
    pub parent: String,
    pub state: Option<String>,
}

impl Trace {
    pub(super) fn of(span: &SpanContext) -> Self {
        let (trace_id, span_id) = (span.trace_id(), span.span_id());
        let state = span.trace_state().header();
        Self {
            parent: format!("00-{trace_id}-{span_id}-{:02x}", span.trace_flags()),
            state: (!state.is_empty()).then_some(state),
        }
    }
}
