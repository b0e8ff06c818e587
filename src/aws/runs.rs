//! A run's object in the ledger: written when its request is accepted, before anything is opened,
//! and when it ends.

use std::collections::BTreeSet;

use futures::stream::{self, StreamExt, TryStreamExt};
use serde_json::Value;

use super::Aws;
use super::ledger::Change;
use crate::error::{Error, Refusal};
use crate::ids::{AccountId, ImageId, KeyArn, Region, SnapshotId};
use crate::ledger::{Kind, Principals, Receipt, Run, RunStatus, RunTarget};
use crate::state::{RunRef, SourceRef, State};

/// Seconds that the object of a run that holds nothing is kept, for its receipt.
const KEPT: i64 = 90 * 24 * 3600;
/// Runs' objects that are read at a time.
const READ_AT_ONCE: usize = 16;

fn overtaken() -> Error {
    Error::invalid(
        "RequestId",
        "is that of an old event: a later one of this resource has been accepted since",
    )
}

impl Aws {
    /// Accepts a request: it joins the run's live attempt or begins the next, which the state then
    /// names. `whole` says that the request of a lasting share lists all its principals.
    pub async fn accept(
        &self,
        state: &mut State,
        asked_by: &str,
        whole: bool,
    ) -> Result<(), Error> {
        let mut asked = state.as_run();
        asked_by.clone_into(&mut asked.asked_by);
        // The opening notes its resources, and how it opens them, right before it opens them.
        asked.resources.clear();
        asked.staged_in.clear();
        (asked.stages, asked.grants, asked.edits_policies) = (false, false, false);
        let accepted = self.change_run(&state.run, |former| {
            if former.is_some_and(|former| former.had_and_overtook(&state.event)) {
                return Change::Leave(None);
            }
            let new = Run::accept(former, asked.clone(), whole);
            let attempt = new.attempt;
            let same = |former: &Run| {
                former.attempt == attempt
                    && former.executions == new.executions
                    && former.calls == new.calls
                    && former.events == new.events
                    && former.joined == new.joined
            };
            if former.is_some_and(same) {
                return Change::Leave(Some(attempt));
            }
            Change::Write(new, Some(attempt))
        });
        state.attempt = accepted
            .await
            .map_err(Error::from_refusal)?
            .ok_or_else(overtaken)?;
        Ok(())
    }

    /// Whether the ledger has this run. Without a bucket nothing was ever begun.
    pub async fn knows_run(&self, run: &str) -> Result<bool, Error> {
        if self.bucket.is_none() {
            return Ok(false);
        }
        let found = self.run_record(run).await.map_err(Error::from_refusal)?;
        Ok(found.is_some())
    }

    /// Returns the targets that a later event of the custom resource wants, if the ledger has a
    /// later one than `event`. An empty `event` is overtaken by none.
    pub async fn overtaken(
        &self,
        run: &str,
        event: &str,
    ) -> Result<Option<BTreeSet<(AccountId, Region)>>, Refusal> {
        if event.is_empty() {
            return Ok(None);
        }
        let run = self.run_record(run).await?;
        let later = run.filter(|run| run.has_overtaken(event));
        Ok(later.map(|run| {
            let place = |target: &RunTarget| {
                let account = AccountId::parse(&target.account_id).ok()?;
                Some((account, Region::parse(&target.region).ok()?))
            };
            run.targets.iter().filter_map(place).collect()
        }))
    }

    /// Takes these principals, or all, off the lists of a lasting share before they are closed, so
    /// that no older `State` opens to them again. The state then names the live attempt.
    pub async fn accept_end(
        &self,
        state: &mut State,
        gone: Option<&Principals>,
    ) -> Result<(), Error> {
        let live = self.change_run(&state.run, |run| {
            let Some(run) = run else {
                return Change::Leave(Some(0));
            };
            if run.had_and_overtook(&state.event) {
                return Change::Leave(None);
            }
            let new = run.without(gone, &state.event);
            let same = new.targets == run.targets && new.audience == run.audience;
            if same && new.events == run.events {
                return Change::Leave(Some(run.attempt));
            }
            Change::Write(new, Some(run.attempt))
        });
        state.attempt = live
            .await
            .map_err(Error::from_refusal)?
            .ok_or_else(overtaken)?;
        Ok(())
    }

    /// Begins the attempt that takes back the copies of a resource, which the state then names.
    /// Returns the run as it was before; `None` if there is none.
    pub async fn accept_withdrawal(
        &self,
        state: &mut State,
        asked_by: &str,
        keep: bool,
    ) -> Result<Option<Run>, Error> {
        let mut asked = state.as_run();
        asked_by.clone_into(&mut asked.asked_by);
        let found = self.change_run(&state.run, |run| {
            let Some(run) = run else {
                return Change::Leave(Ok(None));
            };
            if run.had_and_overtook(&state.event) {
                return Change::Leave(Err(overtaken()));
            }
            let new = run.withdrawn(&asked, keep);
            let found = Ok(Some((new.attempt, run.clone())));
            if new == *run {
                return Change::Leave(found);
            }
            Change::Write(new, found)
        });
        let found = found.await.map_err(Error::from_refusal)??;
        let (attempt, before) = found.unzip();
        state.attempt = attempt.unwrap_or_default();
        Ok(before)
    }

    /// Returns all runs of the ledger, read once in an invocation.
    pub async fn all_runs(&self) -> Result<&[Run], Refusal> {
        let reading = async {
            let keys = self.keys_below("runs/").await?;
            let runs = keys.into_iter().filter_map(|(key, _)| {
                let run = key.strip_prefix("runs/")?.strip_suffix("/run.json")?;
                Some(run.to_owned())
            });
            let reading = runs.map(|run| async move { self.run_record(&run).await });
            let found: Vec<Option<Run>> = stream::iter(reading)
                .buffered(READ_AT_ONCE)
                .try_collect()
                .await?;
            Ok(found.into_iter().flatten().collect())
        };
        let runs: &Vec<Run> = self.runs.get_or_try_init(|| reading).await?;
        Ok(runs)
    }

    /// Notes that this run may have copies in the source account, and holds its image for it, so
    /// that the sweeper finds them.
    pub(super) async fn note_staging(
        &self,
        run: RunRef<'_>,
    ) -> Result<Result<(), String>, Refusal> {
        let attempt = run.attempt();
        let stages = run.stages();
        let regions = || stages.iter().map(|stage| stage.region.to_string());
        let noted = self.change_run(run.id, |run| match run {
            Some(run)
                if run.is_live(&attempt)
                    && run.stages
                    && regions().all(|region| run.staged_in.contains(&region)) =>
            {
                Change::Leave(Ok(()))
            }
            Some(run) if run.is_live(&attempt) => {
                let mut new = run.next();
                new.stages = true;
                new.staged_in.extend(regions());
                new.resources.insert(run.source_image_id.clone());
                Change::Write(new, Ok(()))
            }
            _ => Change::Leave(Err(format!("attempt {attempt} is over"))),
        });
        if let Err(why) = noted.await? {
            return Ok(Err(why));
        }
        let (image, now) = (run.source.image_id.as_str(), self.now());
        let (region, account) = (run.source.region.as_str(), run.source.account_id.as_str());
        self.change_record(image, |record| {
            let new = || crate::ledger::Record::new(image, region, account);
            let record = record.cloned().unwrap_or_else(new);
            match record.hold_nothing(&attempt, now) {
                Some(new) => Change::Write(new, ()),
                None => Change::Leave(()),
            }
        })
        .await?;
        Ok(Ok(()))
    }

    /// Writes the result of the run. Returns its receipt: everything that was closed since it
    /// began, and everything that it still holds.
    pub async fn end_run(&self, of: RunRef<'_>, result: &Value) -> Result<Vec<Value>, Refusal> {
        let attempt = of.attempt();
        let run = self.change_run(of.id, |run| {
            let Some(run) = run else {
                return Change::Leave(None);
            };
            let mut new = run.next();
            if run.attempt == attempt.number {
                if run.kind == Kind::Copy {
                    new.status = RunStatus::Ended;
                }
                new.result = Some(result.clone());
            }
            if new.status == run.status && new.result == run.result {
                return Change::Leave(Some(run.clone()));
            }
            Change::Write(new.clone(), Some(new))
        });
        let Some(run) = run.await? else {
            return Ok(Vec::new());
        };
        let closed = run.receipt.iter().filter(|r| r.closed_at >= of.started);
        let mut receipt: Vec<Value> = closed.map(Receipt::told).collect();
        if run.kind == Kind::Share || run.keeps_open() {
            for name in &run.resources {
                let record = self.opening_record(name).await?;
                receipt.extend(record.iter().flat_map(|record| run.still_open(record)));
            }
        }
        Ok(receipt)
    }

    /// Returns what a run still has open where its image is gone, as the ledger has it. `None`
    /// where nothing is open, unless the account is given.
    pub async fn remains(
        &self,
        run: &str,
        image: &ImageId,
        region: &Region,
        account: Option<AccountId>,
    ) -> Result<Option<SourceRef>, Refusal> {
        let account_is_given = account.is_some();
        let found = self.run_record(run).await?;
        let known = found
            .as_ref()
            .and_then(|r| AccountId::parse(&r.account_id).ok());
        let mut resources = Vec::new();
        for name in found.iter().flat_map(|run| &run.resources) {
            let record = self.opening_record(name).await?;
            // Staged copies of another Region are not the source's.
            let open = record.filter(|record| record.region == region.as_str());
            if open.is_some_and(|record| !record.attempts_of(run, false).is_empty()) {
                resources.push(name);
            }
        }
        let names = || resources.iter().copied();
        let open = || resources.iter().any(|name| name.as_str() == image.as_str());
        Ok(known
            .or(account)
            .map(|account_id| SourceRef {
                image_id: image.clone(),
                region: region.clone(),
                account_id,
                snapshots: names()
                    .filter_map(|name| SnapshotId::parse(name).ok())
                    .collect(),
                keys: names()
                    .filter_map(|name| KeyArn::parse(name).ok())
                    .collect(),
                managed_keys: Vec::new(),
                staged: Vec::new(),
            })
            .filter(|remains| {
                account_is_given
                    || open()
                    || !remains.snapshots.is_empty()
                    || !remains.keys.is_empty()
            }))
    }

    /// Deletes the objects of runs that have not changed for long and hold nothing. Returns how
    /// many.
    pub async fn forget_old_runs(
        &self,
        named: &(dyn Fn(&str) -> bool + Sync),
    ) -> Result<usize, Refusal> {
        let now = self.now();
        let mut forgotten = 0;
        for (key, changed) in self.keys_below("runs/").await? {
            let run = key
                .strip_prefix("runs/")
                .and_then(|k| k.strip_suffix("/run.json"));
            let Some(run) = run.filter(|run| now.saturating_sub(changed) > KEPT && !named(run))
            else {
                continue;
            };
            let deleted = self.change_run(run, |run| match run {
                // The run may have been taken up again since it was listed.
                Some(run) if now.saturating_sub(run.since) > KEPT && !run.is_counted_by() => {
                    Change::Delete(true)
                }
                _ => Change::Leave(false),
            });
            forgotten += usize::from(deleted.await?);
        }
        Ok(forgotten)
    }
}
