//! The log: lines on stderr, as text or JSON. Logged once, where handled; no content, no recipient, no token at any level.

use crate::config::{LogConfig, LogFormat};
use anyhow::Context;
use std::panic::PanicHookInfo;
use tracing::{Level, Metadata};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::prelude::*;

mod repeats;

pub use repeats::{Repeats, TELL};

/// Returns what tells of lines that are left out as repeats.
pub fn start(config: &LogConfig) -> anyhow::Result<Repeats> {
    let repeats = Repeats::default();
    let filter = EnvFilter::try_new(&config.level).context("not a filter")?;
    // Ends of the broker's connections are told by us, once; lapin adds an ERROR to every orderly end.
    let lapin_is_wanted = config.level.contains("lapin");
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let subscriber = tracing_subscriber::registry()
        .with(filter)
        .with(repeats.clone())
        .with(filter_fn(move |line| {
            !is_of_lapin(line) || lapin_is_wanted && !tells_contents(line)
        }));
    match config.format {
        LogFormat::Json => subscriber.with(lines.json().flatten_event(true)).init(),
        LogFormat::Text => subscriber.with(lines).init(),
    }
    std::panic::set_hook(Box::new(tell_panic));
    Ok(repeats)
}

/// A panic's text may quote what was being looked at: only fixed texts are told.
fn tell_panic(panic: &PanicHookInfo<'_>) {
    let text = panic.payload().downcast_ref::<&'static str>();
    let text = text.copied().unwrap_or("its text may quote a request");
    let at = panic.location().map(ToString::to_string);
    let backtrace = std::backtrace::Backtrace::capture();
    let was_asked_for = backtrace.status() == std::backtrace::BacktraceStatus::Captured;
    let backtrace = was_asked_for.then(|| backtrace.to_string());
    tracing::error!(text, backtrace, "panicked at {}", at.unwrap_or_default());
}

fn is_of_lapin(line: &Metadata<'_>) -> bool {
    line.target().starts_with("lapin")
}

/// lapin prints whole messages: returned ones as a warning, and every frame when it traces. No level may ask for that.
fn tells_contents(line: &Metadata<'_>) -> bool {
    line.target() == "lapin::returned_messages" || *line.level() == Level::TRACE
}
