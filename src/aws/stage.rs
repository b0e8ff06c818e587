//! Copies of the source in its own account, under a key that can be shared. They bear the run's mark from the begin: whoever closes
//! the source, the sweeper too, finds them by it, and by their tags when that is gone.

use std::collections::{BTreeMap, BTreeSet};

use aws_credential_types::provider::ProvideCredentials;
use aws_sdk_ec2::types::{Filter, ResourceType, Snapshot, Tag, TagSpecification};
use futures::future::join_all;

use super::copies::{AskedCopy, FILTER_VALUES, copy, own_snapshots, unsent};
use super::mark::{CopyMark, Needs};
use super::presign::CopyToSign;
use super::{Aws, tags};
use crate::command::{Outcome, Staged, staging_key, tag};
use crate::error::Refusal;
use crate::ids::{ImageId, KeyRef, SnapshotId};
use crate::source::Source;
use crate::state::State;

/// The image that this snapshot of the caller's was staged for; `None` for any other. No target is ever in the source account, so what
/// says that it was copied from the account it is in can be nothing else.
pub fn staged_from(owner: &str, tags: &BTreeMap<String, String>) -> Option<ImageId> {
    let is_own = tags.get(tag::SOURCE_ACCOUNT).is_some_and(|of| of == owner);
    let image = tags.get(tag::SOURCE_IMAGE).filter(|_| is_own)?;
    ImageId::parse(image).ok()
}

impl Aws {
    pub(super) async fn look_staged(&self, state: &State, source: &Source) -> Outcome {
        match self.staged(state, source).await {
            Ok(staged) => Outcome::StagedSeen(staged),
            Err(refusal) => Outcome::Refused(refusal),
        }
    }

    /// This run's copies of each snapshot that cannot be shared as it is.
    pub async fn staged(&self, state: &State, source: &Source) -> Result<Staged, Refusal> {
        let needed = source.under(&state.source.managed_keys);
        let mut staged: Staged = needed.iter().map(|n| n.then(Vec::new)).collect();
        let keys: Vec<String> = source
            .snapshots
            .iter()
            .map(|snapshot| staging_key(&snapshot.id, state))
            .collect();
        let wanted: Vec<&String> = keys
            .iter()
            .zip(&needed)
            .filter(|(_, n)| **n)
            .map(|(k, _)| k)
            .collect();
        let actor = Self::own(state);
        let (ec2, at) = (
            self.ec2(&actor, &state.source.region),
            actor.at(&state.source.region),
        );
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
                ) && is_of_run(state, &snapshot)
                {
                    copies.push(copy);
                }
            }
        }
        Ok(staged)
    }

    pub(super) async fn stage(
        &self,
        state: &State,
        source: &Source,
        snapshots: &[usize],
    ) -> Outcome {
        let Some(key) = &state.order.reencrypt_key else {
            return Outcome::SourceGone("no key to copy it under".to_owned());
        };
        let starting = snapshots.iter().map(|&s| async move {
            (s, self.stage_one(state, &source.snapshots[s].id, key).await)
        });
        Outcome::Started {
            results: join_all(starting).await,
        }
    }

    async fn stage_one(
        &self,
        state: &State,
        from: &SnapshotId,
        key: &KeyRef,
    ) -> Result<SnapshotId, Refusal> {
        let actor = Self::own(state);
        let region = &state.source.region;
        let credentials = match self.config.credentials_provider() {
            Some(provider) => {
                let credentials = provider.provide_credentials().await;
                Some(credentials.map_err(|e| unsent(&actor.at(region), from, e.to_string()))?)
            }
            None => None,
        };
        let asked = AskedCopy {
            from: CopyToSign {
                snapshot: from,
                from: region,
                to: region,
                key,
            },
            description: format!(
                "{from} of {} for run {} of amiferry, which deletes it",
                state.source.image_id, state.run
            ),
            minutes: state.order.copy_completion_minutes,
            tags: self.tags_of_staged(state, from),
        };
        self.copy_snapshot(&actor, credentials.as_ref(), asked)
            .await
    }

    /// Ours only: the copies in the targets get theirs from the original. The mark says that nobody is let in yet.
    pub(super) fn tags_of_staged(&self, state: &State, from: &SnapshotId) -> TagSpecification {
        let mark = CopyMark {
            since: self.now(),
            execution: Some(state.execution.clone()).filter(|name| !name.is_empty()),
            needs: Needs::none(),
            released: Needs::none(),
            left: BTreeSet::new(),
            before: BTreeSet::new(),
        };
        let ours = [
            (tag::RUN, state.run.clone()),
            (tag::SOURCE_IMAGE, state.source.image_id.to_string()),
            (tag::SOURCE_ACCOUNT, state.source.account_id.to_string()),
            (tag::KEY, staging_key(from, state)),
        ];
        let ours = ours.map(|(name, value)| Tag::builder().key(name).value(value).build());
        let tags = ours.into_iter().chain(mark.write(&state.run)).collect();
        TagSpecification::builder()
            .resource_type(ResourceType::Snapshot)
            .set_tags(Some(tags))
            .build()
    }

    /// Closes the source, and deletes what this run staged, whoever of its processes did and whatever the state knows of it.
    pub(super) async fn close_source(&self, state: &State) -> Outcome {
        if !state.may_have_staged() {
            return self.revoke(state, &[]).await;
        }
        // What the state names as staged is not believed here: only what says so itself is closed and deleted.
        let mut opened = state.clone();
        opened.source.keys = state.opened_keys();
        let actor = Self::own(state);
        let region = &state.source.region;
        let of_run = Filter::builder()
            .name(format!("tag:{}", tag::RUN))
            .values(&state.run)
            .build();
        let found = own_snapshots(&self.ec2(&actor, region), &actor.at(region), of_run).await;
        let originals = self.of_managed_keys(state).await;
        let (found, unopened) = match (found, originals) {
            (Ok(found), Ok(unopened)) => (found, unopened),
            (Err(refusal), _) | (_, Err(refusal)) => return Outcome::Refused(refusal),
        };
        opened.source.snapshots.retain(|id| !unopened.contains(id));
        let mut staged = Vec::new();
        for snapshot in found.iter().filter(|s| is_of_run(state, s)) {
            let id = snapshot.snapshot_id().map(SnapshotId::parse);
            let Some(Ok(id)) = id else { continue };
            if !opened.source.snapshots.contains(&id) {
                opened.source.snapshots.push(id.clone());
            }
            let key = snapshot.kms_key_id().map(str::to_owned);
            opened
                .source
                .keys
                .extend(key.filter(|key| !opened.source.keys.contains(key)));
            staged.push(id);
        }
        self.revoke(&opened, &staged).await
    }

    /// The originals that the run never opened: whatever permission is on them was not given by it.
    async fn of_managed_keys(&self, state: &State) -> Result<BTreeSet<SnapshotId>, Refusal> {
        if !state.needs_staging() {
            return Ok(BTreeSet::new());
        }
        let actor = Self::own(state);
        let region = &state.source.region;
        let ids = state.source.snapshots.iter().map(ToString::to_string);
        let filter = Filter::builder()
            .name("snapshot-id")
            .set_values(Some(ids.collect()))
            .build();
        let found = own_snapshots(&self.ec2(&actor, region), &actor.at(region), filter).await?;
        let managed = &state.source.managed_keys;
        let is_managed = |s: &&Snapshot| managed.iter().any(|key| s.kms_key_id() == Some(key));
        let ids = found.iter().filter(is_managed);
        Ok(ids
            .filter_map(|s| SnapshotId::parse(s.snapshot_id()?).ok())
            .collect())
    }
}

/// By all its tags: what is found by one alone may be somebody else's, and this is about deleting.
fn is_of_run(state: &State, snapshot: &Snapshot) -> bool {
    let tags = tags::to_map(snapshot.tags());
    let owner = state.source.account_id.as_str();
    let known = state.source.image_id != ImageId::unknown();
    let image = staged_from(owner, &tags);
    tags.get(tag::RUN) == Some(&state.run)
        && snapshot.owner_id() == Some(owner)
        && image.is_some_and(|image| !known || image == state.source.image_id)
}
