//! Runs the engine in this process: sends the function's events to the function's handler, waits as
//! a state machine would, and saves the state after each step.

use std::time::{Duration, SystemTime};

use amiferry::error::Error;
use amiferry::handler::{Handler, Invocation};
use amiferry::reply::progress::targets;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::arguments::Globals;
use crate::failure::Failure;
use crate::interrupt::{Interrupt, slept};
use crate::progress::Progress;
use crate::saved::Saved;

/// The time of one step: the ledger counts on no process that works longer without reading again.
const LONGEST_STEP: Duration = Duration::from_mins(15);
/// Steps that fail in a row before a person is told.
const MOST_FAILURES: u32 = 6;

/// The end of one step.
enum Step {
    Replied(Value),
    Failed(Error),
    Slept,
}

/// Follows a run to its end, and returns its last reply.
pub async fn follow(
    globals: &Globals,
    handler: &Handler,
    saved: &mut Saved,
    interrupt: &mut Interrupt,
) -> Result<Value, Failure> {
    let mut progress = Progress::new(globals);
    let end = globals.timeout.map(|time| Instant::now() + time);
    let ended = drive(handler, saved, interrupt, &mut progress, end).await;
    progress.end(ended, saved)
}

async fn drive(
    handler: &Handler,
    saved: &mut Saved,
    interrupt: &mut Interrupt,
    progress: &mut Progress,
    end: Option<Instant>,
) -> Result<Value, Failure> {
    // The number of tries of a state that this process has made itself. Only then is this the only
    // process that has it, and no other one's copies need to be looked for at the end.
    let mut tries = None;
    let mut failures = 0;
    loop {
        let event = event_of(saved, tries);
        let wait = match step(handler, saved, &event, interrupt, progress, end).await? {
            Step::Replied(reply) if reply["Status"] == "Continue" => {
                failures = 0;
                tries = Some(0);
                saved.keep(&reply["State"])?;
                progress.see(&targets(&reply["State"])?)?;
                Duration::from_secs(reply["WaitSeconds"].as_u64().unwrap_or(1))
            }
            Step::Replied(reply) => return Ok(reply),
            Step::Slept => {
                progress.note("this machine slept: the last step is repeated");
                tries = None;
                Duration::ZERO
            }
            Step::Failed(error) => {
                failures += 1;
                tries = tries.map(|tries| tries + 1);
                let passing = matches!(error, Error::Throttled(_) | Error::Internal(_));
                if !passing || failures == MOST_FAILURES {
                    return Err(with_hint(error, saved));
                }
                progress.note(&format!("{error}. Trying again"));
                Duration::from_secs(1 << failures)
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = interrupt.pressed() => return Err(interrupted(saved)),
            () = until(end) => return Err(too_long(saved)),
        }
    }
}

/// Returns the event of the next step, with its tries as the state machine tells them.
fn event_of(saved: &Saved, tries: Option<u32>) -> String {
    let mut event = saved.event.clone();
    if let Some(tries) = tries {
        event["Retries"] = json!(tries);
    }
    event.to_string()
}

/// Returns the facts about a call of the handler: when it must end.
pub fn invocation() -> Invocation {
    Invocation {
        deadline: Some(SystemTime::now() + LONGEST_STEP),
        ..Invocation::default()
    }
}

async fn step(
    handler: &Handler,
    saved: &Saved,
    event: &str,
    interrupt: &mut Interrupt,
    progress: &Progress,
    end: Option<Instant>,
) -> Result<Step, Failure> {
    let invocation = invocation();
    let tell = || {
        progress.note("Ctrl-C: the step under way ends first; press it again to end at once");
    };
    // A step that is dropped is as if the process had been killed: its event can be sent again.
    tokio::select! {
        reply = handler.handle(event, &invocation) => Ok(match reply {
            Ok(reply) => Step::Replied(reply),
            Err(error) => Step::Failed(error),
        }),
        () = interrupt.out_of_patience(tell) => Err(interrupted(saved)),
        () = slept() => Ok(Step::Slept),
        () = until(end) => Err(too_long(saved)),
    }
}

/// Waits until that time; without one, for ever.
pub async fn until(end: Option<Instant>) {
    match end {
        Some(end) => tokio::time::sleep_until(end).await,
        None => std::future::pending().await,
    }
}

fn interrupted(saved: &Saved) -> Failure {
    let how = saved.resume();
    Failure::Interrupted(format!("the source may still be open; to go on: {how}"))
}

fn too_long(saved: &Saved) -> Failure {
    Failure::Running(format!("the time is up; to go on: {}", saved.resume()))
}

/// Says how to go on after a failure, unless nothing can have begun: every other error of a request
/// comes before anything is opened.
fn with_hint(error: Error, saved: &Saved) -> Failure {
    let requested = saved.event.get("State").is_none();
    if requested && !matches!(error, Error::Throttled(_) | Error::Internal(_)) {
        saved.end();
        return error.into();
    }
    let hint = |said: String| format!("{said}. To go on: {}", saved.resume());
    match error.into() {
        Failure::Failed(said) => Failure::Failed(hint(said)),
        Failure::Credentials(said) => Failure::Credentials(hint(said)),
        Failure::Refused(said) => Failure::Refused(hint(said)),
        other => other,
    }
}
