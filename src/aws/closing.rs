//! Closing the source (rule 2 of [`crate::ledger`]): announced in the record, taken away, read
//! back, then buried. The record decides what may be taken away; neither a `State` nor a tag does.

mod key;

use std::collections::BTreeSet;

use futures::future::join_all;

use super::Aws;
use super::ledger::Change;
use super::permission::is_gone;
use crate::command::{Closed, Left, Revoked, Wait};
use crate::error::Refusal;
use crate::ledger::{
    Attempt, Close, FRESH, Kind, Principals, Receipt, Record, Resource, Run, RunStatus, Seen, Site,
};
use crate::state::SHOWN_WITHIN;

/// The result of closing one resource.
pub(super) struct ClosedResource {
    pub receipt: Receipt,
    /// Unix seconds: some grants may not show before. The resource must be closed again then.
    pub again_at: Option<i64>,
}

/// The result of closing an attempt.
#[derive(Debug, Default)]
pub struct ClosedAttempt {
    /// Accounts that the source was open to.
    pub was_open_to: BTreeSet<String>,
    /// The openings that the attempt could not close.
    pub left: Left,
    /// Unix seconds: not everything shows before. The attempt must be closed again then.
    pub again_at: Option<i64>,
}

/// Returns the outcome of a closing. Nothing left behind may still have to be closed again.
pub(super) fn revoked(left: Left, again_at: Option<i64>) -> Revoked {
    match again_at {
        Some(until) if left.is_empty() => {
            let why = "grants of a moment ago may not be listed yet".to_owned();
            Revoked::Wait(Wait { until, why })
        }
        _ => Revoked::Closed(Closed {
            left,
            ..Closed::default()
        }),
    }
}

impl Aws {
    /// Notes in the run's object that the attempt is closing, so that it opens nothing more.
    /// Returns the run, if the ledger knows it.
    pub(super) async fn announce_end(&self, attempt: &Attempt) -> Result<Option<Run>, Refusal> {
        let now = self.now();
        self.change_run(&attempt.run, |run| {
            let Some(run) = run else {
                return Change::Leave(None);
            };
            if run.kind != Kind::Copy || !run.is_live(attempt) {
                return Change::Leave(Some(run.clone()));
            }
            let mut new = run.next();
            new.status = RunStatus::Closing;
            new.closing_since = Some(now);
            Change::Write(new.clone(), Some(new))
        })
        .await
    }

    /// Closes everything that this attempt of a copying run and its earlier ones hold, then deletes
    /// the staged copies. A run that stages holds the image for those copies only, so it comes
    /// last: until then it leads the sweeper to them.
    ///
    /// A call of this state that ended `unsure` (Unix seconds) may have opened what was closed
    /// before, so that is closed again.
    pub(super) async fn close_attempt(
        &self,
        run: &Run,
        attempt: &Attempt,
        unsure: Option<i64>,
    ) -> ClosedAttempt {
        let (images, others) = run
            .sites()
            .into_iter()
            .partition(|site| run.stages && matches!(site.resource, Resource::Image(_)));
        let mut closed = self.close_sites(run, attempt, others, unsure).await;
        let is_closed =
            |closed: &ClosedAttempt| closed.left.is_empty() && closed.again_at.is_none();
        if run.stages && is_closed(&closed) {
            closed
                .left
                .extend(self.delete_staged_by(run, attempt).await);
        }
        if is_closed(&closed) {
            closed
                .left
                .extend(self.close_sites(run, attempt, images, None).await.left);
        }
        closed
    }

    async fn close_sites(
        &self,
        run: &Run,
        attempt: &Attempt,
        sites: Vec<Site>,
        unsure: Option<i64>,
    ) -> ClosedAttempt {
        let mut closed = ClosedAttempt::default();
        let closing = sites.into_iter().map(|site| async move {
            (
                site.clone(),
                self.close_site(run, attempt, &site, unsure).await,
            )
        });
        let mut receipts = Vec::new();
        for (site, result) in join_all(closing).await {
            match result {
                Ok(of_site) => {
                    for one in of_site {
                        closed
                            .was_open_to
                            .extend(one.receipt.principals.accounts().cloned());
                        closed.again_at = closed.again_at.max(one.again_at);
                        receipts.push(one.receipt);
                    }
                }
                Err(left) => {
                    let name = site.resource.name().to_owned();
                    closed
                        .left
                        .extend(left.into_iter().map(|(_, refusal)| (name.clone(), refusal)));
                }
            }
        }
        if let Err(refusal) = self.add_receipts(&run.run, receipts).await {
            closed.left.push((format!("run {}", run.run), refusal));
        }
        closed
    }

    async fn close_site(
        &self,
        run: &Run,
        attempt: &Attempt,
        site: &Site,
        unsure: Option<i64>,
    ) -> Result<Vec<ClosedResource>, Left> {
        let of_site = |refusal| vec![(site.resource.name().to_owned(), refusal)];
        let record = self
            .opening_record(site.resource.name())
            .await
            .map_err(of_site)?;
        let Some(record) = record else {
            return Ok(Vec::new());
        };
        let untold = run.untold(&record).into_iter();
        let untold = untold.filter(|receipt| run.closes(attempt, &receipt.attempt));
        let mut all: Vec<ClosedResource> = untold
            .map(|receipt| ClosedResource {
                receipt,
                again_at: None,
            })
            .collect();
        let site = &record.site().unwrap_or_else(|| site.clone());
        for of_run in record.attempts_of(&run.run, unsure.is_some()) {
            if !run.closes(attempt, &of_run) {
                continue;
            }
            if run.keeps_open() {
                self.keep_open(site, &of_run).await.map_err(of_site)?;
                continue;
            }
            // Processes differ in what time it is.
            let before = |at: i64| at <= unsure.unwrap_or_default().saturating_add(FRESH);
            let closed = record.closed.get(&of_run).map(|closed| closed.at);
            let again = of_run == *attempt && unsure.is_some() && closed.is_some_and(before);
            all.extend(self.close_resource(run, &of_run, site, None, again).await?);
        }
        Ok(all)
    }

    /// Keeps the openings of a copying run that are to stay open. They stay in the ledger as held,
    /// so that no other run's closing takes them away.
    async fn keep_open(&self, site: &Site, attempt: &Attempt) -> Result<(), Refusal> {
        self.change_record(site.resource.name(), |record| {
            match record.and_then(|record| record.keep(attempt)) {
                Some(new) => Change::Write(new, ()),
                None => Change::Leave(()),
            }
        })
        .await
    }

    /// Closes one resource for one attempt, to the principals `gone` or to all that it holds. With
    /// `again`, closes also what it has closed already.
    pub(super) async fn close_resource(
        &self,
        run: &Run,
        attempt: &Attempt,
        site: &Site,
        gone: Option<&Principals>,
        again: bool,
    ) -> Result<Option<ClosedResource>, Left> {
        let name = site.resource.name();
        let of_site = |refusal: Refusal| vec![(name.to_owned(), refusal)];
        let announced = self
            .announce(attempt, site, gone, again)
            .await
            .map_err(of_site)?;
        let Some(record) = announced else {
            return Ok(None);
        };
        let (seen, again_at) = self.take_away(run, attempt, site, &record).await?;
        let now = self.now();
        let closing = &record.closing[attempt];
        let receipt = Receipt {
            attempt: attempt.clone(),
            resource: name.to_owned(),
            what: run.means(name).to_owned(),
            principals: closing.principals.clone(),
            opened_at: closing.opened,
            closed_at: now,
            read_back: seen,
            verified: None,
        };
        if again_at.is_some() {
            // The closing stays announced until every grant has shown.
            return Ok(Some(ClosedResource { receipt, again_at }));
        }
        self.change_record(name, |there| match there {
            Some(there) if there.is_closed_by(attempt, &self.process) => {
                Change::to_record(there.bury(attempt, now))
            }
            _ => Change::Leave(()),
        })
        .await
        .map_err(of_site)?;
        Ok(Some(ClosedResource { receipt, again_at }))
    }

    async fn announce(
        &self,
        attempt: &Attempt,
        site: &Site,
        gone: Option<&Principals>,
        again: bool,
    ) -> Result<Option<Record>, Refusal> {
        let (by, now) = (self.process.clone(), self.now());
        self.change_record(site.resource.name(), |record| {
            let Some(record) = record else {
                return Change::Leave(None);
            };
            let held = record.holders.get(attempt).map(|h| h.principals.clone());
            let all = held.unwrap_or_default();
            match record.close(attempt, gone.unwrap_or(&all), &by, again, now) {
                Close::Announce(new) => Change::Write((*new).clone(), Some(*new)),
                Close::Nothing => Change::Leave(None),
            }
        })
        .await
    }

    /// Takes away what the record as written allows, and reads back what is left. For a key, also
    /// returns when all its grants will have shown (Unix seconds), unless they have.
    pub(super) async fn take_away(
        &self,
        run: &Run,
        attempt: &Attempt,
        site: &Site,
        record: &Record,
    ) -> Result<(Seen, Option<i64>), Left> {
        match &site.resource {
            Resource::Key(key) => self.take_away_key(run, attempt, site, key, record).await,
            _ => {
                let seen = self.take_away_permission(attempt, site, record).await;
                seen.map_err(|r| vec![(site.resource.name().to_owned(), r)])
            }
        }
    }

    async fn take_away_permission(
        &self,
        attempt: &Attempt,
        site: &Site,
        record: &Record,
    ) -> Result<(Seen, Option<i64>), Refusal> {
        let take = record.to_take_away(attempt);
        let (mut seen, mut again_at) = (Seen::default(), None);
        let all = record.closing.get(attempt).map(|c| &c.principals);
        let kept = all.map(|all| all.filter(|who| !take.contains(who)));
        seen.kept = kept.iter().flat_map(Principals::iter).cloned().collect();
        seen.unclear = take.common(&record.unclear).iter().cloned().collect();
        if !take.is_empty() {
            if !self.forbid(site, &take).await? {
                let shown = record.closing[attempt].latest.saturating_add(SHOWN_WITHIN);
                again_at = Some(shown).filter(|shown| self.now() < *shown);
            }
            match self.permitted(site).await {
                Ok(there) => seen.open = there.common(&take).iter().cloned().collect(),
                Err(refusal) if is_gone(&refusal) => seen.said = Some(refusal.to_string()),
                Err(refusal) => return Err(refusal),
            }
        }
        seen.at = self.now();
        Ok((seen, again_at))
    }

    /// Finishes a closing that its process left half-way.
    pub(super) async fn finish_closing(
        &self,
        site: &Site,
        attempt: &Attempt,
    ) -> Result<(), Refusal> {
        let run = self.run_of(attempt, site).await?;
        // The attempt's other holdings are not closed: a share may have ended with some principals
        // only.
        let nobody = Principals::default();
        match self
            .close_resource(&run, attempt, site, Some(&nobody), false)
            .await
        {
            Ok(closed) => {
                let receipts = closed.into_iter().map(|c| c.receipt).collect();
                self.add_receipts(&run.run, receipts).await
            }
            Err(left) => match left.into_iter().next() {
                Some((_, refusal)) => Err(refusal),
                None => Ok(()),
            },
        }
    }

    /// Adds closings to the run's receipt.
    pub(super) async fn add_receipts(
        &self,
        run: &str,
        receipts: Vec<Receipt>,
    ) -> Result<(), Refusal> {
        let told = |receipt: &Receipt| !receipt.principals.is_empty();
        let receipts: Vec<Receipt> = receipts.into_iter().filter(told).collect();
        if receipts.is_empty() {
            return Ok(());
        }
        self.change_run(run, |there| match there {
            Some(there) => {
                let mut new = there.next();
                new.add_receipts(receipts.clone());
                Change::Write(new, ())
            }
            None => Change::Leave(()),
        })
        .await
    }
}
