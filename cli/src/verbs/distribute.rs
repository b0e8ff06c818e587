//! `distribute`, `share` and `unshare`: a run from its request to its end.

use std::io::{BufRead, IsTerminal, Write};
use std::path::Path;

use amiferry::handler::run_of;
use amiferry::request::{Mode, Request};
use serde_json::{Value, json};

use super::{reply, skeleton};
use crate::arguments::{Distribute, Globals, Ledger, Output, Share};
use crate::failure::{DONE, Failure, code_of};
use crate::interrupt::Interrupt;
use crate::print::{self, note};
use crate::saved::Saved;
use crate::session::Session;
use crate::wish::{Scope, Wish};
use crate::{local, manifest, stack};

/// Copies into each target.
pub async fn distribute(globals: &Globals, args: &Distribute) -> Result<u8, Failure> {
    if args.wish.skeleton {
        return skeleton(globals, &args.wish);
    }
    manifest::check(args.manifest.as_deref())?;
    if args.local {
        return in_process(globals, &args.wish, &args.ledger, args.manifest.as_deref()).await;
    }
    let (session, words, request) = Session::of_request(globals, &args.wish, &args.ledger).await?;
    let outputs = session.outputs(&args.ledger.stack).await?;
    let run = run_of(&words, &request);
    let execution = session.start(&outputs.machine, &run, &words).await?;
    if args.no_wait {
        return started(globals.output, &run, &execution);
    }
    let at = (outputs.bucket.as_str(), session.region.as_str());
    let saved = Saved::begin_execution(&run, &execution, globals, at)?;
    follow_execution(globals, &session, &saved, args.manifest.as_deref()).await
}

/// Follows an execution of the state machine to its end, and prints its reply.
pub async fn follow_execution(
    globals: &Globals,
    session: &Session,
    saved: &Saved,
    manifest: Option<&Path>,
) -> Result<u8, Failure> {
    let execution = saved.execution().unwrap_or_default();
    note(globals, format!("run {}, execution {execution}", saved.run));
    let mut interrupt = Interrupt::listen();
    let told = stack::follow(globals, session, saved, &mut interrupt).await?;
    ended(globals, &told, manifest)
}

fn started(output: Output, run: &str, execution: &str) -> Result<u8, Failure> {
    let told: Value = json!({"RunId": run, "ExecutionArn": execution});
    match output {
        Output::Json => print::json(&told)?,
        Output::Jsonl => print::json_line(&told)?,
        Output::Table | Output::Text => print::line(execution)?,
    }
    Ok(DONE)
}

/// Shares with the targets, or takes a share back.
pub async fn share<S: Scope>(globals: &Globals, args: &Share<S>) -> Result<u8, Failure> {
    if args.wish.skeleton {
        return skeleton(globals, &args.wish);
    }
    in_process(globals, &args.wish, &args.ledger, None).await
}

async fn in_process<S: Scope>(
    globals: &Globals,
    wish: &Wish<S>,
    ledger: &Ledger,
    manifest: Option<&Path>,
) -> Result<u8, Failure> {
    let (mut session, words, request) = Session::of_request(globals, wish, ledger).await?;
    session.find_ledger(ledger).await?;
    let lasting = request.mode == Mode::Share;
    if lasting {
        confirm(globals, &request)?;
    }
    let run = run_of(&words, &request);
    let at = (session.bucket(), session.region.as_str());
    let mut saved = Saved::begin(&run, lasting, &words, globals, at)?;
    follow_here(globals, &session, &mut saved, manifest).await
}

/// Runs a run in this process to its end, and prints its reply.
pub async fn follow_here(
    globals: &Globals,
    session: &Session,
    saved: &mut Saved,
    manifest: Option<&Path>,
) -> Result<u8, Failure> {
    note(globals, format!("run {}", saved.run));
    let mut interrupt = Interrupt::listen();
    let told = local::follow(globals, &session.handler(), saved, &mut interrupt).await?;
    ended(globals, &told, manifest)
}

/// Prints the reply of a run that has ended, and writes its manifest.
fn ended(globals: &Globals, told: &Value, manifest: Option<&Path>) -> Result<u8, Failure> {
    if let Some(file) = manifest {
        manifest::write(file, told)?;
    }
    reply::print(globals.output, told)?;
    Ok(code_of(told))
}

/// Asks a person at a terminal: a share lasts, and its end may be missed by those who launch.
fn confirm(globals: &Globals, request: &Request) -> Result<(), Failure> {
    let count = request.targets.len();
    let audience = match request.audience {
        Some(_) => " and an organization or units",
        None => "",
    };
    let does = if request.sharing.unshare {
        "Take back from"
    } else {
        "Share with"
    };
    let image = &request.source_image;
    confirmed(
        globals,
        &format!("{does} {count} accounts{audience}: {image}. Go on?"),
    )
}

/// Asks a person at a terminal, unless `--yes` is given.
pub fn confirmed(globals: &Globals, question: &str) -> Result<(), Failure> {
    let at_terminal = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    if globals.yes || !at_terminal {
        return Ok(());
    }
    let question = format!("{question} [y/N] ");
    let mut stderr = anstream::stderr();
    let asked = stderr
        .write_all(question.as_bytes())
        .and_then(|()| stderr.flush());
    let mut answer = String::new();
    let read = asked.and_then(|()| std::io::stdin().lock().read_line(&mut answer));
    match read {
        Ok(_) if matches!(answer.trim(), "y" | "Y" | "yes") => Ok(()),
        _ => Err(Failure::Interrupted("nothing was changed".to_owned())),
    }
}
