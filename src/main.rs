//! Parses the arguments, performs the command, and ends with its exit code.

use clap::Parser;
use std::process::ExitCode;
use whatsapp_dispatcher::cli::{Arguments, Failure};

#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "what the operator asked for, or the one clear line why not, also before logging is up"
)]
fn main() -> ExitCode {
    match Arguments::parse().command.run() {
        Ok(text) if text.is_empty() => ExitCode::SUCCESS,
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(Failure { code, why }) => {
            eprintln!("whatsapp-dispatcher: {why}");
            ExitCode::from(code)
        }
    }
}
