//! The proof that nothing stayed open (rule 5 of [`crate::ledger`]). What was closed 15 minutes ago
//! is read again: no process can be under way any more, and AWS shows everything. What nobody holds
//! is taken away, and the receipt notes what was found.

use super::Aws;
use super::ledger::Change;
use super::permission::is_gone;
use crate::command::Left;
use crate::error::Refusal;
use crate::ledger::{Attempt, Kind, Principals, Record, Resource, Run, Seen, Site};

impl Aws {
    /// Verifies the closing of an attempt on one resource; `None` before its time.
    pub async fn verify_closed(
        &self,
        record: &Record,
        attempt: &Attempt,
    ) -> Result<Option<Seen>, Refusal> {
        let Some(site) = record.site() else {
            return Ok(None);
        };
        let (by, now) = (self.process.clone(), self.now());
        if record.verify(attempt, &by, now).is_none() {
            return Ok(None);
        }
        let announced = self.change_record(&record.resource, |there| {
            let Some(there) = there else {
                return Change::Leave(None);
            };
            let ours = there
                .closing
                .get(attempt)
                .is_some_and(|closing| closing.by == by);
            match there.verify(attempt, &by, now) {
                Some(new) => Change::Write(new.clone(), Some(new)),
                // The answer to this very write was lost.
                None if ours => Change::Leave(Some(there.clone())),
                None => Change::Leave(None),
            }
        });
        let Some(announced) = announced.await? else {
            return Ok(None);
        };
        let run = self.run_of(attempt, &site).await?;
        let seen = self
            .look_and_take_away(&run, attempt, &site, &announced)
            .await?;
        self.change_run(&attempt.run, |run| match run {
            Some(run) => {
                let mut new = run.next();
                new.add_receipts(run.untold(record));
                new.verified(attempt, site.resource.name(), &seen);
                Change::Write(new, ())
            }
            None => Change::Leave(()),
        })
        .await?;
        let now = self.now();
        self.change_record(&record.resource, |there| match there {
            // Reads may show for a minute more a permission that was open until now.
            Some(there) if there.is_closed_by(attempt, &by) && !seen.open.is_empty() => {
                Change::Write(there.bury(attempt, now), ())
            }
            Some(there) if there.is_closed_by(attempt, &by) => {
                Change::to_record(there.forget(attempt))
            }
            _ => Change::Leave(()),
        })
        .await?;
        Ok(Some(seen))
    }

    async fn look_and_take_away(
        &self,
        run: &Run,
        attempt: &Attempt,
        site: &Site,
        record: &Record,
    ) -> Result<Seen, Refusal> {
        let mut seen = match &site.resource {
            Resource::Key(key) => self.verify_key(run, attempt, site, key, record).await?,
            Resource::Image(_) if run.kind == Kind::Copy => {
                // The image was held for staged copies, of which one may have shown late. A later
                // attempt that holds the image too uses them, and deletes them.
                let later = record
                    .attempts_of(&run.run, true)
                    .into_iter()
                    .any(|of_run| of_run.number > attempt.number);
                let left = if later {
                    Left::new()
                } else {
                    self.delete_staged(run).await
                };
                if let Some((_, refusal)) = left.into_iter().next() {
                    return Err(refusal);
                }
                Seen::default()
            }
            _ => {
                let take = record.to_take_away(attempt);
                self.look_at_permission(site, &take).await?
            }
        };
        seen.at = self.now();
        Ok(seen)
    }

    async fn look_at_permission(&self, site: &Site, take: &Principals) -> Result<Seen, Refusal> {
        let mut seen = Seen::default();
        let open = match self.permitted(site).await {
            Ok(there) => there.common(take),
            Err(refusal) if is_gone(&refusal) => {
                seen.said = Some(refusal.to_string());
                return Ok(seen);
            }
            Err(refusal) => return Err(refusal),
        };
        if !open.is_empty() {
            self.forbid(site, &open).await?;
        }
        seen.open = open.iter().cloned().collect();
        Ok(seen)
    }
}
