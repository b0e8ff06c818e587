//! The verbs.

use crate::arguments::{Cli, Globals, Output, Verb};
use crate::failure::{DONE, Failure};
use crate::print;
use crate::schema;
use crate::wish::{Scope, Wish};

mod channel;
mod distribute;
mod documents;
mod explain;
mod ledger;
mod live_check;
mod plan;
mod preflight;
mod reply;
mod resume;
mod retain;
mod sandbox;
mod sweep;
mod verify;
mod watch;

/// Performs the verb, and returns the exit code.
pub async fn perform(cli: Cli) -> Result<u8, Failure> {
    let Cli { globals, verb } = cli;
    let globals = &globals;
    match verb {
        Verb::Plan(args) => plan::plan(globals, &args).await,
        Verb::Distribute(args) => Box::pin(distribute::distribute(globals, &args)).await,
        Verb::Share(args) => Box::pin(distribute::share(globals, &args)).await,
        Verb::Unshare(args) => Box::pin(distribute::share(globals, &args)).await,
        Verb::Resume(args) => Box::pin(resume::resume(globals, &args)).await,
        Verb::Verify(args) => verify::verify(globals, &args).await,
        Verb::Preflight(args) => preflight::preflight(globals, &args).await,
        Verb::Policies(args) => preflight::policies(globals, &args).await,
        Verb::Explain(args) => explain::explain(globals, &args).await,
        Verb::Runs(args) => ledger::runs(globals, &args).await,
        Verb::Status(args) => ledger::status(globals, &args).await,
        Verb::Watch(args) => watch::watch(globals, &args).await,
        Verb::Receipt(args) => ledger::receipt(globals, &args).await,
        Verb::Sweep(args) => sweep::sweep(globals, &args).await,
        Verb::Retain(args) => retain::retain(globals, &args).await,
        Verb::Promote(args) => channel::channel(globals, &args).await,
        Verb::Rollback(args) => channel::channel(globals, &args).await,
        Verb::LiveCheck(args) => Box::pin(live_check::live_check(globals, &args)).await,
        Verb::Sandbox(args) => sandbox::sandbox(globals, &args).await,
        Verb::Schema => documents::schema(),
        Verb::Completions { shell } => documents::completions(shell),
        Verb::Man { verb } => documents::man(verb.as_deref()),
    }
}

/// Prints a request to fill in.
fn skeleton<S: Scope>(globals: &Globals, wish: &Wish<S>) -> Result<u8, Failure> {
    match globals.output {
        Output::Json => print::json(&schema::skeleton_json(wish.keys()))?,
        Output::Jsonl => print::json_line(&schema::skeleton_json(wish.keys()))?,
        Output::Table | Output::Text => print::line(schema::skeleton(wish.keys()).trim_end())?,
    }
    Ok(DONE)
}
