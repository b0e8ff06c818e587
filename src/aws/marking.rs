//! Reading and writing the marks of a copying run on the source snapshots.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::Tag;
use futures::future::join_all;

use super::mark::{self, CopyMark, MOST_BEFORE, Marks, Needs};
use super::{Aws, tags};
use crate::command::sharing_tag;
use crate::error::Refusal;
use crate::ids::SnapshotId;
use crate::state::State;

/// The tags of one snapshot; `None` if it is gone.
pub type Tags = Option<BTreeMap<String, String>>;

/// Snapshots that are to get the same mark.
struct ToWrite<'a> {
    new: Vec<Tag>,
    /// Of the mark before, no longer needed.
    old: Vec<String>,
    ids: Vec<&'a SnapshotId>,
}

impl Aws {
    /// The tags of the snapshots and the accounts permitted on them, as they were at one time: a permission that is there because
    /// of a run has that run's mark beside it. A mark that came or went meanwhile means reading again.
    pub(super) async fn seen_together(
        &self,
        state: &State,
    ) -> Result<(Vec<Tags>, Vec<BTreeSet<String>>), Refusal> {
        let marked = |tags: &[Tags]| -> Vec<Vec<String>> {
            let runs = |tags: &Tags| {
                tags.iter()
                    .flat_map(|t| Marks::read(t).copies)
                    .map(|(run, _)| run)
                    .collect()
            };
            tags.iter().map(runs).collect()
        };
        let mut tags = self.source_snapshot_tags(state).await?;
        loop {
            let reading = state
                .source
                .snapshots
                .iter()
                .map(|id| self.permitted_accounts(state, id));
            let permitted = join_all(reading)
                .await
                .into_iter()
                .collect::<Result<Vec<_>, _>>()?;
            let again = self.source_snapshot_tags(state).await?;
            if marked(&tags) == marked(&again) {
                return Ok((again, permitted));
            }
            tags = again;
        }
    }

    /// What this run's mark on one snapshot is to say before anybody is let in: who has permission already, whatever targets the
    /// run may get later. Those who are there because of another run are for whichever of the two ends last to close.
    pub(super) fn mark_for(
        &self,
        state: &State,
        tags: Option<&BTreeMap<String, String>>,
        permitted: &BTreeSet<String>,
        wanted: &BTreeSet<String>,
    ) -> CopyMark {
        let ours: BTreeSet<String> = state
            .targets
            .iter()
            .map(|t| t.account_id.to_string())
            .collect();
        let marks = tags.map(Marks::read).unwrap_or_default();
        let needs = Needs::of(wanted.clone());
        // Of a direct call no end is ever told: its mark has no execution, also where one that is over had left it.
        let by = Some(state.execution.clone()).filter(|name| !name.is_empty());
        let mut mark = match marks.copies.get(&state.run) {
            Some(mark) => CopyMark {
                // It needed nobody yet, or no more, or another execution of the same run, which is over, has left it: it begins now.
                since: if mark.needs.is_none() || state.sharing.at == 0 {
                    self.now()
                } else {
                    mark.since
                },
                execution: by.clone(),
                // Whom it had released may be in yet: they are its own again.
                needs: mark.needs.and(&mark.released).and(&needs),
                released: Needs::none(),
                ..mark.clone()
            },
            None => {
                let others = marks.let_in_by_others(&state.run, permitted);
                let mut before = permitted - &others;
                if before.len() > MOST_BEFORE {
                    // They would not fit beside the snapshot's own tags: those that this run is about.
                    before.retain(|account| ours.contains(account));
                }
                CopyMark {
                    since: self.now(),
                    execution: by.clone(),
                    needs,
                    released: Needs::none(),
                    left: BTreeSet::new(),
                    before,
                }
            }
        };
        // Somebody took away what was there before: if this run gives it again, it is this run's.
        mark.before
            .retain(|account| permitted.contains(account) || !wanted.contains(account));
        mark
    }

    /// Writes the marks that are not there as they are to be. Snapshots that say the same are tagged in one call.
    pub(super) async fn write_marks(
        &self,
        state: &State,
        tags: &[Tags],
        marks: &[CopyMark],
    ) -> Result<(), Refusal> {
        let name = sharing_tag(&state.run);
        let mut to_write: BTreeMap<String, ToWrite<'_>> = BTreeMap::new();
        for ((id, tags), mark) in state.source.snapshots.iter().zip(tags).zip(marks) {
            let Some(tags) = tags else { continue };
            if Marks::read(tags).copies.get(&state.run) == Some(mark) {
                continue;
            }
            let new = mark.write(&state.run);
            let is_new = |key: &str| new.iter().any(|tag| tag.key() == Some(key));
            let old: Vec<String> = mark::keys(&name, tags)
                .into_iter()
                .filter(|key| !is_new(key))
                .cloned()
                .collect();
            let same = format!("{new:?}{old:?}");
            let ids = Vec::new();
            let group = to_write.entry(same).or_insert(ToWrite { new, old, ids });
            group.ids.push(id);
        }
        let actor = Self::own(state);
        let region = &state.source.region;
        let (ec2, at) = (self.ec2(&actor, region), actor.at(region));
        for ToWrite { new, old, ids } in to_write.into_values() {
            let resources: Vec<String> = ids.iter().map(ToString::to_string).collect();
            tags::write(&ec2, &at, resources.clone(), new).await?;
            tags::delete(&ec2, &at, resources, old).await?;
        }
        Ok(())
    }

    /// What another run's mark says was there before, and is not there now that this run gives it, is no longer before for
    /// anybody: else the other, ending last, would leave it open.
    pub(super) async fn void_before(
        &self,
        state: &State,
        id: &SnapshotId,
        tags: &BTreeMap<String, String>,
        added: &BTreeSet<String>,
    ) -> Result<(), Refusal> {
        let others = Marks::read(tags).copies.into_iter();
        let others =
            others.filter(|(run, mark)| *run != state.run && !mark.before.is_disjoint(added));
        let void: Vec<Tag> = others
            .flat_map(|(run, mark)| mark::void(&run, &state.run, &(&mark.before & added)))
            .collect();
        let (actor, region) = (Self::own(state), &state.source.region);
        let ec2 = self.ec2(&actor, region);
        tags::write(&ec2, &actor.at(region), vec![id.to_string()], void).await
    }
}
