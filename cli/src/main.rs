//! The program `amiferry`: the engine, the requests and the replies of the function, for a person
//! at a terminal or a CI job. Results go to standard output, everything else to standard error.
//!
//! The modules, in the order of dependence:
//!
//! - [`failure`]: exit codes
//! - [`wish`]: the request, from files and flags; [`schema`]: its JSON Schema and skeleton
//! - [`arguments`]: the command line
//! - [`session`]: credentials, Region and settings
//! - [`print`](mod@print): results, as tables, JSON, lines or text
//! - [`saved`]: what a killed process needs to go on; [`interrupt`]: Ctrl-C
//! - [`manifest`]: the AMIs of a run, in a file
//! - [`progress`]: the progress of a run
//! - [`local`]: runs the engine in this process; [`stack`]: follows the deployed state machine
//! - [`live_check`]: experiments on AWS with two accounts
//! - [`verbs`]: one module for each verb

#![warn(missing_docs)]

use std::process::ExitCode;

use arguments::{Cli, Globals};
use clap::Parser;
use failure::Failure;
use tracing_subscriber::EnvFilter;

mod arguments;
mod failure;
mod interrupt;
mod live_check;
mod local;
mod manifest;
mod print;
mod progress;
mod saved;
mod schema;
mod session;
mod stack;
mod verbs;
mod wish;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() {
                failure::USAGE
            } else {
                failure::DONE
            };
            // Nobody can be told that standard error is closed.
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    cli.globals.color.write_global();
    log_to_stderr(&cli.globals);
    let ended = run(cli);
    if let Err(failure) = &ended
        && !matches!(failure, Failure::Closed)
    {
        print::error(failure);
    }
    failure::exit(&ended)
}

fn run(cli: Cli) -> Result<u8, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::Failed(format!("no runtime: {e}")))?;
    let ended = runtime.block_on(verbs::perform(cli));
    // A thread that waits for an answer on standard input would keep the program alive.
    runtime.shutdown_background();
    ended
}

/// Logs as `RUST_LOG` or the flags say; without any of them nothing is logged.
fn log_to_stderr(globals: &Globals) {
    let level = match globals.verbose {
        0 => "off",
        1 => "amiferry=info",
        2 => "amiferry=debug",
        _ => "debug",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(print::colors_stderr())
        .init();
}
