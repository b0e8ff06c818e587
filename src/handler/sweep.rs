//! The sweeper: reads the ledger, closes what outlived its run, finishes closings that stopped
//! half-way, and verifies closings of 15 minutes ago. A run with an execution is over when the
//! execution is. Any other run is over when no copy can last that long.
//!
//! A dry sweep (`{"Sweep": {"Apply": false}}`) decides the same from the same records, and changes
//! nothing.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tracing::{info, warn};

use super::{Handler, Invocation, budget};
use crate::aws::Aws;
use crate::error::{Error, Refusal};
use crate::ledger::{Attempt, Kind, LONGEST_LIFE, Record, Run};
use crate::reply::metrics::Openings;
use crate::step::copy_limit;

/// The findings and deeds of a sweep.
#[derive(Default)]
struct Swept {
    closed: BTreeSet<Attempt>,
    alive: BTreeSet<Attempt>,
    verified: Vec<Value>,
    /// Closings that failed, in words for a person.
    stuck: Vec<String>,
    /// Closings that a dry sweep would finish.
    half: BTreeSet<Attempt>,
    /// Seconds since the oldest opening of a copying run that stays.
    oldest: i64,
    dry: bool,
}

impl Swept {
    /// Notes that an opening stays, which was made at `since` (Unix seconds).
    fn stays_open(&mut self, since: i64, now: i64) {
        self.oldest = self.oldest.max(now.saturating_sub(since));
    }
}

impl Handler {
    /// Closes what runs that are over have left open; without `apply`, tells what that is. `of`
    /// names one execution whose end was reported.
    pub(super) async fn sweep(
        &self,
        aws: &Aws,
        of: Option<&str>,
        apply: bool,
        invocation: &Invocation,
    ) -> Result<Value, Error> {
        let budget = budget(aws, invocation, i64::MAX)?;
        let mut swept = Swept {
            dry: !apply,
            ..Swept::default()
        };
        let mut runs: BTreeMap<String, Option<Run>> = BTreeMap::new();
        let mut named = BTreeSet::new();
        let mut resources = aws.open_resources().await.map_err(Error::from_refusal)?;
        // Starts with another resource each time: where the time ends before the list, each has its
        // turn.
        let first = fastrand::usize(..resources.len().max(1));
        resources.rotate_left(first);
        for resource in resources {
            if !budget.lasts(aws.now()) {
                swept
                    .stuck
                    .push("the time was up; the next sweep goes on".to_owned());
                break;
            }
            if let Err(refusal) = self
                .sweep_one(aws, of, &resource, &mut runs, &mut named, &mut swept)
                .await
            {
                warn!(resource, %refusal, "not swept");
                swept
                    .stuck
                    .push(format!("{resource} is not closed: {refusal}"));
            }
        }
        if of.is_none() && apply && swept.stuck.is_empty() {
            let forgotten = aws.forget_old_runs(&|run| named.contains(run)).await;
            match forgotten {
                Ok(0) => {}
                Ok(runs) => info!(runs, "receipts older than ninety days deleted"),
                Err(refusal) => swept.stuck.push(refusal.to_string()),
            }
        }
        if of.is_none() && apply {
            let seen = Openings {
                open: swept.alive.len(),
                oldest: swept.oldest,
                closed: swept.closed.len(),
                verified: swept.verified.len(),
                stuck: swept.stuck.len(),
            };
            self.measure(invocation, |meter| meter.of_sweep(seen, aws.now()));
        }
        told(swept)
    }

    async fn sweep_one(
        &self,
        aws: &Aws,
        of: Option<&str>,
        resource: &str,
        runs: &mut BTreeMap<String, Option<Run>>,
        named: &mut BTreeSet<String>,
        swept: &mut Swept,
    ) -> Result<(), Refusal> {
        let Some(record) = aws.opening_record(resource).await? else {
            return Ok(());
        };
        named.extend(attempts(&record).map(|attempt| attempt.run.clone()));
        for (attempt, holding) in &record.holders {
            if holding.kind == Kind::Kept {
                continue;
            }
            if !runs.contains_key(&attempt.run) {
                runs.insert(attempt.run.clone(), aws.run_record(&attempt.run).await?);
            }
            let run = runs.get(&attempt.run).and_then(Option::as_ref);
            // A share lasts, unless its resource makes copies by now.
            let copies = run.is_some_and(|run| run.kind == Kind::Copy);
            if holding.kind == Kind::Share && !copies {
                continue;
            }
            // Of a run whose object is lost, only this resource is known.
            if run.is_some() && swept.closed.contains(attempt) {
                continue;
            }
            let works =
                |name: &str| run.is_some_and(|run| run.workers(attempt).executions.contains(name));
            if of.is_some_and(|name| !works(name)) {
                continue;
            }
            let since = holding.latest;
            if self.is_alive(aws, run, attempt, since).await? {
                swept.stays_open(holding.since, aws.now());
                swept.alive.insert(attempt.clone());
                continue;
            }
            if swept.dry {
                swept.closed.insert(attempt.clone());
                continue;
            }
            let run = run.cloned();
            let run = run.unwrap_or_else(|| Run::lost(attempt, &record));
            close(aws, &run, attempt, swept).await?;
            if !swept.closed.contains(attempt) {
                swept.stays_open(holding.since, aws.now());
            }
        }
        if of.is_some() {
            return Ok(());
        }
        finish(aws, &record, swept).await
    }

    /// Whether a process may be working on an attempt.
    async fn is_alive(
        &self,
        aws: &Aws,
        run: Option<&Run>,
        attempt: &Attempt,
        since: i64,
    ) -> Result<bool, Refusal> {
        let age = aws.now().saturating_sub(since);
        let Some(run) = run else {
            // The run's object is lost: no process can continue it.
            return Ok(age < LONGEST_LIFE);
        };
        let workers = run.workers(attempt);
        if workers.closing {
            // The process that began to close the attempt, or to follow it, may work for as long as
            // a process lives.
            let since = run.closing_since.unwrap_or(run.since);
            return Ok(aws.now().saturating_sub(since) < LONGEST_LIFE);
        }
        let Some(machine) = &self.settings.state_machine else {
            return Ok(age < longest(run));
        };
        for execution in &workers.executions {
            if aws.is_running(machine, execution).await? {
                return Ok(true);
            }
        }
        Ok(workers.calls && age < longest(run))
    }
}

/// Closes what an attempt holds whose work is over.
async fn close(aws: &Aws, run: &Run, attempt: &Attempt, swept: &mut Swept) -> Result<(), Refusal> {
    let closed = aws.close_over(run, attempt).await?;
    let left = closed.left.iter();
    let told =
        left.map(|(what, refusal)| format!("run {}: {what} is not closed: {refusal}", run.run));
    swept.stuck.extend(told);
    if closed.left.is_empty() && closed.again_at.is_none() {
        swept.closed.insert(attempt.clone());
        let (run, attempt) = (&run.run, attempt.number);
        info!(run, attempt, "closed what outlived its run");
    }
    Ok(())
}

/// Finishes and verifies the closings of one record.
async fn finish(aws: &Aws, record: &Record, swept: &mut Swept) -> Result<(), Refusal> {
    if swept.dry {
        swept.half.extend(record.half_closed(aws.now()));
        swept.verified.extend(verifiable(record, aws.now()));
        return Ok(());
    }
    aws.finish_half_closed(record).await?;
    verify(aws, record, swept).await
}

/// Verifies the closings of one record.
async fn verify(aws: &Aws, record: &Record, swept: &mut Swept) -> Result<(), Refusal> {
    let resource = &record.resource;
    for attempt in record.closed.keys() {
        if let Some(seen) = aws.verify_closed(record, attempt).await? {
            if !seen.open.is_empty() {
                warn!(
                    resource, attempt = %attempt, open = ?seen.open,
                    "was open still, and is closed now"
                );
            }
            let told = json!({"Attempt": attempt, "Resource": resource, "Seen": seen});
            swept.verified.push(told);
        }
    }
    Ok(())
}

/// Returns the closings of one record that a sweep would verify.
fn verifiable(record: &Record, now: i64) -> Vec<Value> {
    let closed = record.closed.keys();
    let due = closed.filter(|attempt| record.verify(attempt, "", now).is_some());
    due.map(|attempt| json!({"Attempt": attempt, "Resource": record.resource}))
        .collect()
}

/// Returns the seconds that a run may last if nobody reports the end of its callers: no copy
/// outlasts them.
fn longest(run: &Run) -> i64 {
    copy_limit(run.completion_minutes(), run.targets.len()).saturating_add(3600)
}

fn attempts(record: &Record) -> impl Iterator<Item = &Attempt> {
    let ended = record.closing.keys().chain(record.closed.keys());
    record.holders.keys().chain(ended)
}

fn told(swept: Swept) -> Result<Value, Error> {
    let (closed, alive) = (swept.closed.len(), swept.alive.len());
    let (verified, stuck) = (swept.verified.len(), swept.stuck.len());
    info!(closed, alive, verified, stuck, "swept");
    if !swept.stuck.is_empty() {
        // As an error it reaches the dead letters, and a person.
        return Err(Error::Internal(swept.stuck.join("\n\n")));
    }
    let each = |attempts: BTreeSet<Attempt>| -> Vec<Value> {
        let told = attempts
            .iter()
            .map(|a| json!({"RunId": a.run, "Attempt": a}));
        told.collect()
    };
    if swept.dry {
        return Ok(json!({
            "WouldClose": each(swept.closed),
            "WouldFinish": each(swept.half),
            "WouldVerify": swept.verified,
            "Alive": each(swept.alive),
        }));
    }
    Ok(json!({
        "Closed": each(swept.closed),
        "Alive": each(swept.alive),
        "Verified": swept.verified,
    }))
}
