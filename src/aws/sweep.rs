//! Marks of runs on the source snapshots, found without any state: what the sweeper looks at.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::Filter;

use super::mark::{self, CopyMark, Marks, Needs};
use super::{Actor, Aws, Place, copies, image, staged_from, tags};
use crate::command::{grant_prefix, tag};
use crate::error::{Error, Refusal};
use crate::ids::{AccountId, ImageId, Region, SnapshotId};
use crate::state::{SourceRef, State};

/// A run that has the source open, as its mark tells.
#[derive(Debug, Clone)]
pub struct OpenRun {
    pub run: String,
    pub mark: CopyMark,
    pub source: SourceRef,
}

impl Aws {
    /// The runs that have source snapshots in this Region open. What lies beside no mark any more is taken off on the way.
    pub async fn open_runs(&self, region: &Region) -> Result<Vec<OpenRun>, Error> {
        let actor = Actor {
            account: "the source account".to_owned(),
            credentials: None,
        };
        let ec2 = self.ec2(&actor, region);
        let at = actor.at(region);
        let marked = Filter::builder()
            .name("tag-key")
            .values(format!("{}*", tag::SHARING))
            .build();
        let found = copies::own_snapshots(&ec2, &at, marked)
            .await
            .map_err(Error::from_refusal)?;
        let mut runs: BTreeMap<String, OpenRun> = BTreeMap::new();
        for snapshot in &found {
            let Some(id) = snapshot
                .snapshot_id()
                .and_then(|id| SnapshotId::parse(id).ok())
            else {
                continue;
            };
            let Some(owner) = snapshot.owner_id().and_then(|id| AccountId::parse(id).ok()) else {
                continue;
            };
            let tags = tags::to_map(snapshot.tags());
            let strays = mark::strays(&tags);
            if !strays.is_empty() {
                forget(&ec2, &at, &id, strays)
                    .await
                    .map_err(Error::from_refusal)?;
            }
            for (run, mark) in Marks::read(&tags).copies {
                let staged =
                    staged_from(owner.as_str(), &tags).filter(|_| tags.get(tag::RUN) == Some(&run));
                if !runs.contains_key(&run) {
                    let image = image::own_images_by(
                        &ec2,
                        &at,
                        "block-device-mapping.snapshot-id",
                        id.as_str(),
                    );
                    let image = image.await.map_err(Error::from_refusal)?;
                    let image = staged
                        .clone()
                        .or_else(|| image.iter().find_map(image::id_of));
                    let source = SourceRef {
                        image_id: image.unwrap_or_else(ImageId::unknown),
                        region: region.clone(),
                        account_id: owner.clone(),
                        snapshots: Vec::new(),
                        keys: Vec::new(),
                        managed_keys: Vec::new(),
                        staged: Vec::new(),
                    };
                    runs.insert(
                        run.clone(),
                        OpenRun {
                            run: run.clone(),
                            mark,
                            source,
                        },
                    );
                }
                if let Some(open) = runs.get_mut(&run) {
                    open.source.snapshots.push(id.clone());
                    open.source.staged.push(staged.map(|_| id.clone()));
                    let key = snapshot.kms_key_id().map(str::to_owned);
                    open.source
                        .keys
                        .extend(key.filter(|key| !open.source.keys.contains(key)));
                }
            }
        }
        Ok(runs.into_values().collect())
    }

    /// The accounts that the run of this state let in, by its mark on the source snapshots; `None` if there is none.
    pub async fn let_in_by(&self, state: &State) -> Result<Option<BTreeSet<AccountId>>, Refusal> {
        let tags = self.source_snapshot_tags(state).await?;
        let mut accounts: Option<BTreeSet<AccountId>> = None;
        for tags in tags.iter().flatten() {
            if let Some(mark) = Marks::read(tags).copies.get(&state.run) {
                let of_snapshot = self.let_in(state, mark).await?;
                accounts.get_or_insert_default().extend(of_snapshot);
            }
        }
        Ok(accounts)
    }

    /// The accounts that a run let in: those its mark needs or has released; where they are too many for a mark, those with a grant of its name; where it
    /// made none, those permitted now who were not before.
    pub async fn let_in(
        &self,
        state: &State,
        mark: &CopyMark,
    ) -> Result<BTreeSet<AccountId>, Refusal> {
        let listed = mark.listed().into_iter();
        let mut accounts: BTreeSet<AccountId> =
            listed.filter_map(|a| AccountId::parse(a).ok()).collect();
        let whole = mark.needs != Needs::All && mark.released != Needs::All;
        if whole && !accounts.is_empty() {
            return Ok(accounts);
        }
        for key in &state.source.keys {
            let prefix = grant_prefix(&state.run);
            let names = self.grant_names(state, key).await?;
            let of_run = names.iter().filter_map(|name| name.strip_prefix(&prefix));
            accounts.extend(of_run.filter_map(|account| AccountId::parse(account).ok()));
        }
        if accounts.len() > mark.left.len() {
            return Ok(accounts);
        }
        for id in &state.source.snapshots {
            let now = self.permitted_accounts(state, id).await?;
            let new = now.difference(&mark.before);
            accounts.extend(new.filter_map(|account| AccountId::parse(account).ok()));
        }
        Ok(accounts)
    }
}

/// By themselves these tags mean nothing to anybody.
async fn forget(
    ec2: &Client,
    at: &Place,
    id: &SnapshotId,
    strays: Vec<&String>,
) -> Result<(), Refusal> {
    tags::delete(ec2, at, vec![id.to_string()], strays).await
}
