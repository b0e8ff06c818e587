//! Driving a run to its end, as its caller would, through kills.

use std::time::Duration;

use amiferry::error::Error;
use amiferry_sandbox::Sandbox;
use futures::future::join_all;
use serde_json::{Value, json};

use super::schedule::{Run, Schedule, Way};
use crate::support::*;

/// The number of calls after which a run counts as endless.
const MOST_CALLS: usize = 6000;
/// The number of failures in a row after which a caller gives a call up.
const PATIENCE: usize = 60;

/// Closes a share without any fault. Returns an error if the share stays open although no other
/// person prevents the closing.
pub async fn take_back(sandbox: &Sandbox, schedule: &Schedule) -> Result<(), String> {
    let mut event = schedule.runs[0].event.clone();
    event["Distribute"]["Unshare"] = json!(true);
    for _ in 0..MOST_CALLS {
        let reply = match call(sandbox, &event).await {
            Ok(reply) => reply,
            Err(_) if !schedule.hands.is_empty() => return Ok(()),
            Err(error) => return Err(format!("taking back: {error}")),
        };
        if reply["Status"] == "Continue" {
            let wait = reply["WaitSeconds"].as_u64().unwrap_or(1);
            tokio::time::sleep(Duration::from_secs(wait)).await;
            event = json!({"State": reply["State"]});
        } else if reply["Status"] == "Succeeded" || !schedule.hands.is_empty() {
            return Ok(());
        } else {
            return Err(format!("taking back: {reply}"));
        }
    }
    Err("taking back does not end".to_owned())
}

/// Lets the sweeper verify all closings without any fault, and checks that the ledger forgets them.
/// Fifteen minutes pass first, and again for resources that were found open. An act of another
/// person may prevent the verification.
pub async fn verify(
    sandbox: &Sandbox,
    schedule: &Schedule,
    replies: &[Value],
) -> Result<(), String> {
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_mins(25)).await;
        match call(sandbox, &json!({"Sweep": {}})).await {
            Ok(_) => {}
            Err(_) if !schedule.hands.is_empty() => return Ok(()),
            Err(error) => return Err(format!("sweeping: {error}")),
        }
    }
    let ended = |reply: &Value| !["Stuck", "Refused"].iter().any(|s| reply["Status"] == *s);
    let mut objects = sandbox.objects(BUCKET).into_keys();
    match objects.find(|key| key.starts_with("openings/")) {
        Some(key) if schedule.hands.is_empty() && replies.iter().all(ended) => {
            let left = sandbox.objects(BUCKET).remove(&key).unwrap_or_default();
            let left = String::from_utf8_lossy(&left).into_owned();
            Err(format!("{key} is left in the ledger: {left}"))
        }
        _ => Ok(()),
    }
}

/// The invocations of a run, some of which are killed.
struct Caller<'a> {
    sandbox: &'a Sandbox,
    kills: std::sync::Mutex<Vec<u64>>,
    odd: Odd,
    calls: std::sync::atomic::AtomicUsize,
}

/// The end of a call.
enum Called {
    Reply(Value),
    /// The call was killed, and returned nothing.
    Killed,
    Error(Error),
}

impl Caller<'_> {
    async fn call(&self, event: &Value) -> Result<Called, String> {
        let calls = self.calls.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        if calls > MOST_CALLS {
            return Err(format!("does not end: {MOST_CALLS} calls, now {event}"));
        }
        let kill = self.kills.lock().map_err(|e| e.to_string())?.pop();
        // Lambda kills a call at its time-out too.
        let life = kill.map_or(self.odd.timeout, Duration::from_secs);
        let began = tokio::time::Instant::now();
        let calling = call_odd(self.sandbox, event, self.odd);
        match tokio::time::timeout(life, calling).await {
            Ok(Ok(reply)) => {
                let took = began.elapsed();
                if took + Duration::from_secs(10) > self.odd.timeout {
                    return Err(format!(
                        "returned {took:?} after its begin, later than 10 s before its deadline"
                    ));
                }
                Ok(Called::Reply(reply))
            }
            Ok(Err(error)) => Ok(Called::Error(error)),
            Err(_) if kill.is_some() => Ok(Called::Killed),
            Err(_) => {
                let words: Vec<&String> = event
                    .as_object()
                    .into_iter()
                    .flat_map(|e| e.keys())
                    .collect();
                Err(format!("did not return before its deadline: {words:?}"))
            }
        }
    }

    /// Retries as a state machine does, until there is a reply or a lasting error.
    async fn task(&self, event: &Value) -> Result<Result<Value, Error>, String> {
        for attempt in 0.. {
            match self.call(event).await? {
                Called::Reply(reply) => return Ok(Ok(reply)),
                Called::Error(error @ (Error::Throttled(_) | Error::Internal(_)))
                    if attempt >= PATIENCE =>
                {
                    return Ok(Err(error));
                }
                Called::Killed | Called::Error(Error::Throttled(_) | Error::Internal(_)) => {
                    tokio::time::sleep(Duration::from_secs(30)).await;
                }
                Called::Error(error) => return Ok(Err(error)),
            }
        }
        unreachable!()
    }
}

async fn wait(reply: &Value) -> Result<(), String> {
    let seconds = reply["WaitSeconds"]
        .as_u64()
        .filter(|s| (1..=3600).contains(s));
    let seconds = seconds.ok_or_else(|| format!("waits for {}", reply["WaitSeconds"]))?;
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    Ok(())
}

/// Drives a run to its end. Returns the last reply, or the error of a run that could not begin.
pub async fn to_its_end(sandbox: &Sandbox, run: &Run) -> Result<Value, String> {
    tokio::time::sleep(Duration::from_secs(run.begins)).await;
    let caller = Caller {
        sandbox,
        kills: std::sync::Mutex::new(run.killed.clone()),
        odd: Odd {
            timeout: Duration::from_secs(run.timeout),
            skew: run.skew,
            attempts: run.attempts,
        },
        calls: std::sync::atomic::AtomicUsize::default(),
    };
    match run.way {
        Way::Machine => machine(&caller, run).await,
        way => Box::pin(calls(&caller, run, way)).await,
    }
}

fn refused(error: &Error) -> Value {
    json!({"Status": "Refused", "Error": error.error_type(), "Reason": error.to_string()})
}

async fn calls(caller: &Caller<'_>, run: &Run, way: Way) -> Result<Value, String> {
    let mut event = run.event.clone();
    for attempt in 0.. {
        let outcome = if way == Way::Doubled {
            // The later of the two replies counts, even if that process knows less.
            let (_, later) = tokio::join!(caller.call(&event), caller.call(&event));
            later?
        } else {
            caller.call(&event).await?
        };
        match outcome {
            Called::Reply(reply) if reply["Status"] == "Continue" => {
                sound(&reply["State"])?;
                wait(&reply).await?;
                event = json!({"State": reply["State"]});
            }
            Called::Reply(reply) => return Ok(reply),
            Called::Killed => {
                if way == Way::Forgetful {
                    event.clone_from(&run.event);
                }
                tokio::time::sleep(Duration::from_secs(5)).await;
            }
            Called::Error(Error::Throttled(_) | Error::Internal(_)) if attempt < MOST_CALLS => {
                tokio::time::sleep(Duration::from_secs(30)).await;
            }
            Called::Error(error) => return Ok(refused(&error)),
        }
    }
    unreachable!()
}

/// Checks that a state is small, and holds no secret.
fn sound(state: &Value) -> Result<(), String> {
    let text = state.to_string();
    let targets = state["Targets"].as_array().map_or(0, Vec::len);
    if text.len() > 4096 + 1024 * targets {
        return Err(format!(
            "a state of {} bytes for {targets} targets",
            text.len()
        ));
    }
    match ["AKIA", "ASIA", "producer-secret", "SessionToken"]
        .iter()
        .find(|s| text.contains(**s))
    {
        Some(secret) => Err(format!("{secret} in a state")),
        None => Ok(()),
    }
}

async fn machine(caller: &Caller<'_>, run: &Run) -> Result<Value, String> {
    let job = &run.event;
    let (mut last, mut failed) = (json!({}), json!({}));
    loop {
        let event = json!({"Open": job, "Execution": "execution", "Last": last});
        match caller.task(&event).await? {
            Ok(reply) => {
                last = reply;
                if last["Status"] != "Continue" {
                    break;
                }
                wait(&last).await?;
            }
            Err(error) => {
                failed = json!({"Error": error.error_type(), "Cause": error.to_string()});
                break;
            }
        }
    }
    let parts = last["Parts"].as_array().cloned().unwrap_or_default();
    let children = parts.iter().map(|part| child(caller, part));
    let done: Vec<Value> = join_all(children)
        .await
        .into_iter()
        .collect::<Result<_, _>>()?;
    let mut parts = json!(done);
    loop {
        let event = json!({"Conclude": job, "Execution": "execution", "Last": last, "Parts": parts,
            "Failed": failed});
        match caller.task(&event).await? {
            Ok(reply) if reply["Status"] == "Continue" => {
                wait(&reply).await?;
                (last, parts) = (reply, json!([]));
            }
            Ok(reply) => return Ok(reply),
            // The machine retries its conclusion, and the sweeper comes after it.
            Err(_) => tokio::time::sleep(Duration::from_mins(10)).await,
        }
    }
}

async fn child(caller: &Caller<'_>, part: &Value) -> Result<Value, String> {
    let mut state = part["State"].clone();
    loop {
        match caller.task(&json!({"State": state})).await? {
            Ok(reply) => {
                state = reply["State"].clone();
                sound(&state)?;
                if reply["Status"] != "Continue" {
                    return Ok(json!({"State": state}));
                }
                wait(&reply).await?;
            }
            Err(error) => {
                let said = json!({"Error": error.error_type(), "Cause": error.to_string()});
                return Ok(json!({"State": state, "Error": said}));
            }
        }
    }
}
