//! Staged copies: copies of the source in its own account, under a key that can be shared, beside
//! the source or in the targets' Region. The ledger notes, before the first copy, that the run may
//! have some. Every closing, the sweeper's too, finds them by their tags.

use std::collections::BTreeMap;

use aws_credential_types::provider::ProvideCredentials;
use aws_sdk_ec2::types::{Filter, ResourceType, Snapshot, TagSpecification};
use futures::future::{join_all, try_join_all};

use super::closing::revoked;
use super::copies::{AskedCopy, FILTER_VALUES, copy, own_snapshots, unsent};
use super::presign::CopyToSign;
use super::{Actor, Aws, copies, tags};
use crate::command::{Closed, Left, Revoked, SourceGone, Staging, staging_key, tag};
use crate::copies::Staged;
use crate::error::Refusal;
use crate::ids::{AccountId, ImageId, Region, SnapshotId};
use crate::ledger::{Attempt, Run};
use crate::source::Source;
use crate::state::{RunRef, Stage, State};

/// Returns the image that a snapshot was staged for; `None` for any other snapshot. No target is in
/// the source account, so a snapshot there that names its own account as its source is a staged
/// copy.
fn staged_from(owner: &str, tags: &BTreeMap<String, String>) -> Option<ImageId> {
    let is_own = tags.get(tag::SOURCE_ACCOUNT).is_some_and(|of| of == owner);
    let image = tags.get(tag::SOURCE_IMAGE).filter(|_| is_own)?;
    ImageId::parse(image).ok()
}

impl Aws {
    /// Lists this run's copies of each snapshot, for each stage.
    pub async fn staged(&self, run: RunRef<'_>, source: &Source) -> Result<Staged, Refusal> {
        let stages = run.stages().into_iter();
        let listing = stages.map(|stage| self.staged_in(run, source, stage));
        let all = try_join_all(listing).await?;
        Ok(all.into_iter().flatten().collect())
    }

    async fn staged_in(
        &self,
        run: RunRef<'_>,
        source: &Source,
        stage: Stage<'_>,
    ) -> Result<Staged, Refusal> {
        let needed = if *stage.region == run.source.region {
            source.under(&run.source.managed_keys)
        } else {
            vec![true; source.snapshots.len()]
        };
        let mut staged: Staged = needed.iter().map(|n| n.then(Vec::new)).collect();
        let snapshots = source.snapshots.iter();
        let keys: Vec<String> = snapshots.map(|s| staging_key(&s.id, run, stage)).collect();
        let each = keys.iter().zip(&needed);
        let wanted: Vec<&String> = each.filter(|(_, n)| **n).map(|(k, _)| k).collect();
        let actor = Actor::own(&run.source.account_id);
        let (ec2, at) = (self.ec2(&actor, stage.region), actor.at(stage.region));
        for some in wanted.chunks(FILTER_VALUES) {
            let values = some.iter().map(|key| (*key).clone()).collect();
            let filter = Filter::builder()
                .name(format!("tag:{}", tag::KEY))
                .set_values(Some(values))
                .build();
            for snapshot in own_snapshots(&ec2, &at, filter).await? {
                let tags = tags::to_map(snapshot.tags());
                let place = keys.iter().position(|key| tags.get(tag::KEY) == Some(key));
                if let (Some(Some(copies)), Some(copy)) = (
                    place.and_then(|place| staged.get_mut(place)),
                    copy(&snapshot),
                ) && is_of_run(run, &snapshot)
                {
                    copies.push(copy);
                }
            }
        }
        Ok(staged)
    }

    /// Starts the staged copies of these places, once the ledger knows that the run may have some.
    pub(super) async fn stage(
        &self,
        run: RunRef<'_>,
        source: &Source,
        places: &[usize],
    ) -> Result<Result<Staging, SourceGone>, Refusal> {
        if let Err(why) = self.note_staging(run).await? {
            return Ok(Ok(Staging::Over(why)));
        }
        let (stages, snapshots) = (run.stages(), &source.snapshots);
        let starting = places.iter().filter_map(|&place| {
            let stage = *stages.get(place / snapshots.len())?;
            let from = &snapshots[place % snapshots.len()].id;
            Some(async move { (place, self.stage_one(run, from, stage).await) })
        });
        Ok(Ok(Staging::Started(join_all(starting).await)))
    }

    async fn stage_one(
        &self,
        run: RunRef<'_>,
        from: &SnapshotId,
        stage: Stage<'_>,
    ) -> Result<SnapshotId, Refusal> {
        let actor = Actor::own(&run.source.account_id);
        let credentials = match self.config.credentials_provider() {
            Some(provider) => {
                let credentials = provider.provide_credentials().await;
                let unsent = |said: String| unsent(&actor.at(stage.region), from, said);
                Some(credentials.map_err(|e| unsent(e.to_string()))?)
            }
            None => None,
        };
        let asked = AskedCopy {
            from: CopyToSign {
                snapshot: from,
                from: &run.source.region,
                to: stage.region,
                key: stage.key,
            },
            description: format!(
                "{from} of {} for run {} of amiferry, which deletes it",
                run.source.image_id, run.id
            ),
            minutes: run.order.copy_completion_minutes,
            tags: tags_of_staged(run, from, stage),
        };
        self.copy_snapshot(&actor, credentials.as_ref(), asked)
            .await
    }

    /// Closes the source, then deletes the staged copies of every process of this run. Takes the
    /// whole state: the accounts that the run had the source open to before are those of its
    /// targets.
    pub(super) async fn close_source(&self, state: &State) -> Result<Revoked, Refusal> {
        let attempt = state.run_ref().attempt();
        let run = self.announce_end(&attempt).await?;
        let run = run.unwrap_or_else(|| state.as_run());
        let unsure = state.sharing.unsure.then_some(state.sharing.at);
        let mut closed = self.close_attempt(&run, &attempt, unsure).await;
        // A process that closed all and died has left its receipts only.
        let told = run.receipt.iter().filter(|r| r.attempt == attempt);
        let told = told.flat_map(|receipt| receipt.principals.accounts().cloned());
        closed.was_open_to.extend(told);
        let earlier = state.opened_by_others(&closed.was_open_to);
        Ok(match closed.again_at {
            None => Revoked::Closed(Closed {
                earlier,
                joined: run.joined,
                left: closed.left,
            }),
            again_at => revoked(closed.left, again_at),
        })
    }

    /// Deletes the staged copies of an attempt that ends. Where another attempt has followed, that
    /// one uses them, and deletes them.
    pub(super) async fn delete_staged_by(&self, run: &Run, attempt: &Attempt) -> Left {
        match self.run_record(&run.run).await {
            Ok(Some(now)) if now.has_followed(attempt) => Left::new(),
            Ok(_) => self.delete_staged(run).await,
            Err(refusal) => vec![(format!("run {}", run.run), refusal)],
        }
    }

    /// Deletes all copies in the source account that bear the run's tags. Nobody has them open any
    /// more.
    pub(super) async fn delete_staged(&self, run: &Run) -> Left {
        let Ok(account) = AccountId::parse(&run.account_id) else {
            return Left::new();
        };
        let named = run.staged_in.iter();
        let otherwise = run.staged_in.is_empty().then_some(&run.source_region);
        let regions = named.chain(otherwise).filter_map(|r| Region::parse(r).ok());
        let deleting = regions.map(|region| {
            let account = account.clone();
            async move { self.delete_staged_in(run, &account, &region).await }
        });
        join_all(deleting).await.into_iter().flatten().collect()
    }

    async fn delete_staged_in(&self, run: &Run, account: &AccountId, region: &Region) -> Left {
        let actor = Actor::own(account);
        let (ec2, at) = (self.ec2(&actor, region), actor.at(region));
        let filter = Filter::builder()
            .name(format!("tag:{}", tag::RUN))
            .values(&run.run)
            .build();
        let found = match own_snapshots(&ec2, &at, filter).await {
            Ok(found) => found,
            Err(refusal) => return vec![(format!("run {}", run.run), refusal)],
        };
        let image = ImageId::parse(&run.source_image_id).ok();
        let staged = found
            .iter()
            .filter(|s| is_staged_by(&run.run, account.as_str(), image.as_ref(), s));
        // A snapshot deleted a moment ago may still be listed, and has no tags by which a policy
        // would allow to delete it.
        let ids: Vec<SnapshotId> = staged
            .filter_map(|s| SnapshotId::parse(s.snapshot_id()?).ok())
            .filter(|id| !self.deleted().contains(id))
            .collect();
        let deleted = copies::delete(&ec2, &at, &[], &ids, &[]).await;
        self.deleted().extend(deleted.gone);
        deleted.left
    }
}

/// Whether a snapshot has all tags of a staged copy of this run. A snapshot with one of them may be
/// somebody else's, and is not to be deleted.
fn is_staged_by(run: &str, owner: &str, image: Option<&ImageId>, snapshot: &Snapshot) -> bool {
    let tags = tags::to_map(snapshot.tags());
    let of = staged_from(owner, &tags);
    tags.get(tag::RUN).is_some_and(|of| of == run)
        && snapshot.owner_id() == Some(owner)
        && of.is_some_and(|of| image.is_none_or(|image| *image == of))
}

/// Returns the tags of a staged copy: ours only, as the copies in the targets get theirs from the
/// original.
pub(super) fn tags_of_staged(
    run: RunRef<'_>,
    from: &SnapshotId,
    stage: Stage<'_>,
) -> TagSpecification {
    let ours = [
        (tag::RUN, run.id.to_owned()),
        (tag::SOURCE_IMAGE, run.source.image_id.to_string()),
        (tag::SOURCE_ACCOUNT, run.source.account_id.to_string()),
        (tag::KEY, staging_key(from, run, stage)),
    ];
    let ours = ours.map(|(name, value)| (name.to_owned(), value));
    tags::specification(ours, ResourceType::Snapshot)
}

fn is_of_run(run: RunRef<'_>, snapshot: &Snapshot) -> bool {
    let (owner, image) = (run.source.account_id.as_str(), Some(&run.source.image_id));
    is_staged_by(run.id, owner, image, snapshot)
}
