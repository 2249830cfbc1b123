use super::{Parent, Trace, export};
use crate::metrics::Metrics;
use opentelemetry::trace::{Span as _, Tracer as _, TracerProvider as _};
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use std::collections::HashSet;

const SOUND: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn carried(traceparent: &str, tracestate: Option<&str>) -> Option<Trace> {
    let parent = Parent::read(traceparent)?.with_state(tracestate);
    Some(Trace::of(&parent.context()))
}

#[test]
fn a_callers_context_is_read_to_the_letter() {
    let trace = carried(SOUND, Some("shop=1, other=a:b")).unwrap();
    assert_eq!(trace.parent, SOUND);
    assert_eq!(trace.state.as_deref(), Some("shop=1,other=a:b"));
    assert!(Parent::read(SOUND).unwrap().is_sampled);
    let not_sampled = SOUND.replace("-01", "-00");
    assert!(!Parent::read(&not_sampled).unwrap().is_sampled);
    // Other flags are not ours, and a later version may say more.
    let later = SOUND.replace("00-0af", "cc-0af").replace("-01", "-03-more");
    assert_eq!(carried(&later, None).unwrap().parent, SOUND);
}

#[test]
fn what_is_malformed_is_no_parent() {
    let malformed = [
        "",
        "-",
        "00",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
        "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-+1",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00 0af7651916cd43dd8448eb211c80319c b7ad6b7169203331 01",
        "00-ßaf7651916cd43dd8448eb211c80319-b7ad6b7169203331-01",
    ];
    for text in malformed {
        assert!(Parent::read(text).is_none(), "{text}");
    }
}

#[test]
fn a_state_that_cannot_be_read_or_is_too_long_is_left_out() {
    let too_long = format!("a={}", "x".repeat(5000));
    for state in ["no pair", "a b=x", too_long.as_str()] {
        let trace = carried(SOUND, Some(state)).unwrap();
        assert_eq!(
            (trace.parent.as_str(), trace.state),
            (SOUND, None),
            "{state:.20}"
        );
    }
}

/// What comes on top of a full queue is counted, and costs nothing more.
#[test]
fn a_full_queue_loses_what_comes_and_counts_it() {
    let metrics = Metrics::new("worker-1", HashSet::new(), 0).unwrap();
    let (queue, _waiting) = export::queue(&metrics);
    let provider = SdkTracerProvider::builder()
        .with_sampler(Sampler::AlwaysOn)
        .with_span_processor(queue)
        .build();
    let tracer = provider.tracer("test");
    for _ in 0..export::QUEUE_SPANS + 3 {
        tracer.start("span").end();
    }
    let lost = metrics.spans_exported.with_label_values(&["error"]);
    assert_eq!(lost.get(), 3);
}
